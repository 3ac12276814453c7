//! Names: tables and columns, parsed once, quoted as each database wants it.
use std::convert::Infallible;

use crate::plan::PlanError;

/// The SQL that a database speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// SQLite 3.35 or later.
    Sqlite,
    /// PostgreSQL 9.5 or later.
    Postgres,
    /// MySQL 8 and MariaDB 10.2 or later.
    MySql,
}

impl Dialect {
    /// The character around names.
    ///
    /// For SQLite it is the backtick, which it accepts for MySQL's sake: in double quotes SQLite
    /// reads a misspelt column as a string, and the query silently means something else.
    pub const fn quote(self) -> char {
        match self {
            Self::Postgres => '"',
            Self::Sqlite | Self::MySql => '`',
        }
    }

    /// How many values one statement can bind.
    pub const fn max_placeholders(self) -> usize {
        match self {
            Self::Sqlite => 32_766,
            Self::Postgres | Self::MySql => 65_535,
        }
    }

    /// The placeholder of the `n`th bound value, from 1: `?1`, `$1` or `?`.
    pub fn placeholder(self, n: usize) -> String {
        match self {
            Self::Sqlite => format!("?{n}"),
            Self::Postgres => format!("${n}"),
            Self::MySql => "?".to_owned(),
        }
    }

    /// The name's length where it is too long: `(length, limit, unit)`.
    fn too_long(self, name: &str) -> Option<(usize, usize, &'static str)> {
        let (length, limit, unit) = match self {
            Self::Sqlite => return None,
            Self::Postgres => (name.len(), 63, "bytes"), // longer ones are cut off silently
            Self::MySql => (name.chars().count(), 64, "characters"),
        };
        (length > limit).then_some((length, limit, unit))
    }
}

/// The name of a table, column or schema; any text but the empty one and NUL.
///
/// How long a name may be depends on the database, so that is checked when it is quoted for one.
///
/// ```
/// use pool_sql::{Dialect, Ident};
///
/// let name = Ident::parse("odd\" name")?;
/// assert_eq!(name.quoted(Dialect::Postgres)?, r#""odd"" name""#);
/// assert_eq!(name.quoted(Dialect::MySql)?, r#"`odd" name`"#);
/// assert!(Ident::parse("").is_err());
/// # Ok::<(), pool_sql::PlanError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ident(Box<str>);

impl Ident {
    /// Takes the name as it is: no case folding, no unquoting, a dot is part of it.
    ///
    /// # Errors
    /// [`PlanError::EmptyName`], [`PlanError::NulInName`].
    pub fn parse(name: &str) -> Result<Self, PlanError> {
        if name.is_empty() {
            return Err(PlanError::EmptyName);
        }
        if name.contains('\0') {
            return Err(PlanError::NulInName { name: name.into() });
        }
        Ok(Self(name.into()))
    }

    /// The name, unquoted.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name in the dialect's quotes, those inside it doubled.
    ///
    /// # Errors
    /// [`PlanError::NameTooLong`]: over 63 bytes for PostgreSQL, over 64 characters for MySQL.
    pub fn quoted(&self, dialect: Dialect) -> Result<String, PlanError> {
        if let Some((length, limit, unit)) = dialect.too_long(&self.0) {
            let name = self.0.clone();
            return Err(PlanError::NameTooLong { name, dialect, length, limit, unit });
        }
        let quote = dialect.quote();
        let mut out = String::with_capacity(self.0.len() + 2);
        out.push(quote);
        for c in self.0.chars() {
            if c == quote {
                out.push(quote);
            }
            out.push(c);
        }
        out.push(quote);
        Ok(out)
    }
}

/// A table, in a schema if one is named.
///
/// ```
/// use pool_sql::{Dialect, Ident, TableName};
///
/// assert_eq!(TableName::parse("app.files")?.quoted(Dialect::Postgres)?, r#""app"."files""#);
/// // A dot inside a name: say which part is which.
/// let dotted = TableName::new(None, Ident::parse("v1.files")?);
/// assert_eq!(dotted.quoted(Dialect::Postgres)?, r#""v1.files""#);
/// # Ok::<(), pool_sql::PlanError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TableName {
    schema: Option<Ident>,
    table: Ident,
}

impl TableName {
    /// A table by its parts.
    pub fn new(schema: Option<Ident>, table: Ident) -> Self {
        Self { schema, table }
    }

    /// `table` or `schema.table`.
    ///
    /// # Errors
    /// An empty part or NUL, and [`PlanError::TooManyDots`] for more than two parts.
    pub fn parse(name: &str) -> Result<Self, PlanError> {
        match name.split_once('.') {
            None => Ok(Self::new(None, Ident::parse(name)?)),
            Some((_, table)) if table.contains('.') => {
                Err(PlanError::TooManyDots { name: name.into() })
            }
            Some((schema, table)) => {
                Ok(Self::new(Some(Ident::parse(schema)?), Ident::parse(table)?))
            }
        }
    }

    /// The name as it was given, unquoted, for messages.
    pub fn display(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{}.{}", schema.as_str(), self.table.as_str()),
            None => self.table.as_str().to_owned(),
        }
    }

    /// The quoted parts.
    ///
    /// # Errors
    /// As [`Ident::quoted`].
    pub fn quoted(&self, dialect: Dialect) -> Result<String, PlanError> {
        let table = self.table.quoted(dialect)?;
        match &self.schema {
            Some(schema) => Ok(format!("{}.{table}", schema.quoted(dialect)?)),
            None => Ok(table),
        }
    }
}

impl AsRef<str> for Ident {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl TryFrom<&str> for TableName {
    type Error = PlanError;

    fn try_from(name: &str) -> Result<Self, PlanError> {
        Self::parse(name)
    }
}

impl TryFrom<&String> for TableName {
    type Error = PlanError;

    fn try_from(name: &String) -> Result<Self, PlanError> {
        Self::parse(name)
    }
}

/// So that what takes a name to be parsed takes a [`TableName`] too.
impl From<Infallible> for PlanError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DIALECTS: [Dialect; 3] = [Dialect::Sqlite, Dialect::Postgres, Dialect::MySql];

    /// What a database reads: the name, or `None` where a lone quote would end it early.
    fn unquote(quoted: &str, quote: char) -> Option<String> {
        let inner = quoted.strip_prefix(quote)?.strip_suffix(quote)?;
        let mut name = String::new();
        let mut chars = inner.chars();
        while let Some(c) = chars.next() {
            if c == quote && chars.next() != Some(quote) {
                return None;
            }
            name.push(c);
        }
        Some(name)
    }

    proptest! {
        #[test]
        fn any_name_survives_quoting(name in "(?s)[^\\x00]{1,15}|[`\"'\\\\\n;.\u{1F9E8}-]{1,15}") {
            let ident = Ident::parse(&name).unwrap();
            for dialect in DIALECTS {
                let quoted = ident.quoted(dialect).unwrap();
                prop_assert_eq!(unquote(&quoted, dialect.quote()), Some(name.clone()));
            }
        }
    }

    #[test]
    fn refuses_what_no_database_takes() {
        assert_eq!(Ident::parse(""), Err(PlanError::EmptyName));
        assert!(matches!(Ident::parse("a\0b"), Err(PlanError::NulInName { .. })));
        assert_eq!(TableName::parse("app."), Err(PlanError::EmptyName));
        assert!(matches!(TableName::parse("a.b.c"), Err(PlanError::TooManyDots { .. })));
    }

    #[test]
    fn length_is_the_databases_own() {
        let fits = Ident::parse(&("é".repeat(31) + "x")).unwrap(); // 63 bytes
        let wide = Ident::parse(&"é".repeat(64)).unwrap(); // 128 bytes, 64 characters
        let long = Ident::parse(&"x".repeat(65)).unwrap();
        assert!(fits.quoted(Dialect::Postgres).is_ok());
        assert!(wide.quoted(Dialect::Postgres).is_err());
        assert!(wide.quoted(Dialect::MySql).is_ok());
        assert!(long.quoted(Dialect::Sqlite).is_ok());
        assert_eq!(
            long.quoted(Dialect::MySql).unwrap_err().to_string(),
            format!("the name `{}` has 65 characters; MySql takes at most 64", long.as_str()),
        );
    }
}
