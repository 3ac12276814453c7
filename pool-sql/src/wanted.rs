//! Wanted ids against the rows that came back: put in order, grouped by parent, the missing named.
use std::borrow::Cow;
use std::collections::HashMap;

use crate::row::Row;
use crate::value::{OwnedValue, Value, ValueType};

/// The answer to [`Batch::select_by_ids`](crate::Batch::select_by_ids).
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Found {
    /// The rows in the order in which their ids are first mentioned; an id that is asked for twice
    /// is answered once. Where the id column is not unique, all its rows follow each other.
    pub rows: Vec<Row>,
    /// The ids without a row, in the order asked for, each once. A NULL is always missing.
    pub missing: Vec<OwnedValue>,
    /// Rows that the database found equal to an id although they are not the same: where it ignores
    /// case, or keeps numbers as text. Nothing is dropped silently; normally this is empty.
    pub unmatched: Vec<Row>,
}

/// The answer to [`Batch::load_related`](crate::Batch::load_related): children by parent.
///
/// ```
/// use pool_sql::{OwnedValue, Row, Value, Wanted};
/// use std::sync::Arc;
///
/// let columns: Arc<[Box<str>]> = Arc::from(["id".into(), "plot_id".into()]);
/// let child = |id, plot| Row::new(columns.clone(), vec![OwnedValue::I64(id), OwnedValue::I64(plot)]);
///
/// let parents = [Value::I64(7), Value::I64(8)];
/// let chapters = Wanted::new(&parents).related(vec![child(1, 8), child(2, 8)], 1);
/// assert_eq!(chapters.children(Value::I64(8)).len(), 2);
/// assert!(chapters.children(Value::I64(7)).is_empty());
/// ```
#[derive(Clone, Debug, Default)]
pub struct RelatedRows {
    parents: Vec<OwnedValue>,
    positions: HashMap<Key<'static>, usize>,
    rows: Vec<Row>,   // grouped, in the order of `parents`
    ends: Vec<usize>, // in `rows`, one for each parent
    unmatched: Vec<Row>,
}

impl RelatedRows {
    /// The children of one parent, in the plan's order; empty for one that has none, or was not
    /// asked for.
    pub fn children(&self, parent: Value<'_>) -> &[Row] {
        self.positions.get(&Key::of(parent)).map_or(&[], |&position| self.group(position))
    }

    /// The parents in the order asked for, each once, with their children.
    pub fn iter(&self) -> impl Iterator<Item = (Value<'_>, &[Row])> {
        self.parents.iter().enumerate().map(|(i, parent)| (parent.as_ref(), self.group(i)))
    }

    /// As [`Found::unmatched`]: rows of a parent that only the database finds equal to one asked for.
    pub fn unmatched(&self) -> &[Row] {
        &self.unmatched
    }

    fn group(&self, position: usize) -> &[Row] {
        let start = position.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.rows[start..self.ends[position]]
    }
}

/// The ids of a request, each once, and the rows that came back put in their order: for backends.
///
/// Integers are compared by number, whatever their width, a truth value as 0 or 1, a UUID as its 16
/// bytes; everything else exactly.
///
/// ```
/// use pool_sql::{OwnedValue, Row, Value, Wanted};
///
/// let ids = [Value::I64(2), Value::U64(1), Value::I64(2), Value::I64(3)];
/// let wanted = Wanted::new(&ids);
/// assert_eq!(wanted.ids().len(), 3);
///
/// // Here a backend queries for `wanted.ids()`.
/// let row = |id| Row::new(["id".into()].into(), vec![OwnedValue::I64(id)]);
/// let found = wanted.found(vec![row(1), row(2)], 0);
/// assert_eq!(found.rows, [row(2), row(1)]);
/// assert_eq!(found.missing, [OwnedValue::I64(3)]);
/// ```
#[derive(Debug)]
pub struct Wanted<'a> {
    ids: Vec<Value<'a>>,
    positions: HashMap<Key<'a>, usize>,
}

impl<'a> Wanted<'a> {
    /// The ids asked for, in their order.
    pub fn new(ids: &[Value<'a>]) -> Self {
        let mut wanted = Self { ids: Vec::new(), positions: HashMap::with_capacity(ids.len()) };
        for id in ids {
            let position = wanted.ids.len();
            if *wanted.positions.entry(Key::of(*id)).or_insert(position) == position {
                wanted.ids.push(*id);
            }
        }
        wanted
    }

    /// Each id once, in the order of first mention.
    pub fn ids(&self) -> &[Value<'a>] {
        &self.ids
    }

    /// Puts rows with the id at `id_index` in order.
    pub fn found(self, rows: Vec<Row>, id_index: usize) -> Found {
        let (rows, counts, unmatched) = self.arrange(rows, id_index);
        let missing = self.ids.iter().zip(counts).filter(|(_, count)| *count == 0);
        Found { rows, missing: missing.map(|(id, _)| id.into_owned()).collect(), unmatched }
    }

    /// Groups rows by the parent's id at `parent_index`; their order within a parent is kept.
    pub fn related(self, rows: Vec<Row>, parent_index: usize) -> RelatedRows {
        let (rows, counts, unmatched) = self.arrange(rows, parent_index);
        let ends = counts.iter().scan(0, |end, count| {
            *end += count;
            Some(*end)
        });
        RelatedRows {
            ends: ends.collect(),
            parents: self.ids.iter().map(|id| id.into_owned()).collect(),
            positions: self.positions.into_iter().map(|(key, i)| (key.into_owned(), i)).collect(),
            rows,
            unmatched,
        }
    }

    /// The rows in the order of the ids, how many each id has, and those that belong to none.
    fn arrange(&self, rows: Vec<Row>, index: usize) -> (Vec<Row>, Vec<usize>, Vec<Row>) {
        let mut placed = Vec::with_capacity(rows.len());
        let mut counts = vec![0; self.ids.len()];
        let mut unmatched = Vec::new();
        for row in rows {
            match row.at(index).and_then(|id| self.positions.get(&Key::of(id)).copied()) {
                Some(position) => {
                    counts[position] += 1;
                    placed.push((position, row));
                }
                None => unmatched.push(row),
            }
        }
        placed.sort_by_key(|(position, _)| *position); // stable
        (placed.into_iter().map(|(_, row)| row).collect(), counts, unmatched)
    }
}

/// A value by which rows are found: hashable, and equal across integer widths.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Key<'a> {
    Null,
    Integer(i128),
    Float(u64),
    Text(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
    Time(ValueType, i64),
}

impl<'a> Key<'a> {
    fn of(value: Value<'a>) -> Self {
        match value {
            Value::Null(_) => Self::Null,
            Value::Bool(v) => Self::Integer(v.into()),
            Value::I64(v) => Self::Integer(v.into()),
            Value::U64(v) => Self::Integer(v.into()),
            Value::F64(v) => Self::Float((v + 0.0).to_bits()), // -0 is 0
            Value::Text(v) | Value::Decimal(v) | Value::Json(v) => Self::Text(v.into()),
            Value::Bytes(v) => Self::Bytes(v.into()),
            Value::Uuid(v) => Self::Bytes(v.to_vec().into()),
            Value::Timestamp(v) | Value::Time(v) => Self::Time(value.value_type(), v),
            Value::Date(v) => Self::Time(ValueType::Date, v.into()),
        }
    }

    fn into_owned(self) -> Key<'static> {
        match self {
            Self::Null => Key::Null,
            Self::Integer(v) => Key::Integer(v),
            Self::Float(v) => Key::Float(v),
            Self::Text(v) => Key::Text(v.into_owned().into()),
            Self::Bytes(v) => Key::Bytes(v.into_owned().into()),
            Self::Time(of, v) => Key::Time(of, v),
        }
    }
}

/// Nothing of the value.
impl std::fmt::Debug for Key<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn row(id: i64, tag: i64) -> Row {
        Row::new(
            ["id".into(), "tag".into()].into(),
            vec![OwnedValue::I64(id), OwnedValue::I64(tag)],
        )
    }

    /// The same number in one of the forms it may have.
    fn id(n: i64) -> Value<'static> {
        match u64::try_from(n) {
            Ok(unsigned) if n % 2 == 0 => Value::U64(unsigned),
            _ => Value::I64(n),
        }
    }

    proptest! {
        #[test]
        fn rows_come_in_the_order_of_the_ids(
            asked in prop::collection::vec(-3..12_i64, 0..20),
            stored in prop::collection::vec(-5..14_i64, 0..20),
        ) {
            let ids: Vec<_> = asked.iter().map(|n| id(*n)).collect();
            let rows: Vec<_> = stored.iter().zip(0..).map(|(n, tag)| row(*n, tag)).collect();

            // What the documentation says, without cleverness.
            let mut once = Vec::new();
            for n in &asked {
                if !once.contains(n) {
                    once.push(*n);
                }
            }
            let of = |n: i64| rows.iter().filter(move |row| row.get("id") == Ok(n)).cloned();
            let ordered: Vec<_> = once.iter().flat_map(|n| of(*n)).collect();
            let missing: Vec<_> = once.iter().filter(|n| !stored.contains(n)).collect();
            let strange = rows.iter().filter(|row| !once.contains(&row.get("id").unwrap()));

            let found = Wanted::new(&ids).found(rows.clone(), 0);
            prop_assert_eq!(&found.rows, &ordered);
            prop_assert!(found.missing.iter().map(|m| Key::of(m.as_ref())).eq(missing
                .iter()
                .map(|n| Key::of(Value::I64(**n)))));
            prop_assert!(found.unmatched.iter().eq(strange));

            let related = Wanted::new(&ids).related(rows.clone(), 0);
            prop_assert_eq!(related.iter().count(), once.len());
            for ((parent, children), n) in related.iter().zip(&once) {
                prop_assert_eq!(Key::of(parent), Key::of(Value::I64(*n)));
                prop_assert!(children.iter().cloned().eq(of(*n)));
                prop_assert_eq!(related.children(Value::I64(*n)), children);
            }
            prop_assert_eq!(related.children(Value::I64(99)).len(), 0);
            prop_assert_eq!(related.unmatched(), &found.unmatched[..]);
        }
    }

    #[test]
    fn keys_are_equal_where_ids_are() {
        let same = |a, b| Key::of(a) == Key::of(b);
        assert!(same(Value::I64(5), Value::U64(5)));
        assert!(same(Value::Bool(true), Value::I64(1)));
        assert!(same(Value::Uuid([3; 16]), Value::Bytes(&[3; 16])));
        assert!(same(Value::F64(0.0), Value::F64(-0.0)));
        assert!(!same(Value::I64(-1), Value::U64(u64::MAX)));
        assert!(!same(Value::Text("1"), Value::I64(1)));
        assert!(!same(Value::Text("a"), Value::Text("A")));
        assert!(!same(Value::Date(1), Value::Time(1)));
    }

    #[test]
    fn null_and_a_row_without_the_column_match_nothing_asked_for() {
        let ids = [Value::Null(ValueType::I64), Value::I64(1)];
        let found = Wanted::new(&ids).found(vec![row(1, 0)], 5);
        assert_eq!((found.rows.len(), found.missing.len(), found.unmatched.len()), (0, 2, 1));
        assert!(Wanted::new(&[]).related(Vec::new(), 0).children(Value::I64(1)).is_empty());
    }
}
