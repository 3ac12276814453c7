//! What a statement's text tells about what it leaves in the session: the protocol does not.

/// What a statement leaves behind, if it works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Leaves {
    #[default]
    Nothing,
    /// Variables, temporary tables, locks: what a reset of the session clears.
    State,
    /// Another default database, which a reset does not change back.
    Database,
}

/// Statements that begin so change the session.
const STATEFUL: &[&str] =
    &["set", "lock", "handler", "flush", "prepare", "execute", "xa", "load", "install"];
/// Words that do so wherever they stand.
const ANYWHERE: &[&str] = &["get_lock", "temporary"];

/// What a text of one or more statements leaves behind. Where it is not certain, more than less: that
/// costs a reset.
pub(crate) fn left_by(sql: &str) -> Leaves {
    let of_each = sql.split(';').map(left_by_first_word).max().unwrap_or_default();
    if of_each == Leaves::Nothing && (assigns_a_variable(sql) || has_word(sql, ANYWHERE)) {
        return Leaves::State;
    }
    of_each
}

fn left_by_first_word(statement: &str) -> Leaves {
    let mut words = words(skip_comments(statement));
    let first = words.next().unwrap_or_default();
    let is = |word: &&str| first.eq_ignore_ascii_case(word);
    if is(&"use") {
        return Leaves::Database;
    }
    // `SET STATEMENT max_statement_time = 1 FOR SELECT ..` is MariaDB's, for one statement.
    let mut is_for_one = || words.next().is_some_and(|word| word.eq_ignore_ascii_case("statement"));
    if STATEFUL.iter().any(is) && !is_for_one() {
        return Leaves::State;
    }
    Leaves::Nothing
}

/// Without the comments in front; what the server would run of one is not skipped.
fn skip_comments(statement: &str) -> &str {
    let mut rest = statement.trim_start_matches(|c: char| c.is_whitespace() || c == '(');
    loop {
        let after = if let Some(executed) =
            rest.strip_prefix("/*!").or_else(|| rest.strip_prefix("/*M!"))
        {
            Some(executed.trim_start_matches(|c: char| c.is_ascii_digit()))
        } else if let Some(comment) = rest.strip_prefix("/*") {
            comment.split_once("*/").map(|(_, after)| after)
        } else if rest.starts_with("--") || rest.starts_with('#') {
            rest.split_once('\n').map(|(_, after)| after)
        } else {
            return rest;
        };
        let Some(after) = after else { return "" };
        rest = after.trim_start_matches(|c: char| c.is_whitespace() || c == '(');
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(move |c: char| !is_word(c)).filter(|word| !word.is_empty())
}

fn has_word(text: &str, wanted: &[&str]) -> bool {
    words(text).any(|word| wanted.iter().any(|it| it.eq_ignore_ascii_case(word)))
}

/// `SELECT @a := 1`, `SELECT 1 INTO @a`.
fn assigns_a_variable(sql: &str) -> bool {
    sql.contains('@') && (sql.contains(":=") || has_word(sql, &["into"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r18_what_a_text_leaves_in_the_session_is_seen() {
        for sql in [
            "SET @a = 1",
            "  set time_zone = '+01:00'",
            "SET SESSION TRANSACTION READ ONLY",
            "SELECT 1; SET @a = 2",
            "/* a */ -- b\n # c\n SET NAMES latin1",
            "/*!40101 SET NAMES utf8 */",
            "/*M!100100 SET @a = 1 */",
            "SELECT @a := 1",
            "SELECT id FROM t LIMIT 1 INTO @a",
            "SELECT GET_LOCK('x', 1)",
            "LOCK TABLES t WRITE",
            "FLUSH TABLES WITH READ LOCK",
            "CREATE TEMPORARY TABLE x (y int)",
            "CREATE OR REPLACE TEMPORARY TABLE x (y int)",
            "PREPARE p FROM 'SELECT 1'",
            "EXECUTE IMMEDIATE 'SET @a = 1'",
            "HANDLER t OPEN",
            "XA START 'x'",
            "((SET @a = 1",
        ] {
            assert_eq!(left_by(sql), Leaves::State, "{sql}");
        }
        for sql in ["USE other", "SELECT 1; use other", "SET @a = 1; USE other"] {
            assert_eq!(left_by(sql), Leaves::Database, "{sql}");
        }
    }

    #[test]
    fn what_leaves_nothing_costs_nothing() {
        for sql in [
            "",
            ";",
            "/* no end",
            "-- no end",
            "SELECT 1",
            "UPDATE t SET a = 1",
            "INSERT INTO t SET a = 1",
            "INSERT INTO t VALUES (?) ON DUPLICATE KEY UPDATE a = VALUES(a)",
            "SELECT `use`, `set` FROM t",
            "SELECT * FROM t WHERE name = 'it is ; selected'",
            "SET STATEMENT max_statement_time = 1 FOR SELECT 1",
            "START TRANSACTION",
            "SELECT RELEASE_LOCK('x')",
            "SELECT e FROM mail WHERE e = 'a@b'",
            "CREATE TABLE x (y int)",
        ] {
            assert_eq!(left_by(sql), Leaves::Nothing, "{sql}");
        }
    }
}
