//! Statements with values: [`Queries`] on MySQL and MariaDB, and the protocol's forms of values.
//!
//! They are calls like all others: latched if dropped, refused in a transaction that has ended.

mod calendar;
pub(crate) mod decode;
pub(crate) mod encode;

use mysql_async::{BinaryProtocol, Row as Found, Value as Sent};
use pool_sql::{Queries, Row, Value};

use crate::connection::MySqlConnection;
use crate::error::{MySqlError, MySqlErrorKind};
use crate::statements::Statements;
use crate::transaction::MySqlTransaction;
use decode::Rows;
use encode::{as_text, sent};

macro_rules! queries {
    ($of:ty) => {
        impl Queries for $of {
            type Error = MySqlError;

            async fn query_values(
                &mut self,
                sql: &str,
                values: &[Value<'_>],
            ) -> Result<Vec<Row>, MySqlError> {
                let mut rows = Rows::default();
                self.on().exec_values(sql, values, |row| rows.add(row)).await?;
                Ok(rows.all)
            }

            async fn execute_values(
                &mut self,
                sql: &str,
                values: &[Value<'_>],
            ) -> Result<u64, MySqlError> {
                self.on().exec_values(sql, values, drop).await?;
                Ok(self.affected_rows())
            }
        }
    };
}

queries!(MySqlConnection);
queries!(MySqlTransaction<'_>);

impl Statements<'_> {
    async fn exec_values(
        self,
        sql: &str,
        values: &[Value<'_>],
        take: impl FnMut(Found),
    ) -> Result<(), MySqlError> {
        let values = self.sent(values)?;
        let mut call = self.call(Some(sql)).await?;
        let mut done = call.exec_placed(sql, values).await;
        if done.is_ok() {
            done = call.read::<BinaryProtocol>(take).await;
        }
        call.end(done)
    }

    fn sent(&self, values: &[Value<'_>]) -> Result<Vec<Sent>, MySqlError> {
        let send = |(number, value): (usize, &Value<'_>)| {
            let unfit = |misfit| {
                MySqlError::text(MySqlErrorKind::Type, format!("value {number}: {misfit}"))
            };
            let mut value = sent(*value).map_err(unfit)?;
            if !self.connection.server().is_mariadb {
                as_text(&mut value);
            }
            Ok(value)
        };
        (1..).zip(values).map(send).collect()
    }
}
