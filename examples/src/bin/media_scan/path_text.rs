//! Paths as text, without loss: what stands in the column `path`.
//!
//! A path that is valid UTF-8 is its own text. Any other is written as `bytes:` and the path, in
//! which each byte that is not part of valid UTF-8 is `%` and two hexadecimal digits, and so is each
//! `%`: `/media/caf<E9>.mp4` becomes `bytes:/media/caf%E9.mp4`. Its exact bytes are kept beside it,
//! in `path_bytes`.
//!
//! No two paths have the same text: plain ones never begin with `bytes:` (one that does is written
//! the other way), and the escape can be undone. It works byte by byte, so what is below a folder
//! begins with the folder's text in one form or the other: [`Below`].

use std::fmt::Write as _;
use std::path::{MAIN_SEPARATOR, Path};

const MARK: &str = "bytes:";

/// A path as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathText {
    /// Unlike any other path's.
    pub(crate) text: String,
    /// The path itself, where the text is not.
    pub(crate) bytes: Option<Vec<u8>>,
}

impl PathText {
    pub(crate) fn of(path: &Path) -> Self {
        let bytes = path.as_os_str().as_encoded_bytes();
        match plain(bytes) {
            Some(text) => Self { text: text.to_owned(), bytes: None },
            None => Self { text: escaped(bytes), bytes: Some(bytes.to_vec()) },
        }
    }
}

/// The text of a path that needs no escape.
fn plain(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|text| !text.starts_with(MARK))
}

fn escaped(bytes: &[u8]) -> String {
    let mut text = String::from(MARK);
    let percent = |text: &mut String, byte: u8| {
        // Writing to a String does not fail.
        let _ = write!(text, "%{byte:02X}");
    };
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c == '%' { percent(&mut text, b'%') } else { text.push(c) }
        }
        chunk.invalid().iter().for_each(|byte| percent(&mut text, *byte));
    }
    text
}

/// Everything below a folder, as two ranges of `path`: names that are text, and others.
///
/// Each range is from its first text up to, and without, its second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Below {
    /// Empty for a folder whose own path is no text.
    plain: [String; 2],
    escaped: [String; 2],
}

impl Below {
    /// The condition for a statement that binds [`Below::bounds`] from `?1` on.
    pub(crate) const SQL: &str = "(path >= ?1 AND path < ?2 OR path >= ?3 AND path < ?4)";

    pub(crate) fn folder(folder: &Path) -> Self {
        let mut bytes = folder.as_os_str().as_encoded_bytes().to_vec();
        let separator = MAIN_SEPARATOR as u8; // `/` or `\`
        if bytes.last() != Some(&separator) {
            bytes.push(separator);
        }
        Self {
            plain: plain(&bytes).map_or_else(Default::default, |text| range(text.to_owned())),
            escaped: range(escaped(&bytes)),
        }
    }

    pub(crate) fn bounds(&self) -> [&str; 4] {
        let [from, to] = &self.plain;
        let [escaped_from, escaped_to] = &self.escaped;
        [from, to, escaped_from, escaped_to]
    }
}

/// All texts that begin with `prefix`, which ends with a separator.
fn range(prefix: String) -> [String; 2] {
    let mut end = prefix.clone();
    end.pop();
    end.push(char::from(MAIN_SEPARATOR as u8 + 1));
    [prefix, end]
}

#[cfg(all(test, unix))]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    fn path(bytes: &[u8]) -> &Path {
        Path::new(OsStr::from_bytes(bytes))
    }

    /// The path that a text stands for.
    fn decode(text: &str) -> Vec<u8> {
        let Some(escaped) = text.strip_prefix(MARK) else { return text.into() };
        let mut parts = escaped.split('%');
        let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
        for part in parts {
            let (digits, rest) = part.split_at(2);
            bytes.push(u8::from_str_radix(digits, 16).unwrap());
            bytes.extend(rest.as_bytes());
        }
        bytes
    }

    fn contains(below: &Below, text: &str) -> bool {
        let [a, b, c, d] = below.bounds();
        (a <= text && text < b) || (c <= text && text < d)
    }

    #[test]
    fn text_is_kept_as_it_is() {
        for name in ["/a/b.mkv", "/100%/a'b\"c\nd", "/\u{1f3ac}/%E9", "rel/bytes:x", "/bytes:/x"] {
            assert_eq!(PathText::of(Path::new(name)), PathText { text: name.into(), bytes: None });
        }
    }

    #[test]
    fn what_is_no_text_is_escaped_and_kept() {
        let odd = PathText::of(path(b"/100%/caf\xe9\xff \xf0\x9f\x8e\xac.mp4"));
        assert_eq!(odd.text, "bytes:/100%25/caf%E9%FF \u{1f3ac}.mp4");
        assert_eq!(odd.bytes.as_deref(), Some(&b"/100%/caf\xe9\xff \xf0\x9f\x8e\xac.mp4"[..]));
    }

    #[test]
    fn every_text_leads_back_to_its_path_alone() {
        let alphabet: [&[u8]; 10] =
            [b"a", b"/", b"%", b"%E9", b"E9", b"\xe9", b"\xff", b"\xc3", b"bytes:", "é".as_bytes()];
        let mut texts = std::collections::HashMap::new();
        for i in 0..10_usize.pow(4) {
            let bytes = [i / 1000, i / 100 % 10, i / 10 % 10, i % 10].map(|n| alphabet[n]).concat();
            let text = PathText::of(path(&bytes)).text;
            assert_eq!(decode(&text), bytes, "{text}");
            if let Some(other) = texts.insert(text, bytes.clone()) {
                assert_eq!(other, bytes); // the same path, spelled twice
            }
        }
    }

    #[test]
    fn a_folder_contains_what_is_below_it_and_nothing_else() {
        let folders: [&[u8]; 4] = [b"/media", b"/", b"/m\xe9dia", b"/100%"];
        let ends: [&[u8]; 4] = [b"/a", b"/x/y\xff.mkv", b"/ ", b"/\xf4\x8f\xbf\xbf"];
        for folder in folders {
            let below = Below::folder(path(folder));
            for end in ends {
                let inside = [folder.strip_suffix(b"/").unwrap_or(folder), end].concat();
                assert!(contains(&below, &PathText::of(path(&inside)).text), "{inside:?}");
            }
            if folder != b"/" {
                for beside in [folder, &[folder, b"-2/a"].concat(), &[folder, b"0/\xff"].concat()] {
                    assert!(!contains(&below, &PathText::of(path(beside)).text), "{beside:?}");
                }
            }
        }
        assert_eq!(Below::folder(path(b"/a/")), Below::folder(path(b"/a")));
    }
}
