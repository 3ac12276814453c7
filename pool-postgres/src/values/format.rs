//! [`Format`]: how the server writes a type in binary, for the types that a value can have.

use pool_sql::ValueType;
use tokio_postgres::types::{Kind, Type};

/// The server counts time from 2000-01-01, values from 1970-01-01: the days between.
pub(super) const EPOCH_DAYS: i32 = 10_957;
/// The microseconds between.
pub(super) const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * MICROS_A_DAY;
pub(super) const MICROS_A_DAY: i64 = 86_400_000_000;

/// The binary format of a type; several types share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Bool,
    Int2,
    Int4,
    Int8,
    Oid,
    Float4,
    Float8,
    Numeric,
    /// All that are text on the wire, enums too.
    Text,
    Bytea,
    Uuid,
    /// With a time zone and without one: both are microseconds, the former in UTC.
    Timestamp,
    Date,
    Time,
    Json,
    Jsonb,
}

/// Why a value and a type do not go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A value of this type never goes there.
    Type,
    /// Others of its type do; this one is too large, too small, or would lose digits.
    Range,
    /// It is not written as the type wants it: a UUID with 15 bytes, a number with a letter.
    Form,
}

impl Format {
    /// The format of a type; none if values cannot have it: arrays, ranges, intervals, networks.
    pub(crate) fn of(ty: &Type) -> Option<Self> {
        Some(match *ty {
            Type::BOOL => Self::Bool,
            Type::INT2 => Self::Int2,
            Type::INT4 => Self::Int4,
            Type::INT8 => Self::Int8,
            Type::OID => Self::Oid,
            Type::FLOAT4 => Self::Float4,
            Type::FLOAT8 => Self::Float8,
            Type::NUMERIC => Self::Numeric,
            Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN | Type::XML => {
                Self::Text
            }
            Type::BYTEA => Self::Bytea,
            Type::UUID => Self::Uuid,
            Type::TIMESTAMP | Type::TIMESTAMPTZ => Self::Timestamp,
            Type::DATE => Self::Date,
            Type::TIME => Self::Time,
            Type::JSON => Self::Json,
            Type::JSONB => Self::Jsonb,
            _ => return Self::of_own(ty),
        })
    }

    /// Of a type that is not built in.
    fn of_own(ty: &Type) -> Option<Self> {
        match ty.kind() {
            Kind::Domain(base) => Self::of(base),
            Kind::Enum(_) => Some(Self::Text),
            // An extension's: its number differs from database to database.
            Kind::Simple if ty.name() == "citext" => Some(Self::Text),
            _ => None,
        }
    }

    /// What values of it are read as.
    pub(crate) fn value_type(self) -> ValueType {
        match self {
            Self::Bool => ValueType::Bool,
            Self::Int2 | Self::Int4 | Self::Int8 | Self::Oid => ValueType::I64,
            Self::Float4 | Self::Float8 => ValueType::F64,
            Self::Numeric => ValueType::Decimal,
            Self::Text => ValueType::Text,
            Self::Bytea => ValueType::Bytes,
            Self::Uuid => ValueType::Uuid,
            Self::Timestamp => ValueType::Timestamp,
            Self::Date => ValueType::Date,
            Self::Time => ValueType::Time,
            Self::Json | Self::Jsonb => ValueType::Json,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(name: &str, kind: Kind) -> Type {
        Type::new(name.to_owned(), 70_000, kind, "public".to_owned())
    }

    #[test]
    fn own_types_are_what_they_are_made_of() {
        let positive = own("positive", Kind::Domain(Type::INT4));
        let nested = own("small", Kind::Domain(positive));
        assert_eq!(Format::of(&nested), Some(Format::Int4));
        assert_eq!(Format::of(&own("mood", Kind::Enum(Vec::new()))), Some(Format::Text));
        assert_eq!(Format::of(&own("citext", Kind::Simple)), Some(Format::Text));
    }

    #[test]
    fn what_no_value_can_be_has_no_format() {
        for ty in [Type::INT4_ARRAY, Type::INTERVAL, Type::INET, Type::TIMETZ, Type::MONEY] {
            assert_eq!(Format::of(&ty), None, "{ty}");
        }
        assert_eq!(Format::of(&own("ltree", Kind::Simple)), None);
    }
}
