//! [`Cache`]: the prepared statements of a connection, the least recently used make way.

use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use mysql_async::{Params, Statement, Value};
use mysql_common::constants::MAX_PAYLOAD_LEN;
use mysql_common::named_params::ParsedNamedParams;

use crate::error::{MySqlError, MySqlErrorKind};
use crate::text::{Leaves, left_by};

/// A statement as the server keeps it.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) statement: Statement,
    /// The names of its parameters in the order of their places, if they have names.
    names: Vec<Vec<u8>>,
    pub(crate) leaves: Leaves,
}

/// A statement's text as the server takes it, and the names that stood in it.
pub(crate) struct Text {
    sql: Vec<u8>,
    names: Vec<Vec<u8>>,
    leaves: Leaves,
}

impl Text {
    /// `:name` becomes `?`.
    pub(crate) fn parse(sql: &str) -> Result<Self, MySqlError> {
        let parsed = ParsedNamedParams::parse(sql.as_bytes()).map_err(|_| {
            let text = format!("parameters by place and by name in one statement: {sql}");
            MySqlError::text(MySqlErrorKind::Params, text)
        })?;
        let names = parsed.params().iter().map(|name| name.to_vec()).collect();
        Ok(Self { sql: parsed.query().to_vec(), names, leaves: left_by(sql) })
    }

    /// A text whose parameters have places only: what looks like a name is none.
    pub(crate) fn placed(sql: &str) -> Self {
        Self { sql: sql.into(), names: Vec::new(), leaves: left_by(sql) }
    }

    /// A text of our own: without names, and leaving nothing. It is not looked at.
    pub(crate) fn own(sql: &str) -> Self {
        Self { sql: sql.into(), names: Vec::new(), leaves: Leaves::Nothing }
    }

    pub(crate) fn sql(&self) -> Vec<u8> {
        self.sql.clone()
    }

    pub(crate) fn prepared_as(self, statement: Statement) -> Prepared {
        Prepared { statement, names: self.names, leaves: self.leaves }
    }
}

impl Prepared {
    /// The values in the order of their places. What does not fit is found here: the driver would
    /// close the connection for it.
    pub(crate) fn values(
        &self,
        sql: &str,
        params: Params,
        limit: Limit,
    ) -> Result<Vec<Value>, MySqlError> {
        let error = |text: String| {
            MySqlError::text(MySqlErrorKind::Params, format!("{text} in the statement: {sql}"))
        };
        let names = Some(self.names.as_slice()).filter(|names| !names.is_empty());
        let values = params.into_values(names).map_err(|said| error(said.to_string()))?;
        let (wanted, given) = (usize::from(self.statement.num_params()), values.len());
        if wanted != given {
            return Err(error(format!("{given} parameters given for {wanted} places")));
        }
        limit.check(&values)?;
        Ok(values)
    }
}

/// For what is around a value in its packet, and is not counted.
const SPARE: usize = 64;

/// How much the server takes in one packet (`max_allowed_packet`). It closes the connection for more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    pub(crate) max_packet: usize,
    /// Whether each value goes in packets of its own if there is no room for all in one.
    pub(crate) apart: bool,
}

impl Limit {
    /// For one text.
    pub(crate) fn check_text(self, sql: &str) -> Result<(), MySqlError> {
        self.check_size("its text", sql.len() + 1)
    }

    fn check(self, values: &[Value]) -> Result<(), MySqlError> {
        let sizes = || values.iter().map(|value| value.bin_len() as usize);
        // Command, number, flags and a count; a bit and a type for each value.
        let all = sizes().sum::<usize>() + 11 + values.len().div_ceil(8) + 2 * values.len();
        if self.apart && all > MAX_PAYLOAD_LEN {
            return self.check_size("one of its values", sizes().max().unwrap_or_default());
        }
        // Where many rows go at once, the driver counts more for each value.
        self.check_size("its values", if self.apart { all } else { all + 4 * values.len() })
    }

    fn check_size(self, what: &str, size: usize) -> Result<(), MySqlError> {
        let max_packet = self.max_packet;
        if size + SPARE < max_packet {
            return Ok(());
        }
        let text = format!(
            "{what} would take {size} bytes, and the server takes {max_packet} at once \
             (max_allowed_packet): send less at once, or raise it"
        );
        Err(MySqlError::text(
            MySqlErrorKind::TooLarge,
            format!("the statement is too large: {text}"),
        ))
    }
}

/// Statements by their text.
pub(crate) struct Cache(LruCache<Box<str>, Arc<Prepared>>);

impl Cache {
    /// For so many statements, at least one.
    pub(crate) fn new(size: usize) -> Self {
        // Grows as it is filled: most programs have a few dozen statements.
        let mut cache = LruCache::unbounded();
        cache.resize(NonZeroUsize::new(size).unwrap_or(NonZeroUsize::MIN));
        Self(cache)
    }

    pub(crate) fn find(&mut self, sql: &str) -> Option<Arc<Prepared>> {
        // Mostly it is the same again, and needs no hash.
        match self.0.peek_mru() {
            Some((last, prepared)) if **last == *sql => Some(prepared.clone()),
            _ => self.0.get(sql).cloned(),
        }
    }

    /// Makes room for another statement, and gives back what made way for it, to be closed on the
    /// server.
    pub(crate) fn make_room(&mut self) -> Option<Statement> {
        let is_full = self.0.len() >= self.0.cap().get();
        let old = if is_full { self.0.pop_lru() } else { None };
        old.map(|(_, old)| old.statement.clone())
    }

    /// Keeps a statement, for which there is room.
    pub(crate) fn keep(&mut self, sql: &str, prepared: Arc<Prepared>) {
        self.0.put(sql.into(), prepared);
    }

    pub(crate) fn forget(&mut self, sql: &str) -> Option<Statement> {
        self.0.pop(sql).map(|old| old.statement.clone())
    }

    /// Takes one out, to be closed on the server.
    pub(crate) fn take_any(&mut self) -> Option<Statement> {
        self.0.pop_lru().map(|(_, old)| old.statement.clone())
    }

    /// Empties it: the server has forgotten them.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
