//! Every type through a real server and back: as a COPY stream, as an array, and as a row.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_sink::Sink;
use pool_sql::{Ident, Insert, OnConflict, OwnedValue, Update, Value, ValueType};
use pool_testkit::servers::Postgres;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, NoTls};

use super::rows::{Column, CopyEncoder, Ids};
use super::statements::{column_types, copy_in, insert_unnest, update_column_types, update_unnest};
use crate::error::{PgError, PgErrorKind};
use crate::values::decode::row;

type Rows<'v> = Vec<Vec<Value<'v>>>;

/// A value, the server's literal for it, and what it is read as if that is not the same.
struct Case<'v>(Value<'v>, &'v str, Option<Value<'v>>);

fn same<'v>(value: Value<'v>, literal: &'v str) -> Case<'v> {
    Case(value, literal, None)
}

fn other<'v>(value: Value<'v>, literal: &'v str, read: Value<'v>) -> Case<'v> {
    Case(value, literal, Some(read))
}

/// Runs a test against a server of its own; a hang is a failure.
fn with_server(test: impl AsyncFnOnce(&Client, &Postgres)) {
    let Some(server) = Postgres::for_test() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let work = async {
        let (client, connection) = tokio_postgres::connect(&server.url(), NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute("SET TimeZone = 'UTC'").await.unwrap();
        test(&client, &server).await;
    };
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), work).await }).unwrap();
}

async fn types(client: &Client, sql: &str) -> Vec<Type> {
    let statement = client.prepare(sql).await.unwrap();
    statement.columns().iter().map(|column| column.type_().clone()).collect()
}

async fn copy(client: &Client, plan: &Insert, rows: &Rows<'_>) -> u64 {
    let types = types(client, &column_types(plan).unwrap()).await;
    let mut out = BytesMut::new();
    let mut encoder = CopyEncoder::start(plan.column_names(), &types, &mut out);
    rows.iter().for_each(|row| encoder.row(row, &mut out).unwrap());
    encoder.finish(&mut out);
    let sink = client.copy_in::<_, Bytes>(&copy_in(plan).unwrap()).await.unwrap();
    let mut sink = pin!(sink);
    while !out.is_empty() {
        poll_fn(|cx| sink.as_mut().poll_ready(cx)).await.unwrap();
        let piece = out.split_to(out.len().min(1_000)); // cuts through rows
        sink.as_mut().start_send(piece.freeze()).unwrap();
    }
    sink.finish().await.unwrap()
}

fn arrays<'a, 'v>(rows: &'a Rows<'v>, names: &'a [Ident]) -> Vec<Column<'a, 'v, Vec<Value<'v>>>> {
    names.iter().enumerate().map(|(i, name)| Column::new(rows, i, name, 0)).collect()
}

async fn execute(
    client: &Client,
    sql: &str,
    rows: &Rows<'_>,
    names: &[Ident],
) -> Result<u64, tokio_postgres::Error> {
    let arrays = arrays(rows, names);
    let arrays: Vec<_> = arrays.iter().map(|array| array as &(dyn ToSql + Sync)).collect();
    client.execute(sql, &arrays).await
}

async fn insert(
    client: &Client,
    plan: &Insert,
    rows: &Rows<'_>,
) -> Result<u64, tokio_postgres::Error> {
    let types = types(client, &column_types(plan).unwrap()).await;
    let sql = insert_unnest(plan, &types, &[]).unwrap();
    execute(client, &sql, rows, plan.column_names()).await
}

async fn read(client: &Client, sql: &str) -> Vec<pool_sql::Row> {
    let found = client.query(sql, &[]).await.unwrap();
    let names = found.first().map_or(&[][..], |found| found.columns());
    let columns: Arc<[Box<str>]> = names.iter().map(|column| column.name().into()).collect();
    found.iter().map(|found| row(found, &columns).unwrap()).collect()
}

fn equal(a: Value<'_>, b: Value<'_>) -> bool {
    match (a, b) {
        (Value::F64(a), Value::F64(b)) => a.to_bits() == b.to_bits(), // NaN, and which zero
        _ => a == b,
    }
}

/// Both ways in, compared with the server's own reading of the literals, and back.
async fn check(client: &Client, ty: &str, cases: &[Case<'_>]) {
    client.batch_execute("DROP TABLE IF EXISTS t").await.unwrap();
    client.batch_execute(&format!("CREATE TABLE t (n int4, x {ty})")).await.unwrap();
    let plan = Insert::into("t").unwrap().columns(["n", "x"]).unwrap();
    let numbered = |from: i64| -> Rows<'_> {
        let null = Value::Null(ValueType::Unknown);
        let values = cases.iter().map(|case| case.0).chain([null]);
        values.zip(from..).map(|(value, n)| vec![Value::I64(n), value]).collect()
    };
    let count = cases.len() as u64 + 1;
    assert_eq!(copy(client, &plan, &numbered(0)).await, count, "{ty}");
    assert_eq!(insert(client, &plan, &numbered(1_000)).await.unwrap(), count, "{ty}");
    assert_eq!(insert(client, &plan, &Vec::new()).await.unwrap(), 0, "{ty}");

    let literal = client.prepare(&format!("SELECT $1::text::{ty}::text")).await.unwrap();
    for from in [0, 1_000] {
        let end = from + 500;
        let rows = read(
            client,
            &format!(
                "SELECT x, x::text AS said FROM t WHERE n BETWEEN {from} AND {end} ORDER BY n"
            ),
        )
        .await;
        assert_eq!(rows.len() as u64, count);
        for (row, case) in rows.iter().zip(cases) {
            let Case(value, text, wanted) = case;
            let said: String = client.query_one(&literal, &[text]).await.unwrap().get(0);
            assert_eq!(row.get::<&str>("said").unwrap(), said, "{ty} {text}");
            let found = row.value("x").unwrap();
            assert!(equal(found, wanted.unwrap_or(*value)), "{ty} {text}: {found:?}");
        }
        assert!(rows.last().unwrap().value("x").unwrap().is_null());
    }
}

#[test]
fn numbers_and_truth() {
    with_server(async |client, _| {
        let truth = [same(Value::Bool(true), "t"), same(Value::Bool(false), "f")];
        check(client, "bool", &truth).await;
        let small = [same(Value::I64(-32_768), "-32768"), other(Value::U64(7), "7", Value::I64(7))];
        check(client, "int2", &small).await;
        check(client, "int4", &[same(Value::I64(i32::MIN.into()), "-2147483648")]).await;
        let large = [
            same(Value::I64(i64::MIN), "-9223372036854775808"),
            same(Value::I64(i64::MAX), "9223372036854775807"),
        ];
        check(client, "int8", &large).await;
        check(client, "oid", &[same(Value::I64(4_294_967_295), "4294967295")]).await;
        let tenth = other(Value::F64(0.1), "0.1", Value::F64(0.1_f32.into()));
        check(client, "float4", &[tenth, same(Value::F64(f64::NAN), "NaN")]).await;
        let floats = [
            same(Value::F64(0.1), "0.1"),
            same(Value::F64(-0.0), "-0"),
            same(Value::F64(f64::MIN_POSITIVE), "2.2250738585072014e-308"),
            same(Value::F64(f64::MAX), "1.7976931348623157e308"),
            same(Value::F64(f64::NEG_INFINITY), "-Infinity"),
            other(
                Value::I64(-(1 << 53)),
                "-9007199254740992",
                Value::F64(-9_007_199_254_740_992.0),
            ),
        ];
        check(client, "float8", &floats).await;
    });
}

#[test]
fn decimals() {
    with_server(async |client, _| {
        let long = format!("-{}.{}7", "9".repeat(2_000), "0".repeat(2_000));
        let (huge, tiny) =
            (format!("1{}", "0".repeat(131_071)), format!("0.{}1", "0".repeat(16_382)));
        let texts = [
            "0",
            "0.00",
            "1",
            "-1",
            "10000",
            "100000000",
            "9999.9999",
            "0.0001",
            "0.00001",
            "-12.50",
            "12345678901234567890.12345678901234567890",
            "NaN",
            "Infinity",
            "-Infinity",
            &long,
            &huge,
            &tiny,
        ];
        let mut cases: Vec<_> = texts.map(|text| same(Value::Decimal(text), text)).into();
        for (text, read) in [
            ("-0", "0"),
            ("-0.000", "0.000"),
            ("000012.3400", "12.3400"),
            (".5", "0.5"),
            ("5.", "5"),
            ("1.5e-3", "0.0015"),
            ("1.50e1", "15.0"),
            ("+25E+3", "25000"),
        ] {
            cases.push(other(Value::Decimal(text), text, Value::Decimal(read)));
        }
        for (value, read) in [
            (Value::I64(i64::MIN), "-9223372036854775808"),
            (Value::U64(u64::MAX), "18446744073709551615"),
            (Value::I64(1_000_000), "1000000"),
            (Value::F64(0.1), "0.1"),
            (Value::F64(-1.25e-7), "-0.000000125"),
        ] {
            cases.push(other(value, read, Value::Decimal(read)));
        }
        check(client, "numeric", &cases).await;
        let rounded = other(Value::Decimal("1.005"), "1.005", Value::Decimal("1.01"));
        check(client, "numeric(10, 2)", &[rounded]).await;
    });
}

#[test]
fn text_bytes_and_documents() {
    with_server(async |client, server| {
        let texts =
            || ["", "a", "Grüße \u{1F9E8}", "NULL", "{\"\\,}"].map(|t| same(Value::Text(t), t));
        check(client, "text", &texts()).await;
        check(client, "varchar(9)", &texts()).await;
        check(client, "name", &texts()).await;
        check(client, "char(3)", &[other(Value::Text("a"), "a", Value::Text("a  "))]).await;
        check(
            client,
            "bytea",
            &[same(Value::Bytes(b""), "\\x"), same(Value::Bytes(b"\0\xff\\"), "\\x00ff5c")],
        )
        .await;
        let uuid = "00112233-4455-6677-8899-aabbccddeeff";
        let bytes: Vec<u8> = (0..16).map(|n| n * 17).collect();
        let read = Value::Uuid(bytes[..].try_into().unwrap());
        check(
            client,
            "uuid",
            &[
                same(read, uuid),
                other(Value::Text(uuid), uuid, read),
                other(Value::Bytes(&bytes), uuid, read),
            ],
        )
        .await;
        let json = "{\"a\": [1, 2.50, null]}";
        let documents =
            || [same(Value::Json(json), json), other(Value::Text("[]"), "[]", Value::Json("[]"))];
        check(client, "json", &documents()).await;
        check(client, "jsonb", &documents()).await;

        let own = "CREATE TYPE \"Mood\" AS ENUM ('sad', 'so so'); \
                   CREATE DOMAIN positive AS int4 CHECK (VALUE > 0);";
        client.batch_execute(own).await.unwrap();
        check(client, "\"Mood\"", &[same(Value::Text("so so"), "so so")]).await;
        check(client, "positive", &[same(Value::I64(7), "7")]).await;
        // Not every build of the server has these two.
        if server.sql("CREATE EXTENSION citext").is_ok() {
            check(client, "citext", &texts()).await;
        }
        if client.query("SELECT '<a/>'::xml", &[]).await.is_ok() {
            check(client, "xml", &[same(Value::Text("<a>b</a>"), "<a>b</a>")]).await;
        }
    });
}

#[test]
fn times() {
    with_server(async |client, _| {
        let stamps = || {
            [
                same(Value::Timestamp(0), "1970-01-01 00:00"),
                same(Value::Timestamp(-1), "1969-12-31 23:59:59.999999"),
                same(Value::Timestamp(951_827_696_789_012), "2000-02-29 12:34:56.789012"),
                same(Value::Timestamp(-210_866_803_200_000_000), "4714-11-24 00:00 BC"),
                same(Value::Timestamp(i64::MAX - 1), "294247-01-10 04:00:54.775806"),
                same(Value::Timestamp(i64::MAX), "infinity"),
                same(Value::Timestamp(i64::MIN), "-infinity"),
            ]
        };
        check(client, "timestamptz", &stamps()).await;
        check(client, "timestamp", &stamps()).await;
        check(
            client,
            "date",
            &[
                same(Value::Date(0), "1970-01-01"),
                same(Value::Date(-1), "1969-12-31"),
                same(Value::Date(-719_162), "0001-01-01"),
                same(Value::Date(-2_440_588), "4714-11-24 BC"),
                same(Value::Date(2_145_042_905), "5874897-12-31"),
                same(Value::Date(i32::MAX), "infinity"),
                same(Value::Date(i32::MIN), "-infinity"),
            ],
        )
        .await;
        check(
            client,
            "time",
            &[
                same(Value::Time(0), "00:00"),
                same(Value::Time(86_399_999_999), "23:59:59.999999"),
                same(Value::Time(86_400_000_000), "24:00"),
            ],
        )
        .await;
    });
}

#[test]
fn statements_do_what_they_say() {
    with_server(async |client, _| {
        let table = "CREATE TABLE \"Odd t\" (\"a \"\"b\" int8 PRIMARY KEY, c text)";
        client.batch_execute(table).await.unwrap();
        let plan = Insert::into("Odd t").unwrap().columns(["a \"b", "c"]).unwrap();
        let upsert = OnConflict::update(["a \"b"]).unwrap();
        let upsert = plan.clone().on_conflict(upsert).unwrap();
        let ignore = plan.clone().on_conflict(OnConflict::Ignore).unwrap();
        let rows = |ids: &[i64], text| -> Rows<'static> {
            ids.iter().map(|id| vec![Value::I64(*id), Value::Text(text)]).collect()
        };
        assert_eq!(insert(client, &plan, &rows(&[1, 2, 3], "new")).await.unwrap(), 3);
        assert_eq!(insert(client, &ignore, &rows(&[3, 4, 4], "ignored")).await.unwrap(), 1);
        assert_eq!(insert(client, &upsert, &rows(&[4, 5], "upserted")).await.unwrap(), 2);
        let twice = insert(client, &upsert, &rows(&[6, 6], "twice")).await.unwrap_err();
        assert_eq!(twice.code().unwrap().code(), "21000");
        let update = Update::table("Odd t").unwrap().key("a \"b").unwrap().columns(["c"]).unwrap();
        let known = types(client, &update_column_types(&update).unwrap()).await;
        let sql = update_unnest(&update, &known).unwrap();
        let names: Vec<_> = update.names().cloned().collect();
        assert_eq!(execute(client, &sql, &rows(&[1, 9], "updated"), &names).await.unwrap(), 1);

        let found = read(client, "SELECT c FROM \"Odd t\" ORDER BY 1, \"a \"\"b\"").await;
        let texts: Vec<_> = found.iter().map(|row| row.get::<&str>("c").unwrap()).collect();
        assert_eq!(texts, ["new", "new", "updated", "upserted", "upserted"]);

        let sql = "SELECT c FROM \"Odd t\" WHERE \"a \"\"b\" = ANY($1)";
        let null = Value::Null(ValueType::I64);
        for (ids, hits) in [(&[Value::I64(5), null, Value::U64(2)][..], 2), (&[], 0)] {
            assert_eq!(client.query(sql, &[&Ids(ids)]).await.unwrap().len(), hits);
        }
    });
}

#[test]
fn what_does_not_fit_is_said_and_the_connection_goes_on() {
    with_server(async |client, _| {
        client.batch_execute("CREATE TABLE t (n int4, x int2)").await.unwrap();
        let plan = Insert::into("t").unwrap().columns(["n", "x"]).unwrap();
        let rows =
            vec![vec![Value::I64(1), Value::I64(1)], vec![Value::I64(1), Value::I64(70_000)]];
        let error = insert(client, &plan, &rows).await.unwrap_err();
        let source = std::error::Error::source(&error).unwrap().downcast_ref::<PgError>().unwrap();
        assert_eq!(source.to_string(), "row 1, column `x`: the I64 is out of range for int2");
        assert_eq!(PgError::from(error).kind(), PgErrorKind::Type);

        let found = client.query("SELECT ARRAY[1] AS a, NULL::inet AS i", &[]).await.unwrap();
        let columns: Arc<[Box<str>]> = ["a".into(), "i".into()].into();
        let error = row(&found[0], &columns).unwrap_err();
        assert!(error.to_string().starts_with("column `a` is _int4, which"), "{error}");
        let null = read(client, "SELECT NULL::inet AS i").await;
        assert_eq!(null[0].at(0), Some(OwnedValue::Null(ValueType::Unknown).as_ref()));
    });
}
