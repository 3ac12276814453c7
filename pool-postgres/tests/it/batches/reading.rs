//! Rows by ids and by parents; every type of value in and out.

use pool_postgres::PgErrorKind;
use pool_postgres::pool_sql::{
    Batch, Direction, OwnedValue, Related, SelectByIds, Value, ValueType,
};

use super::{Films, insert};
use crate::soon;

#[tokio::test]
async fn ids_are_found_in_the_order_asked_for() {
    let films = Films::new().await;
    let mut connection = films.connection().await;
    insert(&mut connection, &films.plan(), 0..5_000).await.0.unwrap();
    let select = SelectByIds::from(films.table("film").as_str()).unwrap();
    let select = select.id_column("id").unwrap().columns(["size"]).unwrap();
    let ids: Vec<Value<'_>> = (0..40_000).rev().map(Value::I64).collect();
    let found = soon(connection.select_by_ids(&select, &ids)).await.unwrap();
    assert_eq!((found.rows.len(), found.missing.len()), (5_000, 35_000));
    assert_eq!(found.rows[0].get::<i64>("size"), Ok(999));
    assert_eq!(found.missing[0], OwnedValue::I64(39_999));

    let twice = [Value::I64(7), Value::U64(3), Value::I64(7), Value::from(None::<i64>)];
    let found = soon(connection.select_by_ids(&select, &twice)).await.unwrap();
    let ids: Vec<i64> = found.rows.iter().map(|row| row.get("id").unwrap()).collect();
    assert_eq!((ids, found.missing.len()), (vec![7, 3], 1));
    assert!(found.unmatched.is_empty());
    assert_eq!(soon(connection.select_by_ids(&select, &[])).await.unwrap().rows.len(), 0);

    let wrong = [Value::I64(7), Value::Text("7")];
    let error = soon(connection.select_by_ids(&select, &wrong)).await.unwrap_err();
    assert_eq!(error.kind(), PgErrorKind::Type);
    assert_eq!(error.to_string(), "id 1: Text does not go into int8");

    // In a transaction it sees what that did.
    let mut tx = soon(connection.transaction()).await.unwrap();
    tx.execute(&format!("UPDATE {}.film SET size = -1 WHERE id = 7", films.schema), &[])
        .await
        .unwrap();
    let found = soon(tx.select_by_ids(&select, &twice)).await.unwrap();
    assert_eq!(found.rows[0].get::<i64>("size"), Ok(-1));
}

#[tokio::test]
async fn children_of_many_parents_come_in_one_query_with_pages() {
    let films = Films::new().await;
    films.run("CREATE TABLE {}.scene (id serial, film_id int4, name text)").await;
    let mut connection = films.connection().await;
    let scenes = films.insert_into("scene", &["film_id", "name"]);
    let names: Vec<String> = (0..30).map(|n| format!("{n:02}")).collect();
    let rows = names.iter().zip(0..).map(|(name, n)| [Value::I64(n % 3), Value::from(name)]);
    soon(connection.insert_many(&scenes, rows, |_| ())).await.unwrap();
    let related = Related::from(films.table("scene").as_str()).unwrap();
    let related = related.parent_column("film_id").unwrap().columns(["name"]).unwrap();
    let related = related.order_by("name", Direction::Descending).unwrap();
    let parents = [2, 0, 7].map(Value::I64);
    let all = soon(connection.load_related(&related, &parents)).await.unwrap();
    assert_eq!(all.iter().map(|(_, rows)| rows.len()).collect::<Vec<_>>(), [10, 10, 0]);

    let page = related.limit_per_parent(2).offset_per_parent(1);
    let children = soon(connection.load_related(&page, &parents)).await.unwrap();
    let names = |id| {
        let rows = children.children(Value::I64(id)).iter();
        rows.map(|row| row.get::<String>("name").unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(
        (names(2), names(0), names(7)),
        (vec!["26".into(), "23".into()], vec!["24".into(), "21".into()], vec![])
    );
    assert_eq!(soon(connection.load_related(&page, &[])).await.unwrap().iter().count(), 0);
}

#[tokio::test]
async fn every_type_of_value_goes_in_and_comes_out() {
    let films = Films::new().await;
    films
        .run(
            "CREATE TABLE {}.v (id int4, a bool, b int2, c int8, d float8, e text, f bytea, \
             g numeric(9, 2), h uuid, i timestamptz, j date, k time, l jsonb, m varchar(5))",
        )
        .await;
    let mut connection = films.connection().await;
    let names = ["id", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m"];
    let plan = films.insert_into("v", &names);
    let full = |id| {
        [
            Value::I64(id),
            Value::Bool(true),
            Value::U64(7),
            Value::I64(i64::MIN),
            Value::F64(-1.5),
            Value::Text("a\\b'\n"),
            Value::Bytes(&[0, 255]),
            Value::Decimal("12.30"),
            Value::Uuid([7; 16]),
            Value::Timestamp(951_827_696_789_012),
            Value::Date(-1),
            Value::Time(86_399_999_999),
            Value::Json("{\"a\": 1}"),
            Value::Text("five5"),
        ]
    };
    let nulls = |id| {
        let mut row = [Value::Null(ValueType::Unknown); 14];
        row[0] = Value::I64(id);
        row
    };
    let mut rows = vec![full(1), nulls(2)];
    soon(connection.insert_many(&plan, rows.clone(), |_| ())).await.unwrap();
    // The same by COPY.
    rows = (3..1_500).map(full).chain([nulls(1_500)]).collect();
    soon(connection.insert_many(&plan, &rows, |_| ())).await.unwrap();
    let select = SelectByIds::from(films.table("v").as_str()).unwrap();
    let select = select.id_column("id").unwrap().columns(names).unwrap();
    let ids = [1, 2, 3, 1_500].map(Value::I64);
    let found = soon(connection.select_by_ids(&select, &ids)).await.unwrap().rows;
    for (row, wanted) in found.iter().zip([full(1), nulls(2), full(3), nulls(1_500)]) {
        for (at, wanted) in wanted.iter().enumerate() {
            let found = row.at(at).unwrap();
            let same = match (found, *wanted) {
                (Value::I64(found), Value::U64(wanted)) => found.unsigned_abs() == wanted,
                (Value::Null(_), Value::Null(_)) => true,
                (found, wanted) => found == wanted,
            };
            assert!(same, "{}: {found:?}", names[at]);
        }
    }
}
