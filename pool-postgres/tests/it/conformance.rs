//! The conformance suite on PostgreSQL connections: a live server, plain, through the fault proxy,
//! and by TLS.

use std::time::Duration;

use pool_postgres::pool_core::BoxError;
use pool_postgres::{PgConnection, PgManager};
use pool_testkit::conformance::Harness;

use crate::place::Place;

/// What the suite asks of all three. `$new` gives the place, and what has to live as long.
macro_rules! harness {
    ($name:ident, $kept:ty, $new:expr) => {
        struct $name {
            place: Place,
            _kept: $kept,
        }

        impl Harness for $name {
            type Manager = PgManager;

            async fn new() -> Self {
                let (place, _kept) = $new.await;
                Self { place, _kept }
            }

            fn manager(&self) -> PgManager {
                self.place.builder().manager().unwrap()
            }

            async fn query(&self, connection: &mut PgConnection) -> Result<(), BoxError> {
                connection.query_one("SELECT 1", &[]).await?;
                Ok(())
            }

            async fn break_connection(&self, connection: &mut PgConnection) {
                let pid = connection.query_one("SELECT pg_backend_pid()", &[]).await.unwrap();
                let pid: i32 = pid.get(0);
                let end = "SELECT pg_terminate_backend($1)";
                self.place.admin.0.query_one(end, &[&pid]).await.unwrap();
                while !connection.is_closed() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }

            async fn open_connections(&self) -> usize {
                self.place.connections().await
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

    harness!(Plain, (), async { (Place::new().await, ()) });
    pool_testkit::conformance!(Plain);
}

mod encrypted {
    use super::*;
    use crate::place::shared_with_tls;

    harness!(Encrypted, (), async {
        let server = shared_with_tls();
        (Place::on(server, &format!("{}?sslmode=require", server.url())).await, ())
    });
    pool_testkit::conformance!(Encrypted);
}

mod proxied {
    use pool_testkit::FaultProxy;

    use super::*;
    use crate::place::shared;

    harness!(Proxied, FaultProxy, async {
        let server = shared();
        let proxy = FaultProxy::start(server.address()).unwrap();
        let url = format!("postgres://test@{}/test", proxy.address());
        (Place::on(server, &url).await, proxy)
    });
    pool_testkit::conformance!(Proxied);
}
