//! Which tokio runtime a pool works on, and what happens when that is gone.
//!
//! A pool is bound to the runtime it was given, else to that of its first user, else (only for
//! blocking use) to a thread of its own. Every task of the pool carries a [`Witness`]: a task of
//! ours that is dropped before its end means that its runtime is gone. The pool is then unbound,
//! every connection suspect, every waiter woken; the first of them that is polled binds the pool
//! anew.

use std::future::Future;

use tokio::runtime::Handle;

use super::maintenance;
use super::shared::Shared;
use super::tasks::guarded;
use crate::Manager;
use crate::sync::{Arc, lock};

#[derive(Debug, Default)]
pub(crate) struct Binding {
    handle: Option<Handle>,
    /// Tells one binding from the next.
    number: u64,
}

/// Dropped before [`done`](Self::done), it reports that the runtime is gone.
pub(super) struct Witness<M: Manager> {
    shared: Option<Arc<Shared<M>>>,
    number: u64,
}

impl<M: Manager> Witness<M> {
    pub(super) fn done(mut self) {
        self.shared = None;
    }
}

impl<M: Manager> Drop for Witness<M> {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.take() {
            shared.lose_runtime(self.number);
        }
    }
}

/// Work for a task of the pool. Its witness is dropped before what it carries, so that a lost
/// runtime is known before the lost connection.
struct Job<M: Manager, T> {
    witness: Witness<M>,
    carried: T,
}

impl<M: Manager> Shared<M> {
    /// Runs a task of the pool. Without a runtime what it carries is dropped, which frees its slot.
    pub(super) fn spawn<T, F>(
        self: &Arc<Self>,
        carried: T,
        run: impl FnOnce(T) -> F + Send + 'static,
    ) where
        T: Send + 'static,
        F: Future<Output = ()> + Send,
    {
        let (handle, number) = {
            let binding = lock(&self.runtime);
            (binding.handle.clone(), binding.number)
        };
        let Some(handle) = handle else {
            return super::slot::discard(carried);
        };
        let job = Job { witness: Witness { shared: Some(self.clone()), number }, carried };
        handle.spawn(async move {
            let Job { witness, carried } = job;
            let _ = guarded(run(carried)).await; // a panic is no lost runtime
            witness.done();
        });
        give_away(&handle);
    }

    /// Has the maintenance task look at its alarm again.
    pub(super) fn nudge(&self) {
        self.nudge.notify_one();
        self.handle().as_ref().inspect(|handle| give_away(handle));
    }

    /// Binds the pool to a runtime unless it is bound.
    pub(super) fn bind(self: &Arc<Self>, handle: &Handle) {
        self.bind_with(handle.clone(), |maintenance| drop(handle.spawn(maintenance)));
    }

    /// Binds the pool to the runtime that the caller runs on. False if there is none.
    pub(super) fn bind_here(self: &Arc<Self>) -> bool {
        Handle::try_current().map(|handle| self.bind(&handle)).is_ok()
    }

    /// Binds the pool to a plain thread of its own, which ends with the pool.
    pub(super) fn bind_to_thread(self: &Arc<Self>) -> std::io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (sender, receiver) = std::sync::mpsc::channel();
        self.bind_with(runtime.handle().clone(), |maintenance| {
            let _ = sender.send(maintenance);
        });
        let Ok(maintenance) = receiver.try_recv() else {
            return Ok(());
        };
        let shared = self.clone();
        let run = move || {
            runtime.block_on(maintenance);
            // The maintenance ends with the pool; connections may still be saying goodbye.
            runtime.block_on(async {
                let within = shared.settings.present().close_timeout;
                let _ = tokio::time::timeout(within, shared.emptied()).await;
            });
        };
        let name = format!("{}-pool", self.name);
        std::thread::Builder::new().name(name).spawn(run).map(drop)
    }

    fn bind_with(
        self: &Arc<Self>,
        handle: Handle,
        start: impl FnOnce(std::pin::Pin<Box<dyn Future<Output = ()> + Send>>),
    ) {
        let mut out = None;
        let number = {
            let mut binding = lock(&self.runtime);
            if binding.handle.is_some() {
                return;
            }
            let home = Some(handle.id());
            binding.handle = Some(handle);
            binding.number += 1;
            self.step(self.now(), &mut out, |state| {
                state.home = home;
                state.bind();
            });
            binding.number
        };
        let witness = Witness { shared: Some(self.clone()), number };
        start(Box::pin(maintenance::run(self.clone(), witness)));
        self.perform(out);
    }

    pub(super) fn lose_runtime(self: &Arc<Self>, number: u64) {
        let mut out = None;
        {
            let mut binding = lock(&self.runtime);
            if binding.number != number || binding.handle.take().is_none() {
                return;
            }
            self.step(self.now(), &mut out, |state| state.unbind());
        }
        self.perform(out);
    }

    /// Whether the pool still works on the runtime it was bound to under this number.
    pub(super) fn is_bound(&self, witness: &Witness<M>) -> bool {
        let binding = lock(&self.runtime);
        binding.number == witness.number && binding.handle.is_some()
    }

    /// A handle to the runtime the pool works on.
    pub(super) fn handle(&self) -> Option<Handle> {
        lock(&self.runtime).handle.clone()
    }
}

/// A worker of tokio's keeps to itself what it woke or spawned last, even while its present task
/// computes for seconds. With an empty task in that place the others can take the pool's work over.
fn give_away(handle: &Handle) {
    drop(handle.spawn(async {}));
}

#[cfg(all(test, not(pool_loom)))]
mod tests {
    use super::*;
    use crate::ManagedPool;
    use crate::managed::nothing::Nothing;

    #[test]
    fn r22_only_the_present_runtime_can_be_lost() {
        let pool = ManagedPool::new(Nothing);
        let shared = &pool.shared;
        let witness = |number| Witness::<Nothing> { shared: None, number };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for number in [1, 2] {
            shared.bind(runtime.handle());
            assert!(shared.is_bound(&witness(number)), "each binding has its number");
            assert!(!shared.is_bound(&witness(number - 1)));
            shared.lose_runtime(number - 1); // a task of an earlier runtime ends late
            assert!(shared.is_bound(&witness(number)));
            shared.lose_runtime(number);
            assert!(!shared.is_bound(&witness(number)));
        }
    }
}
