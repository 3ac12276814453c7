//! The pool's background work: connect, validate, reset, close. Each runs in a task that no caller
//! owns, under a deadline of its own, carrying its slot's token; each ends by telling the state
//! machine, or by dropping the token.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::error::Elapsed;
use tokio::time::{Instant, sleep, timeout};

use super::machine::outbox::Start;
use super::machine::tuning::nanos;
use super::machine::vocabulary::Settled;
use super::shared::{Shared, quietly};
use super::slot::{Live, SlotToken};
use crate::manager::{BoxError, ConnectContext, ErrorClass, Limits, Reset};
use crate::metrics::{ConnectFailed, Connected, ResetDone, Validated};
use crate::snapshot::CloseReason;
use crate::{Cause, Manager};

/// Opens a connection for a slot.
pub(super) fn connect<M: Manager>(token: SlotToken<M>, start: Start) {
    let shared = token.shared.clone();
    shared.spawn((token, start), |(token, start)| async move {
        let shared = token.shared.clone();
        let begun = Instant::now();
        let within = shared.settings.present().connect_timeout;
        let cx = ConnectContext {
            id: start.id,
            attempt: start.attempt,
            deadline: begun.checked_add(within).unwrap_or(begun + crate::config::FAR),
            activity: Arc::default(),
        };
        let opened = while_open(&shared, within, Duration::ZERO, open(&shared, &cx)).await;
        let took = begun.elapsed();
        let name = &shared.name;
        let failure = match opened {
            Some(Ok(Ok(Ok((connection, limits))))) => {
                let key = token.key();
                let live = Box::new(Live { connection, token });
                shared.tell(|m| m.connected(&Connected { pool: name, id: start.id, took }));
                let activity = cx.activity.get().cloned();
                return shared.with(|state| {
                    state.watch(key, activity);
                    state.connected(key, live, limits);
                });
            }
            Some(Ok(Ok(Err((class, error))))) => (Some(class), error),
            Some(Ok(Err(_elapsed))) => {
                let text = format!("connect timed out after {within:?}");
                (Some(ErrorClass::Transient), text.into())
            }
            Some(Err(Panicked(text))) => (None, format!("connect panicked: {text}").into()),
            None => (Some(ErrorClass::Transient), "the pool is closed".into()),
        };
        fail(token, &start.id, failure, took);
    });
}

fn fail<M: Manager>(
    mut token: SlotToken<M>,
    id: &u64,
    (class, error): (Option<ErrorClass>, BoxError),
    took: Duration,
) {
    let shared = token.shared.clone();
    let error: Arc<dyn std::error::Error + Send + Sync> = error.into();
    shared.keep_error(error.clone());
    let event = ConnectFailed {
        pool: &shared.name,
        id: *id,
        class: class.unwrap_or(ErrorClass::Transient),
        error: &*error,
        took,
    };
    shared.tell(|m| m.connect_failed(&event));
    token.spent = true;
    let key = token.key();
    shared.with(|state| state.connect_failed(key, class));
}

type Opened<M> = Result<(<M as Manager>::Connection, Limits), (ErrorClass, BoxError)>;

async fn open<M: Manager>(shared: &Shared<M>, cx: &ConnectContext) -> Opened<M> {
    let manager = &shared.manager;
    let mut connection =
        manager.connect(cx).await.map_err(|error| (manager.classify(&error), error.into()))?;
    match shared.after_connect.run(&mut connection).await {
        Ok(()) => {
            manager.adopt(&mut connection);
            let limits = manager.limits(&connection);
            Ok((connection, limits))
        }
        Err(error) => {
            manager.close(connection).await;
            Err((ErrorClass::Transient, error))
        }
    }
}

/// Proves a connection by a ping, where that is needed, and runs the `before_acquire` hooks.
pub(super) fn validate<M: Manager>(live: Box<Live<M>>, ping: bool) {
    let shared = live.token.shared.clone();
    shared.spawn(live, move |mut live| async move {
        let shared = live.token.shared.clone();
        let begun = Instant::now();
        let connection = &mut live.connection;
        let run = async {
            if ping {
                shared.manager.ping(connection).await.map_err(|_| Settled::Failed)?;
            }
            if shared.before_acquire.any_boxed() {
                shared.before_acquire.run(connection).await.map_err(|error| {
                    shared.keep_refusal("before_acquire", error);
                    Settled::Close(CloseReason::Validation)
                })?;
                shared.manager.adopt(connection);
            }
            Ok(())
        };
        let config = shared.settings.present();
        let (within, grace) = (config.ping_timeout, config.close_timeout);
        let Some(outcome) = while_open(&shared, within, grace, run).await else {
            return leave(live);
        };
        let took = begun.elapsed();
        let settled = match outcome {
            Ok(Ok(Ok(()))) => Settled::Proven { took: nanos(took) },
            Ok(Ok(Err(settled))) => settled,
            Ok(Err(_elapsed)) => Settled::Failed,
            Err(Panicked(text)) => {
                shared.keep_refusal("a panic", text);
                Settled::Failed
            }
        };
        let alive = !matches!(settled, Settled::Failed);
        let pool = &shared.name;
        shared.tell(|m| m.validated(&Validated { pool, alive, took }));
        settle(live, settled);
    });
}

/// Cleans a connection, where that is needed, and runs the `after_release` hooks; before upkeep they
/// have run.
pub(super) fn reset<M: Manager>(live: Box<Live<M>>, why: Option<Cause>) {
    let shared = live.token.shared.clone();
    shared.spawn(live, move |mut live| async move {
        let shared = live.token.shared.clone();
        let begun = Instant::now();
        let connection = &mut live.connection;
        let run = async {
            let reset = match why {
                Some(why) => shared.manager.reset(connection, why).await.map_err(drop)?,
                None => Reset::Kept,
            };
            match reset {
                Reset::Kept => {}
                Reset::Wiped => {
                    shared.after_connect.run(connection).await.map_err(drop)?;
                    shared.manager.adopt(connection);
                }
                Reset::Discard => return Err(()),
            }
            if shared.after_release.any_boxed() && why != Some(Cause::Upkeep) {
                shared.after_release.run(connection).await.map_err(drop)?;
                shared.manager.adopt(connection);
            }
            Ok(())
        };
        let config = shared.settings.present();
        let (within, grace) = (config.reset_timeout, config.close_timeout);
        let Some(outcome) = while_open(&shared, within, grace, run).await else {
            return leave(live);
        };
        let took = begun.elapsed();
        let kept = matches!(outcome, Ok(Ok(Ok(()))));
        let settled = match kept {
            true => Settled::Reset { took: nanos(took) },
            false => Settled::Close(CloseReason::Reset),
        };
        let pool = &shared.name;
        shared.tell(|m| m.reset(&ResetDone { pool, kept, took }));
        settle(live, settled);
    });
}

fn settle<M: Manager>(live: Box<Live<M>>, settled: Settled) {
    let (shared, key) = (live.token.shared.clone(), live.token.key());
    shared.with(|state| state.settle(key, live, settled));
}

/// Ends a connection without a goodbye, for which there is no time any more.
fn leave<M: Manager>(mut live: Box<Live<M>>) {
    let (shared, key) = (&live.token.shared, live.token.key());
    shared.with(|state| state.ending(key, CloseReason::PoolClosed));
    live.token.abandoned = true;
    super::slot::discard(live);
}

/// Ends a connection, politely if there is anybody to say goodbye to; its slot is free when it has
/// ended, or at the deadline.
pub(super) fn close<M: Manager>(live: Box<Live<M>>, polite: bool) {
    let shared = live.token.shared.clone();
    shared.spawn(live, move |live| async move {
        if !polite {
            return super::slot::discard(live);
        }
        let shared = live.token.shared.clone();
        let Live { connection, mut token } = *live;
        let within = shared.settings.present().close_timeout;
        let goodbye = timeout(within, shared.manager.close(connection));
        if let Ok(Err(_elapsed)) = guarded(goodbye).await {
            token.abandoned = true;
        }
    });
}

/// What a panic said.
pub(super) struct Panicked(String);

/// Runs a future of the user's; a panic is an outcome, also one while it is dropped.
pub(super) async fn guarded<F: Future>(future: F) -> Result<F::Output, Panicked> {
    let mut future = pin!(Some(future));
    let outcome = std::future::poll_fn(|cx| {
        let running = future.as_mut().as_pin_mut().expect("it is there until it has ended");
        match catch_unwind(AssertUnwindSafe(|| running.poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(payload) => Poll::Ready(Err(Panicked(message(&*payload)))),
        }
    })
    .await;
    quietly(|| future.set(None));
    outcome
}

fn message(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "(no text)".into())
}

/// Runs a future of the user's for this long at most. `None`: the pool has been closed for so long,
/// and what comes of it is of no use any more.
async fn while_open<M: Manager, F: Future>(
    shared: &Shared<M>,
    within: Duration,
    grace: Duration,
    future: F,
) -> Option<Result<Result<F::Output, Elapsed>, Panicked>> {
    let mut shut = shared.shut.subscribe();
    let mut running = pin!(guarded(timeout(within, future)));
    let mut over = pin!(async {
        let _ = shut.wait_for(|shut| *shut).await;
        if !grace.is_zero() {
            sleep(grace).await;
        }
    });
    std::future::poll_fn(|cx| match running.as_mut().poll(cx) {
        Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
        Poll::Pending => over.as_mut().poll(cx).map(|()| None),
    })
    .await
}
