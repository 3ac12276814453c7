//! Chunks: how many rows one statement takes, and how few different statements that makes.
//!
//! Every row count is a different SQL text, and every text is prepared once per connection. So a
//! chunk has a fixed size, and what is left over is split into powers of two: ten texts, not a
//! thousand.
use std::iter::{Fuse, from_fn};
use std::marker::PhantomData;

use crate::ident::Dialect;
use crate::plan::PlanError;
use crate::value::Value;

const DEFAULT_MAX_BYTES: usize = 1024 * 1024;

/// How many rows of so many columns go into one statement: the size that is fastest, or fewer where
/// the database would not take as many values. At least 1.
///
/// ```
/// use pool_sql::{Dialect, chunk::chunk_rows};
///
/// assert_eq!(chunk_rows(Dialect::Sqlite, 5), 250);
/// assert_eq!(chunk_rows(Dialect::Postgres, 5), 1_000);
/// assert_eq!(chunk_rows(Dialect::Postgres, 100), 655);
/// ```
pub fn chunk_rows(dialect: Dialect, columns: usize) -> usize {
    let fastest = match dialect {
        Dialect::Sqlite => 250,
        Dialect::Postgres | Dialect::MySql => 1_000,
    };
    (dialect.max_placeholders() / columns.max(1)).clamp(1, fastest)
}

/// Splits `rows` into whole chunks and then powers of two, the largest first.
///
/// ```
/// use pool_sql::split_tail;
///
/// assert_eq!(split_tail(437, 250).collect::<Vec<_>>(), [250, 128, 32, 16, 8, 2, 1]);
/// ```
pub fn split_tail(rows: usize, chunk: usize) -> impl Iterator<Item = usize> + Send {
    let chunk = chunk.max(1);
    let mut left = rows;
    from_fn(move || {
        let next = if left >= chunk { chunk } else { 1 << left.checked_ilog2()? };
        left -= next;
        Some(next)
    })
}

/// Groups rows as they come, by number and by bytes, and checks that each has the right width.
///
/// ```
/// use pool_sql::{Dialect, Insert, Value};
///
/// let plan = Insert::into("numbers")?.columns(["n"])?;
/// let chunker = plan.chunker(Dialect::Sqlite);
/// let mut statements = Vec::new();
/// for chunk in chunker.chunks((0..300).map(|n| [Value::from(n)])) {
///     for rows in chunker.statements(&chunk?) {
///         // Here a backend runs `plan.sql(dialect, rows.len())` with the values of these rows.
///         statements.push(rows.len());
///     }
/// }
/// assert_eq!(statements, [250, 32, 16, 2]);
/// # Ok::<(), pool_sql::PlanError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Chunker {
    width: usize,
    max_rows: usize,
    max_bytes: usize,
}

impl Chunker {
    /// For rows of `width` values: the dialect's [`chunk_rows`], and 1 MiB.
    pub fn new(dialect: Dialect, width: usize) -> Self {
        Self { width, max_rows: chunk_rows(dialect, width), max_bytes: DEFAULT_MAX_BYTES }
    }

    /// At most so many rows; at least 1.
    #[must_use]
    pub fn max_rows(self, rows: usize) -> Self {
        Self { max_rows: rows.max(1), ..self }
    }

    /// At most so many bytes of values, by [`Value::size`]. A row that is larger gets a chunk of its
    /// own.
    #[must_use]
    pub fn max_bytes(self, bytes: usize) -> Self {
        Self { max_bytes: bytes, ..self }
    }

    /// The most rows in a chunk, and so in a statement.
    pub fn rows_per_statement(&self) -> usize {
        self.max_rows
    }

    /// A chunk as statements: a whole one is one, any other is split as [`split_tail`] does.
    pub fn statements<'c, R>(&self, chunk: &'c [R]) -> impl Iterator<Item = &'c [R]> {
        let mut left = chunk;
        split_tail(chunk.len(), self.max_rows).map(move |count| {
            let (statement, rest) = left.split_at(count);
            left = rest;
            statement
        })
    }

    /// The rows in chunks; one chunk is held at a time. It ends after the first error.
    pub fn chunks<'r, I>(self, rows: I) -> Chunks<'r, I::IntoIter>
    where
        I: IntoIterator,
        I::Item: AsRef<[Value<'r>]>,
    {
        Chunks {
            rows: rows.into_iter().fuse(),
            limits: self,
            seen: 0,
            held: None,
            failed: false,
            values: PhantomData,
        }
    }
}

/// Rows in chunks; made by [`Chunker::chunks`].
#[derive(Debug)]
pub struct Chunks<'r, I: Iterator> {
    rows: Fuse<I>,
    limits: Chunker,
    seen: u64,
    held: Option<(I::Item, usize)>, // did not fit into the chunk before
    failed: bool,
    values: PhantomData<Value<'r>>,
}

impl<'r, I> Chunks<'r, I>
where
    I: Iterator,
    I::Item: AsRef<[Value<'r>]>,
{
    /// Chunks from the next one on are as large as this says; a row's width stays as it was.
    ///
    /// ```
    /// use pool_sql::{Chunker, Dialect, Value};
    ///
    /// let few = Chunker::new(Dialect::MySql, 1).max_rows(2);
    /// let mut chunks = few.chunks((0..9).map(|n| [Value::from(n)]));
    /// assert_eq!(chunks.next().unwrap()?.len(), 2);
    /// chunks.limit(few.max_rows(5));
    /// assert_eq!(chunks.next().unwrap()?.len(), 5);
    /// assert_eq!(chunks.next().unwrap()?.len(), 2);
    /// # Ok::<(), pool_sql::PlanError>(())
    /// ```
    pub fn limit(&mut self, chunker: Chunker) {
        (self.limits.max_rows, self.limits.max_bytes) = (chunker.max_rows, chunker.max_bytes);
    }

    /// The next chunk of what `make` makes of each row, in one go; none after the first error.
    ///
    /// ```
    /// use pool_sql::{Chunker, Dialect, PlanError, Value};
    ///
    /// let rows = (0..3).map(|n| [Value::from(n)]);
    /// let mut chunks = Chunker::new(Dialect::MySql, 1).chunks(rows);
    /// let sizes = chunks.next_of(|row| Ok::<_, PlanError>(row[0].size()));
    /// assert_eq!(sizes, Some(Ok(vec![8, 8, 8])));
    /// assert_eq!(chunks.next(), None);
    /// ```
    pub fn next_of<T, E: From<PlanError>>(
        &mut self,
        make: impl FnMut(I::Item) -> Result<T, E>,
    ) -> Option<Result<Vec<T>, E>> {
        if self.failed {
            return None;
        }
        let chunk = self.chunk(make);
        self.failed = chunk.is_err();
        Some(chunk).filter(|chunk| chunk.as_ref().map_or(true, |rows| !rows.is_empty()))
    }

    fn chunk<T, E: From<PlanError>>(
        &mut self,
        mut make: impl FnMut(I::Item) -> Result<T, E>,
    ) -> Result<Vec<T>, E> {
        // What a caller's iterator promises is believed up to a point.
        let expected = self.rows.size_hint().0.min(self.limits.max_rows).min(8_192);
        let mut chunk = Vec::with_capacity(expected);
        let mut bytes = 0_usize;
        if let Some((row, size)) = self.held.take() {
            chunk.push(make(row)?);
            bytes = size;
        }
        while chunk.len() < self.limits.max_rows {
            let Some(row) = self.rows.next() else {
                break;
            };
            let size = self.measure(&row)?;
            bytes = bytes.saturating_add(size);
            if bytes > self.limits.max_bytes && !chunk.is_empty() {
                self.held = Some((row, size));
                break;
            }
            chunk.push(make(row)?);
        }
        Ok(chunk)
    }

    /// The size of the next row, if it has the right width.
    fn measure(&mut self, row: &I::Item) -> Result<usize, PlanError> {
        let values = row.as_ref();
        let (wanted, found) = (self.limits.width, values.len());
        if found != wanted {
            return Err(PlanError::RowWidth { row: self.seen, wanted, found });
        }
        self.seen += 1;
        Ok(values.iter().map(|value| value.size()).sum())
    }
}

impl<'r, I> Iterator for Chunks<'r, I>
where
    I: Iterator,
    I::Item: AsRef<[Value<'r>]>,
{
    type Item = Result<Vec<I::Item>, PlanError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_of(Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_split_adds_up_in_few_sizes(rows in 0..5_000_usize, chunk in 1..1_200_usize) {
            let parts: Vec<_> = split_tail(rows, chunk).collect();
            prop_assert_eq!(parts.iter().sum::<usize>(), rows);
            prop_assert!(parts.is_sorted_by(|a, b| a >= b));
            prop_assert!(parts.iter().all(|&n| n == chunk || n.is_power_of_two() && n < chunk));
        }

        #[test]
        fn chunks_keep_every_row_in_order_under_both_limits(
            texts in prop::collection::vec("[a-z]{0,40}", 0..60),
            max_rows in 1..9_usize,
            max_bytes in 0..120_usize,
        ) {
            let chunker = Chunker::new(Dialect::Sqlite, 1).max_rows(max_rows).max_bytes(max_bytes);
            let rows = texts.iter().map(|text| [Value::from(text)]);
            let chunks: Vec<_> = chunker.chunks(rows.clone()).map(Result::unwrap).collect();
            for chunk in &chunks {
                let bytes: usize = chunk.iter().map(|row| row[0].size()).sum();
                prop_assert!((1..=max_rows).contains(&chunk.len()));
                prop_assert!(bytes <= max_bytes || chunk.len() == 1);
            }
            prop_assert!(chunks.into_iter().flatten().eq(rows));
        }
    }

    #[test]
    fn a_row_of_the_wrong_width_is_named_and_ends_it() {
        let rows = [vec![Value::I64(1)], vec![], vec![Value::I64(3)]];
        let mut chunks = Chunker::new(Dialect::MySql, 1).max_rows(1).chunks(rows);
        assert_eq!(chunks.next(), Some(Ok(vec![vec![Value::I64(1)]])));
        assert_eq!(chunks.next(), Some(Err(PlanError::RowWidth { row: 1, wanted: 1, found: 0 })));
        assert_eq!(chunks.next(), None);
    }

    #[test]
    fn a_row_that_cannot_be_made_into_anything_ends_it() {
        let chunker = Chunker::new(Dialect::MySql, 1).max_rows(usize::MAX).max_bytes(16);
        let mut chunks = chunker.chunks((0_i64..1_000_000_000_000).map(|n| [Value::I64(n)]));
        let number = |row: [Value<'_>; 1]| match row {
            [Value::I64(4)] => Err(PlanError::NoColumns { table: "four".into() }),
            [Value::I64(n)] => Ok(n),
            other => panic!("{other:?}"),
        };
        assert_eq!(chunks.next_of(number), Some(Ok(vec![0, 1])));
        assert_eq!(chunks.next_of(number), Some(Ok(vec![2, 3])));
        assert!(chunks.next_of(number).is_some_and(|chunk| chunk.is_err()));
        assert_eq!(chunks.next_of(number), None);
    }

    #[test]
    fn the_limits_hold_for_any_width() {
        for dialect in [Dialect::Sqlite, Dialect::Postgres, Dialect::MySql] {
            for columns in [0, 1, 7, 131, 132, 32_766] {
                let rows = chunk_rows(dialect, columns);
                assert!(rows >= 1 && rows * columns <= dialect.max_placeholders());
            }
        }
    }
}
