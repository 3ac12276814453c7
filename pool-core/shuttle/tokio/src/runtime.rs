//! Runtimes: sets of tasks that can be ended together.
//!
//! Every shuttle task is inside the runtime that was entered last; a test makes one, and may shut it
//! down, which drops the tasks that were spawned on it, wherever they are.

use std::cell::RefCell;
use std::future::Future;
use std::sync::Arc;

use shuttle::future::{AbortHandle, JoinHandle};
use shuttle::sync::Mutex;

std::thread_local! {
    /// The runtime of this execution. Shuttle runs all tasks of one on one thread.
    static CURRENT: RefCell<Option<Handle>> = const { RefCell::new(None) };
}

#[derive(Clone, Debug)]
pub struct Handle(Arc<Mutex<Tasks>>);

#[derive(Debug, Default)]
struct Tasks {
    dead: bool,
    tasks: Vec<AbortHandle>,
}

#[derive(Debug)]
pub struct TryCurrentError;

/// Tells runtimes apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id(usize);

#[derive(Debug)]
pub struct EnterGuard;

impl Handle {
    pub fn try_current() -> Result<Self, TryCurrentError> {
        CURRENT.with_borrow(|current| current.clone().ok_or(TryCurrentError))
    }

    pub fn id(&self) -> Id {
        Id(Arc::as_ptr(&self.0) as usize)
    }

    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let task = shuttle::future::spawn(future);
        let mut tasks = self.0.lock().unwrap();
        let dead = tasks.dead;
        tasks.tasks.push(task.abort_handle());
        drop(tasks);
        if dead {
            task.abort();
        }
        task
    }

    pub fn enter(&self) -> EnterGuard {
        EnterGuard
    }
}

#[derive(Debug)]
pub struct Runtime(Handle);

impl Runtime {
    /// A runtime that is entered from now on.
    pub fn enter_new() -> Self {
        let handle = Handle(Arc::default());
        CURRENT.set(Some(handle.clone()));
        Self(handle)
    }

    pub fn handle(&self) -> &Handle {
        &self.0
    }

    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        shuttle::future::block_on(future)
    }

    /// Whether every task that was spawned on it has ended.
    pub fn is_idle(&self) -> bool {
        self.0.0.lock().unwrap().tasks.iter().all(AbortHandle::is_finished)
    }

    /// Drops every task that was spawned on it. Nobody is inside it any more.
    pub fn shutdown(&self) {
        CURRENT.set(None);
        let tasks = {
            let mut tasks = self.0.0.lock().unwrap();
            tasks.dead = true;
            tasks.tasks.clone()
        };
        tasks.iter().for_each(AbortHandle::abort);
    }
}

#[derive(Debug)]
pub struct Builder;

impl Builder {
    pub fn new_current_thread() -> Self {
        Self
    }

    pub fn enable_all(&mut self) -> &mut Self {
        self
    }

    pub fn build(&mut self) -> std::io::Result<Runtime> {
        Ok(Runtime(Handle(Arc::default())))
    }
}
