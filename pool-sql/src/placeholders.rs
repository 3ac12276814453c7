//! One style of placeholders for all databases: `$1`, `$2` and so on, in any order, as often as
//! needed.
//!
//! | database | a placeholder becomes | the values |
//! |---|---|---|
//! | PostgreSQL | what it is | as they are |
//! | SQLite | `?1` | as they are |
//! | MySQL | `?` | in the order of the places, once for each |
//!
//! Numbers, since they cannot be mistaken: `?` is an operator of PostgreSQL. What stands in
//! strings, quoted names, comments and dollar quotes is never touched, nor is a `$` within a name.
//!
//! The text is read as each database reads it by default: a backslash in a MySQL string escapes
//! (not with `NO_BACKSLASH_ESCAPES`), double quotes in MySQL are a string (not with `ANSI_QUOTES`;
//! that makes a difference for a backslash only), in PostgreSQL only `E'..'` knows backslashes (not
//! with `standard_conforming_strings` off). `/*! .. */` in MySQL is code, though a server older
//! than the version in it does not run it.

mod lexer;
#[cfg(test)]
mod pieces_test;

use std::borrow::Cow;
use std::fmt;

use crate::ident::Dialect;
use crate::value::Value;
use lexer::{Found, Token, find};

/// A statement as one database takes it, see [`translate`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Translated<'s, 'v> {
    /// The statement's text.
    pub sql: Cow<'s, str>,
    /// The values in the order in which it takes them.
    pub values: Cow<'s, [Value<'v>]>,
}

/// Writes a statement's `$1`, `$2` as a database has it, and puts the values in its order.
///
/// ```
/// use pool_sql::{Dialect, Value, placeholders};
///
/// let sql = "UPDATE film SET title = $2, sort = lower($2) WHERE id = $1 -- not $3";
/// let values = [Value::I64(7), Value::Text("Alien")];
/// let translated = placeholders::translate(Dialect::MySql, sql, &values)?;
/// assert_eq!(
///     translated.sql,
///     "UPDATE film SET title = ?, sort = lower(?) WHERE id = ? -- not $3"
/// );
/// assert_eq!(*translated.values, [values[1], values[1], values[0]]);
/// # Ok::<(), pool_sql::PlaceholderError>(())
/// ```
///
/// # Errors
/// All at once: a placeholder without a value, a value without a placeholder, `$0` and what else is
/// no number, and a `?` where it can only be meant as a placeholder, as are `:name`, `@name` and
/// `$name` in SQLite.
pub fn translate<'s, 'v>(
    dialect: Dialect,
    sql: &'s str,
    values: &'s [Value<'v>],
) -> Result<Translated<'s, 'v>, PlaceholderError> {
    let mut faults = Vec::new();
    let mut used = vec![false; values.len()];
    let mut out =
        Writer { dialect, sql, values, text: String::new(), copied: 0, order: Vec::new() };
    let mut cursor = Cursor { sql, at: 0, place: Place { line: 1, column: 1 } };
    for Found { token, start, end } in find(dialect, sql) {
        match token {
            Token::Placeholder(number) => match used.get_mut(number - 1) {
                Some(used) => {
                    *used = true;
                    out.put(number, start, end);
                }
                None => faults.push(Fault::Missing { number, place: cursor.place(start) }),
            },
            Token::NoNumber => faults.push(Fault::NoNumber { place: cursor.place(start) }),
            Token::Named => faults.push(Fault::Named { place: cursor.place(start) }),
            Token::QuestionMark => faults.push(Fault::QuestionMark { place: cursor.place(start) }),
        }
    }
    let unused = |(at, used): (usize, &bool)| (!used).then_some(at + 1);
    faults
        .extend(used.iter().enumerate().filter_map(unused).map(|number| Fault::Unused { number }));
    match faults.is_empty() {
        true => Ok(out.finish()),
        false => Err(PlaceholderError { given: values.len(), faults: faults.into() }),
    }
}

/// The text so far, and the values in the order of their places where those have no numbers.
struct Writer<'s, 'v> {
    dialect: Dialect,
    sql: &'s str,
    values: &'s [Value<'v>],
    text: String,
    copied: usize,
    order: Vec<Value<'v>>,
}

impl<'s, 'v> Writer<'s, 'v> {
    fn put(&mut self, number: usize, start: usize, end: usize) {
        if self.dialect == Dialect::Postgres {
            return;
        }
        self.text.push_str(&self.sql[self.copied..start]);
        self.text.push_str(&self.dialect.placeholder(number));
        self.copied = end;
        if self.dialect == Dialect::MySql {
            self.order.push(self.values[number - 1]);
        }
    }

    fn finish(mut self) -> Translated<'s, 'v> {
        if self.copied == 0 {
            return Translated { sql: self.sql.into(), values: self.values.into() };
        }
        self.text.push_str(&self.sql[self.copied..]);
        let values = match self.dialect {
            Dialect::MySql => self.order.into(),
            _ => self.values.into(),
        };
        Translated { sql: self.text.into(), values }
    }
}

/// Where in a text, as people count: from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    line: usize,
    column: usize,
}

/// Finds the places of what comes later and later in a text, which is read once for all of them.
struct Cursor<'s> {
    sql: &'s str,
    at: usize,
    place: Place,
}

impl Cursor<'_> {
    fn place(&mut self, at: usize) -> Place {
        for character in self.sql[self.at..at].chars() {
            self.place = match character {
                '\n' => Place { line: self.place.line + 1, column: 1 },
                _ => Place { column: self.place.column + 1, ..self.place },
            };
        }
        self.at = at;
        self.place
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Placeholders and values that do not go together. Says where, and what would be right; quotes
/// neither a value nor the statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceholderError {
    given: usize,
    faults: Box<[Fault]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Fault {
    Missing { number: usize, place: Place },
    Unused { number: usize },
    NoNumber { place: Place },
    Named { place: Place },
    QuestionMark { place: Place },
}

impl fmt::Display for PlaceholderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let given = match self.given {
            0 => "no value is".to_owned(),
            1 => "1 value is".to_owned(),
            many => format!("{many} values are"),
        };
        f.write_str("placeholders and values do not go together: ")?;
        for (at, fault) in self.faults.iter().enumerate() {
            f.write_str(if at > 0 { "; " } else { "" })?;
            match fault {
                Fault::Missing { number, place } => {
                    write!(f, "${number} ({place}) stands for no value, {given} given")?;
                }
                Fault::Unused { number } => {
                    write!(f, "value {number} is given and ${number} stands nowhere")?;
                }
                // What stands there may be a password that nobody quoted.
                Fault::NoNumber { place } => {
                    write!(f, "the $ ({place}) begins no placeholder, they are $1, $2 and so on")?;
                }
                Fault::Named { place } => {
                    write!(f, "a name ({place}) is not how placeholders are written here: $1, $2")?;
                }
                Fault::QuestionMark { place } => {
                    write!(f, "`?` ({place}) is not how placeholders are written here: $1, $2")?;
                }
            }
        }
        Ok(())
    }
}

impl std::error::Error for PlaceholderError {}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) const ALL: [Dialect; 3] = [Dialect::Sqlite, Dialect::Postgres, Dialect::MySql];

    pub(super) fn numbers(count: usize) -> Vec<Value<'static>> {
        (1..=count as i64).map(Value::I64).collect()
    }

    /// The text, and the numbers of the values in their order.
    pub(super) fn translated(dialect: Dialect, sql: &str, count: usize) -> (String, Vec<i64>) {
        let values = numbers(count);
        let done =
            translate(dialect, sql, &values).unwrap_or_else(|error| panic!("{sql}: {error}"));
        let number = |value: &Value<'_>| match value {
            Value::I64(number) => *number,
            _ => unreachable!("only numbers were given"),
        };
        (done.sql.into_owned(), done.values.iter().map(number).collect())
    }

    #[test]
    fn each_database_has_its_own_style() {
        let sql = "SELECT $2, $1, $2, $10";
        let all: Vec<i64> = (1..=10).collect();
        let unused: String = (3..=9).map(|n| format!(", ${n}")).collect();
        let sql = format!("{sql}{unused}");
        assert_eq!(translated(Dialect::Postgres, &sql, 10), (sql.clone(), all.clone()));
        assert_eq!(translated(Dialect::Sqlite, &sql, 10), (sql.replace('$', "?"), all));
        let (text, order) = translated(Dialect::MySql, &sql, 10);
        assert_eq!(text, format!("SELECT ?, ?, ?, ?{}", ", ?".repeat(7)));
        assert_eq!(order, [2, 1, 2, 10, 3, 4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn a_text_without_placeholders_is_not_copied() {
        for dialect in ALL {
            let done = translate(dialect, "SELECT '$1'", &[]).unwrap();
            assert!(matches!(done.sql, Cow::Borrowed(_)), "{dialect:?}");
        }
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once_and_where() {
        let values = numbers(2);
        let error =
            translate(Dialect::Sqlite, "SELECT $0,\n é$1, $3, ?, $1x", &values).unwrap_err();
        assert_eq!(
            error.to_string(),
            "placeholders and values do not go together: the $ (line 1, column 8) begins no \
             placeholder, they are $1, $2 and so on; $3 (line 2, column 7) stands for no value, 2 values are \
             given; `?` (line 2, column 11) is not how placeholders are written here: $1, $2; the $ \
             (line 2, column 14) begins no placeholder, they are $1, $2 and so on; value 1 is given and \
             $1 stands nowhere; value 2 is given and $2 stands nowhere"
        );
        let error = translate(Dialect::MySql, "SELECT $1", &[]).unwrap_err().to_string();
        assert!(error.ends_with("stands for no value, no value is given"), "{error}");
    }

    #[test]
    fn a_question_mark_is_an_operator_in_postgres() {
        assert_eq!(translated(Dialect::Postgres, "SELECT a ? $1", 1).0, "SELECT a ? $1");
        for dialect in [Dialect::Sqlite, Dialect::MySql] {
            assert!(translate(dialect, "SELECT ?", &[]).is_err());
        }
    }

    #[test]
    fn names_are_no_placeholders_in_sqlite_which_would_count_them() {
        for name in [":x", "@x", "$x"] {
            let sql = format!("SELECT {name}, $1");
            assert!(translate(Dialect::Sqlite, &sql, &numbers(1)).is_err(), "{sql}");
        }
        assert!(translate(Dialect::MySql, "SELECT @x, $1", &numbers(1)).is_ok());
    }

    #[test]
    fn a_password_that_nobody_quoted_is_not_shown() {
        let sql = "UPDATE t SET hash = $2b$12$R9h7cIPz0gi WHERE id = $1";
        let error = translate(Dialect::Postgres, sql, &numbers(1)).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("R9h7"), "{error}");
    }

    #[test]
    fn numbers_beyond_all_are_no_placeholders() {
        for sql in ["$00", "$01", "$99999999999999999999999", "$1é", "$1_", "$1$2"] {
            for dialect in ALL {
                assert!(translate(dialect, sql, &numbers(2)).is_err(), "{dialect:?} {sql}");
            }
        }
    }
}
