//! [`AnyTransaction`]: a transaction or a savepoint, rolled back unless it is committed.

use std::fmt;

use crate::error::AnyError;

one_of! {
    #[derive(Debug)]
    Transaction<'c> {
        pool_sqlite::SqliteTransaction<'c>,
        pool_postgres::PgTransaction<'c>,
        pool_mysql::MySqlTransaction<'c>
    }
}

/// A transaction, or a savepoint within one. Dropped, it is rolled back before anything else is
/// done on its connection; and if that is given back, at once.
///
/// A transaction can end behind its user's back: by a statement that fails (PostgreSQL), a deadlock
/// or a `CREATE TABLE` (MySQL), a future that is dropped, a `COMMIT` or `ROLLBACK` as a statement. What follows in it then fails, on every
/// database, instead of being committed by itself.
pub struct AnyTransaction<'c>(pub(crate) Transaction<'c>);

impl<'c> AnyTransaction<'c> {
    /// Keeps what was done; of a savepoint, as part of its transaction. If the future is dropped
    /// once it has begun, it may be kept or not.
    ///
    /// # Errors
    /// [`TransactionOver`](crate::AnyErrorKind::TransactionOver) if it had ended or failed before:
    /// nothing was committed by this. The database's; if the connection is lost meanwhile, nobody knows.
    pub async fn commit(self) -> Result<(), AnyError> {
        each!(Transaction, self.0, it => Ok(it.commit().await?))
    }

    /// Undoes what was done.
    ///
    /// # Errors
    /// The connection is lost; then it is undone all the same. On PostgreSQL
    /// [`TransactionOver`](crate::AnyErrorKind::TransactionOver) if a statement had ended it.
    pub async fn rollback(self) -> Result<(), AnyError> {
        each!(Transaction, self.0, it => Ok(it.rollback().await?))
    }

    /// Begins a transaction within this one, a savepoint: what is rolled back of it leaves the rest
    /// as it was.
    ///
    /// # Errors
    /// The database's, or that the connection is lost.
    pub async fn transaction(&mut self) -> Result<AnyTransaction<'_>, AnyError> {
        Ok(AnyTransaction(match &mut self.0 {
            #[cfg(feature = "sqlite")]
            Transaction::Sqlite(it) => Transaction::Sqlite(it.savepoint().await?),
            #[cfg(feature = "postgres")]
            Transaction::Postgres(it) => Transaction::Postgres(it.transaction().await?),
            #[cfg(feature = "mysql")]
            Transaction::MySql(it) => Transaction::MySql(it.savepoint().await?),
            #[cfg(not(any(feature = "mysql", feature = "postgres", feature = "sqlite")))]
            Transaction::Never(never, _) => match *never {},
        }))
    }

    downcasts! {
        /// The backend's own transaction, if it is that.
        Transaction,
        pool_sqlite::SqliteTransaction<'c>,
        pool_postgres::PgTransaction<'c>,
        pool_mysql::MySqlTransaction<'c>
    }

    downcasts_mut! {
        /// The backend's own transaction, if it is that.
        Transaction,
        pool_sqlite::SqliteTransaction<'c>,
        pool_postgres::PgTransaction<'c>,
        pool_mysql::MySqlTransaction<'c>
    }
}

impl fmt::Debug for AnyTransaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        each!(Transaction, &self.0, it => f.debug_tuple("AnyTransaction").field(it).finish())
    }
}
