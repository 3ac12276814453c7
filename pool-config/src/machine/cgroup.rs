//! [`Groups`]: the control groups of a process, and what they and their ancestors allow.
//!
//! Three hierarchies may say something: the unified one (v2), and those of the controllers `cpu`
//! and `memory` (v1). All are asked; in a hybrid system the files are in one of them only. For
//! each, `/proc/self/cgroup` names the process's group and `/proc/self/mountinfo` where the
//! hierarchy is mounted, and which of its groups is at the mount point (the mount's root). Both
//! names are seen from the process's cgroup namespace, thus `/` in most containers, and may begin
//! with `/..`. The group's folder is the mount point and what follows the root in the group's name.
//! Where the name does not begin with the root, nobody can tell the folder: the mount point stands
//! for it then, which is an ancestor or the container's own.
//!
//! Limits of all folders from the group's up to the mount point count; the kernel enforces each,
//! but for the memory of a v1 group whose ancestor has `memory.use_hierarchy` 0, which is not
//! looked at. What is above the mount point cannot be seen: a container does not know its pod's
//! limit.
//!
//! Sources: cgroups(7), cgroup_namespaces(7), the kernel's cgroup-v2 and cgroup-v1 documents.

use super::tree::Tree;
use super::{Found, least};

const CGROUP: &str = "/proc/self/cgroup";
const MOUNTINFO: &str = "/proc/self/mountinfo";
/// v1 says "no limit" with the most that it can count, some pages below 2^63.
const NO_LIMIT: u64 = 1 << 60;

/// Folders of the groups of a process, for each hierarchy: its own first, then its ancestors'.
pub(super) struct Groups {
    unified: Vec<String>,
    cpu: Vec<String>,
    memory: Vec<String>,
}

impl Groups {
    pub(super) fn find(tree: &mut Tree<'_>) -> Self {
        let groups = tree.read(CGROUP).unwrap_or_default();
        let mountinfo = tree.read(MOUNTINFO);
        let is_known = mountinfo.is_some(); // else the hierarchies are where they usually are
        let text = mountinfo.unwrap_or_default();
        let mut mounts = Vec::new();
        for line in text.lines() {
            match Mount::parse(line) {
                Some(mount) => mounts.push(mount),
                None => tree.note(format!("{MOUNTINFO}: a line that is no mount")),
            }
        }
        let mut folders = |controller, usual: &str| {
            let name = group(&groups, controller);
            // The mount that shows most, if there are several.
            let mounts = mounts.iter().filter(|mount| mount.holds(controller));
            let key = |mount: &&Mount| (below(&mount.root, name).is_none(), mount.root.len());
            match mounts.min_by_key(key) {
                Some(mount) => folders(tree, &mount.point, &mount.root, name),
                None if is_known => Vec::new(),
                None => folders(tree, usual, "/", name),
            }
        };
        Self {
            unified: folders("", "/sys/fs/cgroup"),
            cpu: folders("cpu", "/sys/fs/cgroup/cpu"),
            memory: folders("memory", "/sys/fs/cgroup/memory"),
        }
    }

    /// The least CPU quota, in cores.
    pub(super) fn cores(&self, tree: &mut Tree<'_>) -> Option<Found<f64>> {
        let found = self.unified.iter().filter_map(|folder| quota(tree, folder));
        let mut found: Vec<_> = found.collect();
        found.extend(self.cpu.iter().filter_map(|folder| quota_v1(tree, folder)));
        least(found.into_iter())
    }

    /// The least memory limit, in bytes.
    pub(super) fn memory(&self, tree: &mut Tree<'_>) -> Option<Found<u64>> {
        let max = self.unified.iter().map(|folder| format!("{folder}/memory.max"));
        let high = self.unified.iter().map(|folder| format!("{folder}/memory.high"));
        let v1 = self.memory.iter().map(|folder| format!("{folder}/memory.limit_in_bytes"));
        least(max.chain(high).chain(v1).filter_map(|path| bytes(tree, path)))
    }
}

/// A mounted file system.
struct Mount {
    root: String,
    point: String,
    kind: String,
    options: String,
}

impl Mount {
    /// A line of `mountinfo`: `36 35 98:0 /root /point options tags.. - type source options`.
    fn parse(line: &str) -> Option<Self> {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(3).map(unescape);
        let mut right = right.split(' ').map(unescape);
        let (root, point) = (left.next()?, left.next()?);
        let (kind, options) = (right.next()?, right.nth(1).unwrap_or_default());
        let point = names(&point).map(|name| format!("/{name}")).collect();
        Some(Self { root, point, kind, options })
    }

    /// Whether it shows a controller's hierarchy; the unified one's name is empty, as in
    /// `/proc/self/cgroup`.
    fn holds(&self, controller: &str) -> bool {
        match controller {
            _ if names(&self.point).any(|name| name == "..") => false, // the kernel writes no such
            "" => self.kind == "cgroup2",
            _ => self.kind == "cgroup" && self.options.split(',').any(|name| name == controller),
        }
    }
}

/// The name of the process's group; the namespace's root if it is not told.
fn group<'t>(text: &'t str, controller: &str) -> &'t str {
    let lines = text.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
    let mut mine = lines.filter(|(names, _)| names.split(',').any(|name| name == controller));
    mine.next().map_or("/", |(_, name)| name)
}

fn folders(tree: &mut Tree<'_>, point: &str, root: &str, name: &str) -> Vec<String> {
    let mut folder = point.to_owned();
    let mut folders = vec![folder.clone()];
    let rest = below(root, name);
    for part in rest.iter().flatten() {
        folder = format!("{folder}/{part}");
        folders.push(folder.clone());
    }
    if tree.has_folder(point) && (rest.is_none() || !tree.has_folder(&folder)) {
        tree.note(format!(
            "{point} shows the control groups below {root}, and {name} is none: its ancestors count"
        ));
    }
    folders.reverse();
    folders
}

/// What is left of a group's name below a mount's root; none if it is not below.
fn below<'n>(root: &str, name: &'n str) -> Option<Vec<&'n str>> {
    let mut rest = names(name);
    if names(root).any(|part| rest.next() != Some(part)) {
        return None;
    }
    let rest: Vec<_> = rest.collect();
    (!rest.contains(&"..")).then_some(rest)
}

fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|name| !matches!(*name, "" | "."))
}

/// Takes back how mountinfo writes what would break its lines.
fn unescape(text: &str) -> String {
    let codes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    codes.iter().fold(text.to_owned(), |text, (code, plain)| text.replace(code, plain))
}

/// `cpu.max`: `150000 100000` are 150 ms of CPU time in each 100 ms.
fn quota(tree: &mut Tree<'_>, folder: &str) -> Option<Found<f64>> {
    let path = format!("{folder}/cpu.max");
    let text = tree.read_if_there(&path)?;
    let mut words = text.split_whitespace();
    match (words.next(), words.next().unwrap_or("100000")) {
        (Some("max"), _) => None,
        (quota, period) => cores(tree, &path, quota.unwrap_or_default(), period),
    }
}

/// `cpu.cfs_quota_us` and `cpu.cfs_period_us`; a quota of -1 is none.
fn quota_v1(tree: &mut Tree<'_>, folder: &str) -> Option<Found<f64>> {
    let path = format!("{folder}/cpu.cfs_quota_us");
    let quota = tree.read_if_there(&path)?;
    if quota.trim() == "-1" {
        return None;
    }
    let period = tree.read(&format!("{folder}/cpu.cfs_period_us"))?;
    cores(tree, &path, quota.trim(), period.trim())
}

fn cores(tree: &mut Tree<'_>, path: &str, quota: &str, period: &str) -> Option<Found<f64>> {
    match (quota.parse::<u64>(), period.parse::<u64>()) {
        (Ok(quota @ 1..), Ok(period @ 1..)) => {
            let source = format!("{path}: {quota} us in {period} us");
            Some(Found::new(quota as f64 / period as f64, source))
        }
        _ => {
            tree.senseless(path, &format!("{quota} {period}"), "a quota and a period above 0");
            None
        }
    }
}

fn bytes(tree: &mut Tree<'_>, path: String) -> Option<Found<u64>> {
    let text = tree.read_if_there(&path)?;
    match (text.trim(), text.trim().parse()) {
        ("max" | "-1", _) | (_, Ok(NO_LIMIT..)) => None,
        (_, Ok(bytes @ 1..)) => Some(Found::new(bytes, path)),
        _ => {
            tree.senseless(&path, &text, "bytes above 0, or max");
            None
        }
    }
}
