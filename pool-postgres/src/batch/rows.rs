//! Rows as the server reads many at once: a COPY stream, and an array for each column.

use std::error::Error;
use std::fmt;
use std::marker::PhantomData;

use bytes::{BufMut, BytesMut};
use pool_sql::{Ident, Value};
use tokio_postgres::types::{IsNull, Kind, ToSql, Type, to_sql_checked};

use crate::error::{PgError, PgErrorKind};
use crate::values::encode::{Misfit, put_known};
use crate::values::format::{Fault, Format};

/// The rows of `COPY .. FROM STDIN (FORMAT binary)`, appended to a buffer that the caller sends and
/// empties as it likes.
///
/// A row that does not fit leaves the buffer as it was: whole rows, and nothing else.
pub(crate) struct CopyEncoder<'a> {
    names: &'a [Ident],
    types: &'a [Type],
    formats: Vec<Option<Format>>,
    rows: u64,
}

impl<'a> CopyEncoder<'a> {
    /// Appends the header. `names` and `types` are those of the columns of the COPY statement.
    pub(crate) fn start(names: &'a [Ident], types: &'a [Type], out: &mut BytesMut) -> Self {
        out.put_slice(b"PGCOPY\n\xff\r\n\0");
        out.put_i32(0); // flags: no oids
        out.put_i32(0); // no extension of the header
        Self { names, types, formats: types.iter().map(Format::of).collect(), rows: 0 }
    }

    /// Counts rows from so many on: those of the batch that went another way.
    pub(crate) fn after(self, rows: u64) -> Self {
        Self { rows, ..self }
    }

    /// Appends a row.
    ///
    /// # Errors
    /// Another number of values than columns, or a value that its column does not take.
    pub(crate) fn row(&mut self, values: &[Value<'_>], out: &mut BytesMut) -> Result<(), PgError> {
        let (wanted, found) = (self.types.len(), values.len());
        if wanted != found {
            return Err(wrong_width(self.rows, wanted, found));
        }
        let start = out.len();
        out.put_i16(i16::try_from(wanted).map_err(|_| too_many("columns"))?);
        let columns = self.types.iter().zip(&self.formats);
        for (at, (value, (ty, format))) in values.iter().zip(columns).enumerate() {
            if let Err(misfit) = put_field(*value, ty, *format, out) {
                out.truncate(start);
                return Err(unfit(self.rows, self.names.get(at), &misfit));
            }
        }
        self.rows += 1;
        Ok(())
    }

    /// Appends the trailer, and says how many rows there are, with those counted before.
    pub(crate) fn finish(self, out: &mut BytesMut) -> u64 {
        out.put_i16(-1);
        self.rows
    }
}

/// One column of some rows, sent as an array: a parameter of `UNNEST($1::t[], ..)`.
///
/// What goes wrong is a [`PgError`] in the box, and so the source of the driver's error.
pub(crate) struct Column<'a, 'v, R> {
    rows: &'a [R],
    index: usize,
    name: &'a Ident,
    first_row: u64,
    values: PhantomData<Value<'v>>,
}

impl<'a, R> Column<'a, '_, R> {
    /// The values at `index` of each row. Errors count rows from `first_row`.
    pub(crate) fn new(rows: &'a [R], index: usize, name: &'a Ident, first_row: u64) -> Self {
        Self { rows, index, name, first_row, values: PhantomData }
    }
}

impl<'v, R: AsRef<[Value<'v>]>> ToSql for Column<'_, 'v, R> {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let member = start_array(self.rows.len(), ty, out)?;
        let format = Format::of(member);
        for (row, at) in self.rows.iter().zip(self.first_row..) {
            let values = row.as_ref();
            let Some(value) = values.get(self.index) else {
                let (wanted, found) = (self.index + 1, values.len());
                return Err(wrong_width(at, wanted, found).into());
            };
            put_field(*value, member, format, out)
                .map_err(|misfit| unfit(at, Some(self.name), &misfit))?;
        }
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        matches!(ty.kind(), Kind::Array(_))
    }

    to_sql_checked!();
}

/// Which column it is.
impl<R> fmt::Debug for Column<'_, '_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Column").field(&self.name).finish()
    }
}

/// Ids sent as an array, for `= ANY($1)`. Errors as [`Column`]'s.
#[derive(Debug)]
pub(crate) struct Ids<'a>(pub(crate) &'a [Value<'a>]);

impl ToSql for Ids<'_> {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let member = start_array(self.0.len(), ty, out)?;
        let format = Format::of(member);
        for (position, id) in self.0.iter().enumerate() {
            put_field(*id, member, format, out).map_err(|misfit| {
                PgError::text(PgErrorKind::Type, format!("id {position}: {misfit}"))
            })?;
        }
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        matches!(ty.kind(), Kind::Array(_))
    }

    to_sql_checked!();
}

/// Appends the header of an array of `count` members; gives the type of the members.
fn start_array<'t>(count: usize, ty: &'t Type, out: &mut BytesMut) -> Result<&'t Type, PgError> {
    let Kind::Array(member) = ty.kind() else {
        return Err(PgError::text(PgErrorKind::Type, format!("{ty} is no array")));
    };
    let count = i32::try_from(count).map_err(|_| too_many("rows"))?;
    out.put_i32(i32::from(count > 0)); // dimensions: an empty array has none
    out.put_i32(1); // there may be NULLs; the server looks for itself
    out.put_u32(member.oid());
    if count > 0 {
        out.put_i32(count);
        out.put_i32(1); // the first index
    }
    Ok(member)
}

/// Appends a value with its length in front; a NULL is the length -1.
fn put_field(
    value: Value<'_>,
    ty: &Type,
    format: Option<Format>,
    out: &mut BytesMut,
) -> Result<(), Misfit> {
    let start = out.len();
    out.put_i32(-1);
    if let IsNull::No = put_known(value, ty, format, out)? {
        let length = i32::try_from(out.len() - start - 4).map_err(|_| Misfit {
            found: value.value_type(),
            wanted: ty.name().into(),
            fault: Fault::Range,
        })?;
        out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }
    Ok(())
}

fn unfit(row: u64, column: Option<&Ident>, misfit: &Misfit) -> PgError {
    let column = column.map_or("?", Ident::as_str);
    PgError::text(PgErrorKind::Type, format!("row {row}, column `{column}`: {misfit}"))
}

/// A row that is too short or too long.
pub(super) fn wrong_width(row: u64, wanted: usize, found: usize) -> PgError {
    let text = format!("row {row} has {found} values, but the plan has {wanted} columns");
    PgError::text(PgErrorKind::Plan, text)
}

fn too_many(what: &str) -> PgError {
    PgError::text(PgErrorKind::Plan, format!("the server does not take so many {what} at once"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pool_sql::ValueType;

    fn names() -> [Ident; 2] {
        ["id", "title"].map(|name| Ident::parse(name).unwrap())
    }

    #[test]
    fn a_copy_stream_is_header_rows_trailer() {
        let (names, mut out) = (names(), BytesMut::new());
        let mut copy = CopyEncoder::start(&names, &[Type::INT4, Type::TEXT], &mut out);
        copy.row(&[Value::I64(7), Value::Text("ab")], &mut out).unwrap();
        copy.row(&[Value::Null(ValueType::I64), Value::Text("")], &mut out).unwrap();
        assert_eq!(copy.finish(&mut out), 2);
        let wanted = [
            &b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0"[..],
            &[0, 2, 0, 0, 0, 4, 0, 0, 0, 7, 0, 0, 0, 2, b'a', b'b'],
            &[0, 2, 255, 255, 255, 255, 0, 0, 0, 0],
            &[255, 255],
        ];
        assert_eq!(out[..], wanted.concat());
    }

    #[test]
    fn a_row_that_does_not_fit_is_named_and_leaves_no_trace() {
        let (names, mut out) = (names(), BytesMut::new());
        let mut copy = CopyEncoder::start(&names, &[Type::INT4, Type::TEXT], &mut out);
        copy.row(&[Value::I64(1), Value::Text("a")], &mut out).unwrap();
        let before = out.clone();
        let error = copy.row(&[Value::I64(1), Value::F64(0.5)], &mut out).unwrap_err();
        assert_eq!(error.to_string(), "row 1, column `title`: F64 does not go into text");
        assert_eq!(error.kind(), PgErrorKind::Type);
        let error = copy.row(&[Value::I64(1)], &mut out).unwrap_err();
        assert_eq!(error.kind(), PgErrorKind::Plan);
        assert_eq!(out, before);
    }

    #[test]
    fn a_column_is_an_array_of_its_values() {
        let rows = [[Value::I64(1), Value::I64(5)], [Value::I64(2), Value::Null(ValueType::I64)]];
        let (names, mut out) = (names(), BytesMut::new());
        let column = Column::new(&rows, 1, &names[1], 10);
        assert!(matches!(column.to_sql(&Type::INT2_ARRAY, &mut out), Ok(IsNull::No)));
        let wanted = [
            [0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 21],
            [0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2],
            [0, 5, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0],
        ];
        assert_eq!(out[..], wanted.concat()[..30]);

        let error = column.to_sql(&Type::TEXT_ARRAY, &mut out).err().unwrap();
        let error = error.downcast::<PgError>().unwrap();
        assert_eq!(error.to_string(), "row 10, column `title`: I64 does not go into text");
        let error = Column::new(&rows, 2, &names[1], 10).to_sql(&Type::TEXT_ARRAY, &mut out);
        assert_eq!(error.err().unwrap().downcast::<PgError>().unwrap().kind(), PgErrorKind::Plan);
        assert_eq!(format!("{column:?}"), "Column(Ident(\"title\"))");
    }

    #[test]
    fn ids_are_an_array_and_none_are_an_empty_one() {
        let mut out = BytesMut::new();
        assert!(Ids(&[]).to_sql(&Type::INT8_ARRAY, &mut out).is_ok());
        assert_eq!(out[..], [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 20]);
        let ids = [Value::I64(1), Value::I64(1 << 40)];
        let error = Ids(&ids).to_sql(&Type::INT4_ARRAY, &mut out).err().unwrap();
        assert_eq!(error.to_string(), "id 1: the I64 is out of range for int4");
        assert!(Ids(&ids).to_sql_checked(&Type::INT4, &mut out).is_err());
    }
}
