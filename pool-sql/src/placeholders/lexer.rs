//! As much of SQL's lexical rules as it takes to tell placeholders from what only looks like one.
//!
//! Everything that decides is ASCII, and a byte of a longer character is never ASCII; so bytes are
//! looked at, and every place found is at the begin or the end of a character.

use crate::ident::Dialect;

/// Something that is, or is taken for, a placeholder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) token: Token,
    pub(super) start: usize,
    pub(super) end: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// `$1`; the number is at least 1.
    Placeholder(usize),
    /// `$0`, `$01`, `$1x`, or a number beyond all.
    NoNumber,
    /// SQLite's `:name`, `@name` and `$name`: it would count them, among the numbers.
    Named,
    /// A `?` in a database that has no such operator.
    QuestionMark,
}

/// What looks like a placeholder, in the order of the text.
pub(super) fn find(dialect: Dialect, sql: &str) -> impl Iterator<Item = Found> {
    let mut lexer = Lexer { dialect, text: sql.as_bytes(), at: 0 };
    std::iter::from_fn(move || lexer.next())
}

struct Lexer<'s> {
    dialect: Dialect,
    text: &'s [u8],
    at: usize,
}

impl Lexer<'_> {
    fn next(&mut self) -> Option<Found> {
        loop {
            let byte = self.peek(0)?;
            match byte {
                b'\'' => self.quoted(b'\'', self.is(Dialect::MySql)),
                b'"' => self.quoted(b'"', self.is(Dialect::MySql)),
                b'`' if !self.is(Dialect::Postgres) => self.quoted(b'`', false),
                b'[' if self.is(Dialect::Sqlite) => self.skip_past(b"]"),
                b'#' if self.is(Dialect::MySql) => self.skip_line(),
                b'-' if self.peek(1) == Some(b'-') && self.is_line_comment() => self.skip_line(),
                b'/' if self.peek(1) == Some(b'*') => self.comment(),
                b'$' => match self.dollar() {
                    Some(found) => return Some(found),
                    None => continue,
                },
                b'?' if !self.is(Dialect::Postgres) => {
                    self.at += 1;
                    return Some(self.found(Token::QuestionMark, self.at - 1));
                }
                b':' | b'@' if self.is(Dialect::Sqlite) && self.peek(1).is_some_and(is_name) => {
                    return Some(self.named());
                }
                _ if is_name(byte) => self.name(),
                _ => self.at += 1,
            }
        }
    }

    fn is(&self, dialect: Dialect) -> bool {
        self.dialect == dialect
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.at + ahead).copied()
    }

    fn found(&self, token: Token, start: usize) -> Found {
        Found { token, start, end: self.at }
    }

    fn skip_while(&mut self, wanted: impl Fn(u8) -> bool) {
        while self.peek(0).is_some_and(&wanted) {
            self.at += 1;
        }
    }

    /// To the end of what is looked for, or of all.
    fn skip_past(&mut self, end: &[u8]) {
        while self.at < self.text.len() && !self.text[self.at..].starts_with(end) {
            self.at += 1;
        }
        self.at = (self.at + end.len()).min(self.text.len());
    }

    fn skip_line(&mut self) {
        let ends = |byte| byte == b'\n' || (byte == b'\r' && self.dialect == Dialect::Postgres);
        while self.peek(0).is_some_and(|byte| !ends(byte)) {
            self.at += 1;
        }
    }

    /// At `--`: MySQL wants a blank after it, since `5--1` is a difference there.
    fn is_line_comment(&self) -> bool {
        !self.is(Dialect::MySql) || self.peek(2).is_none_or(|next| next <= b' ' || next == 0x7F)
    }

    /// From the opening quote past the closing one; a doubled quote does not close.
    fn quoted(&mut self, quote: u8, escapes: bool) {
        self.at += 1;
        while let Some(byte) = self.peek(0) {
            self.at += 1;
            if byte == b'\\' && escapes {
                self.at = (self.at + 1).min(self.text.len());
            } else if byte == quote {
                if self.peek(0) != Some(quote) {
                    return;
                }
                self.at += 1;
            }
        }
    }

    /// PostgreSQL's `E'..'`, from its quote. It goes on on another line, with no other `E`.
    fn escaped(&mut self) {
        loop {
            self.quoted(b'\'', true);
            let (mut ahead, mut is_next_line) = (self.at, false);
            while let Some(byte) = self.text.get(ahead) {
                if self.text[ahead..].starts_with(b"--") {
                    let line = self.text[ahead..].iter().position(|b| matches!(b, b'\n' | b'\r'));
                    ahead += line.unwrap_or(self.text.len() - ahead);
                } else if matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0B | 0x0C) {
                    is_next_line |= matches!(byte, b'\n' | b'\r');
                    ahead += 1;
                } else {
                    break;
                }
            }
            if !is_next_line || self.text.get(ahead) != Some(&b'\'') {
                return;
            }
            self.at = ahead;
        }
    }

    /// At `/*`: PostgreSQL nests them; MySQL runs what is in `/*! */` and `/*M! */`.
    fn comment(&mut self) {
        let text = &self.text[self.at..];
        let runs = text.starts_with(b"/*!") || text.starts_with(b"/*M!");
        self.at += 2;
        if runs && self.is(Dialect::MySql) {
            self.skip_while(|byte| byte.is_ascii_digit() || matches!(byte, b'M' | b'!'));
            return;
        }
        if !self.is(Dialect::Postgres) {
            return self.skip_past(b"*/");
        }
        let mut depth = 1;
        while depth > 0 && self.at < self.text.len() {
            match (self.text[self.at], self.peek(1)) {
                (b'/', Some(b'*')) => (depth, self.at) = (depth + 1, self.at + 2),
                (b'*', Some(b'/')) => (depth, self.at) = (depth - 1, self.at + 2),
                _ => self.at += 1,
            }
        }
    }

    /// A name, a key word or a number, and the string behind PostgreSQL's `E`.
    fn name(&mut self) {
        let start = self.at;
        // In PostgreSQL a number ends before a `$`; in the others that is part of it, or an error.
        let is_number = self.text[start].is_ascii_digit() && self.is(Dialect::Postgres);
        self.skip_while(|byte| is_name(byte) || (byte == b'$' && !is_number));
        let is_e = matches!(self.text[start..self.at], [b'e' | b'E']);
        if is_e && self.is(Dialect::Postgres) && self.peek(0) == Some(b'\'') {
            self.escaped();
        }
    }

    /// At the character before a name that makes it a parameter.
    fn named(&mut self) -> Found {
        let start = self.at;
        self.at += 1;
        self.skip_while(|byte| is_name(byte) || byte == b'$');
        self.found(Token::Named, start)
    }

    /// At a `$` that is not within a name.
    fn dollar(&mut self) -> Option<Found> {
        let start = self.at;
        self.at += 1;
        if self.peek(0).is_some_and(|byte| byte.is_ascii_digit()) {
            self.skip_while(|byte| is_name(byte) || byte == b'$');
            let digits = str::from_utf8(&self.text[start + 1..self.at]).ok();
            let digits = digits.filter(|digits| !digits.starts_with('0'));
            let token = match digits.and_then(|digits| digits.parse().ok()) {
                Some(number) => Token::Placeholder(number),
                None => Token::NoNumber,
            };
            return Some(self.found(token, start));
        }
        if self.is(Dialect::Sqlite) && self.peek(0).is_some_and(is_name) {
            self.at = start;
            return Some(self.named());
        }
        if !self.is(Dialect::Postgres) {
            self.skip_while(|byte| is_name(byte) || byte == b'$'); // a name
            return None;
        }
        self.skip_while(is_name);
        if self.peek(0) == Some(b'$') {
            self.at += 1;
            let tag = &self.text[start..self.at];
            self.skip_past(tag);
        }
        None
    }
}

/// What names are made of, besides `$`.
fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The placeholders found, as they stand there.
    fn found(dialect: Dialect, sql: &str) -> Vec<&str> {
        find(dialect, sql).map(|found| &sql[found.start..found.end]).collect()
    }

    #[test]
    fn comments_are_as_each_database_has_them() {
        use Dialect::{MySql, Postgres, Sqlite};
        for (dialect, sql, wanted) in [
            (Postgres, "/* /* $1 */ $2 */ $3", &["$3"][..]),
            (Sqlite, "/* /* $1 */ $2 /* $3", &["$2"]),
            (MySql, "/* /* $1 */ $2", &["$2"]),
            (MySql, "/*!50000 $1 */ /*M!100100 $2 */ /*+ $3 */ $4", &["$1", "$2", "$4"]),
            (Postgres, "/*! $1 */ $2", &["$2"]),
            (MySql, "5--$1 -- $2\n $3 --", &["$1", "$3"]),
            (Postgres, "5--$1\r$2", &["$2"]),
            (Sqlite, "5--$1\r$2\n$3", &["$3"]),
            (MySql, "# $1\n$2", &["$2"]),
            (Postgres, "a # $1 #>> $2", &["$1", "$2"]),
        ] {
            assert_eq!(found(dialect, sql), wanted, "{dialect:?} {sql}");
        }
    }

    #[test]
    fn strings_end_where_each_database_ends_them() {
        use Dialect::{MySql, Postgres, Sqlite};
        for (dialect, sql, wanted) in [
            (MySql, r"'\' $1' $2", &["$2"][..]),
            (MySql, r#""\" $1" $2"#, &["$2"]),
            (MySql, r"`\` $1", &["$1"]),
            (Postgres, r"'\' $1", &["$1"]),
            (Postgres, r"E'\' $1' $2", &["$2"]),
            (Postgres, r"some'\' $1", &["$1"]),
            (Postgres, "E'a' -- '\n  '\\' $1' $2", &["$2"]),
            (Postgres, "E'a' '\\' $1", &["$1"]),
            (Sqlite, r"'\' $1", &["$1"]),
            (Sqlite, "[a $1] $2", &["$2"]),
            (Postgres, "a[$1]", &["$1"]),
            (Sqlite, "'a''$1' $2", &["$2"]),
            (Postgres, "`$1`", &["$1"]),
            (Sqlite, "`$1`", &[]),
        ] {
            assert_eq!(found(dialect, sql), wanted, "{dialect:?} {sql}");
        }
    }

    #[test]
    fn dollars_are_quotes_names_or_placeholders() {
        use Dialect::{MySql, Postgres, Sqlite};
        for (dialect, sql, wanted) in [
            (Postgres, "$$ $1 $$ $2", &["$2"][..]),
            (Postgres, "$a$ $1 $b$ $$ $a$ $2", &["$2"]),
            (Postgres, "a$$1", &[]),
            (Postgres, "$$ $1", &[]),
            (Postgres, "$ $1", &["$1"]),
            (Postgres, "($1)$2", &["$1", "$2"]),
            (Postgres, "1$1", &["$1"]),
            (MySql, "1$1 $a$1 $$ $2", &["$2"]),
            (Sqlite, "$name $1 :a @b::c :: a:", &["$name", "$1", ":a", "@b", ":c"]),
            (MySql, "$name @a := $1 :b", &["$1"]),
            (Postgres, "a::int :b @c $1", &["$1"]),
            (MySql, "$12+$3", &["$12", "$3"]),
            (MySql, "a.$1", &["$1"]),
        ] {
            assert_eq!(found(dialect, sql), wanted, "{dialect:?} {sql}");
        }
    }
}
