//! Updating many rows, each with its own values, in one statement.
use super::render::Sql;
use super::{PlanError, no_columns, parse_columns};
use crate::chunk::Chunker;
use crate::ident::{Dialect, Ident, TableName};

/// Rows per statement: PostgreSQL and MySQL plan every row of the joined list.
const MAX_ROWS: usize = 250;

/// Updates rows found by a key, each with values of its own. A key that is not there changes nothing.
///
/// The values of a row are those of the key, in the order of the [`key`](Update::key) calls, then
/// those of the columns. A key given twice in one batch gets one of its values; which one is not
/// defined. PostgreSQL and MySQL want the right to read the columns too, not only to update them.
///
/// ```
/// use pool_sql::{Dialect, Update};
///
/// let plan = Update::table("files")?.key("id")?.columns(["size"])?;
/// assert_eq!(
///     plan.sql(Dialect::Sqlite, 2)?,
///     "UPDATE `files` AS t SET `size` = v.column2 \
///      FROM (VALUES (?1, ?2), (?3, ?4)) AS v WHERE t.`id` = v.column1",
/// );
/// # Ok::<(), pool_sql::PlanError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Update {
    table: TableName,
    key: Vec<Ident>,
    columns: Vec<Ident>,
}

impl Update {
    /// A plan for `table` or `schema.table`.
    ///
    /// # Errors
    /// A name that is none.
    pub fn table(
        table: impl TryInto<TableName, Error: Into<PlanError>>,
    ) -> Result<Self, PlanError> {
        Ok(Self {
            table: table.try_into().map_err(Into::into)?,
            key: Vec::new(),
            columns: Vec::new(),
        })
    }

    /// The column that finds the row; call it again for each further column of the key.
    ///
    /// # Errors
    /// A name that is none, or one that is there already.
    pub fn key(mut self, column: impl AsRef<str>) -> Result<Self, PlanError> {
        self.key.push(Ident::parse(column.as_ref())?);
        self.checked()
    }

    /// The columns to set.
    ///
    /// # Errors
    /// None, one twice, one of the key, or a name that is none.
    pub fn columns(
        mut self,
        columns: impl IntoIterator<Item: AsRef<str>>,
    ) -> Result<Self, PlanError> {
        self.columns = parse_columns(&self.table, columns)?;
        self.checked()
    }

    fn checked(self) -> Result<Self, PlanError> {
        parse_columns(&self.table, self.names())?;
        Ok(self)
    }

    /// The statement for `rows` rows.
    ///
    /// # Errors
    /// No key, no columns, no rows, too many values for one statement, a name too long for the
    /// dialect.
    pub fn sql(&self, dialect: Dialect, rows: usize) -> Result<String, PlanError> {
        if self.key.is_empty() {
            return Err(PlanError::NoKey { table: self.table.display(), method: "key" });
        }
        if self.columns.is_empty() {
            return Err(no_columns(&self.table));
        }
        if rows == 0 {
            return Err(PlanError::NoRows);
        }
        let mut sql = Sql::new(dialect);
        sql.text("UPDATE ").table(&self.table).text(" AS t ");
        match dialect {
            Dialect::Sqlite => {
                self.assign(sql.text("SET "), "");
                sql.text(" FROM (VALUES ").rows(rows, self.width()).text(") AS v WHERE ");
                self.matching(&mut sql);
            }
            Dialect::Postgres => {
                self.assign(sql.text("SET "), "");
                sql.text(" FROM (VALUES (");
                // Bare placeholders would all be text. A first row of NULLs with the columns' types
                // gives those types to the rest; being NULL it matches nothing.
                sql.list(", ", self.names(), |sql, name| {
                    sql.text("(SELECT ").name(name).text(" FROM ").table(&self.table);
                    sql.text(" LIMIT 0)");
                });
                sql.text("), ").rows(rows, self.width());
                sql.text(") AS v (").names(self.names()).text(") WHERE ");
                self.matching(&mut sql);
            }
            Dialect::MySql => {
                // As for PostgreSQL: without the columns' types, bytes would be text of the session,
                // and text would not have the columns' collation.
                sql.text("JOIN (SELECT ").names(self.names()).text(" FROM ").table(&self.table);
                sql.text(" WHERE FALSE");
                for _ in 0..rows {
                    sql.text(" UNION ALL SELECT ").placeholders(self.width());
                }
                sql.text(") AS v ON ");
                self.matching(&mut sql);
                self.assign(sql.text(" SET "), "t.");
            }
        }
        sql.finish()
    }

    /// The table.
    pub fn table_name(&self) -> &TableName {
        &self.table
    }

    /// The columns of the key.
    pub fn key_names(&self) -> &[Ident] {
        &self.key
    }

    /// The columns that are set.
    pub fn column_names(&self) -> &[Ident] {
        &self.columns
    }

    /// The key's columns and then those that are set: the order of each row's values.
    pub fn names(&self) -> impl Iterator<Item = &Ident> {
        self.key.iter().chain(&self.columns)
    }

    /// Groups rows into statements of the size that suits the dialect.
    pub fn chunker(&self, dialect: Dialect) -> Chunker {
        let chunker = Chunker::new(dialect, self.width());
        let rows = chunker.rows_per_statement().min(MAX_ROWS);
        chunker.max_rows(rows)
    }

    fn width(&self) -> usize {
        self.key.len() + self.columns.len()
    }

    /// `c = v.c, d = v.d`
    fn assign(&self, sql: &mut Sql, target: &str) {
        sql.list(", ", self.columns.iter().enumerate(), |sql, (i, column)| {
            sql.text(target).name(column).text(" = ");
            self.given(sql, self.key.len() + i, column);
        });
    }

    /// `t.id = v.id AND ..`
    fn matching(&self, sql: &mut Sql) {
        sql.list(" AND ", self.key.iter().enumerate(), |sql, (i, column)| {
            sql.text("t.").name(column).text(" = ");
            self.given(sql, i, column);
        });
    }

    /// The given value of a column: SQLite cannot rename the columns of `VALUES`.
    fn given(&self, sql: &mut Sql, index: usize, column: &Ident) {
        if sql.dialect() == Dialect::Sqlite {
            sql.text(&format!("v.column{}", index + 1));
        } else {
            sql.text("v.").name(column);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sql_of_each_dialect() {
        let plan = Update::table("t").unwrap().key("a").unwrap().key("b").unwrap();
        let plan = plan.columns(["c"]).unwrap();
        assert_eq!(
            plan.sql(Dialect::Sqlite, 1).unwrap(),
            "UPDATE `t` AS t SET `c` = v.column3 FROM (VALUES (?1, ?2, ?3)) AS v \
             WHERE t.`a` = v.column1 AND t.`b` = v.column2"
        );
        assert_eq!(
            plan.sql(Dialect::Postgres, 1).unwrap(),
            r#"UPDATE "t" AS t SET "c" = v."c" FROM (VALUES ((SELECT "a" FROM "t" LIMIT 0), (SELECT "b" FROM "t" LIMIT 0), (SELECT "c" FROM "t" LIMIT 0)), ($1, $2, $3)) AS v ("a", "b", "c") WHERE t."a" = v."a" AND t."b" = v."b""#
        );
        assert_eq!(
            plan.sql(Dialect::MySql, 2).unwrap(),
            "UPDATE `t` AS t JOIN (SELECT `a`, `b`, `c` FROM `t` WHERE FALSE \
             UNION ALL SELECT ?, ?, ? UNION ALL SELECT ?, ?, ?) AS v ON t.`a` = v.`a` AND t.`b` = v.`b` SET t.`c` = v.`c`"
        );
    }

    #[test]
    fn wrong_plans_say_what_is_wrong() {
        let t = || Update::table("t").unwrap();
        let both = t().key("id").unwrap().columns(["id", "c"]);
        assert!(matches!(both, Err(PlanError::DuplicateColumn { .. })));
        assert!(matches!(
            t().columns(["id"]).unwrap().key("id"),
            Err(PlanError::DuplicateColumn { .. })
        ));
        assert_eq!(
            t().columns(["c"]).unwrap().sql(Dialect::MySql, 1).unwrap_err().to_string(),
            "the plan for `t` does not say how rows are found; call key(..)"
        );
        assert!(t().key("id").unwrap().sql(Dialect::MySql, 1).is_err());
    }
}
