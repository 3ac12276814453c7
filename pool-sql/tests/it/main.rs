//! The `Batch` trait from a backend's side: a connection that keeps its statements instead of a server.
use std::fmt;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use pool_sql::plan::{ids_per_statement, json_ids};
use pool_sql::{
    Batch, BatchFuture, BatchReport, Chunker, Dialect, Direction, Found, Insert, OwnedValue,
    PlanError, Progress, Related, RelatedRows, Row, SelectByIds, Update, Value, Wanted,
};

const DIALECT: Dialect = Dialect::Sqlite;

/// Keeps each statement's text and how many values were bound; answers queries with `answer`.
#[derive(Default)]
struct Recorder {
    sent: Vec<(String, usize)>,
    answer: Vec<Row>,
}

#[derive(Debug, PartialEq)]
struct Failed(PlanError);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Failed {}

impl From<PlanError> for Failed {
    fn from(error: PlanError) -> Self {
        Self(error)
    }
}

impl Recorder {
    async fn write<'r, I>(
        &mut self,
        chunker: Chunker,
        sql: impl Fn(usize) -> Result<String, PlanError> + Send,
        rows: I,
        mut progress: impl FnMut(Progress) + Send,
    ) -> Result<BatchReport, Failed>
    where
        I: Iterator<Item: AsRef<[Value<'r>]> + Send + Sync> + Send,
    {
        let mut report = BatchReport::default();
        let mut so_far = Progress::default();
        for chunk in chunker.chunks(rows) {
            let chunk = chunk?;
            for rows in chunker.statements(&chunk) {
                let bound = rows.iter().map(|row| row.as_ref().len()).sum();
                self.sent.push((sql(rows.len())?, bound));
                report.add_statement(rows.len(), rows.len() as u64);
                std::future::ready(()).await; // where a driver would be awaited
            }
            so_far.add_chunk(chunk.len());
            progress(so_far);
        }
        Ok(report)
    }
}

impl Batch for Recorder {
    type Error = Failed;

    fn insert_many<'a, 'r: 'a, I, R>(
        &'a mut self,
        plan: &'a Insert,
        rows: I,
        progress: impl FnMut(Progress) + Send + 'a,
    ) -> BatchFuture<'a, Failed>
    where
        I: IntoIterator<Item = R>,
        I::IntoIter: Send + 'a,
        R: AsRef<[Value<'r>]> + Send + Sync + 'a,
    {
        let sql = |rows| plan.sql(DIALECT, rows);
        Box::pin(self.write(plan.chunker(DIALECT), sql, rows.into_iter(), progress))
    }

    fn update_many<'a, 'r: 'a, I, R>(
        &'a mut self,
        plan: &'a Update,
        rows: I,
        progress: impl FnMut(Progress) + Send + 'a,
    ) -> BatchFuture<'a, Failed>
    where
        I: IntoIterator<Item = R>,
        I::IntoIter: Send + 'a,
        R: AsRef<[Value<'r>]> + Send + Sync + 'a,
    {
        let sql = |rows| plan.sql(DIALECT, rows);
        Box::pin(self.write(plan.chunker(DIALECT), sql, rows.into_iter(), progress))
    }

    async fn select_by_ids(
        &mut self,
        plan: &SelectByIds,
        ids: &[Value<'_>],
    ) -> Result<Found, Failed> {
        let wanted = Wanted::new(ids);
        for ids in wanted.ids().chunks(ids_per_statement(DIALECT)) {
            json_ids(ids)?;
            self.sent.push((plan.sql(DIALECT, ids.len())?, 1));
        }
        Ok(wanted.found(std::mem::take(&mut self.answer), plan.id_index()?))
    }

    async fn load_related(
        &mut self,
        plan: &Related,
        parents: &[Value<'_>],
    ) -> Result<RelatedRows, Failed> {
        let wanted = Wanted::new(parents);
        for ids in wanted.ids().chunks(ids_per_statement(DIALECT)) {
            let bound = 1 + plan.page().map_or(0, |page| page.len());
            self.sent.push((plan.sql(DIALECT, ids.len())?, bound));
        }
        Ok(wanted.related(std::mem::take(&mut self.answer), plan.parent_index()?))
    }
}

/// Runs a future that never waits. It must be `Send`, as on a runtime with several threads.
fn now<T>(future: impl Future<Output = T> + Send) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("the recorder never waits"),
    }
}

#[test]
fn insert_sends_whole_chunks_and_a_tail_of_few_sizes() {
    let mut conn = Recorder::default();
    let plan = Insert::into("files").unwrap().columns(["path", "size"]).unwrap();
    let paths: Vec<String> = (0..437).map(|n| format!("/media/{n}")).collect();
    let rows = paths.iter().zip(0_u64..).map(|(path, n)| [Value::from(path), Value::from(n)]);
    let mut steps = Vec::new();

    let report = now(conn.insert_many(&plan, rows, |step| steps.push(step.rows_done))).unwrap();

    assert_eq!((report.rows, report.affected, report.statements), (437, 437, 7));
    assert_eq!(steps, [250, 437]);
    let bound: Vec<_> = conn.sent.iter().map(|(_, bound)| bound / 2).collect();
    assert_eq!(bound, [250, 128, 32, 16, 8, 2, 1]);
}

#[test]
fn a_row_that_does_not_fit_is_named() {
    let plan = Update::table("t").unwrap().key("id").unwrap().columns(["c"]).unwrap();
    let rows = [vec![Value::I64(1), Value::Text("x")], vec![Value::I64(2)]];
    let failed = now(Recorder::default().update_many(&plan, rows, |_| ())).unwrap_err();
    assert_eq!(failed.to_string(), "row 1 has 1 values, but the plan has 2 columns");
}

#[test]
fn no_rows_send_nothing() {
    let mut conn = Recorder::default();
    let plan = Insert::into("t").unwrap().columns(["c"]).unwrap();
    let ids = SelectByIds::from("t").unwrap().id_column("id").unwrap().columns(["c"]).unwrap();
    let none: [[Value<'_>; 1]; 0] = [];
    assert_eq!(now(conn.insert_many(&plan, none, |_| ())), Ok(BatchReport::default()));
    assert!(now(conn.select_by_ids(&ids, &[])).unwrap().rows.is_empty());
    assert!(conn.sent.is_empty());
}

#[test]
fn ids_and_parents_are_one_query_each() {
    let child = |id, plot| {
        let values = vec![OwnedValue::I64(id), OwnedValue::I64(plot)];
        Row::new(["id".into(), "plot_id".into()].into(), values)
    };
    let rows = vec![child(1, 8), child(2, 7), child(3, 8)];

    let mut conn = Recorder { answer: rows.clone(), ..Recorder::default() };
    let plan = SelectByIds::from("c").unwrap().id_column("id").unwrap();
    let plan = plan.columns(["id", "plot_id"]).unwrap();
    let ids = [3, 4, 1, 3, 2].map(Value::from);
    let found = now(conn.select_by_ids(&plan, &ids)).unwrap();
    assert_eq!(found.rows, [rows[2].clone(), rows[0].clone(), rows[1].clone()]);
    assert_eq!(found.missing, [OwnedValue::I64(4)]);

    conn.answer = rows.clone();
    let plan = Related::from("c").unwrap().parent_column("plot_id").unwrap();
    let plan = plan.columns(["id"]).unwrap().order_by("id", Direction::Ascending).unwrap();
    let chapters = now(conn.load_related(&plan.limit_per_parent(5), &[7, 8, 9].map(Value::from)));
    let chapters = chapters.unwrap();
    assert_eq!(chapters.children(Value::I64(8)), [rows[0].clone(), rows[2].clone()]);
    let sizes: Vec<_> = chapters.iter().map(|(_, children)| children.len()).collect();
    assert_eq!(sizes, [1, 2, 0]);
    assert_eq!(conn.sent.len(), 2);
    assert_eq!(conn.sent[1].1, 3); // the parents as one value, and the page's two numbers
}

#[test]
fn a_bad_id_fails_before_anything_is_sent() {
    let mut conn = Recorder::default();
    let plan = SelectByIds::from("t").unwrap().id_column("id").unwrap().columns(["c"]).unwrap();
    let failed = now(conn.select_by_ids(&plan, &[Value::I64(1), Value::Bytes(b"x")])).unwrap_err();
    assert!(failed.to_string().starts_with("id 1 is Bytes: "), "{failed}");
    assert!(conn.sent.is_empty());
}

/// As an application writes it: generic, borrowing, and still `Send` for a runtime with threads.
#[test]
fn a_batch_inside_an_async_function_is_send() {
    async fn store<C: Batch>(conn: &mut C, paths: &[String]) -> Result<u64, C::Error> {
        let plan = Insert::into("files")?.columns(["path", "kind"])?;
        let kind = String::from("film");
        let mut done = 0;
        let rows = paths.iter().map(|path| [Value::from(path), Value::from(&kind)]);
        conn.insert_many(&plan, rows, |step| done = step.rows_done).await?;

        let plan = SelectByIds::from("files")?.id_column("path")?.columns(["kind"])?;
        let ids: Vec<_> = paths.iter().map(Value::from).collect();
        let found = conn.select_by_ids(&plan, &ids).await?;
        Ok(done + found.missing.len() as u64)
    }
    let stored = now(async {
        let paths = vec!["a".to_owned(), "b".to_owned()];
        store(&mut Recorder::default(), &paths).await
    });
    assert_eq!(stored, Ok(4));
}
