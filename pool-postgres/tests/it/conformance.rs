//! The conformance suite on PostgreSQL connections: a live server, plain, through the fault proxy,
//! and by TLS.

use std::time::Duration;

use pool_postgres::pool_core::BoxError;
use pool_postgres::{PgConnection, PgManager};
use pool_testkit::conformance::Harness;

use crate::place::Place;

/// What the suite asks of all three.
macro_rules! harness {
    ($name:ident, $new:expr) => {
        struct $name(Place);

        impl Harness for $name {
            type Manager = PgManager;

            async fn new() -> Self {
                Self($new.await)
            }

            fn manager(&self) -> PgManager {
                self.0.builder().manager().unwrap()
            }

            async fn query(&self, connection: &mut PgConnection) -> Result<(), BoxError> {
                connection.query_one("SELECT 1", &[]).await?;
                Ok(())
            }

            async fn break_connection(&self, connection: &mut PgConnection) {
                let pid = connection.query_one("SELECT pg_backend_pid()", &[]).await.unwrap();
                let pid: i32 = pid.get(0);
                let end = "SELECT pg_terminate_backend($1)";
                self.0.admin.0.query_one(end, &[&pid]).await.unwrap();
                while !connection.is_closed() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }

            async fn open_connections(&self) -> usize {
                self.0.connections().await
            }

            async fn begin(&self, connection: &mut PgConnection) {
                connection.batch_execute("BEGIN").await.unwrap();
            }

            async fn in_transaction(&self, connection: &mut PgConnection) -> bool {
                // Within a transaction the clock stands still.
                let now = async || -> std::time::SystemTime {
                    connection.query_one("SELECT now()", &[]).await.unwrap().get(0)
                };
                now().await == now().await
            }

            async fn leave_state(&self, connection: &mut PgConnection) {
                connection.batch_execute("SET geqo_seed = 0.5").await.unwrap();
            }

            async fn has_state(&self, connection: &mut PgConnection) -> bool {
                let sql = "SELECT current_setting('geqo_seed') = '0.5'";
                connection.query_one(sql, &[]).await.unwrap().get(0)
            }
        }
    };
}

mod plain {
    use super::*;

    harness!(Plain, Place::new());
    pool_testkit::conformance!(Plain);
}
