//! [`Token`]: the word that opens the endpoints.

use std::env::VarError;
use std::path::{Path, PathBuf};
use std::{env, fmt, fs, io};

use subtle::ConstantTimeEq;

/// The word that opens the endpoints. It shows in no `Debug`.
///
/// It comes from the program, the environment or a file; not from the command line, which every
/// user of the machine can read.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// This word.
    ///
    /// # Errors
    /// If it is empty or has other characters than visible ASCII, which no header could carry.
    pub fn new(word: impl Into<String>) -> Result<Self, TokenError> {
        let word = word.into();
        let fits = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_graphic());
        if fits { Ok(Self(word)) } else { Err(TokenError::Unfit) }
    }

    /// The word in an environment variable.
    ///
    /// # Errors
    /// If the variable is not set, or as of [`new`](Self::new).
    pub fn from_env(name: &str) -> Result<Self, TokenError> {
        match env::var(name) {
            Ok(word) => Self::new(word),
            Err(VarError::NotPresent) => Err(TokenError::NotSet(name.to_owned())),
            Err(VarError::NotUnicode(_)) => Err(TokenError::Unfit),
        }
    }

    /// The word in a file; a line's end after it does not count.
    ///
    /// # Errors
    /// If the file cannot be read, or as of [`new`](Self::new).
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, TokenError> {
        let path = path.as_ref();
        let text =
            fs::read_to_string(path).map_err(|error| TokenError::File(path.to_owned(), error))?;
        Self::new(text.trim_end_matches(['\r', '\n']))
    }

    /// Whether this is the word; takes as long whichever characters are wrong.
    pub(super) fn is(&self, word: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(word).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

/// Why there is no token.
#[derive(Debug)]
#[non_exhaustive]
pub enum TokenError {
    /// It is empty, or has other characters than visible ASCII.
    Unfit,
    /// This environment variable is not set.
    NotSet(String),
    /// This file cannot be read.
    File(PathBuf, io::Error),
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unfit => {
                f.write_str("a token is one word of visible ASCII characters, not empty")
            }
            Self::NotSet(name) => write!(f, "no token: {name} is not set"),
            Self::File(path, error) => write!(f, "no token in {}: {error}", path.display()),
        }
    }
}

impl std::error::Error for TokenError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r25_a_token_is_one_word_and_shows_nowhere() {
        for word in ["", " ", "two words", "line\n", "tökén"] {
            assert!(matches!(Token::new(word), Err(TokenError::Unfit)), "{word:?}");
        }
        let token = Token::new("open-sesame").unwrap();
        assert!(token.is(b"open-sesame"));
        for other in ["", "open-sesam", "open-sesame ", "Open-sesame"] {
            assert!(!token.is(other.as_bytes()), "{other:?}");
        }
        assert_eq!(format!("{token:?}"), "Token(***)");
    }

    #[test]
    fn it_comes_from_the_environment_or_a_file() {
        let error = Token::from_env("POOL_METRICS_NO_SUCH_VARIABLE").unwrap_err();
        assert_eq!(error.to_string(), "no token: POOL_METRICS_NO_SUCH_VARIABLE is not set");
        // Whichever there is that fits.
        let fits = |(_, word): &(String, String)| Token::new(word.clone()).is_ok();
        let (name, word) = env::vars().find(fits).unwrap();
        assert!(Token::from_env(&name).unwrap().is(word.as_bytes()));

        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        fs::write(&file, "open-sesame\n").unwrap();
        assert!(Token::from_file(&file).unwrap().is(b"open-sesame"));
        fs::write(&file, "\n").unwrap();
        assert!(matches!(Token::from_file(&file), Err(TokenError::Unfit)));
        let error = Token::from_file(dir.path().join("none")).unwrap_err().to_string();
        assert!(error.starts_with("no token in ") && error.contains("none: "), "{error}");
    }
}
