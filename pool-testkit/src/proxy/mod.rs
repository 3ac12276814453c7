//! A TCP proxy in front of a server, with faults that are switched while connections are open.
//!
//! It runs on a thread and a runtime of its own, so a test may stop its own clock, block its
//! thread or use no runtime at all.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use pool_testkit::{Fault, FaultProxy};
//!
//! # let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
//! # let server = server.local_addr().unwrap();
//! let proxy = FaultProxy::start(server).unwrap();
//! let client = tokio::net::TcpStream::connect(proxy.address()).await.unwrap();
//! proxy.set(Fault::Blackhole); // this client now waits in vain
//! proxy.reset(); // until it learns that its connection is lost
//! # drop(client); }
//! ```

mod listener;
mod relay;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// What the proxy does to all connections, those that are open included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing: it passes on what it gets.
    #[default]
    Pass,
    /// It accepts and takes, but passes on nothing, in both directions, ends of connections
    /// included. What was held comes through when the fault is over, as in a network that heals.
    Blackhole,
    /// What it gets is passed on this much later.
    Delay(Duration),
    /// One byte at a time, with this pause after each; it may be zero.
    Trickle(Duration),
    /// It ends this direction of each connection, and drops what comes for it. The other one stays
    /// open. A direction that has ended does not come back.
    HalfClose(Direction),
    /// New connections are refused: nobody listens. Open ones go on.
    Refuse,
}

/// A direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// What the client says.
    ToServer,
    /// What the server says.
    ToClient,
}

/// Where the proxy connects to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl From<PathBuf> for Target {
    fn from(path: PathBuf) -> Self {
        Self::Unix(path)
    }
}

impl From<&Path> for Target {
    fn from(path: &Path) -> Self {
        Self::Unix(path.to_owned())
    }
}

/// A proxy; it ends with its drop, and all connections through it.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    orders: Option<UnboundedSender<(Order, mpsc::Sender<()>)>>,
    counts: Arc<Counts>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread is told.
#[derive(Clone, Copy, Debug)]
enum Order {
    Set(Fault),
    Cut(Cut),
}

/// How connections are cut.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// By a FIN, as when a server's process ends.
    Close,
    /// By an RST, as when a connection is unknown.
    Reset,
}

#[derive(Debug, Default)]
struct Counts {
    accepted: AtomicU64,
    open: AtomicUsize,
}

impl FaultProxy {
    /// A proxy on a free port of 127.0.0.1, passing everything on.
    ///
    /// # Errors
    ///
    /// The system has no port or no thread.
    pub fn start(target: impl Into<Target>) -> io::Result<Self> {
        let target = target.into();
        let counts = Arc::new(Counts::default());
        let (orders, received) = unbounded_channel();
        let (started, start) = mpsc::channel();
        let shared = Arc::clone(&counts);
        let thread = thread::Builder::new().name("fault-proxy".into()).spawn(move || {
            let runtime = match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(started.send(Err(error))),
            };
            // Connections end with the runtime.
            runtime.block_on(listener::run(target, shared, received, started));
        })?;
        let address = start.recv().map_err(|_| io::Error::other("the proxy's thread ended"))??;
        Ok(Self { address, orders: Some(orders), counts, thread: Some(thread) })
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The fault from now on: connections accepted after this know it, open ones turn to it with
    /// the next thing they do.
    ///
    /// # Panics
    ///
    /// If the end of [`Fault::Refuse`] finds the port taken by somebody else.
    pub fn set(&self, fault: Fault) {
        self.tell(Order::Set(fault));
    }

    /// Resets all open connections (RST), on both sides; what was on its way is lost. The fault
    /// stays as it is.
    pub fn reset(&self) {
        self.tell(Order::Cut(Cut::Reset));
    }

    /// Closes all open connections (FIN), on both sides. The fault stays as it is.
    pub fn close(&self) {
        self.tell(Order::Cut(Cut::Close));
    }

    /// How many connections it accepted.
    pub fn accepted(&self) -> u64 {
        self.counts.accepted.load(Ordering::SeqCst)
    }

    /// How many of them are open. One that either side has closed is, until the proxy has passed
    /// that on and heard from the other.
    pub fn open(&self) -> usize {
        self.counts.open.load(Ordering::SeqCst)
    }

    /// Returns when the thread has done it.
    fn tell(&self, order: Order) {
        let (done, wait) = mpsc::channel();
        let told = self.orders.as_ref().is_some_and(|orders| orders.send((order, done)).is_ok());
        assert!(told && wait.recv().is_ok(), "the proxy's thread ended");
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // Its panic, if any, was told by the call that met it.
            let _ = thread.join();
        }
    }
}
