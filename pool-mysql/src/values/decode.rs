//! Rows as the driver reads them, as rows of values.

use std::sync::Arc;

use mysql_async::consts::{ColumnFlags, ColumnType};
use mysql_async::{Column, Row as Found, Value as Read};
use pool_sql::{OwnedValue, Row, ValueType};

use super::calendar::to_days;
use super::encode::{MICROS_A_DAY, MICROS_A_SECOND};

/// The character set of what is no text.
const BINARY: u16 = 63;

/// Adds the rows of one answer, which share their names.
#[derive(Default)]
pub(crate) struct Rows {
    pub(crate) all: Vec<Row>,
    names: Option<Arc<[Box<str>]>>,
}

impl Rows {
    pub(crate) fn add(&mut self, row: Found) {
        let columns = row.columns();
        let names = self.names.get_or_insert_with(|| {
            columns.iter().map(|column| column.name_str().as_ref().into()).collect()
        });
        let values = row.unwrap_raw().into_iter().zip(&*columns);
        let values = values.map(|(value, column)| owned(value.unwrap_or(Read::NULL), column));
        self.all.push(Row::new(names.clone(), values.collect()));
    }
}

fn owned(value: Read, column: &Column) -> OwnedValue {
    match value {
        Read::NULL => OwnedValue::Null(value_type(column)),
        Read::Int(number) => OwnedValue::I64(number),
        Read::UInt(number) => OwnedValue::U64(number),
        Read::Float(number) => OwnedValue::F64(number.into()),
        Read::Double(number) => OwnedValue::F64(number),
        Read::Bytes(bytes) => of_bytes(bytes, column),
        // `0000-00-00` and its like are no days.
        Read::Date(_, 0, ..) | Read::Date(_, _, 0, ..) => {
            OwnedValue::Text(value.as_sql(true).trim_matches('\'').into())
        }
        Read::Date(year, month, day, hour, minute, second, micros) => {
            let days = to_days(year, month, day);
            match value_type(column) {
                ValueType::Date => OwnedValue::Date(days),
                _ => OwnedValue::Timestamp(
                    i64::from(days) * MICROS_A_DAY + clock(hour, minute, second, micros),
                ),
            }
        }
        Read::Time(is_negative, days, hour, minute, second, micros) => {
            let time = i64::from(days) * MICROS_A_DAY + clock(hour, minute, second, micros);
            OwnedValue::Time(if is_negative { -time } else { time })
        }
    }
}

fn clock(hour: u8, minute: u8, second: u8, micros: u32) -> i64 {
    let seconds = (i64::from(hour) * 60 + i64::from(minute)) * 60 + i64::from(second);
    seconds * MICROS_A_SECOND + i64::from(micros)
}

fn of_bytes(bytes: Vec<u8>, column: &Column) -> OwnedValue {
    let of = value_type(column);
    if of == ValueType::U64 && bytes.len() <= 8 {
        // BIT: the highest byte first.
        return OwnedValue::U64(bytes.iter().fold(0, |bits, byte| bits << 8 | u64::from(*byte)));
    }
    if of == ValueType::Bytes {
        return OwnedValue::Bytes(bytes.into());
    }
    match (String::from_utf8(bytes), of) {
        (Ok(text), ValueType::Decimal) => OwnedValue::Decimal(text.into()),
        (Ok(text), ValueType::Json) => OwnedValue::Json(text.into()),
        (Ok(text), _) => OwnedValue::Text(text.into()),
        // A session with another character set.
        (Err(error), _) => OwnedValue::Bytes(error.into_bytes().into()),
    }
}

/// What values of a column are read as, and its NULLs stand for.
fn value_type(column: &Column) -> ValueType {
    match column.column_type() {
        ColumnType::MYSQL_TYPE_TINY
        | ColumnType::MYSQL_TYPE_SHORT
        | ColumnType::MYSQL_TYPE_INT24
        | ColumnType::MYSQL_TYPE_LONG
        | ColumnType::MYSQL_TYPE_YEAR => ValueType::I64,
        ColumnType::MYSQL_TYPE_LONGLONG => {
            match column.flags().contains(ColumnFlags::UNSIGNED_FLAG) {
                true => ValueType::U64,
                false => ValueType::I64,
            }
        }
        ColumnType::MYSQL_TYPE_BIT => ValueType::U64,
        ColumnType::MYSQL_TYPE_FLOAT | ColumnType::MYSQL_TYPE_DOUBLE => ValueType::F64,
        ColumnType::MYSQL_TYPE_DECIMAL | ColumnType::MYSQL_TYPE_NEWDECIMAL => ValueType::Decimal,
        ColumnType::MYSQL_TYPE_DATE | ColumnType::MYSQL_TYPE_NEWDATE => ValueType::Date,
        ColumnType::MYSQL_TYPE_DATETIME
        | ColumnType::MYSQL_TYPE_DATETIME2
        | ColumnType::MYSQL_TYPE_TIMESTAMP
        | ColumnType::MYSQL_TYPE_TIMESTAMP2 => ValueType::Timestamp,
        ColumnType::MYSQL_TYPE_TIME | ColumnType::MYSQL_TYPE_TIME2 => ValueType::Time,
        ColumnType::MYSQL_TYPE_JSON => ValueType::Json,
        ColumnType::MYSQL_TYPE_NULL => ValueType::Unknown,
        _ if column.character_set() == BINARY => ValueType::Bytes,
        _ => ValueType::Text,
    }
}
