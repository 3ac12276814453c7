//! [`SqliteManager`]: how the pool makes, checks, resets and closes SQLite connections.

use std::fmt;
use std::sync::Arc;

use pool_core::{Cause, Condition, ConnectContext, ErrorClass, Manager, Reset};

use crate::common::Common;
use crate::connection::SqliteConnection;
use crate::error::SqliteError;
use crate::open::Role;

/// Makes, checks, resets and closes SQLite connections. Behind a [`SqlitePool`](crate::SqlitePool)
/// are two: one for the writer, one for the readers.
///
/// One of your own, from [`SqliteBuilder::manager`](crate::SqliteBuilder::manager), makes an engine's
/// pool over SQLite connections, with everything that [`ManagedPool`](pool_core::ManagedPool) can do.
/// All of its connections may write (none, if it is read-only). There is still one write lock, so
/// transactions that write wait for each other as long as the busy timeout says, in no order; and
/// when the last connections close at the same moment, their log may stay beside the file until it
/// is opened again. That is what [`SqlitePool`](crate::SqlitePool) is there to avoid.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?; let path = folder.path().join("media.db");
/// use pool_sqlite::SqlitePool;
/// use pool_sqlite::pool_core::ManagedPool;
///
/// let manager = SqlitePool::builder(&path).max_size(3).manager()?;
/// let pool = ManagedPool::builder(manager).max_size(3).build()?;
///
/// let mut connection = pool.acquire().await?;
/// connection.call(|c| c.execute_batch("CREATE TABLE film (title TEXT)")).await?;
/// # drop(connection); pool.close(std::time::Duration::from_secs(5)).await;
/// # Ok(()) }
/// ```
pub struct SqliteManager {
    pub(crate) role: Role,
    pub(crate) shared: Arc<Common>,
    pub(crate) name: String,
}

impl Manager for SqliteManager {
    type Connection = SqliteConnection;
    type Error = SqliteError;

    async fn connect(&self, cx: &ConnectContext) -> Result<SqliteConnection, SqliteError> {
        let activity = cx.activity().clone();
        SqliteConnection::open(&self.name, self.role, self.shared.clone(), activity).await
    }

    async fn ping(&self, connection: &mut SqliteConnection) -> Result<(), SqliteError> {
        connection.call(|c| c.query_row("SELECT 1", [], |_| Ok(()))).await
    }

    fn condition(&self, connection: &mut SqliteConnection) -> Condition {
        connection.condition()
    }

    fn adopt(&self, connection: &mut SqliteConnection) {
        connection.adopt();
    }

    async fn reset(
        &self,
        connection: &mut SqliteConnection,
        _: Cause,
    ) -> Result<Reset, SqliteError> {
        let reopened = connection.reset().await?;
        Ok(if reopened { Reset::Wiped } else { Reset::Kept })
    }

    async fn close(&self, connection: SqliteConnection) {
        connection.close().await;
    }

    fn classify(&self, error: &SqliteError) -> ErrorClass {
        error.class()
    }
}

impl fmt::Debug for SqliteManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteManager")
            .field("database", &self.shared.database)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}
