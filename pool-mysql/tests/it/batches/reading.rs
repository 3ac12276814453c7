//! Rows by ids and by parents.

use pool_mysql::MySqlErrorKind;
use pool_mysql::pool_sql::{Batch, Direction, OwnedValue, Related, SelectByIds, Value};

use super::{Films, insert, row};
use crate::soon;

fn select(films: &Films, table: &str, id: &str, columns: &[&str]) -> SelectByIds {
    let select = SelectByIds::from(&films.name(table)).unwrap();
    select.id_column(id).unwrap().columns(columns).unwrap()
}

#[tokio::test]
async fn ids_are_found_in_the_order_asked_for() {
    let films = Films::new().await;
    let mut connection = films.connection().await;
    insert(&mut connection, &films.plan(), 0..5_000, row).await.0.unwrap();
    let by_id = select(&films, "film{}", "id", &["size"]);
    let ids: Vec<Value<'_>> = (0..40_000).rev().map(Value::I64).collect();
    let found = soon(connection.select_by_ids(&by_id, &ids)).await.unwrap();
    assert_eq!((found.rows.len(), found.missing.len()), (5_000, 35_000));
    assert_eq!(found.rows[0].get::<i64>("size"), Ok(999));
    assert_eq!(found.missing[0], OwnedValue::I64(39_999));

    let before = connection.cached_statements();
    for count in 1..=70 {
        let found = soon(connection.select_by_ids(&by_id, &ids[..count])).await.unwrap();
        assert_eq!(found.missing.len(), count);
    }
    assert_eq!(connection.cached_statements() - before, 7, "1, 2, 4, .. 64; 128 was there or is 8");

    let twice = [Value::I64(7), Value::U64(3), Value::I64(7), Value::from(None::<i64>)];
    let found = soon(connection.select_by_ids(&by_id, &twice)).await.unwrap();
    let ids: Vec<i64> = found.rows.iter().map(|row| row.get("id").unwrap()).collect();
    assert_eq!((ids, found.missing.len()), (vec![7, 3], 1));
    assert!(found.unmatched.is_empty());
    assert_eq!(soon(connection.select_by_ids(&by_id, &[])).await.unwrap().rows.len(), 0);

    let wrong = [Value::I64(7), Value::F64(f64::NAN)];
    let error = soon(connection.select_by_ids(&by_id, &wrong)).await.unwrap_err();
    assert_eq!(error.kind(), MySqlErrorKind::Type);
    assert!(error.to_string().starts_with("id 1: an F64"), "{error}");

    // In a transaction it sees what that did.
    let mut tx = soon(connection.transaction()).await.unwrap();
    tx.query_drop(films.name("UPDATE film{} SET size = -1 WHERE id = 7")).await.unwrap();
    let found = soon(tx.select_by_ids(&by_id, &twice)).await.unwrap();
    assert_eq!(found.rows[0].get::<i64>("size"), Ok(-1));
}

/// Ids of any type, as long as a packet takes, and such that only the server finds equal.
#[tokio::test]
async fn ids_may_be_text_or_bytes_and_long() {
    let films = Films::new().await;
    films.run("CREATE TABLE named{} (name text CHARSET utf8mb4, u binary(16))").await;
    let mut connection = films.connection().await;
    let plan = films.insert_into("named{}", &["name", "u"]);
    let names: Vec<String> = (0..40).map(|n| format!("{n:02}{}", "é".repeat(25_000))).collect();
    let rows = names.iter().zip(0..).map(|(name, n)| [Value::from(name), Value::Uuid([n; 16])]);
    soon(connection.insert_many(&plan, rows, |_| ())).await.unwrap();

    let by_name = select(&films, "named{}", "name", &["u"]);
    let ids: Vec<_> = names.iter().rev().map(Value::from).chain([Value::Text("none")]).collect();
    let found = soon(connection.select_by_ids(&by_name, &ids)).await.unwrap();
    assert_eq!((found.rows.len(), found.missing.len()), (40, 1));
    assert_eq!(found.rows[0].get::<[u8; 16]>("u"), Ok([39; 16]));
    let upper = names[3].to_uppercase();
    let found = soon(connection.select_by_ids(&by_name, &[Value::from(&upper)])).await.unwrap();
    assert_eq!((found.rows.len(), found.missing.len(), found.unmatched.len()), (0, 1, 1));

    let by_uuid = select(&films, "named{}", "u", &["name"]);
    let ids = [Value::Uuid([5; 16]), Value::Bytes(&[4; 16]), Value::Uuid([99; 16])];
    let found = soon(connection.select_by_ids(&by_uuid, &ids)).await.unwrap();
    let starts: Vec<_> =
        found.rows.iter().map(|row| &row.get::<&str>("name").unwrap()[..2]).collect();
    assert_eq!((starts, found.missing.len()), (vec!["05", "04"], 1));
}

#[tokio::test]
async fn children_of_many_parents_come_in_one_query_with_pages() {
    let films = Films::new().await;
    films
        .run("CREATE TABLE scene{} (id int AUTO_INCREMENT PRIMARY KEY, film_id int, name text)")
        .await;
    let mut connection = films.connection().await;
    let scenes = films.insert_into("scene{}", &["film_id", "name"]);
    let names: Vec<String> = (0..30).map(|n| format!("{n:02}")).collect();
    let rows = names.iter().zip(0..).map(|(name, n)| [Value::I64(n % 3), Value::from(name)]);
    soon(connection.insert_many(&scenes, rows, |_| ())).await.unwrap();
    let related = Related::from(&films.name("scene{}")).unwrap();
    let related = related.parent_column("film_id").unwrap().columns(["name"]).unwrap();
    let related = related.order_by("name", Direction::Descending).unwrap();
    let parents = [2, 0, 7].map(Value::I64);
    let all = soon(connection.load_related(&related, &parents)).await.unwrap();
    assert_eq!(all.iter().map(|(_, rows)| rows.len()).collect::<Vec<_>>(), [10, 10, 0]);

    let page = related.limit_per_parent(2).offset_per_parent(1);
    let mut tx = soon(connection.transaction()).await.unwrap();
    let children = soon(tx.load_related(&page, &parents)).await.unwrap();
    let names = |id| {
        let rows = children.children(Value::I64(id)).iter();
        rows.map(|row| row.get::<String>("name").unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(
        (names(2), names(0), names(7)),
        (vec!["26".into(), "23".into()], vec!["24".into(), "21".into()], vec![])
    );
    assert_eq!(soon(tx.load_related(&page, &[])).await.unwrap().iter().count(), 0);
}
