//! Loading the children of many parents in one query, a page of each if wanted.
use super::render::Sql;
use super::{PlanError, no_columns, parse_columns, with_column};
use crate::ident::{Dialect, Ident, TableName};

/// Selects the rows that belong to given parents: one query where a loop would send N.
///
/// ```
/// use pool_sql::{Dialect, Direction, Related};
///
/// let plan = Related::from("chapters")?
///     .parent_column("plot_id")?
///     .columns(["id", "title"])?
///     .order_by("position", Direction::Ascending)?;
/// assert_eq!(
///     plan.sql(Dialect::Sqlite, 3)?,
///     "SELECT `id`, `title`, `plot_id` FROM `chapters` \
///      WHERE `plot_id` IN (SELECT value FROM json_each(?1)) ORDER BY `position` ASC",
/// );
/// # Ok::<(), pool_sql::PlanError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Related {
    table: TableName,
    parent: Option<Ident>,
    columns: Vec<Ident>,
    order: Vec<(Ident, Direction)>,
    limit: Option<u32>,
    offset: u32,
}

/// Which end comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The smallest first.
    Ascending,
    /// The largest first.
    Descending,
}

impl Related {
    /// A plan for the children's `table` or `schema.table`.
    ///
    /// # Errors
    /// A name that is none.
    pub fn from(table: impl TryInto<TableName, Error: Into<PlanError>>) -> Result<Self, PlanError> {
        Ok(Self {
            table: table.try_into().map_err(Into::into)?,
            parent: None,
            columns: Vec::new(),
            order: Vec::new(),
            limit: None,
            offset: 0,
        })
    }

    /// The children's column that holds the parent's id.
    ///
    /// # Errors
    /// A name that is none.
    pub fn parent_column(mut self, column: impl AsRef<str>) -> Result<Self, PlanError> {
        self.parent = Some(Ident::parse(column.as_ref())?);
        Ok(self)
    }

    /// The columns to load. The parent's id comes last where it is not among them.
    ///
    /// # Errors
    /// None, one twice, or a name that is none.
    pub fn columns(
        mut self,
        columns: impl IntoIterator<Item: AsRef<str>>,
    ) -> Result<Self, PlanError> {
        self.columns = parse_columns(&self.table, columns)?;
        Ok(self)
    }

    /// The order of one parent's children; call it again for what decides between equals. Pages
    /// need an order without equals, or a row may come twice or never.
    ///
    /// # Errors
    /// A name that is none.
    pub fn order_by(
        mut self,
        column: impl AsRef<str>,
        direction: Direction,
    ) -> Result<Self, PlanError> {
        self.order.push((Ident::parse(column.as_ref())?, direction));
        Ok(self)
    }

    /// At most so many children of each parent. Needs [`order_by`](Related::order_by).
    #[must_use]
    pub fn limit_per_parent(mut self, limit: u32) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Leaves out the first children of each parent. Needs [`order_by`](Related::order_by).
    #[must_use]
    pub fn offset_per_parent(mut self, offset: u32) -> Self {
        self.offset = offset;
        self
    }

    /// The statement for `count` parents.
    ///
    /// It binds the parents' ids as [`SelectByIds::sql`](super::SelectByIds::sql) does, and after
    /// them the two numbers of [`Related::page`], if there is a page.
    ///
    /// # Errors
    /// No parent column, no columns, no order for a page, no parents, too many of them for one
    /// statement, a name too long for the dialect.
    pub fn sql(&self, dialect: Dialect, count: usize) -> Result<String, PlanError> {
        let (columns, _) = self.loaded()?;
        let parent = self.parent()?;
        if count == 0 {
            return Err(PlanError::NoRows);
        }
        let mut sql = Sql::new(dialect);
        sql.text("SELECT ").names(&columns).text(" FROM ");
        if self.page().is_none() {
            sql.table(&self.table).text(" WHERE ").among_ids(parent, count);
            self.order(&mut sql);
            return sql.finish();
        }
        if self.order.is_empty() {
            return Err(PlanError::NoOrder { table: self.table.display() });
        }
        let rank = self.rank_name(&columns)?;
        sql.text("(SELECT ").names(&columns);
        sql.text(", ROW_NUMBER() OVER (PARTITION BY ").name(parent);
        self.order(&mut sql);
        sql.text(") AS ").name(&rank).text(" FROM ").table(&self.table);
        sql.text(" WHERE ").among_ids(parent, count).text(") AS page WHERE ");
        sql.name(&rank).text(" > ").placeholder();
        sql.text(" AND ").name(&rank).text(" <= ").placeholder();
        sql.text(" ORDER BY ").name(&rank);
        sql.finish()
    }

    /// The ranks within a parent, from 1, between which the children are: above the first number, up
    /// to the second. `None` if all of them are wanted. They are bound, so that every page is the
    /// same statement.
    pub fn page(&self) -> Option<[i64; 2]> {
        let offset = i64::from(self.offset);
        match self.limit {
            None if offset == 0 => None,
            None => Some([offset, i64::MAX]),
            Some(limit) => Some([offset, offset + i64::from(limit)]),
        }
    }

    /// Where the parent's id is in the rows that come back.
    ///
    /// # Errors
    /// No parent column, no columns.
    pub fn parent_index(&self) -> Result<usize, PlanError> {
        Ok(self.loaded()?.1)
    }

    fn parent(&self) -> Result<&Ident, PlanError> {
        let table = || self.table.display();
        let missing = || PlanError::NoKey { table: table(), method: "parent_column" };
        self.parent.as_ref().ok_or_else(missing)
    }

    fn loaded(&self) -> Result<(Vec<Ident>, usize), PlanError> {
        if self.columns.is_empty() {
            return Err(no_columns(&self.table));
        }
        Ok(with_column(&self.columns, self.parent()?))
    }

    fn order(&self, sql: &mut Sql) {
        if !self.order.is_empty() {
            sql.text(" ORDER BY ").list(", ", &self.order, |sql, (column, direction)| {
                sql.name(column).text(match direction {
                    Direction::Ascending => " ASC",
                    Direction::Descending => " DESC",
                });
            });
        }
    }

    /// A name for the rank that no loaded column has.
    fn rank_name(&self, columns: &[Ident]) -> Result<Ident, PlanError> {
        let mut name = String::from("rank_in_parent");
        while columns.iter().any(|column| column.as_str().eq_ignore_ascii_case(&name)) {
            name.push('_');
        }
        Ident::parse(&name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Related {
        let plan = Related::from("chapters").unwrap().parent_column("plot_id").unwrap();
        plan.columns(["id", "plot_id"]).unwrap()
    }

    fn ordered() -> Related {
        let plan = plan().order_by("position", Direction::Descending).unwrap();
        plan.order_by("id", Direction::Ascending).unwrap()
    }

    #[test]
    fn all_children() {
        assert_eq!(plan().parent_index(), Ok(1));
        assert_eq!(
            plan().sql(Dialect::Postgres, 5).unwrap(),
            r#"SELECT "id", "plot_id" FROM "chapters" WHERE "plot_id" = ANY($1)"#
        );
        assert_eq!(
            ordered().sql(Dialect::MySql, 2).unwrap(),
            "SELECT `id`, `plot_id` FROM `chapters` WHERE `plot_id` IN (?, ?) \
             ORDER BY `position` DESC, `id` ASC"
        );
    }

    #[test]
    fn a_page_of_each_parent_is_one_statement_whatever_the_page() {
        let first = ordered().limit_per_parent(10);
        let second = first.clone().offset_per_parent(10);
        assert_eq!(first.page(), Some([0, 10]));
        assert_eq!(second.page(), Some([10, 20]));
        assert_eq!(ordered().offset_per_parent(3).page(), Some([3, i64::MAX]));
        let sql = first.sql(Dialect::Sqlite, 5).unwrap();
        assert_eq!(
            sql,
            "SELECT `id`, `plot_id` FROM (SELECT `id`, `plot_id`, ROW_NUMBER() OVER \
             (PARTITION BY `plot_id` ORDER BY `position` DESC, `id` ASC) AS `rank_in_parent` \
             FROM `chapters` WHERE `plot_id` IN (SELECT value FROM json_each(?1))) AS page \
             WHERE `rank_in_parent` > ?2 AND `rank_in_parent` <= ?3 ORDER BY `rank_in_parent`"
        );
        assert_eq!(second.sql(Dialect::Sqlite, 6).unwrap(), sql);
    }

    #[test]
    fn the_rank_gets_a_name_of_its_own() {
        let plan = ordered().columns(["Rank_in_parent"]).unwrap().limit_per_parent(1);
        let sql = plan.sql(Dialect::Postgres, 1).unwrap();
        assert!(sql.ends_with(r#"ORDER BY "rank_in_parent_""#), "{sql}");
    }

    #[test]
    fn a_page_needs_an_order() {
        let error = plan().limit_per_parent(1).sql(Dialect::Sqlite, 1).unwrap_err();
        assert_eq!(error, PlanError::NoOrder { table: "chapters".to_owned() });
        assert_eq!(plan().sql(Dialect::Sqlite, 0), Err(PlanError::NoRows));
    }
}
