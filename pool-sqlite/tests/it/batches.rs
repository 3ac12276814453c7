//! Batches: all or nothing, in chunks, ids in any number.

use std::time::Duration;

use pool_sqlite::pool_sql::{
    Batch, Direction, Insert, OnConflict, OwnedValue, Related, SelectByIds, Update, Value,
    ValueType,
};
use pool_sqlite::{SqliteErrorKind, SqlitePool};

use super::{Place, number, run, soon};

async fn films(place: &Place) -> SqlitePool {
    let pool = place.pool().await;
    let table = "CREATE TABLE film (id INTEGER PRIMARY KEY, title TEXT NOT NULL, size INTEGER)";
    run(&mut pool.write().await.unwrap(), table).await;
    pool
}

fn plan() -> Insert {
    let plan = Insert::into("film").unwrap().columns(["id", "title", "size"]).unwrap();
    plan.on_conflict(OnConflict::update(["id"]).unwrap()).unwrap()
}

fn row(id: i64, title: &str) -> [Value<'_>; 3] {
    [Value::I64(id), Value::Text(title), Value::from(Some(id * 10))]
}

#[tokio::test]
async fn rows_of_any_number_are_stored_in_order() {
    let place = Place::new();
    let pool = films(&place).await;
    let titles: Vec<String> = (0..3217).map(|n| format!("film '{n}'\n\"x\"")).collect();
    let rows = titles.iter().zip(0..).map(|(title, id)| row(id, title));
    let mut seen = Vec::new();
    let mut writer = pool.write().await.unwrap();
    let report =
        writer.insert_many(&plan(), rows, |so_far| seen.push(so_far.rows_done)).await.unwrap();
    assert_eq!((report.rows, report.affected), (3217, 3217));
    assert_eq!(seen.last(), Some(&3217));
    assert!(seen.is_sorted());

    // Again: an upsert of some.
    let report = writer.insert_many(&plan(), [row(5, "new")], |_| ()).await.unwrap();
    assert_eq!(report.rows, 1);
    assert_eq!(number(&mut writer, "SELECT count(*) FROM film").await, 3217);
    let title: String = writer
        .inline(|c| c.query_row("SELECT title FROM film WHERE id = 5", [], |r| r.get(0)))
        .await
        .unwrap();
    assert_eq!(title, "new");
}

#[tokio::test]
async fn a_batch_that_fails_anywhere_stores_nothing() {
    let place = Place::new();
    let pool = films(&place).await;
    let mut writer = pool.write().await.unwrap();
    let insert = Insert::into("film").unwrap().columns(["id", "title"]).unwrap();
    // The last row breaks a constraint; the one before last has a value too many.
    let title = |id| {
        if id == 2999 { Value::Null(ValueType::Text) } else { Value::Text("x") }
    };
    let rows = (0..3000).map(|id| vec![Value::I64(id), title(id)]);
    let error = writer.insert_many(&insert, rows, |_| ()).await.unwrap_err();
    assert_eq!(error.kind(), SqliteErrorKind::Constraint);
    let rows = (0..3000).map(|id| vec![Value::I64(id); if id == 2998 { 3 } else { 2 }]);
    let error = writer.insert_many(&insert, rows, |_| ()).await.unwrap_err();
    assert_eq!(error.kind(), SqliteErrorKind::Plan);
    assert!(error.to_string().contains("row 2998 has 3 values"), "{error}");
    assert_eq!(number(&mut writer, "SELECT count(*) FROM film").await, 0);
    assert!(writer.inline(|c| Ok(c.is_autocommit())).await.unwrap());
}

#[tokio::test]
async fn r14_a_batch_that_is_dropped_stores_nothing() {
    let place = Place::new();
    let pool = films(&place).await;
    for n in 0..40 {
        let mut writer = soon(pool.write()).await.unwrap();
        let rows = (0..).map(|id| row(id, "endless"));
        let plan = plan();
        let endless = writer.insert_many(&plan, rows, |_| ());
        tokio::time::timeout(Duration::from_micros(n * 250), endless).await.unwrap_err();
        if n % 2 == 0 {
            drop(writer); // the pool cleans up, else the same user's next statement does
            writer = soon(pool.write()).await.unwrap();
        }
        assert_eq!(soon(number(&mut writer, "SELECT count(*) FROM film")).await, 0);
    }
}

#[tokio::test]
async fn inside_a_transaction_a_batch_is_a_savepoint() {
    let place = Place::new();
    let pool = films(&place).await;
    let mut writer = pool.write().await.unwrap();
    run(&mut writer, "BEGIN IMMEDIATE; INSERT INTO film VALUES (1, 'before', 0)").await;
    let insert = Insert::into("film").unwrap().columns(["id", "title"]).unwrap();
    let bad = [[Value::I64(2), Value::Text("x")], [Value::I64(1), Value::Text("again")]];
    writer.insert_many(&insert, bad, |_| ()).await.unwrap_err();
    assert!(!writer.inline(|c| Ok(c.is_autocommit())).await.unwrap(), "still in the transaction");
    writer.insert_many(&insert, [[Value::I64(3), Value::Text("y")]], |_| ()).await.unwrap();
    run(&mut writer, "COMMIT").await;
    assert_eq!(number(&mut writer, "SELECT sum(id) FROM film").await, 4);
}

/// Rows that break a constraint come late: what went before was told, and is undone.
#[tokio::test]
async fn a_batch_that_fails_late_has_told_how_far_it_came() {
    let place = Place::new();
    let pool = films(&place).await;
    let mut writer = pool.write().await.unwrap();
    let insert = Insert::into("film").unwrap().columns(["id", "title"]).unwrap();
    let rows = (0..20_000).map(|id| [Value::I64(id.min(19_998)), Value::Text("x")]);
    let mut told = 0;
    let failed = writer.insert_many(&insert, rows, |so_far| told = so_far.rows_done).await;
    assert_eq!(failed.unwrap_err().kind(), SqliteErrorKind::Constraint);
    assert_eq!(told, 19_000, "all that went before the thousand with the bad row");
    assert_eq!(number(&mut writer, "SELECT count(*) FROM film").await, 0);
}

/// SQLite opens no savepoint while an authorizer forbids it: that undoes nothing of the user's.
#[tokio::test]
async fn a_batch_that_cannot_begin_leaves_the_users_transaction() {
    use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

    let place = Place::new();
    let pool = films(&place).await;
    let mut writer = pool.write().await.unwrap();
    run(&mut writer, "BEGIN; INSERT INTO film VALUES (1, 'mine', 1)").await;
    writer
        .inline(|c| {
            c.authorizer(Some(|cx: AuthContext<'_>| match cx.action {
                AuthAction::Savepoint { .. } => Authorization::Deny,
                _ => Authorization::Allow,
            }))
        })
        .await
        .unwrap();
    writer.insert_many(&plan(), [row(2, "batch")], |_| ()).await.unwrap_err();
    run(&mut writer, "COMMIT").await;
    assert_eq!(number(&mut writer, "SELECT count(*) FROM film").await, 1);
}

#[tokio::test]
async fn updates_go_by_key() {
    let place = Place::new();
    let pool = films(&place).await;
    let mut writer = pool.write().await.unwrap();
    writer.insert_many(&plan(), (0..1000).map(|id| row(id, "old")), |_| ()).await.unwrap();
    let update = Update::table("film").unwrap().key("id").unwrap().columns(["title"]).unwrap();
    let rows = (500..1500).map(|id| [Value::I64(id), Value::Text("new")]);
    let report = writer.update_many(&update, rows, |_| ()).await.unwrap();
    assert_eq!((report.rows, report.affected), (1000, 500));
    let new = "SELECT count(*) FROM film WHERE title = 'new' AND id >= 500";
    assert_eq!(number(&mut writer, new).await, 500);
}

#[tokio::test]
async fn ids_are_found_in_the_order_asked_for() {
    let place = Place::new();
    let pool = films(&place).await;
    let mut writer = pool.write().await.unwrap();
    writer.insert_many(&plan(), (0..5000).map(|id| row(id, "x")), |_| ()).await.unwrap();
    let select = SelectByIds::from("film").unwrap().id_column("id").unwrap();
    let select = select.columns(["size"]).unwrap();
    let mut reader = pool.read().await.unwrap();
    let ids: Vec<Value<'_>> = (0..40_000).rev().map(Value::I64).collect();
    let found = reader.select_by_ids(&select, &ids).await.unwrap();
    assert_eq!((found.rows.len(), found.missing.len()), (5000, 35_000));
    assert_eq!(found.rows[0].get::<i64>("size"), Ok(49_990));
    assert_eq!(found.missing[0], OwnedValue::I64(39_999));
}

#[tokio::test]
async fn children_of_many_parents_come_in_one_query_with_pages() {
    let place = Place::new();
    let pool = films(&place).await;
    let mut writer = pool.write().await.unwrap();
    run(&mut writer, "CREATE TABLE scene (id INTEGER PRIMARY KEY, film_id INTEGER, name TEXT)")
        .await;
    let scenes = Insert::into("scene").unwrap().columns(["film_id", "name"]).unwrap();
    let names: Vec<String> = (0..30).map(|n| format!("{n:02}")).collect();
    let rows = names.iter().zip(0..).map(|(name, n)| [Value::I64(n % 3), Value::from(name)]);
    writer.insert_many(&scenes, rows, |_| ()).await.unwrap();
    let related = Related::from("scene").unwrap().parent_column("film_id").unwrap();
    let related =
        related.columns(["name"]).unwrap().order_by("name", Direction::Descending).unwrap();
    let page = related.limit_per_parent(2).offset_per_parent(1);
    let parents = [2, 0, 7].map(Value::I64);
    let mut reader = pool.read().await.unwrap();
    let children = reader.load_related(&page, &parents).await.unwrap();
    let names = |id| {
        let rows = children.children(Value::I64(id)).iter();
        rows.map(|row| row.get::<String>("name").unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(
        (names(2), names(0), names(7)),
        (vec!["26".into(), "23".into()], vec!["24".into(), "21".into()], vec![])
    );
}

#[tokio::test]
async fn every_kind_of_value_goes_in_and_comes_out() {
    let place = Place::new();
    let pool = place.pool().await;
    let mut writer = pool.write().await.unwrap();
    run(&mut writer, "CREATE TABLE v (id INTEGER PRIMARY KEY, x)").await;
    let insert = Insert::into("v").unwrap().columns(["id", "x"]).unwrap();
    let values = [
        Value::Bool(true),
        Value::U64(i64::MAX as u64),
        Value::F64(1.5),
        Value::Text("a\0b'"),
        Value::Bytes(&[0, 255]),
        Value::Decimal("12.30"),
        Value::Uuid([7; 16]),
        Value::Null(ValueType::Json),
    ];
    let rows = values.iter().zip(0..).map(|(value, id)| [Value::I64(id), *value]);
    writer.insert_many(&insert, rows, |_| ()).await.unwrap();
    let select = SelectByIds::from("v").unwrap().id_column("id").unwrap().columns(["x"]).unwrap();
    let ids: Vec<_> = (0..8).map(Value::I64).collect();
    let found = writer.select_by_ids(&select, &ids).await.unwrap();
    let got: Vec<_> = found.rows.iter().map(|row| row.value("x").unwrap().into_owned()).collect();
    let want = [
        OwnedValue::I64(1),
        OwnedValue::I64(i64::MAX),
        OwnedValue::F64(1.5),
        OwnedValue::Text("a\0b'".into()),
        OwnedValue::Bytes([0, 255].into()),
        OwnedValue::Text("12.30".into()),
        OwnedValue::Bytes([7; 16].into()),
        OwnedValue::Null(ValueType::Unknown),
    ];
    assert_eq!(got, want);
}

/// As text a large number would become a rounded one in an INTEGER column, and NaN would be NULL.
#[tokio::test]
async fn what_would_be_changed_is_refused_by_row_and_column_and_nothing_is_stored() {
    let place = Place::new();
    let pool = place.pool().await;
    let mut writer = pool.write().await.unwrap();
    let tables =
        "CREATE TABLE n (id INTEGER PRIMARY KEY, x); CREATE TABLE old (id INTEGER PRIMARY KEY, x);
        WITH RECURSIVE ids (id) AS (SELECT 0 UNION ALL SELECT id + 1 FROM ids WHERE id < 4017)
        INSERT INTO old SELECT id, -1 FROM ids";
    run(&mut writer, tables).await;
    let insert = Insert::into("n").unwrap().columns(["id", "x"]).unwrap();
    let update = Update::table("old").unwrap().key("id").unwrap().columns(["x"]).unwrap();
    for (bad, kind) in [(Value::U64(1 << 63), "U64"), (Value::F64(f64::NAN), "F64")] {
        // In the first hop, in a statement of a smaller size, and when others have been executed.
        for at in [0, 249, 250, 4_000, 4_017] {
            let value = |id| if id == at { bad } else { Value::I64(id) };
            let rows = (0..4_018).map(|id| [Value::I64(id), value(id)]);
            let errors = [
                writer.insert_many(&insert, rows.clone(), |_| ()).await.unwrap_err(),
                writer.update_many(&update, rows, |_| ()).await.unwrap_err(),
            ];
            for error in errors {
                assert_eq!(error.kind(), SqliteErrorKind::Type);
                let said = format!("row {at}, column `x`: SQLite stores no {kind} like this one");
                assert!(error.to_string().contains(&said), "{error}");
            }
            assert_eq!(number(&mut writer, "SELECT count(*) FROM n").await, 0, "{at}");
            assert_eq!(number(&mut writer, "SELECT count(*) FROM old WHERE x = -1").await, 4_018);
        }
    }
    writer.insert_many(&insert, [[Value::I64(1), Value::U64(1)]], |_| ()).await.unwrap();
}
