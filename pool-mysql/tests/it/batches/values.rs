//! Every type of value goes in and comes out as it was, whichever way it goes.

use pool_mysql::pool_sql::{Batch, SelectByIds, Value, ValueType};

use super::Films;
use crate::soon;

const NAMES: [&str; 20] = [
    "id", "a", "b", "c", "u", "d", "f", "e", "s", "x", "g", "h", "i", "j", "k", "l", "year", "n",
    "z", "bits",
];
const TABLE: &str = "CREATE TABLE v{} (id int PRIMARY KEY, a bool, b smallint, c bigint, \
     u bigint unsigned, d double, f float, e text, s varchar(5), x blob, g decimal(40, 10), \
     h binary(16), i datetime(6), j date, k time(6), l json, year year, n decimal(30), z timestamp(6) NULL, \
     bits bit(64)) \
     CHARSET utf8mb4";

/// A row of extremes, one of other extremes, and one of NULLs.
fn rows(films: &Films) -> [[Value<'static>; 20]; 4] {
    // MySQL's longest time is a whole number of seconds.
    let longest = if films.place.is_mariadb { 3_020_399_999_999 } else { 3_020_399_000_000 };
    let (least, most) = (Value::I64(i64::MIN), Value::I64(i64::MAX));
    [
        [
            Value::I64(0),
            Value::Bool(true),
            Value::I64(-32_768),
            least,
            Value::U64(u64::MAX),
            Value::F64(f64::MAX),
            Value::F64(-1.5),
            Value::Text("Grüße \u{1F9E8} '\\\"\n\t;--"),
            Value::Text("\u{1F9E8}\u{1F9E8}\u{1F9E8}\u{1F9E8}\u{1F9E8}"),
            Value::Bytes(&[0, 255, 254, 0, 39, 92]),
            Value::Decimal("-123456789012345678901234567890.0123456789"),
            Value::Uuid([0xF0; 16]),
            Value::Timestamp(951_827_696_789_012),
            Value::Date(11_016),
            Value::Time(-longest),
            Value::Json("{\"a\": [1, \"é\\n\"]}"),
            Value::I64(1901),
            Value::I64(i64::MIN),
            Value::Timestamp(951_827_696_789_012),
            Value::U64(u64::MAX),
        ],
        [
            Value::I64(1),
            Value::Bool(false),
            Value::U64(7),
            most,
            Value::U64(0),
            Value::F64(f64::MIN_POSITIVE),
            Value::F64(0.0),
            Value::Text(""),
            Value::Text(""),
            Value::Bytes(&[]),
            Value::Decimal("0.0000000000"),
            Value::Uuid([0; 16]),
            Value::Timestamp(0),
            Value::Date(-719_162),
            Value::Time(0),
            Value::Json("[]"),
            Value::I64(2155),
            Value::I64(-1),
            Value::Timestamp(1_000_000),
            Value::U64(0),
        ],
        {
            let mut nulls = [Value::Null(ValueType::Unknown); 20];
            nulls[0] = Value::I64(2);
            nulls
        },
        [
            Value::I64(3),
            Value::Bool(true),
            Value::I64(0),
            Value::I64(-1),
            Value::U64(1 << 63),
            Value::F64(-5e-324),
            Value::F64(0.1),
            Value::Text("\0\u{1}\u{FFFF}"),
            Value::Text("a b c"),
            Value::Bytes("é".as_bytes()),
            Value::Decimal("12.3000000000"),
            Value::Uuid(*b"0123456789abcdef"),
            Value::Timestamp(253_402_300_799_999_999),
            Value::Date(2_932_896),
            Value::Time(86_399_000_000),
            Value::Json("null"),
            Value::I64(2000),
            Value::I64(0),
            Value::Timestamp(1_706_933_106_789_000),
            Value::U64(5),
        ],
    ]
}

fn same(found: Value<'_>, wanted: Value<'_>) -> bool {
    match (found, wanted) {
        (Value::Null(_), Value::Null(_)) => true,
        (Value::Decimal(found), Value::I64(wanted)) => found == wanted.to_string(),
        (Value::Decimal(found), Value::U64(wanted)) => found == wanted.to_string(),
        (Value::I64(found), Value::Bool(wanted)) => found == i64::from(wanted),
        (Value::I64(found), Value::U64(wanted)) => u64::try_from(found) == Ok(wanted),
        (Value::Bytes(found), Value::Uuid(wanted)) => found == wanted,
        (Value::Text(found), Value::Json(wanted)) => found == wanted, // MariaDB's JSON is text
        (Value::F64(found), Value::F64(wanted)) => {
            found.to_bits() == wanted.to_bits() || found == f64::from(wanted as f32)
        }
        (found, wanted) => found == wanted,
    }
}

async fn check(films: &Films, wanted: &[[Value<'_>; 20]], of: &str) {
    let select = SelectByIds::from(&films.name("v{}")).unwrap();
    let select = select.id_column("id").unwrap().columns(NAMES).unwrap();
    let ids: Vec<_> = wanted.iter().map(|row| row[0]).collect();
    let found = films.connection().await.select_by_ids(&select, &ids).await.unwrap().rows;
    assert_eq!(found.len(), wanted.len(), "{of}");
    for (row, wanted) in found.iter().zip(wanted) {
        for (at, wanted) in wanted.iter().enumerate() {
            let found = row.at(at).unwrap();
            assert!(same(found, *wanted), "{of}: {}: {found:?} {wanted:?}", NAMES[at]);
            if let (Value::Null(of), 1..) = (found, at) {
                assert_ne!(of, ValueType::Unknown, "a NULL has its column's type");
            }
        }
    }
}

#[tokio::test]
async fn inserts_one_by_one_in_bulk_and_by_many_rows() {
    let films = Films::new().await;
    films.run(TABLE).await;
    let plan = films.insert_into("v{}", &NAMES);
    let [first, second, nulls, last] = rows(&films);
    // Any of them first: the driver takes the types from the first rows.
    for (of, rows) in [
        ("one", vec![first]),
        ("one", vec![nulls]),
        ("bulk", vec![first, second, nulls, last]),
        ("bulk", vec![nulls, second, last, first]),
        ("bulk of NULLs", vec![nulls]),
    ] {
        let mut connection = films.connection().await;
        let report = soon(connection.insert_many(&plan, &rows, |_| ())).await.unwrap();
        assert_eq!(report.statements, 1, "{of}");
        drop(connection);
        check(&films, &rows, of).await;
        films.run("TRUNCATE v{}").await;
    }
    // A text among the numbers: no bulk.
    let mut many = vec![nulls, first, second, last];
    many[2][2] = Value::Text("7");
    let report = soon(films.connection().await.insert_many(&plan, &many, |_| ())).await.unwrap();
    assert_eq!(report.statements, 1);
    many[2][2] = Value::I64(7);
    check(&films, &many, "many rows").await;
}

/// The longest times that one server stores and another does not: refused there, and nothing else.
#[tokio::test]
async fn times_are_as_long_as_the_server_stores_them() {
    let films = Films::new().await;
    films.run("CREATE TABLE k{} (id int PRIMARY KEY, k time(6))").await;
    let plan = films.insert_into("k{}", &["id", "k"]);
    let mut connection = films.connection().await;
    for (id, micros) in [(0, 3_020_399_000_000), (1, 3_020_399_000_001), (2, -3_020_399_999_999)] {
        let row = [[Value::I64(id), Value::Time(micros)]];
        let done = soon(connection.insert_many(&plan, row, |_| ())).await;
        match films.place.is_mariadb || id == 0 {
            true => assert_eq!(done.unwrap().affected, 1),
            false => assert_eq!(done.unwrap_err().rows(), Some(0..1)),
        }
    }
    let row = [[Value::I64(3), Value::Time(3_020_400_000_000)]];
    let error = soon(connection.insert_many(&plan, row, |_| ())).await.unwrap_err();
    assert!(error.to_string().starts_with("row 0, column `k`: the Time is outside"), "{error}");
    let stored = if films.place.is_mariadb { 3 } else { 1 };
    assert_eq!(films.number("SELECT count(*) FROM k{}").await, stored);
}

/// The types of a chunk are not those of the next.
#[tokio::test]
async fn chunks_may_have_other_types() {
    let films = Films::new().await;
    films.run("CREATE TABLE t{} (id int PRIMARY KEY, x varchar(30))").await;
    let plan = films.insert_into("t{}", &["id", "x"]);
    // On MariaDB a chunk of a thousand, then of eight.
    let value = |id: i64| match (id + 7_000) / 8_000 {
        0 => Value::Null(ValueType::Text),
        1 => Value::I64(-id),
        2 => Value::Text("text"),
        3 if id % 2 == 0 => Value::I64(-id),
        3 => Value::U64(u64::MAX),
        4 if id % 2 == 0 => Value::I64(id),
        4 => Value::U64(u64::MAX),
        _ => Value::Date(0),
    };
    let rows = (0..41_000).map(|id| [Value::I64(id), value(id)]);
    soon(films.connection().await.insert_many(&plan, rows, |_| ())).await.unwrap();
    for (at, rows, wanted) in [
        (0, 1_000, "x IS NULL"),
        (1, 8_000, "x = concat('-', id)"),
        (2, 8_000, "x = 'text'"),
        (3, 8_000, "x = if(id % 2, '18446744073709551615', concat('-', id))"),
        (4, 8_000, "x = if(id % 2, '18446744073709551615', id)"),
        (5, 8_000, "x like '1970-01-01%'"),
    ] {
        let sql =
            format!("SELECT count(*) FROM t{{}} WHERE (id + 7000) DIV 8000 = {at} AND {wanted}");
        assert_eq!(films.number(&sql).await, rows, "{wanted}");
    }
}

#[tokio::test]
async fn updates_in_bulk_and_by_a_join() {
    let films = Films::new().await;
    films.run(TABLE).await;
    let plan = films.insert_into("v{}", &NAMES);
    // Of a BIT no column of a join is as good: it is the last one.
    for (columns, odd, of) in [(20, Value::I64(7), "bulk"), (19, Value::U64(u64::MAX), "join")] {
        let update = films.update("v{}", "id", &NAMES[1..columns]);
        let [first, second, nulls, last] = rows(&films);
        let mut rows = vec![nulls, first, last, second];
        rows[2][17] = odd; // the others are negative
        let empty = rows.iter().map(|row| {
            let mut empty = nulls;
            empty[0] = row[0];
            empty
        });
        soon(films.connection().await.insert_many(&plan, empty, |_| ())).await.unwrap();
        for round in ["once", "with other lengths"] {
            let given: Vec<_> = rows.iter().map(|row| &row[..columns]).collect();
            let mut connection = films.connection().await;
            let report = soon(connection.update_many(&update, given, |_| ())).await.unwrap();
            // MySQL has no protocol for bulk, and cuts what is joined with NULLs.
            let statements = if films.place.is_mariadb { 1 } else { 4 };
            assert_eq!((report.rows, report.statements), (4, statements), "{of}, {round}");
            drop(connection);
            let mut wanted = rows.clone();
            if columns < 20 {
                wanted.iter_mut().for_each(|row| row[19] = nulls[19]);
            }
            check(&films, &wanted, of).await;
            for row in &mut rows {
                row[7] = Value::Text("longer than any that was there before, and then some");
                row[10] = Value::Decimal("987654321098765432109876543210.9876543210");
            }
        }
        films.run("TRUNCATE v{}").await;
    }
}

/// A join of NULLs and moments would cut these on MySQL.
#[tokio::test]
async fn an_update_keeps_fractions_of_seconds_beside_nulls() {
    let films = Films::new().await;
    films.run("CREATE TABLE f{} (id int PRIMARY KEY, t datetime(6), s timestamp(6) NULL)").await;
    films.run("INSERT INTO f{} (id) VALUES (0), (1), (2), (3)").await;
    let update = films.update("f{}", "id", &["t", "s"]);
    let select = SelectByIds::from(&films.name("f{}")).unwrap();
    let select = select.id_column("id").unwrap().columns(["t", "s"]).unwrap();
    let (null, whole) = (Value::Null(ValueType::Timestamp), Value::Timestamp(951_827_696_000_000));
    let part = |micros: i64| Value::Timestamp(951_827_696_000_000 + micros);
    for (beside_null, moments) in [
        (true, [null, part(789_012), part(1), whole]),
        (false, [part(1), part(999_999), whole, part(500_000)]),
        (false, [null, whole, null, whole]),
        (true, [part(2), null, part(3), part(4)]),
        (false, [whole, whole, whole, part(5)]),
        (false, [null; 4]),
    ] {
        let mut connection = films.connection().await;
        soon(connection.query_drop("SET time_zone = '+00:00'")).await.unwrap();
        let rows = (0..).zip(moments).map(|(id, moment)| [Value::I64(id), moment, moment]);
        let report = soon(connection.update_many(&update, rows, |_| ())).await.unwrap();
        let is_joined = films.place.is_mariadb || !beside_null;
        assert_eq!(report.statements, if is_joined { 1 } else { 4 });
        let ids: Vec<_> = (0..4).map(Value::I64).collect();
        let found = soon(connection.select_by_ids(&select, &ids)).await.unwrap().rows;
        for (row, wanted) in found.iter().zip(moments) {
            for at in 0..2 {
                assert!(same(row.at(at).unwrap(), wanted), "{beside_null}");
            }
        }
    }
}

/// MySQL keeps the types of a statement's first values.
#[tokio::test]
async fn a_number_is_not_rounded_by_those_before_it() {
    let films = Films::new().await;
    films.run("CREATE TABLE n{} (id int PRIMARY KEY, n decimal(40,10), d double)").await;
    let (insert, update) =
        (films.insert_into("n{}", &["id", "n", "d"]), films.update("n{}", "id", &["n", "d"]));
    let mut connection = films.connection().await;
    let exact = "12345678901234567890.0123456789";
    let numbers = [Value::F64(0.5), Value::Decimal(exact), Value::F64(-1.5e300), Value::I64(7)];
    for (id, number) in (0..).zip(numbers) {
        let small = if id == 2 { Value::I64(3) } else { number };
        let rows = [[Value::I64(id), small, number]];
        soon(connection.insert_many(&insert, rows, |_| ())).await.unwrap();
    }
    let asked = films.name("SELECT CONCAT_WS(' ', n, d) FROM n{} ORDER BY id");
    let wanted = [
        "0.5000000000 0.5",
        "12345678901234567890.0123456789 1.2345678901234567e19",
        "3.0000000000 -1.5e300",
        "7.0000000000 7",
    ];
    let found: Vec<String> = soon(connection.query(&asked)).await.unwrap();
    assert_eq!(found, wanted);
    for (id, number) in (0..).zip([Value::F64(0.5), Value::Decimal(exact)]) {
        for other in [0, 1] {
            let rows = [[Value::I64(id), number, number], [Value::I64(id + 2), number, number]];
            soon(connection.update_many(&update, &rows[other..], |_| ())).await.unwrap();
        }
    }
    let found: Vec<String> = soon(connection.query(&asked)).await.unwrap();
    assert_eq!(found, [wanted[0], wanted[1], wanted[0], wanted[1]]);
}

#[tokio::test]
async fn days_that_are_none_are_read_as_text() {
    let films = Films::new().await;
    films
        .run(
            "SET sql_mode = ''; CREATE TABLE z{} (id int, d date, t datetime(3), s timestamp NULL); \
             INSERT INTO z{} VALUES (1, 0, 0, 0), (2, '2024-02-00', '2024-02-03 04:05:06.789', NULL)",
        )
        .await;
    let select = SelectByIds::from(&films.name("z{}")).unwrap();
    let select = select.id_column("id").unwrap().columns(["d", "t", "s"]).unwrap();
    let ids = [Value::I64(1), Value::I64(2)];
    let found = soon(films.connection().await.select_by_ids(&select, &ids)).await.unwrap().rows;
    assert_eq!(found[0].value("d"), Some(Value::Text("0000-00-00")));
    assert_eq!(found[1].value("d"), Some(Value::Text("2024-02-00")));
    assert_eq!(found[1].value("t"), Some(Value::Timestamp(1_706_933_106_789_000)));
    assert_eq!(found[1].value("s"), Some(Value::Null(ValueType::Timestamp)));
}
