//! Inserting many rows, and what to do with those that are there already.
use super::render::Sql;
use super::{PlanError, check_among, no_columns, parse_columns};
use crate::chunk::Chunker;
use crate::ident::{Dialect, Ident, TableName};

/// Inserts rows into a table with multi-row `VALUES`.
///
/// ```
/// use pool_sql::{Dialect, Insert, OnConflict};
///
/// let plan = Insert::into("files")?.columns(["path", "size"])?.on_conflict(OnConflict::Ignore)?;
/// assert_eq!(
///     plan.sql(Dialect::Sqlite, 1)?,
///     "INSERT INTO `files` (`path`, `size`) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
/// );
/// # Ok::<(), pool_sql::PlanError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Insert {
    table: TableName,
    columns: Vec<Ident>,
    on_conflict: OnConflict,
}

/// What happens to a row whose key is in the table already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnConflict {
    /// The statement fails, and with it the whole batch.
    #[default]
    Fail,
    /// The row is skipped. Other faults (NOT NULL, foreign keys, too long) still fail: for that
    /// reason MySQL gets an update that changes nothing, not `INSERT IGNORE`.
    Ignore,
    /// The row that is there is updated.
    ///
    /// PostgreSQL refuses a statement that meets the same row twice, so give each key once per
    /// batch.
    #[non_exhaustive]
    Update {
        /// The columns of the unique key. MySQL has no way to name one: there any unique key counts.
        key: Vec<Ident>,
        /// The columns to overwrite; `None` is all that are not in the key.
        columns: Option<Vec<Ident>>,
    },
}

impl OnConflict {
    /// Overwrites every column that is not in `key`.
    ///
    /// # Errors
    /// A name that is none.
    pub fn update(key: impl IntoIterator<Item: AsRef<str>>) -> Result<Self, PlanError> {
        Ok(Self::Update { key: parse(key)?, columns: None })
    }

    /// Overwrites `columns` and leaves the others as they are.
    ///
    /// # Errors
    /// A name that is none.
    pub fn update_only(
        key: impl IntoIterator<Item: AsRef<str>>,
        columns: impl IntoIterator<Item: AsRef<str>>,
    ) -> Result<Self, PlanError> {
        Ok(Self::Update { key: parse(key)?, columns: Some(parse(columns)?) })
    }
}

fn parse(names: impl IntoIterator<Item: AsRef<str>>) -> Result<Vec<Ident>, PlanError> {
    names.into_iter().map(|name| Ident::parse(name.as_ref())).collect()
}

impl Insert {
    /// A plan for `table` or `schema.table`.
    ///
    /// # Errors
    /// A name that is none.
    pub fn into(table: impl TryInto<TableName, Error: Into<PlanError>>) -> Result<Self, PlanError> {
        Ok(Self {
            table: table.try_into().map_err(Into::into)?,
            columns: Vec::new(),
            on_conflict: OnConflict::Fail,
        })
    }

    /// The columns, in the order of each row's values.
    ///
    /// # Errors
    /// None, one twice, a name that is none, or without a column of the conflict clause.
    pub fn columns(
        mut self,
        columns: impl IntoIterator<Item: AsRef<str>>,
    ) -> Result<Self, PlanError> {
        self.columns = parse_columns(&self.table, columns)?;
        let on_conflict = std::mem::take(&mut self.on_conflict);
        self.on_conflict(on_conflict)
    }

    /// What happens on conflict; call it after [`Insert::columns`].
    ///
    /// # Errors
    /// A key or updated column that is not inserted, no key, or nothing to update.
    pub fn on_conflict(mut self, on_conflict: OnConflict) -> Result<Self, PlanError> {
        if let OnConflict::Update { key, columns } = &on_conflict {
            let table = &self.table;
            if key.is_empty() {
                return Err(PlanError::NoKey {
                    table: table.display(),
                    method: "OnConflict::update",
                });
            }
            check_among(table, &self.columns, key)?;
            check_among(table, &self.columns, columns.as_deref().unwrap_or_default())?;
            if self.overwritten(key, columns.as_deref()).is_empty() {
                return Err(PlanError::NothingToUpdate { table: table.display() });
            }
        }
        self.on_conflict = on_conflict;
        Ok(self)
    }

    /// The statement for `rows` rows.
    ///
    /// # Errors
    /// No columns, no rows, too many values for one statement, a name too long for the dialect.
    pub fn sql(&self, dialect: Dialect, rows: usize) -> Result<String, PlanError> {
        if self.columns.is_empty() {
            return Err(no_columns(&self.table));
        }
        if rows == 0 {
            return Err(PlanError::NoRows);
        }
        let mut sql = Sql::new(dialect);
        sql.text("INSERT INTO ").table(&self.table);
        sql.text(" (").names(&self.columns).text(") VALUES ").rows(rows, self.columns.len());
        match &self.on_conflict {
            OnConflict::Fail => {}
            OnConflict::Ignore if dialect == Dialect::MySql => {
                let same = &self.columns[0];
                sql.text(" ON DUPLICATE KEY UPDATE ").name(same).text(" = ").name(same);
            }
            OnConflict::Ignore => {
                sql.text(" ON CONFLICT DO NOTHING");
            }
            OnConflict::Update { key, columns } => {
                let (before, after) = if dialect == Dialect::MySql {
                    sql.text(" ON DUPLICATE KEY UPDATE ");
                    ("VALUES(", ")")
                } else {
                    sql.text(" ON CONFLICT (").names(key).text(") DO UPDATE SET ");
                    ("excluded.", "")
                };
                sql.list(", ", self.overwritten(key, columns.as_deref()), |sql, column| {
                    sql.name(column).text(" = ").text(before).name(column).text(after);
                });
            }
        }
        sql.finish()
    }

    /// The table.
    pub fn table(&self) -> &TableName {
        &self.table
    }

    /// The columns, in the order of each row's values.
    pub fn column_names(&self) -> &[Ident] {
        &self.columns
    }

    /// What happens on conflict.
    pub fn conflict(&self) -> &OnConflict {
        &self.on_conflict
    }

    /// Groups rows into statements of the size that suits the dialect.
    pub fn chunker(&self, dialect: Dialect) -> Chunker {
        Chunker::new(dialect, self.columns.len())
    }

    fn overwritten<'a>(&'a self, key: &[Ident], columns: Option<&'a [Ident]>) -> Vec<&'a Ident> {
        match columns {
            Some(columns) => columns.iter().collect(),
            None => self.columns.iter().filter(|column| !key.contains(column)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Insert {
        Insert::into("app.files").unwrap().columns(["path", "size", "hash"]).unwrap()
    }

    fn upsert() -> OnConflict {
        OnConflict::update(["path"]).unwrap()
    }

    #[test]
    fn sql_of_each_dialect() {
        assert_eq!(
            plan().sql(Dialect::Postgres, 2).unwrap(),
            r#"INSERT INTO "app"."files" ("path", "size", "hash") VALUES ($1, $2, $3), ($4, $5, $6)"#
        );
        let plan = plan().on_conflict(upsert()).unwrap();
        assert_eq!(
            plan.sql(Dialect::Sqlite, 1).unwrap(),
            "INSERT INTO `app`.`files` (`path`, `size`, `hash`) VALUES (?1, ?2, ?3) \
             ON CONFLICT (`path`) DO UPDATE SET `size` = excluded.`size`, `hash` = excluded.`hash`"
        );
        assert_eq!(
            plan.sql(Dialect::MySql, 1).unwrap(),
            "INSERT INTO `app`.`files` (`path`, `size`, `hash`) VALUES (?, ?, ?) \
             ON DUPLICATE KEY UPDATE `size` = VALUES(`size`), `hash` = VALUES(`hash`)"
        );
    }

    #[test]
    fn ignoring_on_mysql_hides_no_other_fault() {
        let sql = plan().on_conflict(OnConflict::Ignore).unwrap().sql(Dialect::MySql, 1).unwrap();
        assert!(sql.ends_with(" ON DUPLICATE KEY UPDATE `path` = `path`"), "{sql}");
    }

    #[test]
    fn only_some_columns_are_overwritten() {
        let only = OnConflict::update_only(["path"], ["size"]).unwrap();
        let sql = plan().on_conflict(only).unwrap().sql(Dialect::Postgres, 1).unwrap();
        assert!(sql.ends_with(r#"DO UPDATE SET "size" = excluded."size""#), "{sql}");
    }

    #[test]
    fn wrong_plans_say_what_is_wrong() {
        let files = || Insert::into("files").unwrap();
        let said = |result: Result<Insert, PlanError>| result.unwrap_err().to_string();
        assert_eq!(
            said(files().columns(["a", "a"])),
            "the plan for `files` names the column `a` twice; once is enough"
        );
        assert_eq!(
            said(files().columns([""; 0])),
            "the plan for `files` has no columns; name them with columns([..])"
        );
        assert_eq!(
            said(files().columns(["a", "b"]).unwrap().on_conflict(upsert())),
            "the conflict clause for `files` names the column `path`, which is not inserted; \
             the columns are: a, b"
        );
        assert_eq!(
            said(files().columns(["path"]).unwrap().on_conflict(upsert())),
            "every column inserted into `files` is part of the conflict key, so there is nothing \
             to update; use OnConflict::Ignore"
        );
        assert!(plan().on_conflict(upsert()).unwrap().columns(["size"]).is_err());
        assert!(files().sql(Dialect::Sqlite, 1).is_err());
        assert_eq!(plan().sql(Dialect::Sqlite, 0), Err(PlanError::NoRows));
        assert_eq!(
            plan().sql(Dialect::Sqlite, 10_923).unwrap_err().to_string(),
            "one statement would bind 32769 values, but Sqlite takes at most 32766; use fewer rows \
             or columns per statement"
        );
        assert!(plan().sql(Dialect::Sqlite, 10_922).is_ok());
    }
}
