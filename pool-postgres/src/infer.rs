//! The type of a parameter from its Rust value, for statements that are sent with their types.

use bytes::BytesMut;
use tokio_postgres::types::{ToSql, Type, WrongType};

use crate::error::{PgError, PgErrorKind};

/// What Rust types encode themselves as; of several that one takes, the first is meant.
const KNOWN: &[Type] = &[
    Type::TEXT,
    Type::INT8,
    Type::INT4,
    Type::BOOL,
    Type::TIMESTAMPTZ,
    Type::UUID,
    Type::FLOAT8,
    Type::BYTEA,
    Type::JSONB,
    Type::INT2,
    Type::FLOAT4,
    Type::NUMERIC,
    Type::TIMESTAMP,
    Type::DATE,
    Type::TIME,
    Type::INTERVAL,
    Type::OID,
    Type::CHAR,
    Type::INET,
    Type::CIDR,
    Type::MACADDR,
    Type::BIT,
    Type::POINT,
    Type::TEXT_ARRAY,
    Type::INT8_ARRAY,
    Type::INT4_ARRAY,
    Type::BOOL_ARRAY,
    Type::TIMESTAMPTZ_ARRAY,
    Type::UUID_ARRAY,
    Type::FLOAT8_ARRAY,
    Type::BYTEA_ARRAY,
    Type::JSONB_ARRAY,
    Type::INT2_ARRAY,
    Type::FLOAT4_ARRAY,
    Type::NUMERIC_ARRAY,
    Type::TIMESTAMP_ARRAY,
    Type::DATE_ARRAY,
    Type::TIME_ARRAY,
    Type::OID_ARRAY,
    Type::INET_ARRAY,
];

type Typed<'p> = (&'p (dyn ToSql + Sync), Type);

/// All parameters with their types.
pub(crate) fn types_of<'p>(params: &[&'p (dyn ToSql + Sync)]) -> Result<Vec<Typed<'p>>, PgError> {
    let typed =
        |(at, param): (usize, &&'p (dyn ToSql + Sync))| type_of(at, *param).map(|ty| (*param, ty));
    params.iter().enumerate().map(typed).collect()
}

/// The type of the parameter at a position, from 0.
pub(crate) fn type_of(at: usize, param: &dyn ToSql) -> Result<Type, PgError> {
    let mut scratch = BytesMut::new();
    let takes = |ty: &&Type| match param.to_sql_checked(ty, &mut scratch) {
        Ok(_) => true,
        // The right type, the wrong value: the driver will say so.
        Err(error) => !error.is::<WrongType>(),
    };
    KNOWN.iter().find(takes).cloned().ok_or_else(|| {
        let text = format!(
            "the type of parameter ${} cannot be told from its value; use query_typed(..) or \
             execute_typed(..), which take it",
            at + 1
        );
        PgError::text(PgErrorKind::Type, text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn rust_types_have_one_type_each() {
        let text = String::from("x");
        let params: [(&(dyn ToSql + Sync), Type); 10] = [
            (&1_i32, Type::INT4),
            (&1_i64, Type::INT8),
            (&"x", Type::TEXT),
            (&text, Type::TEXT),
            (&true, Type::BOOL),
            (&vec![1_u8], Type::BYTEA),
            (&None::<f64>, Type::FLOAT8),
            (&SystemTime::UNIX_EPOCH, Type::TIMESTAMPTZ),
            (&vec![1_i64], Type::INT8_ARRAY),
            (&7_u32, Type::OID),
        ];
        for (at, (param, ty)) in params.iter().enumerate() {
            assert_eq!(type_of(at, *param).unwrap(), *ty, "{param:?}");
        }
    }
}
