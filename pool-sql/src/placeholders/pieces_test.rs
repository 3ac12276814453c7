//! Statements made of pieces that might be taken for something else, in every order.

use proptest::prelude::*;

use super::tests::{ALL, numbers, translated};
use super::translate;
use crate::ident::Dialect;

/// A piece of a statement, written for a dialect.
#[derive(Clone, Debug)]
enum Piece {
    Placeholder(usize),
    Code(&'static str),
    String(String),
    Escaped(String),
    Name(String),
    LineComment(String),
    Comment(String),
    Dollars(&'static str, String),
}

/// Whatever might end a piece early, if it is not looked at as it should be.
fn nasty() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("$1"),
        Just("$2"),
        Just("'"),
        Just("\""),
        Just("`"),
        Just("--"),
        Just("/"),
        Just("*"),
        Just("#"),
        Just("\\"),
        Just("$$"),
        Just("$a$"),
        Just("?"),
        Just("]"),
        Just("["),
        Just(" "),
        Just("é"),
        Just("E"),
        Just("x"),
        Just("\r"),
    ];
    prop::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
}

fn piece() -> impl Strategy<Value = Piece> {
    let code = prop_oneof![
        Just("SELECT"),
        Just("a$1"),
        Just("_x$2$3"),
        Just("é$1"),
        Just("->>"),
        Just("1.5"),
        Just("a[1]"),
        Just("::text"),
        Just("-"),
        Just("/"),
        Just("*"),
        Just("\n"),
        Just("@>"),
    ];
    prop_oneof![
        (1..=3_usize).prop_map(Piece::Placeholder),
        code.prop_map(Piece::Code),
        nasty().prop_map(Piece::String),
        nasty().prop_map(Piece::Escaped),
        nasty().prop_map(Piece::Name),
        nasty().prop_map(Piece::LineComment),
        nasty().prop_map(Piece::Comment),
        (prop_oneof![Just(""), Just("tag"), Just("é")], nasty())
            .prop_map(|(tag, text)| Piece::Dollars(tag, text)),
    ]
}

impl Piece {
    /// As it stands in a statement for this database, and as it is to stand in the translated one.
    fn write(&self, dialect: Dialect) -> (String, String) {
        let same = |text: String| (text.clone(), text);
        let is = |of: Dialect| dialect == of;
        match self {
            Self::Placeholder(number) => (format!("${number}"), dialect.placeholder(*number)),
            // SQLite has names in brackets, and no subscripts.
            Self::Code("a[1]") if is(Dialect::Sqlite) => same("[$1 '?]".into()),
            Self::Code("::text") if is(Dialect::Sqlite) => same("':text'".into()),
            Self::Code(code) => same((*code).into()),
            Self::String(text) => {
                let text = text.replace('\'', "''");
                let text = if is(Dialect::MySql) { text.replace('\\', "\\\\") } else { text };
                same(format!("'{text}'"))
            }
            Self::Escaped(text) => {
                if is(Dialect::Sqlite) {
                    return same(format!("'{}'", text.replace('\'', "''")));
                }
                let text = text.replace('\\', "\\\\").replace('\'', "\\'");
                same(format!("{}'{text}'", if is(Dialect::Postgres) { "E" } else { "" }))
            }
            Self::Name(text) => {
                let quote = dialect.quote();
                let text = text.replace(quote, &format!("{quote}{quote}"));
                same(format!("{quote}{text}{quote}"))
            }
            Self::LineComment(text) => {
                let text = match dialect {
                    Dialect::Postgres => text.replace('\r', ""), // ends it there
                    _ => text.clone(),
                };
                let mark = if is(Dialect::MySql) && text.len() % 2 == 0 { "#" } else { "-- " };
                same(format!("{mark}{text}\n"))
            }
            Self::Comment(text) => {
                // Not the beginning or the end of one.
                let text = text.replace(['/', '!'], "");
                match dialect {
                    Dialect::Postgres => same(format!("/* {text} /* $1 '*/ {text} */")),
                    _ => same(format!("/* {text} /* $1 '*/")),
                }
            }
            Self::Dollars(tag, text) if is(Dialect::Postgres) => {
                // A tag of the text's own would end it, and so would half of one at its end.
                same(format!("${tag}${} ${tag}$", text.replace('$', "$ ")))
            }
            Self::Dollars(..) if is(Dialect::Sqlite) => same("[$name :x]".into()), // no quotes
            Self::Dollars(..) => same("$name".into()),
        }
    }
}

proptest! {
    #[test]
    fn only_placeholders_are_touched(pieces in prop::collection::vec(piece(), 0..12)) {
        for dialect in ALL {
            let (mut sql, mut wanted, mut order) = (String::new(), String::new(), Vec::new());
            let all = [1, 2, 3].map(Piece::Placeholder);
            for piece in pieces.iter().chain(&all) {
                let (before, after) = piece.write(dialect);
                sql += &format!(" {before} ,");
                wanted += &format!(" {after} ,");
                if let Piece::Placeholder(number) = piece {
                    order.push(*number as i64);
                }
            }
            let order = if dialect == Dialect::MySql { order } else { vec![1, 2, 3] };
            prop_assert_eq!(translated(dialect, &sql, 3), (wanted, order));
        }
    }

    #[test]
    fn no_text_is_too_strange(
        sql in "(?s).{0,40}|[$0-9'\"`\\\\E/*#\\-?\\[\\]a$ \nx]{0,40}", given in 0..4_usize,
    ) {
        let values = numbers(given);
        for dialect in ALL {
            if let Ok(done) = translate(dialect, &sql, &values) {
                let changes = dialect != Dialect::Postgres && given > 0;
                prop_assert!(changes || done.sql == sql);
                prop_assert!(done.values.len() >= given);
            }
        }
    }
}
