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
    /// What no reset clears: another role, a lock of a backup, or nobody knows what.
    Unclearable,
}

/// Statements that begin so change the session.
const STATEFUL: &[&str] = &[
    "set", "lock", "handler", "flush", "prepare", "xa", "load", "install", "if", "case", "loop",
    "while", "repeat", "for", "declare",
];
/// Words that do so wherever they stand.
const ANYWHERE: &[&str] = &["get_lock", "temporary"];
/// Where `@a` stands for something to be filled in.
const FILLS: &[&str] = &["into", "call", "get", "fetch"];

/// What a text of one or more statements leaves behind. Where it is not certain, more than less: that
/// costs a reset.
pub(crate) fn left_by(sql: &str) -> Leaves {
    let mut left = left_by_each(sql);
    if ["/*", "--", "#"].iter().any(|comment| sql.contains(comment)) {
        // What looks like a comment may be within quotes, so both ways count.
        left = left.max(left_by_each(&without_comments(sql)));
    }
    if left == Leaves::Nothing && (fills_a_variable(sql) || has_word(sql, ANYWHERE)) {
        return Leaves::State;
    }
    left
}

fn left_by_each(sql: &str) -> Leaves {
    sql.split(';').map(left_by_first_words).max().unwrap_or_default()
}

fn left_by_first_words(statement: &str) -> Leaves {
    let statement = skip_comments(statement);
    let mut words = words(statement);
    let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let is = |word: &str, wanted: &[&str]| wanted.iter().any(|it| it.eq_ignore_ascii_case(word));
    if is(first, &["execute", "backup"]) {
        return Leaves::Unclearable;
    }
    if is(first, &["set"]) && is(second, &["statement"]) {
        // MariaDB's `SET STATEMENT max_statement_time = 1 FOR SELECT ..`: for one statement.
        let lower = statement.to_ascii_lowercase();
        let rest = lower.find(" for ").map_or("", |at| &lower[at + 5..]);
        return left_by_first_words(rest);
    }
    if is(first, &["set"]) && has_word(statement, &["role", "authorization"]) {
        return Leaves::Unclearable;
    }
    let is_of_database =
        is(first, &["drop", "create", "alter"]) && is(second, &["database", "schema"]);
    if is(first, &["use"]) || is_of_database {
        return Leaves::Database;
    }
    let is_block = is(first, &["begin"]) && is(second, &["not"]);
    if is(first, STATEFUL) || is_block { Leaves::State } else { Leaves::Nothing }
}

/// Without the comments in front; what the server would run of one is not skipped.
fn skip_comments(statement: &str) -> &str {
    let is_blank = |c: char| c.is_whitespace() || c == '(';
    let mut rest = statement.trim_start_matches(is_blank);
    loop {
        let after = if let Some(executed) = executed(rest) {
            Some(executed)
        } else if let Some(comment) = rest.strip_prefix("/*") {
            comment.split_once("*/").map(|(_, after)| after)
        } else if rest.starts_with("--") || rest.starts_with('#') {
            rest.split_once('\n').map(|(_, after)| after)
        } else {
            return rest;
        };
        rest = after.unwrap_or_default().trim_start_matches(is_blank);
    }
}

/// What follows `/*!50000` or `/*M!`.
fn executed(text: &str) -> Option<&str> {
    let text = text.strip_prefix("/*!").or_else(|| text.strip_prefix("/*M!"))?;
    Some(text.trim_start_matches(|c: char| c.is_ascii_digit()))
}

/// With a blank for each comment that the server does not run.
fn without_comments(sql: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(sql.len()), sql);
    while let Some(c) = rest.chars().next() {
        let end = match () {
            () if rest.starts_with("/*") && executed(rest).is_none() => Some("*/"),
            () if rest.starts_with("--") || c == '#' => Some("\n"),
            () => None,
        };
        rest = match end {
            Some(end) => {
                out.push(' ');
                rest.split_once(end).map_or("", |(_, after)| after)
            }
            None => {
                out.push(c);
                &rest[c.len_utf8()..]
            }
        };
    }
    out
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(move |c: char| !is_word(c)).filter(|word| !word.is_empty())
}

fn has_word(text: &str, wanted: &[&str]) -> bool {
    words(text).any(|word| wanted.iter().any(|it| it.eq_ignore_ascii_case(word)))
}

/// `SELECT @a := 1`, `SELECT 1 INTO @a`, `CALL p(@a)`.
fn fills_a_variable(sql: &str) -> bool {
    sql.contains('@') && (sql.contains(":=") || has_word(sql, FILLS))
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
            "/* a; b */ SET @a = 1",
            "-- x; then\nSET @a = 2",
            "SELECT '#'; SET @a = 1",
            "CALL p(@a)",
            "GET DIAGNOSTICS @a = NUMBER",
            "BEGIN NOT ATOMIC SET @a = 1; END",
            "IF 1 THEN SET @a = 1; END IF",
            "SET STATEMENT max_statement_time = 1 FOR SET @a = 1",
            "HANDLER t OPEN",
            "XA START 'x'",
            "((SET @a = 1",
        ] {
            assert_eq!(left_by(sql), Leaves::State, "{sql}");
        }
        for sql in [
            "USE other",
            "SELECT 1; use other",
            "SET @a = 1; USE other",
            "SET STATEMENT max_statement_time = 1 FOR USE other",
            "DROP DATABASE own",
        ] {
            assert_eq!(left_by(sql), Leaves::Database, "{sql}");
        }
        for sql in ["SET ROLE admin", "EXECUTE IMMEDIATE 'USE d'", "BACKUP LOCK t"] {
            assert_eq!(left_by(sql), Leaves::Unclearable, "{sql}");
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
