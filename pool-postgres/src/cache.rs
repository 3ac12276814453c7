//! [`Cache`]: the prepared statements of a connection, the least recently used make way.

use std::num::NonZeroUsize;

use lru::LruCache;
use tokio_postgres::Statement;

/// Statements by their text. A statement that falls out is closed on the server when its last user
/// is done with it.
pub(crate) struct Cache(Option<LruCache<Box<str>, Statement>>);

impl Cache {
    /// For so many statements; 0 keeps none.
    pub(crate) fn new(size: usize) -> Self {
        // Grows as it is filled: most programs have a few dozen statements.
        Self(NonZeroUsize::new(size).map(|size| {
            let mut cache = LruCache::unbounded();
            cache.resize(size);
            cache
        }))
    }

    pub(crate) fn find(&mut self, sql: &str) -> Option<Statement> {
        let cache = self.0.as_mut()?;
        match cache.peek_mru() {
            // Who loops runs the same again: it is the last in order, and needs no hash.
            Some((last, statement)) if **last == *sql => Some(statement.clone()),
            _ => cache.get(sql).cloned(),
        }
    }

    /// Keeps a statement, and gives back what made way for it, to be dropped outside the lock.
    pub(crate) fn keep(&mut self, sql: &str, statement: Statement) -> Option<Statement> {
        self.0.as_mut()?.push(sql.into(), statement).map(|(_, old)| old)
    }

    pub(crate) fn forget(&mut self, sql: &str) -> Option<Statement> {
        self.0.as_mut()?.pop(sql)
    }

    /// Empties it, and gives back what was in it.
    pub(crate) fn clear(&mut self) -> Vec<Statement> {
        let Some(cache) = &mut self.0 else { return Vec::new() };
        std::iter::from_fn(|| cache.pop_lru()).map(|(_, statement)| statement).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, LruCache::len)
    }
}
