//! [`SqliteManager`]: how the pool makes, checks, resets and closes SQLite connections.

use std::fmt;
use std::sync::Arc;

use pool_core::{Cause, Condition, ConnectContext, ErrorClass, Manager, Reset};

use crate::common::Common;
use crate::connection::SqliteConnection;
use crate::error::SqliteError;
use crate::open::Role;

/// The manager behind a [`SqlitePool`](crate::SqlitePool): one for the writer, one for the readers.
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
