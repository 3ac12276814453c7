//! [`MySqlRows`]: rows as they come.

use std::any::type_name;
use std::fmt;
use std::marker::PhantomData;

use mysql_async::prelude::{FromRow, Protocol};
use mysql_async::{QueryResult, Row};
use pool_sql::Watch;

use crate::error::{MySqlError, MySqlErrorKind};
use crate::link::{Link, State};

/// The answer to a statement, its rows as they come.
///
/// It may be dropped at any time: what is left of the answer is read, and forgotten, before the next
/// statement or when the connection comes back. Where much is left, that takes its time.
///
/// # Cancel safety
///
/// A future of [`next`](Self::next) that is dropped before its row came leaves the connection unusable,
/// as everywhere; see [`MySqlConnection`](crate::MySqlConnection).
pub struct MySqlRows<'c, P> {
    link: &'c mut Link,
    /// There until the last row.
    watch: Option<Watch>,
    protocol: PhantomData<P>,
}

impl<'c, P: Protocol> MySqlRows<'c, P> {
    pub(crate) fn new((link, watch): (&'c mut Link, Option<Watch>)) -> Self {
        Self { link, watch, protocol: PhantomData }
    }

    /// The next row of this answer; `None` after its last. Where a text had several statements, or a
    /// procedure several answers, the next call begins with the next of them, until
    /// [`is_over`](Self::is_over).
    ///
    /// # Errors
    /// The server's; the connection is lost.
    pub async fn next(&mut self) -> Result<Option<Row>, MySqlError> {
        if self.is_over() {
            return Ok(None);
        }
        let conn = self.link.go_on()?;
        let mut rows = QueryResult::<'_, '_, P>::new(conn);
        let mut row = rows.next().await;
        let is_over = row.is_err() || rows.is_empty();
        if is_over && row.is_ok() {
            // Without a round trip: the driver holds back an error that came after this answer.
            row = rows.drop_result().await.and(row);
        }
        if !is_over {
            return self.link.keep_rows(row);
        }
        let row = self.link.end(row);
        if let Some(watch) = self.watch.take() {
            watch.end(row.as_ref().err().map(MySqlError::observed));
        }
        row
    }

    /// The next row, converted.
    ///
    /// # Errors
    /// As [`next`](Self::next); and [`MySqlErrorKind::Type`] for a row that does not convert.
    pub async fn next_as<T: FromRow>(&mut self) -> Result<Option<T>, MySqlError> {
        self.next().await?.map(convert).transpose()
    }

    /// Whether there are no more rows and no more answers.
    pub fn is_over(&self) -> bool {
        self.watch.is_none() || self.link.state() != State::Rows
    }
}

impl<P> fmt::Debug for MySqlRows<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MySqlRows").finish_non_exhaustive()
    }
}

/// A row as what its reader wants.
pub(crate) fn convert<T: FromRow>(row: Row) -> Result<T, MySqlError> {
    T::from_row_opt(row).map_err(|error| {
        // Not its values.
        let row = error.0;
        let columns: Vec<_> = row
            .columns_ref()
            .iter()
            .map(|column| format!("{} {:?}", column.name_str(), column.column_type()))
            .collect();
        let text = format!(
            "a row does not convert to {}: its columns are {}; a NULL needs an Option",
            type_name::<T>(),
            columns.join(", ").replace("MYSQL_TYPE_", "")
        );
        MySqlError::text(MySqlErrorKind::Type, text)
    })
}
