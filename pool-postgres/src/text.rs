//! What a statement's text tells about the session, where its command's tag does not.

/// Words that leave something in the session if they work.
const STATEFUL: &[&str] = &[
    "temp",
    "temporary",
    "pg_temp",
    "pg_advisory_lock",
    "pg_advisory_lock_shared",
    "pg_try_advisory_lock",
    "pg_try_advisory_lock_shared",
    "set_config",
    "setseed",
];

/// Whether a statement makes a temporary table, takes an advisory lock for the session or changes a
/// setting by a function. Such a statement is prepared anew each time, so that each time is noticed.
pub(crate) fn leaves_state(sql: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let stateful = |word: &str| STATEFUL.iter().any(|known| known.eq_ignore_ascii_case(word));
    let mut words = sql.split(|c: char| !is_word(c)).filter(|word| !word.is_empty());
    words.any(stateful) && !is_local_config(sql)
}

/// `SET LOCAL ..`, `SET TRANSACTION ..`: gone with the transaction, though their tag is `SET`.
pub(crate) fn is_local_set(sql: &str) -> bool {
    let sql = sql.trim().trim_end_matches(';');
    let mut words = sql.split_ascii_whitespace();
    let mut is = |word: &str| words.next().is_some_and(|it| it.eq_ignore_ascii_case(word));
    let is_set = is("set");
    let second = words.next().unwrap_or_default();
    let is_local = ["local", "transaction"].iter().any(|it| second.eq_ignore_ascii_case(it));
    is_set && is_local && !sql.contains(';')
}

/// `SELECT set_config(.., .., true)`: as `SET LOCAL`. Where it is not certain, it is not.
fn is_local_config(sql: &str) -> bool {
    let text = sql.to_ascii_lowercase();
    let others = STATEFUL.iter().filter(|word| **word != "set_config");
    let mut calls = text.split("set_config").skip(1);
    !others.into_iter().any(|word| text.contains(word)) && calls.all(is_local_call)
}

/// Whether the arguments of a function's call end with `, true`. Brackets and quotes within them make
/// that uncertain.
fn is_local_call(rest: &str) -> bool {
    let Some(arguments) = rest.trim_start().strip_prefix('(') else { return false };
    let Some((arguments, _)) = arguments.split_once(')') else { return false };
    let local = arguments.rsplit(',').next().is_some_and(|last| last.trim() == "true");
    local && !arguments.contains('(') && arguments.matches('\'').count() % 2 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r18_what_a_tag_does_not_tell_is_told_by_the_text() {
        for sql in [
            "CREATE TEMP TABLE x (y int)",
            "create temporary view v AS SELECT 1",
            "SELECT 1 INTO TEMP x",
            "CREATE TABLE pg_temp.x (y int)",
            "SELECT pg_advisory_lock(1)",
            "SELECT Pg_Try_Advisory_Lock_Shared($1)",
            "SELECT set_config('a.b', $1, false)",
            "SELECT set_config('a.b', 'x', true), set_config('a.c', 'x', false)",
            "SELECT set_config('a.b', 'x', false) WHERE coalesce(NULL, true)",
            "SELECT set_config('a.b', ') , true', false)",
        ] {
            assert!(leaves_state(sql), "{sql}");
        }
        for sql in [
            "SELECT temperature FROM temps",
            "SELECT pg_advisory_xact_lock(1)",
            "SELECT set_config('a.b', $1, true)",
            "SELECT set_config ( 'a.b', $1 , TRUE )",
        ] {
            assert!(!leaves_state(sql), "{sql}");
        }
    }

    #[test]
    fn a_local_set_is_gone_with_its_transaction() {
        for sql in ["SET LOCAL a.b = 1", " set  transaction read only;"] {
            assert!(is_local_set(sql), "{sql}");
        }
        for sql in ["SET a.b = 1", "SET LOCAL a = 1; SET b = 2", "SELECT 1", ""] {
            assert!(!is_local_set(sql), "{sql}");
        }
    }
}
