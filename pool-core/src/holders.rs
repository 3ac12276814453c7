//! Who holds the connections: one line for each call site.

use std::fmt;
use std::panic::Location;
use std::time::Duration;

/// Those who hold connections from one place in the code.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Holder {
    /// Where the acquire was called.
    pub site: &'static Location<'static>,
    /// The name they gave to what they do.
    pub operation: Option<&'static str>,
    /// How many connections they hold.
    pub count: usize,
    /// How long the longest has been held.
    pub longest: Duration,
    /// The share of the time held, 0 to 1, in which the connections did nothing; `None` where the
    /// backend does not say.
    pub idle_share: Option<f64>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by {}", self.count, self.site)?;
        if let Some(operation) = self.operation {
            write!(f, " ({operation})")?;
        }
        write!(f, " for up to {}", Seconds(self.longest))?;
        match self.idle_share {
            Some(share) => write!(f, ", unused {:.0} % of it", share * 100.0),
            None => Ok(()),
        }
    }
}

/// A duration as people read it.
pub(crate) struct Seconds(pub(crate) Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs_f64() {
            s if s >= 120.0 => write!(f, "{:.0} min", s / 60.0),
            s if s >= 1.0 => write!(f, "{s:.1} s"),
            s => write!(f, "{:.0} ms", s * 1000.0),
        }
    }
}
