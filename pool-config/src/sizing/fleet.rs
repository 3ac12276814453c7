//! [`fleet_budget`]: what each instance of an application may open on a server that has a limit.

use std::fmt;

use super::SizingError;

/// What a server lets in, and what of it is taken. Where the numbers stand:
///
/// | | PostgreSQL | MySQL, MariaDB |
/// |---|---|---|
/// | `max_connections` | `SHOW max_connections` | `@@max_connections` |
/// | `reserved` | `superuser_reserved_connections`, `reserved_connections` | 0, one more is let in |
/// | `used_by_others` | `pg_stat_activity`, client backends of others | `Threads_connected`, too |
/// | `role_limit` | `pg_roles.rolconnlimit`, -1 is none | `@@max_user_connections`, 0 is none |
/// | `database_limit` | `pg_database.datconnlimit`, -1 is none | none |
///
/// Migrations, cron jobs and people with a console are others, too, if they are not connected now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerLimits {
    /// How many connections the server takes.
    pub max_connections: u32,
    /// How many of them are kept for others than ordinary roles.
    pub reserved: u32,
    /// How many others need.
    pub used_by_others: u32,
    /// How many the application's role may have, if that is limited.
    pub role_limit: Option<u32>,
    /// How many the application's database may have, if that is limited.
    pub database_limit: Option<u32>,
}

impl ServerLimits {
    /// One with this `max_connections` and nothing of it taken.
    pub fn new(max_connections: u32) -> Self {
        Self {
            max_connections,
            reserved: 0,
            used_by_others: 0,
            role_limit: None,
            database_limit: None,
        }
    }

    /// Sets [`reserved`](Self::reserved).
    #[must_use]
    pub fn reserved(mut self, reserved: u32) -> Self {
        self.reserved = reserved;
        self
    }

    /// Sets [`used_by_others`](Self::used_by_others).
    #[must_use]
    pub fn used_by_others(mut self, used_by_others: u32) -> Self {
        self.used_by_others = used_by_others;
        self
    }

    /// Sets [`role_limit`](Self::role_limit).
    #[must_use]
    pub fn role_limit(mut self, role_limit: impl Into<Option<u32>>) -> Self {
        self.role_limit = role_limit.into();
        self
    }

    /// Sets [`database_limit`](Self::database_limit).
    #[must_use]
    pub fn database_limit(mut self, database_limit: impl Into<Option<u32>>) -> Self {
        self.database_limit = database_limit.into();
        self
    }

    /// What is free, and what a role and a database may have, with names and raised by so many for
    /// each that is less.
    fn bounds(&self) -> impl Iterator<Item = (&'static str, u32, u64)> {
        let taken = u64::from(self.reserved) + u64::from(self.used_by_others);
        let free = u64::from(self.max_connections).saturating_sub(taken) as u32; // at most a u32
        let limits = [("role_limit", self.role_limit), ("database_limit", self.database_limit)];
        let limits = limits.into_iter().filter_map(|(name, limit)| Some((name, limit?, 0)));
        std::iter::once(("max_connections", free, taken)).chain(limits)
    }
}

/// What [`fleet_budget`] found. Displays as its arithmetic.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FleetBudget {
    /// The largest `max_size` an instance may have, at least 1.
    pub max_size: u32,
    /// How many connections there are for all instances together.
    pub usable: u32,
    server: ServerLimits,
    instances: u32,
    surge: u32,
}

impl fmt::Display for FleetBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { max_size, usable, server, instances, surge } = self;
        write!(f, "{} max_connections", server.max_connections)?;
        for (n, what) in [(server.reserved, "reserved"), (server.used_by_others, "used by others")]
        {
            if n > 0 {
                write!(f, " - {n} {what}")?;
            }
        }
        let free = server.bounds().next().map_or(*usable, |(_, free, _)| free);
        if free < server.max_connections {
            write!(f, " = {free}")?;
        }
        for (name, limit, _) in server.bounds().skip(1) {
            write!(f, ", {name} {limit}")?;
        }
        let plural = if *instances == 1 { "" } else { "s" };
        match surge {
            0 => write!(f, "; {usable} / {instances} instance{plural} = {max_size}"),
            _ => write!(
                f,
                "; {usable} / ({instances} instance{plural} + {surge} surge) = {max_size}"
            ),
        }
    }
}

/// What each instance may open at most, so that all of them together stay within what the server
/// lets in: `(max_connections - reserved - used_by_others) / (instances + surge)`, rounded down,
/// and the same of the role's and the database's limit if that is less. `surge` is how many more
/// run while a new version is rolled out, the old ones still there (Kubernetes' `maxSurge`).
///
/// Source: arithmetic; what a server refuses is PostgreSQL's 53300 and MySQL's 1040, 1203 and 1226.
///
/// # Errors
/// If there are no instances, or there is less than a connection for each: with what would be
/// enough.
///
/// ```
/// use pool_config::sizing::{ServerLimits, fleet_budget};
///
/// let server = ServerLimits::new(100).reserved(3).used_by_others(10);
/// let budget = fleet_budget(&server, 4, 1)?;
/// assert_eq!(budget.max_size, 17);
/// assert_eq!(
///     budget.to_string(),
///     "100 max_connections - 3 reserved - 10 used by others = 87; \
///      87 / (4 instances + 1 surge) = 17"
/// );
///
/// let error = fleet_budget(&server, 90, 10).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "max_size is 0 (87 usable connections for 100 instances at once), must be at least 1: set \
///      max_connections to at least 113, or run at most 87 instances at once, or put a pooler \
///      between them and the server"
/// );
/// # Ok::<(), pool_config::sizing::SizingError>(())
/// ```
pub fn fleet_budget(
    server: &ServerLimits,
    instances: u32,
    surge: u32,
) -> Result<FleetBudget, SizingError> {
    if instances == 0 {
        return Err(SizingError::new("instances", 0, "at least 1"));
    }
    let at_once = u64::from(instances) + u64::from(surge);
    let usable = server.bounds().map(|(_, size, _)| size).min().unwrap_or(0);
    let max_size = (u64::from(usable) / at_once) as u32; // at most usable
    if max_size > 0 {
        return Ok(FleetBudget { max_size, usable, server: server.clone(), instances, surge });
    }
    let short = server.bounds().filter(|(_, size, _)| u64::from(*size) < at_once);
    let raise: Vec<_> =
        short.map(|(name, _, taken)| format!("{name} to at least {}", at_once + taken)).collect();
    let fewer = match usable {
        0 => String::new(),
        _ => format!("run at most {usable} instances at once, or "),
    };
    Err(SizingError::new(
        "max_size",
        format!("0 ({usable} usable connections for {at_once} instances at once)"),
        format!(
            "at least 1: set {}, or {fewer}put a pooler between them and the server",
            raise.join(" and ")
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_least_of_server_role_and_database_counts() {
        let server = ServerLimits::new(100).reserved(3);
        let size = |server: ServerLimits| fleet_budget(&server, 4, 0).unwrap().max_size;
        assert_eq!(size(server.clone()), 24);
        assert_eq!(size(server.clone().role_limit(50)), 12);
        assert_eq!(size(server.clone().role_limit(50).database_limit(20)), 5);
        assert_eq!(size(server.clone().role_limit(500)), 24);
        let budget = fleet_budget(&server.role_limit(50), 1, 0).unwrap();
        assert_eq!(
            budget.to_string(),
            "100 max_connections - 3 reserved = 97, role_limit 50; 50 / 1 instance = 50"
        );
    }

    #[test]
    fn no_room_names_all_that_is_short() {
        let server = ServerLimits::new(5).reserved(3).used_by_others(4).role_limit(1);
        let error = fleet_budget(&server, 2, 0).unwrap_err();
        assert_eq!(
            error.expected,
            "at least 1: set max_connections to at least 9 and role_limit to at least 2, or put a \
             pooler between them and the server"
        );
        assert!(fleet_budget(&server, 0, 3).is_err());
    }

    proptest! {
        #[test]
        fn a_fleet_never_exceeds_the_server(
            max in 0..2000u32, reserved in 0..20u32, others in 0..500u32, role in 0..2000u32,
            instances in 1..300u32, surge in 0..100u32,
        ) {
            let server = ServerLimits::new(max).reserved(reserved).used_by_others(others);
            match fleet_budget(&server.clone().role_limit(role), instances, surge) {
                Ok(budget) => {
                    let all = budget.max_size * (instances + surge);
                    prop_assert!(budget.max_size >= 1);
                    prop_assert!(all + reserved + others <= max && all <= role);
                    prop_assert!(all + instances + surge > budget.usable, "one more would fit");
                }
                Err(_) => {
                    let room = max.saturating_sub(reserved + others).min(role);
                    prop_assert!(room < instances + surge);
                }
            }
            // What the error says would be enough is enough.
            let needed = instances + surge + reserved + others;
            let enough = ServerLimits { max_connections: needed, ..server };
            prop_assert!(fleet_budget(&enough, instances, surge).is_ok());
        }
    }
}
