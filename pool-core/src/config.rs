//! [`PoolConfig`]: every number a pool goes by, its default and its limits.

use std::fmt;
use std::time::Duration;

/// "Never", where a moment is needed: thirty years, which no clock arithmetic overflows.
pub(crate) const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// How a pool behaves. Plain data: build it in code, or read it through serde (feature `serde`,
/// where durations are written `"30s"`, `"1h30m"` or as a number of seconds, and "none" is
/// `null` or `"none"`).
///
/// ```
/// use std::time::Duration;
/// use pool_core::PoolConfig;
///
/// let config = PoolConfig::new().max_size(20).min_idle(2).acquire_timeout(Duration::from_secs(5));
/// assert!(config.validate().is_ok());
///
/// let faults = PoolConfig::new().max_size(2).min_size(3).connect_timeout(Duration::ZERO);
/// assert_eq!(faults.validate().unwrap_err().faults().len(), 2);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct PoolConfig {
    /// The pool's name in errors, metrics and logs. Default: `"pool"`.
    pub name: String,
    /// The most connections there ever are, in whatever state. Default: 10.
    pub max_size: u32,
    /// How many connections are kept open in all, in use or not. Default: 0.
    pub min_size: u32,
    /// How many spare connections are kept open. Default: 0.
    pub min_idle: u32,
    /// How many connections stay open unused: one more is closed when it comes back. SQLAlchemy's
    /// `pool_size` with `max_overflow` is `max_idle = pool_size`, `max_size` = the sum. Default:
    /// none, as many as `max_size`.
    pub max_idle: Option<u32>,
    /// How many may wait; one more is refused at once. Default: none, no limit.
    pub max_waiting: Option<u32>,
    /// How many connects run at once, so that a cold pool does not overrun its server (MongoDB's
    /// `maxConnecting`). Default: 2.
    pub max_connecting: u32,
    /// How long an acquire takes at most, all in all. Zero tries once; none waits without limit.
    /// Default: 30 s, as HikariCP, sqlx and bb8 have it.
    #[cfg_attr(feature = "serde", serde(with = "human::optional"))]
    pub acquire_timeout: Option<Duration>,
    /// How long one connect may take, with what `after_connect` does. Default: 10 s.
    #[cfg_attr(feature = "serde", serde(with = "human"))]
    pub connect_timeout: Duration,
    /// How long one ping may take, with what `before_acquire` does. Default: 2 s.
    #[cfg_attr(feature = "serde", serde(with = "human"))]
    pub ping_timeout: Duration,
    /// How long one reset may take, with what `after_release` does. Default: 5 s.
    #[cfg_attr(feature = "serde", serde(with = "human"))]
    pub reset_timeout: Duration,
    /// How long a connection may take to say goodbye, its slot still taken; then it is dropped and
    /// counted as abandoned. Default: 1 s.
    #[cfg_attr(feature = "serde", serde(with = "human"))]
    pub close_timeout: Duration,
    /// How long a spare connection above the minimums stays. Default: 10 min.
    #[cfg_attr(feature = "serde", serde(with = "human::optional"))]
    pub idle_timeout: Option<Duration>,
    /// How old a connection gets; none is handed out after that. Default: 30 min.
    #[cfg_attr(feature = "serde", serde(with = "human::optional"))]
    pub max_lifetime: Option<Duration>,
    /// The last part of the lifetime over which retirements are spread, 0 to 1. Each connection
    /// draws its share once, at birth. Default: 0.2.
    pub lifetime_jitter: f64,
    /// How often an idle connection is pinged to keep it alive. Default: none.
    #[cfg_attr(feature = "serde", serde(with = "human::optional"))]
    pub keepalive: Option<Duration>,
    /// When a connection is proven by a ping before it is handed out. Default: after 5 s idle.
    pub validation: Validation,
    /// Which idle connection is taken. Default: the last one returned.
    pub reuse: Reuse,
    /// The pause after a first failed connect; it doubles with each further one, and is up to half
    /// shorter by chance. Default: 10 ms.
    #[cfg_attr(feature = "serde", serde(with = "human"))]
    pub backoff_base: Duration,
    /// The longest such pause; where it is reached, chance takes a twentieth at most. Default: 1 s.
    #[cfg_attr(feature = "serde", serde(with = "human"))]
    pub backoff_cap: Duration,
    /// A connection held for longer is reported once, with who holds it. Default: none.
    #[cfg_attr(feature = "serde", serde(with = "human::optional"))]
    pub leak_after: Option<Duration>,
    /// How many engine events the flight recorder keeps, of 16 bytes each and some more for rare ones;
    /// at most 16,777,216. Default: 2048.
    pub flight_recorder: usize,
}

/// They are allocated with the pool: 256 MiB.
const MOST_EVENTS: usize = 1 << 24;

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            name: "pool".into(),
            max_size: 10,
            min_size: 0,
            min_idle: 0,
            max_idle: None,
            max_waiting: None,
            max_connecting: 2,
            acquire_timeout: Some(Duration::from_secs(30)),
            connect_timeout: Duration::from_secs(10),
            ping_timeout: Duration::from_secs(2),
            reset_timeout: Duration::from_secs(5),
            close_timeout: Duration::from_secs(1),
            idle_timeout: Some(Duration::from_secs(600)),
            max_lifetime: Some(Duration::from_secs(1800)),
            lifetime_jitter: 0.2,
            keepalive: None,
            validation: Validation::IfIdleFor(Duration::from_secs(5)),
            reuse: Reuse::Lifo,
            backoff_base: Duration::from_millis(10),
            backoff_cap: Duration::from_secs(1),
            leak_after: None,
            flight_recorder: 2048,
        }
    }
}

/// When a connection is proven by a ping before it is handed out. What [`Manager::condition`]
/// knows without a round trip is asked each time, whatever the policy.
///
/// [`Manager::condition`]: crate::Manager::condition
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Validation {
    /// Each time: a round trip a checkout.
    Always,
    /// If nothing went over the connection for this long.
    IfIdleFor(#[cfg_attr(feature = "serde", serde(with = "human"))] Duration),
    /// Only where something points to trouble: another connection failed, the clock jumped.
    Never,
}

/// Which idle connection is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Reuse {
    /// The one returned last: few stay warm, the rest can go.
    Lifo,
    /// The one returned first: all are used in turn.
    Fifo,
}

/// Does something for each field, which comes with what its setter takes.
macro_rules! each_field {
    ($then:ident) => {
        $crate::config::$then! {
            name: impl Into<String>, max_size: u32, min_size: u32, min_idle: u32,
            max_idle: impl Into<Option<u32>>, max_waiting: impl Into<Option<u32>>,
            max_connecting: u32, acquire_timeout: impl Into<Option<Duration>>,
            connect_timeout: Duration, ping_timeout: Duration, reset_timeout: Duration,
            close_timeout: Duration, idle_timeout: impl Into<Option<Duration>>,
            max_lifetime: impl Into<Option<Duration>>, lifetime_jitter: f64,
            keepalive: impl Into<Option<Duration>>, validation: Validation, reuse: Reuse,
            backoff_base: Duration, backoff_cap: Duration,
            leak_after: impl Into<Option<Duration>>, flight_recorder: usize,
        }
    };
}
pub(crate) use each_field;

macro_rules! setters {
    ($($name:ident: $arg:ty),* $(,)?) => {$(
        #[doc = concat!("Sets [`PoolConfig::", stringify!($name), "`](crate::PoolConfig::", stringify!($name), ").")]
        #[must_use]
        pub fn $name(mut self, $name: $arg) -> Self {
            self.config_mut().$name = $name.into();
            self
        }
    )*};
}
pub(crate) use setters;

macro_rules! differing {
    ($($name:ident: $arg:ty),* $(,)?) => {
        /// The names of the fields in which two differ, in the order in which they are declared.
        ///
        /// ```
        /// # use pool_core::PoolConfig;
        /// let (one, other) = (PoolConfig::new(), PoolConfig::new().max_size(3).name("shop"));
        /// assert_eq!(one.differing(&other), ["name", "max_size"]);
        /// ```
        pub fn differing(&self, other: &Self) -> Vec<&'static str> {
            let Self { $($name),* } = self; // all of them
            let fields = [$((stringify!($name), *$name != other.$name)),*];
            fields.into_iter().filter(|(_, differ)| *differ).map(|(name, _)| name).collect()
        }
    };
}
use differing;

impl PoolConfig {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    each_field!(setters);
    each_field!(differing);

    fn config_mut(&mut self) -> &mut Self {
        self
    }

    /// Looks for settings that make no sense.
    ///
    /// # Errors
    /// All of them at once.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let mut faults = Vec::new();
        let mut fault = |field, value: String, expected: String, other| {
            faults.push(ConfigFault { field, value, expected, other });
        };
        let size = |n: u32| n.to_string();
        if self.max_size == 0 {
            fault("max_size", size(0), "at least 1".into(), None);
        }
        let most = format!("at most max_size ({})", self.max_size);
        if self.min_size > self.max_size {
            fault("min_size", size(self.min_size), most.clone(), Some("max_size"));
        }
        if self.min_idle > self.max_size {
            fault("min_idle", size(self.min_idle), most, Some("max_size"));
        }
        let least = [("min_size", self.min_size), ("min_idle", self.min_idle)];
        if let Some(max_idle) = self.max_idle
            && let Some((name, least)) = least.into_iter().max_by_key(|(_, least)| *least)
            && max_idle < least
        {
            // Or the pool would open for the one what it closes for the other.
            fault("max_idle", size(max_idle), format!("at least {name} ({least})"), Some(name));
        }
        if self.max_connecting == 0 {
            fault("max_connecting", size(0), "at least 1".into(), None);
        }
        for (field, value) in [
            ("connect_timeout", Some(self.connect_timeout)),
            ("ping_timeout", Some(self.ping_timeout)),
            ("reset_timeout", Some(self.reset_timeout)),
            ("close_timeout", Some(self.close_timeout)),
            ("idle_timeout", self.idle_timeout),
            ("max_lifetime", self.max_lifetime),
            ("keepalive", self.keepalive),
            ("leak_after", self.leak_after),
            ("backoff_base", Some(self.backoff_base)),
        ] {
            if value == Some(Duration::ZERO) {
                fault(field, "0s".into(), "more than zero".into(), None);
            }
        }
        if self.backoff_cap < self.backoff_base {
            let expected = format!("at least backoff_base ({:?})", self.backoff_base);
            let value = format!("{:?}", self.backoff_cap);
            fault("backoff_cap", value, expected, Some("backoff_base"));
        }
        if !(0.0..=1.0).contains(&self.lifetime_jitter) {
            let value = self.lifetime_jitter.to_string();
            fault("lifetime_jitter", value, "from 0 to 1".into(), None);
        }
        if let (Some(keepalive), Some(lifetime)) = (self.keepalive, self.max_lifetime)
            && keepalive >= lifetime
        {
            let expected = format!("less than max_lifetime ({lifetime:?})");
            fault("keepalive", format!("{keepalive:?}"), expected, Some("max_lifetime"));
        }
        if self.flight_recorder > MOST_EVENTS {
            let expected = format!("at most {MOST_EVENTS}");
            fault("flight_recorder", self.flight_recorder.to_string(), expected, None);
        }
        if faults.is_empty() { Ok(()) } else { Err(ConfigError { faults }) }
    }
}

/// Settings that make no sense, all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    faults: Vec<ConfigFault>,
}

/// One setting that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigFault {
    /// Which one.
    pub field: &'static str,
    /// What it is.
    pub value: String,
    /// What would be right.
    pub expected: String,
    /// With which other one it does not go together, if it is that.
    pub other: Option<&'static str>,
}

impl ConfigError {
    /// What is wrong; at least one.
    pub fn faults(&self) -> &[ConfigFault] {
        &self.faults
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid pool configuration")?;
        for (i, fault) in self.faults.iter().enumerate() {
            let lead = if i == 0 { ": " } else { "; " };
            write!(f, "{lead}{} is {}, must be {}", fault.field, fault.value, fault.expected)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// Durations as people write them.
#[cfg(feature = "serde")]
mod human {
    use super::Duration;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Seconds(f64),
        Text(String),
    }

    fn parse<E: Error>(written: &Written) -> Result<Duration, E> {
        match written {
            Written::Seconds(s) => crate::duration::parse(&s.to_string()),
            Written::Text(text) => crate::duration::parse(text),
        }
        .map_err(E::custom)
    }

    pub(super) fn serialize<S: Serializer>(d: &Duration, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&crate::duration::print(*d))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
        parse(&Written::deserialize(d)?)
    }

    pub(super) mod optional {
        use super::{Deserialize, Deserializer, Duration, Serializer, Written, parse};

        pub(in super::super) fn serialize<S: Serializer>(
            d: &Option<Duration>,
            s: S,
        ) -> Result<S::Ok, S::Error> {
            match d {
                Some(d) => super::serialize(d, s),
                None => s.serialize_none(),
            }
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            d: D,
        ) -> Result<Option<Duration>, D::Error> {
            match Option::<Written>::deserialize(d)? {
                None => Ok(None),
                Some(Written::Text(t)) if matches!(t.trim(), "none" | "never" | "") => Ok(None),
                Some(written) => parse(&written).map(Some),
            }
        }
    }
}

#[cfg(all(test, not(pool_loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_reported_at_once() {
        let error = PoolConfig::new()
            .max_size(0)
            .min_size(3)
            .max_connecting(0)
            .ping_timeout(Duration::ZERO)
            .lifetime_jitter(7.0)
            .keepalive(Duration::from_secs(7200))
            .flight_recorder(usize::MAX)
            .validate()
            .unwrap_err();
        let fields: Vec<_> = error.faults().iter().map(|fault| fault.field).collect();
        assert_eq!(
            fields,
            [
                "max_size",
                "min_size",
                "max_connecting",
                "ping_timeout",
                "lifetime_jitter",
                "keepalive",
                "flight_recorder"
            ]
        );
        assert!(
            error.to_string().contains("min_size is 3, must be at most max_size (0)"),
            "{error}"
        );
    }

    #[cfg(feature = "serde")]
    #[test]
    fn durations_read_as_people_write_them() {
        let json = r#"{"acquire_timeout": "1m 30s", "idle_timeout": 15, "max_lifetime": null,
            "connect_timeout": "2.5", "validation": {"if_idle_for": "3s"}, "reuse": "fifo"}"#;
        let config: PoolConfig = serde_json::from_str(json).unwrap();
        assert_eq!(config.acquire_timeout, Some(Duration::from_secs(90)));
        assert_eq!(config.idle_timeout, Some(Duration::from_secs(15)));
        assert_eq!(config.max_lifetime, None);
        assert_eq!(config.connect_timeout, Duration::from_millis(2500));
        assert_eq!(config.validation, Validation::IfIdleFor(Duration::from_secs(3)));
        assert_eq!(config.reuse, Reuse::Fifo);
        let again = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<PoolConfig>(&again).unwrap(), config);
    }

    #[cfg(feature = "serde")]
    #[test]
    fn a_wrong_duration_or_field_says_what_would_be_right() {
        let error = |json| serde_json::from_str::<PoolConfig>(json).unwrap_err().to_string();
        assert!(error(r#"{"connect_timeout": "soon"}"#).contains("such as \"15m\""));
        assert!(error(r#"{"connect_timeout": -1}"#).contains("such as \"15m\""));
        assert!(error(r#"{"max_sise": 1}"#).contains("max_size"));
    }
}
