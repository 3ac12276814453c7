//! How statements are executed: the seam between a connection and the thread that runs it.
//!
//! Each connection has one thread, plain and detached, named after its pool. A job takes the SQLite
//! connection along and brings it back when it is done; between jobs the connection lies with its
//! owner, so that short statements may run in place. Whoever gives up on a job can interrupt it, but
//! gets the connection only when the job has really ended: it never has two users.
//!
//! To sleep and be woken takes a thread 20 to 60 µs, a statement often 3. So a thread that is done
//! looks for its next job for a moment before it sleeps, and who gives a job to a thread that is
//! awake looks for the outcome for a moment before it waits.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rusqlite::InterruptHandle;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::open::Opened;

type Job = Box<dyn FnOnce() + Send>;

/// How often a look is taken at first: some 3 microseconds.
const LOOKS: u32 = 10;
/// From one look to the next, in pauses of the processor.
const PAUSES: u32 = 16;
/// How often a look is taken after others were let run: some 15 microseconds if there are none, which
/// is what it takes at least to sleep and be woken.
const YIELDS: u32 = 30;
/// If that took longer, there are others.
const LONG: Duration = Duration::from_micros(30);

/// The thread of one connection; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Worker {
    jobs: mpsc::Sender<Job>,
    /// The thread has just done something, and looks for more.
    awake: Arc<AtomicBool>,
}

/// A job under way.
pub(crate) struct Running<T> {
    /// The connection, when the job has ended.
    pub(crate) home: oneshot::Receiver<Opened>,
    pub(crate) outcome: oneshot::Receiver<Result<T, Panicked>>,
    pub(crate) interrupt: Interrupt,
    /// The thread was awake when it was given the job.
    is_awake: bool,
}

/// What the code in a job panicked with.
pub(crate) struct Panicked(pub(crate) String);

impl Worker {
    pub(crate) fn spawn(name: &str) -> std::io::Result<Self> {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let awake = Arc::<AtomicBool>::default();
        let looks = awake.clone();
        let run = move || {
            while let Ok(job) = inbox.recv() {
                job();
                looks.store(true, Ordering::Relaxed);
                while let Some(job) = look_for(|| inbox.try_recv().ok()) {
                    job();
                }
                looks.store(false, Ordering::Relaxed);
            }
        };
        std::thread::Builder::new().name(name.to_owned()).spawn(run)?;
        Ok(Self { jobs, awake })
    }

    /// Runs something that needs no connection yet, or no longer.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        run: impl FnOnce() -> T + Send + 'static,
    ) -> oneshot::Receiver<Result<T, Panicked>> {
        let (sender, receiver) = oneshot::channel();
        let job = move || deliver(sender, caught(run));
        let _ = self.jobs.send(Box::new(job)); // a dead thread drops the job, and the sender with it
        receiver
    }

    /// Runs a job with the connection.
    pub(crate) fn run_with<T: Send + 'static>(
        &self,
        mut opened: Opened,
        run: impl FnOnce(&mut Opened) -> T + Send + 'static,
    ) -> Running<T> {
        // Whoever had it before has let go: nobody else raises this flag now.
        opened.given_up.store(false, Ordering::Release);
        let given_up = opened.given_up.clone();
        let interrupt = Interrupt { handle: opened.interrupt.clone(), given_up: given_up.clone() };
        let (home_sender, home) = oneshot::channel();
        let (sender, outcome) = oneshot::channel();
        let job = move || {
            let done = (!given_up.load(Ordering::Acquire)).then(|| caught(|| run(&mut opened)));
            opened.panicked |= matches!(done, Some(Err(_)));
            // The connection first: who sees the outcome finds it at home.
            if let Err(opened) = home_sender.send(opened) {
                opened.end();
            }
            if let Some(done) = done {
                deliver(sender, done);
            }
        };
        let is_awake = self.awake.load(Ordering::Relaxed);
        let _ = self.jobs.send(Box::new(job));
        Running { home, outcome, interrupt, is_awake }
    }
}

impl<T> Running<T> {
    /// Lets a moment go by if the outcome may come in it.
    pub(crate) fn linger(&self) {
        if self.is_awake {
            let _ = look_for(|| (!self.outcome.is_empty()).then_some(()));
        }
    }
}

/// Looks again and again for a moment; soon lets others run in between. If somebody else takes the
/// core for long, that is the last time.
fn look_for<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    static ALONE: LazyLock<bool> =
        LazyLock::new(|| std::thread::available_parallelism().is_ok_and(|cores| cores.get() == 1));
    if *ALONE {
        return look(); // whoever is looked for cannot run meanwhile
    }
    for _ in 0..LOOKS {
        if let Some(found) = look() {
            return Some(found);
        }
        (0..PAUSES).for_each(|_| std::hint::spin_loop());
    }
    let begun = Instant::now();
    for _ in 0..YIELDS {
        std::thread::yield_now();
        if let Some(found) = look() {
            return Some(found);
        }
        if begun.elapsed() > LONG {
            break;
        }
    }
    None
}

fn caught<T>(run: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|payload| Panicked(said(&*payload)))
}

/// Sends an outcome; one that nobody wants is dropped, and may panic as it goes.
fn deliver<T>(sender: oneshot::Sender<T>, outcome: T) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(sender.send(outcome))));
}

/// Ends a job early.
#[derive(Clone)]
pub(crate) struct Interrupt {
    handle: Arc<InterruptHandle>,
    given_up: Arc<AtomicBool>,
}

impl Interrupt {
    /// Interrupts the statement that runs now. A job that has not begun never does, a later
    /// statement is interrupted too if it takes any time, and nothing is committed any more.
    pub(crate) fn fire(&self) {
        self.given_up.store(true, Ordering::SeqCst);
        self.handle.interrupt();
    }
}

pub(crate) fn said(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "(no text)".into())
}
