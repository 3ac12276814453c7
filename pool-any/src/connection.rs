//! [`AnyConnection`]: a connection to whichever database it is.

use std::fmt;

use pool_sql::{Dialect, Queries, Row, Value, placeholders};

use crate::error::AnyError;
use crate::transaction::{AnyTransaction, Transaction};

one_of! {
    #[derive(Debug)]
    Connection { pool_sqlite::SqliteGuard, pool_postgres::PgGuard, pool_mysql::MySqlGuard }
}

/// A connection taken from an [`AnyPool`](crate::AnyPool); dropping it gives it back, and undoes
/// what was not committed.
///
/// Statements have placeholders `$1`, `$2` on every database (see [`placeholders`]), and are one
/// statement each. What of a session the next user can find, the backend's connection says.
pub struct AnyConnection(pub(crate) Connection);

#[cfg(feature = "sqlite")]
impl From<pool_sqlite::SqliteGuard> for Connection {
    fn from(guard: pool_sqlite::SqliteGuard) -> Self {
        Self::Sqlite(guard)
    }
}

#[cfg(feature = "postgres")]
impl From<pool_postgres::PgGuard> for Connection {
    fn from(guard: pool_postgres::PgGuard) -> Self {
        Self::Postgres(guard)
    }
}

#[cfg(feature = "mysql")]
impl From<pool_mysql::MySqlGuard> for Connection {
    fn from(guard: pool_mysql::MySqlGuard) -> Self {
        Self::MySql(guard)
    }
}

impl AnyConnection {
    /// Begins a transaction; on SQLite's writer `BEGIN IMMEDIATE`, elsewhere at the database's
    /// default level. It is rolled back unless it is committed.
    ///
    /// # Errors
    /// The database's, or that the connection is lost.
    pub async fn transaction(&mut self) -> Result<AnyTransaction<'_>, AnyError> {
        Ok(AnyTransaction(match &mut self.0 {
            #[cfg(feature = "sqlite")]
            Connection::Sqlite(it) => Transaction::Sqlite(it.begin().await?),
            #[cfg(feature = "postgres")]
            Connection::Postgres(it) => Transaction::Postgres(it.transaction().await?),
            #[cfg(feature = "mysql")]
            Connection::MySql(it) => Transaction::MySql(it.transaction().await?),
            #[cfg(not(any(feature = "mysql", feature = "postgres", feature = "sqlite")))]
            Connection::Never(never, _) => match *never {},
        }))
    }

    /// Gives the connection up: it is closed and never used again.
    pub fn invalidate(self) {
        each!(Connection, self.0, guard => guard.invalidate());
    }

    downcasts! {
        /// The backend's own connection, if it is that.
        Connection,
        pool_sqlite::SqliteConnection, pool_postgres::PgConnection, pool_mysql::MySqlConnection
    }

    downcasts_mut! {
        /// The backend's own connection, if it is that; through it the driver's is reached.
        Connection,
        pool_sqlite::SqliteConnection, pool_postgres::PgConnection, pool_mysql::MySqlConnection
    }
}

/// What connections and transactions have in common.
macro_rules! statements {
    ($of:ty, $one:ident) => {
        impl $of {
            /// The SQL that the database speaks.
            pub fn dialect(&self) -> Dialect {
                match &self.0 {
                    #[cfg(feature = "sqlite")]
                    $one::Sqlite(_) => Dialect::Sqlite,
                    #[cfg(feature = "postgres")]
                    $one::Postgres(_) => Dialect::Postgres,
                    #[cfg(feature = "mysql")]
                    $one::MySql(_) => Dialect::MySql,
                    #[cfg(not(any(feature = "mysql", feature = "postgres", feature = "sqlite")))]
                    $one::Never(never, _) => match *never {},
                }
            }

            /// Runs a statement and returns its rows.
            ///
            /// # Errors
            /// The database's; [`Params`](crate::AnyErrorKind::Params) for values and placeholders
            /// that do not go together, and [`Type`](crate::AnyErrorKind::Type) for a value that
            /// does not go where it stands, or a column that does not read as one.
            ///
            /// # Cancel safety
            /// See the [crate](crate#cancel-safety).
            pub async fn query(
                &mut self,
                sql: &str,
                values: &[Value<'_>],
            ) -> Result<Vec<Row>, AnyError> {
                let it = placeholders::translate(self.dialect(), sql, values)?;
                each!($one, &mut self.0, on => Ok(on.query_values(&it.sql, &it.values).await?))
            }

            /// Runs a statement that returns one row.
            ///
            /// # Errors
            /// As [`query`](Self::query); and [`Rows`](crate::AnyErrorKind::Rows) for another
            /// number of rows.
            pub async fn query_one(
                &mut self,
                sql: &str,
                values: &[Value<'_>],
            ) -> Result<Row, AnyError> {
                let mut rows = self.query(sql, values).await?;
                match (rows.len(), rows.pop()) {
                    (1, Some(row)) => Ok(row),
                    (found, _) => Err(AnyError::rows(found, "one")),
                }
            }

            /// Runs a statement that returns at most one row.
            ///
            /// # Errors
            /// As [`query_one`](Self::query_one).
            pub async fn query_opt(
                &mut self,
                sql: &str,
                values: &[Value<'_>],
            ) -> Result<Option<Row>, AnyError> {
                let mut rows = self.query(sql, values).await?;
                match rows.len() {
                    0 | 1 => Ok(rows.pop()),
                    found => Err(AnyError::rows(found, "at most one")),
                }
            }

            /// Runs a statement and returns how many rows it inserted, updated or deleted. MySQL
            /// does not count a row that an update left as it was.
            ///
            /// # Errors
            /// As [`query`](Self::query).
            pub async fn execute(
                &mut self,
                sql: &str,
                values: &[Value<'_>],
            ) -> Result<u64, AnyError> {
                let it = placeholders::translate(self.dialect(), sql, values)?;
                each!($one, &mut self.0, on => Ok(on.execute_values(&it.sql, &it.values).await?))
            }

            /// Runs a text of one or more statements, without values: a schema, or what a database
            /// does not prepare. What fails ends it there; what came before it stays, unless it is
            /// in a transaction (PostgreSQL makes one of it).
            ///
            /// On MySQL a `CREATE TABLE` and its like commit the transaction that they are in,
            /// which then refuses what follows.
            ///
            /// # Errors
            /// The database's, or that the connection is lost.
            pub async fn execute_batch(&mut self, sql: &str) -> Result<(), AnyError> {
                match &mut self.0 {
                    #[cfg(feature = "sqlite")]
                    $one::Sqlite(on) => {
                        let sql = sql.to_owned();
                        on.call(move |connection| connection.execute_batch(&sql)).await?;
                    }
                    #[cfg(feature = "postgres")]
                    $one::Postgres(on) => on.batch_execute(sql).await?,
                    #[cfg(feature = "mysql")]
                    $one::MySql(on) => on.query_drop(sql).await?,
                    #[cfg(not(any(feature = "mysql", feature = "postgres", feature = "sqlite")))]
                    $one::Never(never, _) => match *never {},
                }
                Ok(())
            }
        }
    };
}

statements!(AnyConnection, Connection);
statements!(AnyTransaction<'_>, Transaction);

impl fmt::Debug for AnyConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        each!(Connection, &self.0, it => f.debug_tuple("AnyConnection").field(it).finish())
    }
}
