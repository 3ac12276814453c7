//! The SQL texts of batches: one for any number of rows, whose columns are bound as arrays.

use pool_sql::{Dialect, Ident, Insert, OnConflict, PlanError, TableName, Update};
use tokio_postgres::types::{Kind, Type};

const DIALECT: Dialect = Dialect::Postgres;

/// Inserts what is bound as one array for each column, and gives the `returning` columns of the
/// rows it inserted or updated, if any are named.
///
/// `types` are those of the plan's columns, as the statement of [`column_types`] has them.
///
/// Where the plan updates on conflict, the server refuses a statement that has the same key twice
/// ("cannot affect row a second time", 21000). Rows of one key must go into different statements.
///
/// # Errors
/// No columns, or a name too long.
pub(crate) fn insert_unnest(
    plan: &Insert,
    types: &[Type],
    returning: &[Ident],
) -> Result<String, PlanError> {
    let (table, names) = columns(plan)?;
    let mut sql = format!("INSERT INTO {table} ({names}) SELECT * FROM {}", unnest(types)?);
    match plan.conflict() {
        OnConflict::Ignore => sql.push_str(" ON CONFLICT DO NOTHING"),
        OnConflict::Update { key, columns, .. } => {
            let others = || plan.column_names().iter().filter(|name| !key.contains(name));
            let assign = |name: &Ident| {
                let name = name.quoted(DIALECT)?;
                Ok(format!("{name} = excluded.{name}"))
            };
            let set = match columns {
                Some(columns) => list(columns, assign)?,
                None => list(others(), assign)?,
            };
            sql.push_str(&format!(" ON CONFLICT ({}) DO UPDATE SET {set}", quoted(key)?));
        }
        // Also of a kind that is new: to fail is never wrong.
        _ => {}
    }
    if !returning.is_empty() {
        sql.push_str(&format!(" RETURNING {}", quoted(returning)?));
    }
    Ok(sql)
}

/// Loads what follows as a binary COPY stream. A conflict fails, whatever the plan says.
///
/// # Errors
/// As [`insert_unnest`].
pub(crate) fn copy_in(plan: &Insert) -> Result<String, PlanError> {
    let (table, names) = columns(plan)?;
    Ok(format!("COPY {table} ({names}) FROM STDIN (FORMAT binary)"))
}

/// A query without rows, prepared only to be told the types of the plan's columns; of a domain the
/// server tells what it is made of. The user must have the right to read them.
///
/// # Errors
/// As [`insert_unnest`].
pub(crate) fn column_types(plan: &Insert) -> Result<String, PlanError> {
    types_of(plan.table(), plan.column_names())
}

/// As [`column_types`], for the key and the columns of an update.
///
/// # Errors
/// As [`update_unnest`].
pub(crate) fn update_column_types(plan: &Update) -> Result<String, PlanError> {
    complete(plan)?;
    types_of(plan.table_name(), plan.names())
}

/// Updates the row of each key by what is bound as one array for each of [`Update::names`], whose
/// types are `types`. A key that comes twice gets one of its values; which one is not defined.
///
/// # Errors
/// No key, no columns, or a name too long.
pub(crate) fn update_unnest(plan: &Update, types: &[Type]) -> Result<String, PlanError> {
    complete(plan)?;
    let same = |target: &'static str| {
        move |name: &Ident| {
            let name = name.quoted(DIALECT)?;
            Ok(format!("{target}{name} = v.{name}"))
        }
    };
    Ok(format!(
        "UPDATE {} AS t SET {} FROM {} AS v ({}) WHERE {}",
        plan.table_name().quoted(DIALECT)?,
        list(plan.column_names(), same(""))?,
        unnest(types)?,
        quoted(plan.names())?,
        join(plan.key_names(), " AND ", same("t."))?,
    ))
}

/// The table and the columns, quoted.
fn columns(plan: &Insert) -> Result<(String, String), PlanError> {
    if plan.column_names().is_empty() {
        return Err(PlanError::NoColumns { table: plan.table().display() });
    }
    Ok((plan.table().quoted(DIALECT)?, quoted(plan.column_names())?))
}

fn complete(plan: &Update) -> Result<(), PlanError> {
    let table = || plan.table_name().display();
    if plan.key_names().is_empty() {
        return Err(PlanError::NoKey { table: table(), method: "key" });
    }
    if plan.column_names().is_empty() {
        return Err(PlanError::NoColumns { table: table() });
    }
    Ok(())
}

fn types_of<'n>(
    table: &TableName,
    names: impl IntoIterator<Item = &'n Ident>,
) -> Result<String, PlanError> {
    let names = quoted(names)?;
    if names.is_empty() {
        return Err(PlanError::NoColumns { table: table.display() });
    }
    Ok(format!("SELECT {names} FROM {} LIMIT 0", table.quoted(DIALECT)?))
}

/// `UNNEST($1::int8[], $2::text[])`
fn unnest(types: &[Type]) -> Result<String, PlanError> {
    let arrays = list(types.iter().enumerate(), |(i, ty)| {
        Ok(format!("{}::{}[]", DIALECT.placeholder(i + 1), type_name(ty)?))
    });
    Ok(format!("UNNEST({})", arrays?))
}

/// A type as SQL reads it: a built-in one by its name alone, any other with its schema. A domain is
/// what it is made of: the array is, too, and the server checks it where it is assigned.
fn type_name(ty: &Type) -> Result<String, PlanError> {
    if let Kind::Domain(base) = ty.kind() {
        return type_name(base);
    }
    if Type::from_oid(ty.oid()).is_some() {
        return Ok(match ty.name() {
            // Without quotes these are character(1) and bit(1).
            name @ ("char" | "bit") => format!("\"{name}\""),
            name => name.to_owned(),
        });
    }
    let quoted = |name| Ident::parse(name)?.quoted(DIALECT);
    Ok(format!("{}.{}", quoted(ty.schema())?, quoted(ty.name())?))
}

/// `"a", "b"`
fn quoted<'n>(names: impl IntoIterator<Item = &'n Ident>) -> Result<String, PlanError> {
    list(names, |name| name.quoted(DIALECT))
}

fn list<T>(
    items: impl IntoIterator<Item = T>,
    write: impl Fn(T) -> Result<String, PlanError>,
) -> Result<String, PlanError> {
    join(items, ", ", write)
}

fn join<T>(
    items: impl IntoIterator<Item = T>,
    separator: &str,
    write: impl Fn(T) -> Result<String, PlanError>,
) -> Result<String, PlanError> {
    let parts: Result<Vec<_>, _> = items.into_iter().map(write).collect();
    Ok(parts?.join(separator))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Insert {
        Insert::into("app.files").unwrap().columns(["path", "size", "mood"]).unwrap()
    }

    fn types() -> [Type; 3] {
        let own = |name: &str, kind| Type::new(name.to_owned(), 70_000, kind, "app".to_owned());
        [Type::TEXT, own("small", Kind::Domain(Type::INT4)), own("Mood", Kind::Enum(Vec::new()))]
    }

    #[test]
    fn an_insert_takes_arrays_of_its_columns_types() {
        let sql = insert_unnest(&files(), &types(), &[]).unwrap();
        assert_eq!(
            sql,
            r#"INSERT INTO "app"."files" ("path", "size", "mood") SELECT * FROM UNNEST($1::text[], $2::int4[], $3::"app"."Mood"[])"#
        );
        let none = Insert::into("files").unwrap();
        assert!(matches!(insert_unnest(&none, &[], &[]), Err(PlanError::NoColumns { .. })));
    }

    #[test]
    fn conflicts_and_returning_follow() {
        let ends = |conflict: OnConflict, returning: &[Ident], end: &str| {
            let plan = files().on_conflict(conflict).unwrap();
            let sql = insert_unnest(&plan, &types(), returning).unwrap();
            assert!(sql.ends_with(end), "{sql}");
        };
        let id = [Ident::parse("id").unwrap(), Ident::parse("at").unwrap()];
        ends(OnConflict::Fail, &id, r#"[]) RETURNING "id", "at""#);
        ends(OnConflict::Ignore, &id[..1], r#"[]) ON CONFLICT DO NOTHING RETURNING "id""#);
        ends(
            OnConflict::update(["path"]).unwrap(),
            &[],
            r#"[]) ON CONFLICT ("path") DO UPDATE SET "size" = excluded."size", "mood" = excluded."mood""#,
        );
        ends(
            OnConflict::update_only(["path", "size"], ["mood"]).unwrap(),
            &[],
            r#"ON CONFLICT ("path", "size") DO UPDATE SET "mood" = excluded."mood""#,
        );
    }

    #[test]
    fn copy_and_types_name_the_same_columns() {
        assert_eq!(
            copy_in(&files()).unwrap(),
            r#"COPY "app"."files" ("path", "size", "mood") FROM STDIN (FORMAT binary)"#
        );
        assert_eq!(
            column_types(&files()).unwrap(),
            r#"SELECT "path", "size", "mood" FROM "app"."files" LIMIT 0"#
        );
        let none = Insert::into("files").unwrap();
        assert!(copy_in(&none).is_err() && column_types(&none).is_err());
    }

    #[test]
    fn an_update_joins_arrays_by_the_key() {
        let plan = Update::table("t").unwrap().key("a").unwrap().key("b").unwrap();
        assert!(matches!(update_unnest(&plan, &[]), Err(PlanError::NoColumns { .. })));
        let plan = plan.columns(["c", "d\""]).unwrap();
        let types = [Type::INT8, Type::CHAR, Type::BPCHAR, Type::TIMESTAMPTZ];
        assert_eq!(
            update_unnest(&plan, &types).unwrap(),
            r#"UPDATE "t" AS t SET "c" = v."c", "d""" = v."d""" FROM UNNEST($1::int8[], $2::"char"[], $3::bpchar[], $4::timestamptz[]) AS v ("a", "b", "c", "d""") WHERE t."a" = v."a" AND t."b" = v."b""#
        );
        assert_eq!(
            update_column_types(&plan).unwrap(),
            r#"SELECT "a", "b", "c", "d""" FROM "t" LIMIT 0"#
        );
        let keyless = Update::table("t").unwrap().columns(["c"]).unwrap();
        assert!(matches!(update_unnest(&keyless, &[]), Err(PlanError::NoKey { .. })));
    }
}
