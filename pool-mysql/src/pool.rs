//! [`MySqlPool`]: a pool of connections to MySQL or MariaDB.

use std::ops::Deref;

use pool_core::{ManagedGuard, ManagedPool};

use crate::builder::MySqlBuilder;
use crate::error::MySqlError;
use crate::manager::MySqlManager;
use crate::server::{MySqlServer, MySqlWarning};

/// A connection taken from a [`MySqlPool`]; dropping it gives it back.
pub type MySqlGuard = ManagedGuard<MySqlManager>;

/// A pool of connections to MySQL or MariaDB. Cheap to clone. What it can do is what
/// [`ManagedPool`] can do, which it dereferences to; and what is here.
#[derive(Clone, Debug)]
pub struct MySqlPool {
    pub(crate) inner: ManagedPool<MySqlManager>,
}

impl MySqlPool {
    /// Makes a pool by URL, and waits until a connection is open:
    /// `mysql://user:secret@host/database?ssl-mode=verify-identity`. See [`crate::url`] for the
    /// parameters.
    ///
    /// # Errors
    /// All parameters that make no sense; or that no connection can be opened within the
    /// `acquire_timeout`.
    pub async fn connect(url: &str) -> Result<Self, MySqlError> {
        Self::builder(url)?.build().await
    }

    /// Starts the settings of a pool, by URL.
    ///
    /// # Errors
    /// All parameters that make no sense.
    pub fn builder(url: &str) -> Result<MySqlBuilder, MySqlError> {
        MySqlBuilder::url(url)
    }

    /// What the server said of itself when a connection was last opened. `None` before the first.
    pub fn server(&self) -> Option<MySqlServer> {
        self.inner.manager().server().map(|server| MySqlServer::clone(&server))
    }

    /// What of the server does not go together with the pool as it is now, with the arithmetic. See
    /// also [`MySqlBuilder::on_warning`]. How many statements a connection keeps prepared is settled
    /// when it is opened.
    pub fn warnings(&self) -> Vec<MySqlWarning> {
        self.inner.manager().warnings()
    }

    /// How often a statement was found prepared, and how often it was not.
    pub fn statement_cache(&self) -> (u64, u64) {
        self.inner.manager().common.statements.read()
    }
}

impl Deref for MySqlPool {
    type Target = ManagedPool<MySqlManager>;

    fn deref(&self) -> &ManagedPool<MySqlManager> {
        &self.inner
    }
}
