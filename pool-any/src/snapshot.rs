//! [`AnySnapshot`] and [`AnyCloseReport`]: a pool at one moment, and how its closing went, side by
//! side.

use pool_core::{CloseReport, Snapshot};

/// Which connections of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Side {
    /// Those that read and write: all there are.
    Both,
    /// The one that writes, where there are others for reading (SQLite).
    Write,
    /// Those that only read.
    Read,
}

/// An [`AnyPool`](crate::AnyPool) at one moment.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct AnySnapshot {
    /// Which database: `sqlite`, `postgres`, `mysql`.
    pub backend: &'static str,
    /// Each side with its snapshot: one for [`Side::Both`], or one for [`Side::Write`] and one for
    /// [`Side::Read`].
    pub sides: Vec<(Side, Snapshot)>,
}

impl AnySnapshot {
    /// The side from which a reader gets its connection.
    pub fn read(&self) -> &Snapshot {
        &self.sides.last().expect("a pool has at least one side").1
    }

    /// The side from which a writer gets its connection.
    pub fn write(&self) -> &Snapshot {
        &self.sides.first().expect("a pool has at least one side").1
    }

    /// The most connections there may be.
    pub fn max_size(&self) -> u32 {
        self.sum(|side| side.max_size)
    }

    /// Connections in whatever state.
    pub fn open(&self) -> u32 {
        self.sum(Snapshot::open)
    }

    /// Connections ready to be taken.
    pub fn idle(&self) -> u32 {
        self.sum(|side| side.idle)
    }

    /// Connections that somebody holds.
    pub fn in_use(&self) -> u32 {
        self.sum(|side| side.in_use)
    }

    /// Callers waiting for a connection.
    pub fn waiting(&self) -> u32 {
        self.sum(|side| side.waiting)
    }

    fn sum(&self, of: impl Fn(&Snapshot) -> u32) -> u32 {
        self.sides.iter().map(|(_, side)| of(side)).sum()
    }
}

/// How the closing of an [`AnyPool`](crate::AnyPool) went.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AnyCloseReport {
    /// Each side with its report, as in [`AnySnapshot::sides`].
    pub sides: Vec<(Side, CloseReport)>,
}

impl AnyCloseReport {
    pub(crate) fn new(sides: Vec<(Side, CloseReport)>) -> Self {
        Self { sides }
    }

    /// Whether everything was closed in time.
    pub fn is_complete(&self) -> bool {
        self.sides.iter().all(|(_, side)| side.is_complete())
    }
}
