//! The conformance suite on MySQL connections: a live server, plain, through the fault proxy, and by
//! TLS.

use pool_mysql::pool_core::BoxError;
use pool_mysql::{MySqlConnection, MySqlManager};
use pool_testkit::conformance::Harness;

use crate::place::{Place, in_transaction};

/// What the suite asks of all three. `$new` gives the place, and what has to live as long.
macro_rules! harness {
    ($name:ident, $kept:ty, $new:expr) => {
        struct $name {
            place: Place,
            _kept: $kept,
        }

        impl Harness for $name {
            type Manager = MySqlManager;

            async fn new() -> Self {
                let (place, _kept) = $new.await;
                Self { place, _kept }
            }

            fn manager(&self) -> MySqlManager {
                self.place.builder().manager().unwrap()
            }

            async fn query(&self, connection: &mut MySqlConnection) -> Result<(), BoxError> {
                connection.query_drop("SELECT 1").await?;
                Ok(())
            }

            async fn break_connection(&self, connection: &mut MySqlConnection) {
                self.place.kill(connection.connection_id()).await;
                // This protocol's client hears nothing unasked.
                connection.ping().await.unwrap_err();
            }

            async fn open_connections(&self) -> usize {
                self.place.connections().await
            }

            async fn begin(&self, connection: &mut MySqlConnection) {
                connection.query_drop("BEGIN").await.unwrap();
            }

            async fn in_transaction(&self, connection: &mut MySqlConnection) -> bool {
                in_transaction(connection).await
            }

            async fn leave_state(&self, connection: &mut MySqlConnection) {
                connection.query_drop("SET @left = 7").await.unwrap();
            }

            async fn has_state(&self, connection: &mut MySqlConnection) -> bool {
                connection.query_first("SELECT @left IS NOT NULL").await.unwrap().unwrap()
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
        let place = Place::on(shared_with_tls()).await;
        (place.with("ssl-mode=required"), ())
    });
    pool_testkit::conformance!(Encrypted);
}

mod proxied {
    use pool_testkit::FaultProxy;

    use super::*;
    use crate::place::{address, shared};

    harness!(Proxied, FaultProxy, async {
        let proxy = FaultProxy::start(address(shared())).unwrap();
        (Place::new().await.through(proxy.address()), proxy)
    });
    pool_testkit::conformance!(Proxied);
}
