//! What a file is, told by the end of its name.

use std::path::Path;

/// The types that the server's pages tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Video,
    Audio,
    Image,
    Subtitle,
    Other,
}

const EXTENSIONS: [(Kind, &[&str]); 4] = [
    (
        Kind::Video,
        &[
            "3gp", "avi", "divx", "flv", "m2ts", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg", "mts",
            "ogv", "ts", "vob", "webm", "wmv",
        ],
    ),
    (
        Kind::Audio,
        &[
            "aac", "ac3", "aiff", "alac", "ape", "dsf", "dts", "flac", "m4a", "m4b", "mka", "mp3",
            "ogg", "opus", "wav", "wma", "wv",
        ],
    ),
    (
        Kind::Image,
        &[
            "avif", "bmp", "cr2", "dng", "gif", "heic", "jpeg", "jpg", "jxl", "nef", "png", "svg",
            "tif", "tiff", "webp",
        ],
    ),
    (Kind::Subtitle, &["ass", "idx", "smi", "srt", "ssa", "sub", "sup", "ttml", "vtt"]),
];

impl Kind {
    /// By the extension, in capitals or not; a file without a known one is [`Kind::Other`].
    pub(crate) fn of(path: &Path) -> Self {
        let Some(extension) = path.extension().and_then(|extension| extension.to_str()) else {
            return Self::Other;
        };
        let has = |known: &[&str]| known.iter().any(|known| extension.eq_ignore_ascii_case(known));
        EXTENSIONS
            .iter()
            .find_map(|(kind, known)| has(known).then_some(*kind))
            .unwrap_or(Self::Other)
    }

    /// The type as it stands in the table.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Image => "image",
            Self::Subtitle => "subtitle",
            Self::Other => "other",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_decides_in_capitals_or_not() {
        for (name, kind) in [
            ("a.mkv", Kind::Video),
            ("A.MP4", Kind::Video),
            ("tape.01.flac", Kind::Audio),
            ("x/y.JpEg", Kind::Image),
            ("film.de.srt", Kind::Subtitle),
            ("notes.txt", Kind::Other),
            ("mkv", Kind::Other),
            (".mkv", Kind::Other),
            ("film.", Kind::Other),
            ("film.mkv.part", Kind::Other),
            ("", Kind::Other),
        ] {
            assert_eq!(Kind::of(Path::new(name)), kind, "{name}");
        }
    }

    #[test]
    fn no_extension_stands_for_two_kinds() {
        let mut all: Vec<_> = EXTENSIONS.iter().flat_map(|(_, known)| *known).collect();
        all.sort();
        let count = all.len();
        all.dedup();
        assert_eq!(all.len(), count);
        assert!(
            all.iter()
                .all(|known| known.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()))
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_name_that_is_no_text_still_has_its_extension() {
        use std::os::unix::ffi::OsStrExt;
        let name = std::ffi::OsStr::from_bytes(b"caf\xe9.mp4");
        assert_eq!(Kind::of(Path::new(name)), Kind::Video);
    }
}
