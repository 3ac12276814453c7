//! A small server with a manager as people wrote them for bb8 and for r2d2.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};

/// How a call goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Act {
    Pass,
    Fail,
    Panic,
    /// Until [`Server::release`]; in bb8's manager for ever.
    Hang,
}

#[derive(Clone, Default)]
pub(crate) struct Server(Arc<Inner>);

#[derive(Default)]
struct Inner {
    ids: AtomicU64,
    open: AtomicUsize,
    tests: AtomicUsize,
    connect: Mutex<VecDeque<Act>>,
    test: Mutex<VecDeque<Act>>,
    down: AtomicBool,
    drop_panics: AtomicBool,
    released: Mutex<bool>,
    release: Condvar,
    /// The names of the threads that had to block.
    threads: Mutex<Vec<String>>,
}

impl Server {
    pub(crate) fn manager(&self) -> TheirManager {
        TheirManager(self.clone())
    }

    pub(crate) fn open(&self) -> usize {
        self.0.open.load(SeqCst)
    }

    pub(crate) fn tests(&self) -> usize {
        self.0.tests.load(SeqCst)
    }

    pub(crate) fn next_connects(&self, acts: impl IntoIterator<Item = Act>) {
        self.0.connect.lock().unwrap().extend(acts);
    }

    pub(crate) fn next_tests(&self, acts: impl IntoIterator<Item = Act>) {
        self.0.test.lock().unwrap().extend(acts);
    }

    /// Every connect fails from now on.
    pub(crate) fn down(&self) {
        self.0.down.store(true, SeqCst);
    }

    /// The next drop of a connection panics.
    pub(crate) fn drop_panics(&self) {
        self.0.drop_panics.store(true, SeqCst);
    }

    /// Blocked calls go on.
    pub(crate) fn release(&self) {
        *self.0.released.lock().unwrap() = true;
        self.0.release.notify_all();
    }

    pub(crate) fn threads(&self) -> Vec<String> {
        self.0.threads.lock().unwrap().clone()
    }

    /// Whether no manager and no connection is left.
    pub(crate) fn is_alone(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    fn connect_act(&self) -> Act {
        if self.0.down.load(SeqCst) {
            return Act::Fail;
        }
        self.0.connect.lock().unwrap().pop_front().unwrap_or(Act::Pass)
    }

    fn test_act(&self) -> Act {
        self.0.tests.fetch_add(1, SeqCst);
        self.0.test.lock().unwrap().pop_front().unwrap_or(Act::Pass)
    }

    fn connection(&self) -> Conn {
        self.0.open.fetch_add(1, SeqCst);
        Conn {
            id: self.0.ids.fetch_add(1, SeqCst) + 1,
            server: self.clone(),
            broken: false,
            asked: false,
            panics: false,
        }
    }

    fn noted(&self) {
        let name = std::thread::current().name().unwrap_or_default().to_owned();
        self.0.threads.lock().unwrap().push(name);
    }

    fn blocked(&self, act: Act) -> Result<(), TheirError> {
        self.noted();
        match act {
            Act::Pass => Ok(()),
            Act::Fail => Err(TheirError),
            Act::Panic => panic!("their manager panics"),
            Act::Hang => {
                let released = self.0.released.lock().unwrap();
                drop(self.0.release.wait_while(released, |released| !*released).unwrap());
                Ok(())
            }
        }
    }

    async fn awaited(&self, act: Act) -> Result<(), TheirError> {
        match act {
            Act::Pass => Ok(()),
            Act::Fail => Err(TheirError),
            Act::Panic => panic!("their manager panics"),
            Act::Hang => std::future::pending().await,
        }
    }
}

pub(crate) struct Conn {
    pub(crate) id: u64,
    server: Server,
    pub(crate) broken: bool,
    /// A test has asked and not heard the answer.
    pub(crate) asked: bool,
    /// Its `has_broken` panics.
    pub(crate) panics: bool,
}

impl fmt::Debug for Conn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection {}", self.id)
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        self.server.0.open.fetch_sub(1, SeqCst);
        self.server.noted();
        if self.server.0.drop_panics.swap(false, SeqCst) && !std::thread::panicking() {
            panic!("their connection panics in drop");
        }
    }
}

#[derive(Debug)]
pub(crate) struct TheirError;

impl fmt::Display for TheirError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("password refused")
    }
}

impl std::error::Error for TheirError {}

/// An error that may not leave its thread, as r2d2 allows.
#[derive(Debug)]
pub(crate) struct LocalError(std::rc::Rc<TheirError>);

impl fmt::Display for LocalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot log in")
    }
}

impl std::error::Error for LocalError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}

fn local(error: TheirError) -> LocalError {
    LocalError(std::rc::Rc::new(error))
}

#[derive(Clone)]
pub(crate) struct TheirManager(Server);

impl TheirManager {
    fn has_broken(&self, connection: &Conn) -> bool {
        assert!(!connection.panics, "their manager panics");
        connection.broken
    }
}

impl bb8::ManageConnection for TheirManager {
    type Connection = Conn;
    type Error = TheirError;

    async fn connect(&self) -> Result<Conn, TheirError> {
        self.0.awaited(self.0.connect_act()).await?;
        Ok(self.0.connection())
    }

    async fn is_valid(&self, connection: &mut Conn) -> Result<(), TheirError> {
        connection.asked = true;
        self.0.awaited(self.0.test_act()).await?;
        connection.asked = false;
        Ok(())
    }

    fn has_broken(&self, connection: &mut Conn) -> bool {
        Self::has_broken(self, connection)
    }
}

impl r2d2::ManageConnection for TheirManager {
    type Connection = Conn;
    type Error = LocalError;

    fn connect(&self) -> Result<Conn, LocalError> {
        self.0.blocked(self.0.connect_act()).map_err(local)?;
        Ok(self.0.connection())
    }

    fn is_valid(&self, connection: &mut Conn) -> Result<(), LocalError> {
        connection.asked = true;
        self.0.blocked(self.0.test_act()).map_err(local)?;
        connection.asked = false;
        Ok(())
    }

    fn has_broken(&self, connection: &mut Conn) -> bool {
        Self::has_broken(self, connection)
    }
}
