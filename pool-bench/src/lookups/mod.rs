//! Look-ups by key in a table of a real server, each with a connection that is taken from a pool and
//! given back. What is the same for all servers.

mod many;
mod one;

use std::fmt::Debug;
use std::rc::Rc;

use tokio::runtime::Runtime;

use crate::contest::Contest;

/// Connections of a pool.
pub(crate) const CONNECTIONS: u32 = 8;
/// So many rows has the table, their keys from 1.
const ROWS: i32 = 1000;

/// How a server is reached, and what its table holds.
pub(crate) trait Table: Clone + Send + Sync + 'static {
    /// What is added to is a second one of these.
    type Bare: Pool<Way = Self>;
    type Value: Debug + PartialEq + Send;

    /// What the row has.
    fn value(id: i32) -> Self::Value;
}

/// A pool, as its documentation has it used.
pub(crate) trait Pool: Clone + Send + Sync + 'static {
    /// The first word is the package.
    const NAME: &'static str;
    /// Who asks at once, where many do.
    const TASKS: usize = 64;

    type Way: Table;

    /// Opens it, for [`CONNECTIONS`] at most.
    fn open(way: &Self::Way) -> impl Future<Output = Self> + Send;

    /// Takes a connection, looks the row up and gives the connection back.
    fn select(&self, id: i32) -> impl Future<Output = <Self::Way as Table>::Value> + Send;
}

/// One task, which takes turns with a bare client.
pub(crate) fn enter_one<P: Pool>(
    contest: &mut Contest,
    runtime: &Rc<Runtime>,
    way: &P::Way,
    case: &str,
) {
    let (runtime, way) = (runtime.clone(), way.clone());
    contest.enter(P::NAME, case, move |time| one::one::<P>(&runtime, &way, time));
}

/// Many tasks, each of which asks again as soon as it was served.
pub(crate) fn enter_many<P: Pool>(
    contest: &mut Contest,
    runtime: &Rc<Runtime>,
    way: &P::Way,
    case: &str,
) {
    let (runtime, way) = (runtime.clone(), way.clone());
    contest.enter(P::NAME, case, move |time| many::many::<P>(&runtime, &way, time));
}

/// Any row, and what is in it.
fn any<P: Pool>() -> (i32, <P::Way as Table>::Value) {
    let id = fastrand::i32(1..=ROWS);
    (id, P::Way::value(id))
}
