//! Batches through the one trait.

use pool_any::{
    AnyErrorKind, Batch, Direction, Insert, OnConflict, Related, SelectByIds, Update, Value,
};

use crate::{Place, count, on_each};

on_each! {
    ten_thousand_rows_and_back
    a_batch_in_a_transaction_is_part_of_it
}

const ROWS: i64 = 10_000;

async fn ten_thousand_rows_and_back(place: Place) {
    let (_pool, mut connection) = place.table().await;
    let insert = Insert::into(place.table.as_str()).unwrap().columns(["id", "x"]).unwrap();
    let insert = insert.on_conflict(OnConflict::Fail).unwrap();
    let rows = (0..ROWS).map(|id| [Value::I64(id), Value::I64(id % 100)]);
    let mut told = 0;
    let report = connection.insert_many(&insert, rows, |so_far| told = so_far.rows_done).await;
    assert_eq!(report.unwrap().rows, ROWS as u64);
    assert_eq!(told, ROWS as u64);
    assert_eq!(count(&place, &mut connection).await, ROWS);

    let update = Update::table(place.table.as_str()).unwrap().key("id").unwrap();
    let update = update.columns(["x"]).unwrap();
    let rows = (0..ROWS).step_by(2).map(|id| [Value::I64(id), Value::I64(-1)]);
    let report = connection.update_many(&update, rows, |_| ()).await.unwrap();
    assert_eq!(report.rows, ROWS as u64 / 2);

    let select = SelectByIds::from(place.table.as_str()).unwrap().id_column("id").unwrap();
    let select = select.columns(["x"]).unwrap();
    let ids: Vec<_> = (0..ROWS + 5).map(Value::I64).collect();
    let found = connection.select_by_ids(&select, &ids).await.unwrap();
    assert_eq!((found.rows.len(), found.missing.len()), (ROWS as usize, 5));
    assert_eq!(found.rows[2].get::<i64>("x"), Ok(-1));

    let related = Related::from(place.table.as_str()).unwrap().parent_column("x").unwrap();
    let related = related.columns(["id"]).unwrap().order_by("id", Direction::Ascending).unwrap();
    let children =
        connection.load_related(&related, &[Value::I64(1), Value::I64(2)]).await.unwrap();
    let of = |parent| children.children(Value::I64(parent)).len();
    assert_eq!((of(1), of(2)), (ROWS as usize / 100, 0));
}

async fn a_batch_in_a_transaction_is_part_of_it(place: Place) {
    let (_pool, mut connection) = place.table().await;
    let insert = Insert::into(place.table.as_str()).unwrap().columns(["id", "x"]).unwrap();
    let row = |id: i64| [Value::I64(id), Value::I64(id)];
    let mut tx = connection.transaction().await.unwrap();
    tx.insert_many(&insert, (1..=3).map(row), |_| ()).await.unwrap();
    let twice = tx.insert_many(&insert, [row(4), row(1)], |_| ()).await.unwrap_err();
    assert_eq!(twice.kind(), AnyErrorKind::Unique);
    let rows = tx.query(&place.count(), &[]).await.unwrap();
    assert_eq!(crate::many(&rows), 3, "the failed one alone is undone");
    tx.rollback().await.unwrap();
    assert_eq!(count(&place, &mut connection).await, 0);
}
