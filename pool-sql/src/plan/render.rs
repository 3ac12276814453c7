//! Writes one statement: text, quoted names and numbered placeholders, with the first error kept.
use super::PlanError;
use crate::ident::{Dialect, Ident, TableName};

/// A statement in the making. Errors surface in [`Sql::finish`], so that plans read like their SQL.
pub(super) struct Sql {
    dialect: Dialect,
    text: String,
    placeholders: usize,
    error: Option<PlanError>,
}

impl Sql {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self { dialect, text: String::new(), placeholders: 0, error: None }
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.dialect
    }

    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    pub(super) fn name(&mut self, name: &Ident) -> &mut Self {
        self.quoted(name.quoted(self.dialect))
    }

    pub(super) fn table(&mut self, table: &TableName) -> &mut Self {
        self.quoted(table.quoted(self.dialect))
    }

    fn quoted(&mut self, quoted: Result<String, PlanError>) -> &mut Self {
        match quoted {
            Ok(name) => self.text.push_str(&name),
            Err(error) => self.error = self.error.take().or(Some(error)),
        }
        self
    }

    pub(super) fn placeholder(&mut self) -> &mut Self {
        self.placeholders += 1;
        let placeholder = self.dialect.placeholder(self.placeholders);
        self.text(&placeholder)
    }

    /// Writes every item, with `separator` between them.
    pub(super) fn list<T>(
        &mut self,
        separator: &str,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) -> &mut Self {
        for (i, item) in items.into_iter().enumerate() {
            if i > 0 {
                self.text(separator);
            }
            write(self, item);
        }
        self
    }

    /// `a, b, c`
    pub(super) fn names<'n>(&mut self, names: impl IntoIterator<Item = &'n Ident>) -> &mut Self {
        self.list(", ", names, |sql, name| {
            sql.name(name);
        })
    }

    /// `?, ?, ?`
    pub(super) fn placeholders(&mut self, count: usize) -> &mut Self {
        self.list(", ", 0..count, |sql, _| {
            sql.placeholder();
        })
    }

    /// `(?, ?), (?, ?)`
    pub(super) fn rows(&mut self, rows: usize, width: usize) -> &mut Self {
        self.list(", ", 0..rows, |sql, _| {
            sql.text("(").placeholders(width).text(")");
        })
    }

    /// `column IN (the ids)`: one bound array for SQLite and PostgreSQL, `count` placeholders for MySQL.
    pub(super) fn among_ids(&mut self, column: &Ident, count: usize) -> &mut Self {
        self.name(column);
        match self.dialect {
            Dialect::Sqlite => {
                self.text(" IN (SELECT value FROM json_each(").placeholder().text("))")
            }
            Dialect::Postgres => self.text(" = ANY(").placeholder().text(")"),
            Dialect::MySql => self.text(" IN (").placeholders(count.next_power_of_two()).text(")"),
        }
    }

    pub(super) fn finish(self) -> Result<String, PlanError> {
        let limit = self.dialect.max_placeholders();
        match self.error {
            Some(error) => Err(error),
            None if self.placeholders > limit => Err(PlanError::TooManyPlaceholders {
                dialect: self.dialect,
                placeholders: self.placeholders,
                limit,
            }),
            None => Ok(self.text),
        }
    }
}
