//! [`PgPool`]: a pool of connections to PostgreSQL.

use std::ops::Deref;

use pool_core::{ManagedGuard, ManagedPool};

use crate::builder::PgBuilder;
use crate::error::PgError;
use crate::manager::PgManager;
use crate::server::{PgServer, PgShortage};

/// A connection taken from a [`PgPool`]; dropping it gives it back.
pub type PgGuard = ManagedGuard<PgManager>;

/// A pool of connections to PostgreSQL. Cheap to clone. What it can do is what
/// [`ManagedPool`] can do, which it dereferences to; and what is here.
#[derive(Clone, Debug)]
pub struct PgPool {
    pub(crate) inner: ManagedPool<PgManager>,
}

impl PgPool {
    /// Makes a pool by URL or key-value string, and waits until a connection is open:
    /// `postgres://user:secret@host/database?sslmode=verify-full`. See [`crate::url`] for the
    /// parameters.
    ///
    /// # Errors
    /// All parameters that make no sense; or that no connection can be opened within the
    /// `acquire_timeout`.
    pub async fn connect(url: &str) -> Result<Self, PgError> {
        Self::builder(url)?.build().await
    }

    /// Starts the settings of a pool, by URL or key-value string.
    ///
    /// # Errors
    /// All parameters that make no sense.
    pub fn builder(url: &str) -> Result<PgBuilder, PgError> {
        PgBuilder::url(url)
    }

    /// What the server said of itself when a connection was last opened. `None` before the first.
    pub fn server(&self) -> Option<PgServer> {
        self.inner.manager().server()
    }

    /// If the pool may open more connections than the server has room for: how many, by which
    /// limits. See also [`PgBuilder::on_shortage`].
    pub fn shortage(&self) -> Option<PgShortage> {
        self.inner.manager().shortage()
    }

    /// How often a statement was found prepared, and how often it was not.
    pub fn statement_cache(&self) -> (u64, u64) {
        self.inner.manager().common.statements.read()
    }
}

impl Deref for PgPool {
    type Target = ManagedPool<PgManager>;

    fn deref(&self) -> &ManagedPool<PgManager> {
        &self.inner
    }
}
