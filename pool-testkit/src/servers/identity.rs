//! Who a server runs as: servers refuse to be root.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::process::geteuid;

use super::error::ServerError;

/// The user of a server's processes and files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Identity {
    /// Whoever runs the test.
    Own,
    /// Another user; the test runs as root.
    Other { uid: u32, gid: u32 },
}

impl Identity {
    /// As root the first of these users that exists, else whoever runs the test.
    pub(super) fn of(users: &[&str]) -> Result<Self, ServerError> {
        if !geteuid().is_root() {
            return Ok(Self::Own);
        }
        let passwd = fs::read_to_string("/etc/passwd").map_err(ServerError::io("/etc/passwd"))?;
        users.iter().find_map(|user| find(&passwd, user)).ok_or_else(|| {
            ServerError::failed(format!("servers refuse to run as root, and no user of {users:?}"))
        })
    }

    /// Lets the command run as this user.
    pub(super) fn apply(self, command: &mut Command) {
        if let Self::Other { uid, gid } = self {
            // The standard library drops root's supplementary groups along with the uid.
            command.uid(uid).gid(gid);
        }
    }

    /// Gives a file or folder to this user.
    pub(super) fn own(self, path: &Path) -> Result<(), ServerError> {
        match self {
            Self::Own => Ok(()),
            Self::Other { uid, gid } => {
                chown(path, Some(uid), Some(gid)).map_err(ServerError::io(path.display()))
            }
        }
    }
}

fn find(passwd: &str, user: &str) -> Option<Identity> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != user {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Identity::Other { uid, gid })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nmysqld:x:1:2::/:/x\nmysql:x:102:105::/:/x\n";
        assert_eq!(find(passwd, "mysql"), Some(Identity::Other { uid: 102, gid: 105 }));
        assert_eq!(find(passwd, "my"), None);
    }
}
