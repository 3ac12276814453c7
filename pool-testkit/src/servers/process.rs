//! Signals to a server and all of its processes, and what `/proc` says of them.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::error::ServerError;
use super::wait::until;

/// How long the kernel may take for what takes it microseconds.
const SOON: Duration = Duration::from_secs(20);

/// One signal to one process; nothing happens if it is gone.
pub(super) fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // It can only be gone, or be a stranger's after that.
        let _ = kill_process(pid, signal);
    }
}

/// If a process is there, and more than a zombie.
pub(super) fn runs(pid: u32) -> bool {
    !matches!(state(pid), None | Some('Z' | 'X'))
}

/// Stops a server and its processes in their tracks; returns when they are.
pub(super) fn freeze(main: u32) -> Result<(), ServerError> {
    let all = stopped(main);
    let still = || all.iter().all(|&pid| matches!(state(pid), None | Some('T' | 't' | 'Z' | 'X')));
    until(SOON, || still().then_some(()))
        .ok_or_else(|| ServerError::failed(format!("process {main} did not freeze")))
}

/// Lets them go on.
pub(super) fn thaw(main: u32) {
    for pid in tree(main).into_iter().rev() {
        signal(pid, Signal::CONT);
    }
}

/// Kills a server and its processes, frozen or not. The main one is left to be reaped by its
/// parent.
pub(super) fn kill(main: u32) -> Result<(), ServerError> {
    let all = stopped(main);
    for &pid in &all {
        signal(pid, Signal::KILL);
    }
    // Who reaps the children of a killed server is not ours to say, a zombie is as good as gone.
    let gone = || !all.iter().any(|&pid| runs(pid));
    until(SOON, || gone().then_some(()))
        .ok_or_else(|| ServerError::failed(format!("process {main} survived its kill")))
}

/// All processes of a server, the main one first, with a stop signal on the way to each.
fn stopped(main: u32) -> Vec<u32> {
    // A stopped parent starts no children and reaps none, so the rest is complete, and no number
    // in it is given to anybody else.
    signal(main, Signal::STOP);
    until(SOON, || matches!(state(main), None | Some('T' | 't' | 'Z' | 'X')).then_some(()));
    let all = tree(main);
    for &pid in &all {
        signal(pid, Signal::STOP);
    }
    all
}

/// A process and its descendants, parents first. Not its process group: the processes of
/// PostgreSQL have a group each.
fn tree(main: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    let numbers = fs::read_dir("/proc").into_iter().flatten().flatten();
    for pid in numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
        if let Some((_, parent)) = stat(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut all = vec![main];
    let mut next = 0;
    while let Some(pid) = all.get(next) {
        all.extend(children.remove(pid).unwrap_or_default());
        next += 1;
    }
    all
}

/// The state letter of a process, none if it is gone.
fn state(pid: u32) -> Option<char> {
    Some(stat(pid)?.0)
}

/// State and parent of a process.
fn stat(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name is in parentheses, and may have spaces and parentheses in it.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_tree_is_frozen_thawed_and_killed() {
        // The second shell is in the tree, and so is its sleep.
        let script = "sh -c 'sleep 1000; :'; :";
        let mut shell =
            Command::new("sh").args(["-c", script]).stdin(Stdio::null()).spawn().unwrap();
        let main = shell.id();
        let all = until(SOON, || Some(tree(main)).filter(|all| all.len() == 3)).unwrap();
        assert_eq!(all[0], main);

        freeze(main).unwrap();
        assert!(all.iter().all(|&pid| state(pid) == Some('T')));
        thaw(main);
        until(SOON, || all.iter().all(|&pid| state(pid) == Some('S')).then_some(())).unwrap();

        freeze(main).unwrap();
        kill(main).unwrap();
        shell.wait().unwrap();
        assert_eq!(state(main), None);
    }
}
