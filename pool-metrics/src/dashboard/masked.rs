//! Takes passwords out of what drivers say: an error may name the whole address of a database.

/// What a value follows that nobody should read.
const NAMES: [&str; 6] = ["password", "passwd", "pass", "pwd", "secret", "token"];
const MASK: &str = "***";

/// The text with the user and password of every URL, and the value of every `password=..` and its
/// kin, made unreadable.
pub(super) fn masked(text: &str) -> String {
    keys(&urls(text))
}

fn urls(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, address) = rest.split_at(at + 3);
        let end = address.find(|c: char| c.is_whitespace() || "\"'`<>".contains(c));
        let end = end.unwrap_or(address.len());
        out.push_str(before);
        // The last one: a password may contain others.
        let host = address[..end].rfind('@').inspect(|_| out.push_str(MASK)).unwrap_or(0);
        out.push_str(&address[host..end]);
        rest = &address[end..];
    }
    out + rest
}

fn keys(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    while let Some(value) = NAMES.iter().filter_map(|name| value_of(&lower, name, from)).min() {
        out.push_str(&text[from..value]);
        out.push_str(MASK);
        from = value + length(&text[value..]);
    }
    out + &text[from..]
}

/// Where the value of this name begins: `name=value`, `name: value`, with blanks.
fn value_of(lower: &str, name: &str, mut from: usize) -> Option<usize> {
    loop {
        let end = from + lower.get(from..)?.find(name)? + name.len();
        let after = lower[end..].trim_start_matches(['"', ' ']);
        if let Some(value) = after.strip_prefix(['=', ':']).map(str::trim_start)
            && !value.is_empty()
        {
            return Some(lower.len() - value.len());
        }
        from = end;
    }
}

/// How long a value is: to its closing quote, or to the next separator.
fn length(value: &str) -> usize {
    if let Some(inner) = value.strip_prefix("Some(") {
        return value.len() - inner.len() + length(inner);
    }
    let quote = value.chars().next().filter(|c| "\"'".contains(*c));
    let end = match quote {
        Some(quote) => closing(&value[1..], quote).map(|at| at + 2),
        None => value.find(|c: char| c.is_whitespace() || "&;,)\"'".contains(c)),
    };
    end.unwrap_or(value.len())
}

/// Where the quote is that no backslash precedes.
fn closing(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, c)| {
        let closes = c == quote && !escaped;
        escaped = c == '\\' && !escaped;
        closes.then_some(at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_taken_out_and_the_rest_stays() {
        for (text, expected) in [
            ("connection refused", "connection refused"),
            ("no password supplied", "no password supplied"),
            (
                "password authentication failed for user \"app\"",
                "password authentication failed for user \"app\"",
            ),
            ("postgres://app:s3cret@db:5432/x: refused", "postgres://***@db:5432/x: refused"),
            (
                "at 'mysql://u:p@ss@h/x' and postgres://h/y",
                "at 'mysql://***@h/x' and postgres://h/y",
            ),
            ("host=db password=s3cret user=app", "host=db password=*** user=app"),
            ("Password = 's3 cret', user", "Password = ***, user"),
            ("?sslmode=on&PWD=a&token=b", "?sslmode=on&PWD=***&token=***"),
            ("{\"password\": \"a\\u00e4\"}", "{\"password\": ***}"),
            ("ärger: password:ö", "ärger: password:***"),
            ("Config { password: Some(\"s3cret\") }", "Config { password: ***) }"),
            (r#"pass: "a\"b", secret=c"#, "pass: ***, secret=***"),
        ] {
            assert_eq!(masked(text), expected);
        }
    }
}
