//! One reader of the monitor for all who look: a task that makes the document once a second, and the
//! streams that pass it on.
//!
//! A stream takes the last document when its socket has room, through a `watch` channel: whatever came
//! between is skipped, so a slow reader costs one document, which it shares with everybody.

use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use axum::body::Bytes;
use futures_util::stream::{Stream, unfold};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use super::live::Live;
use super::reading::history;
use crate::monitor::{Monitor, WeakMonitor, lock};

/// How often there is a document.
const TICK: Duration = Duration::from_secs(1);
/// A stream says something at least this often, so that proxies do not take it for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Begins a stream. The page goes by its own, growing pauses; this is for other readers.
const RETRY: &str = "retry: 2000\n\n";

pub(super) struct Hub {
    monitor: WeakMonitor,
    max_streams: usize,
    room: Arc<Semaphore>,
    /// `None` once it is over.
    channel: Mutex<Option<Channel>>,
    latest: Mutex<Option<(Instant, Bytes)>>,
}

struct Channel {
    sender: watch::Sender<Bytes>,
    task: Option<JoinHandle<()>>,
}

/// Why there is no stream.
pub(super) enum Refused {
    /// There are as many as there may be.
    Full,
    /// The monitor is gone, or the server ends.
    Over,
}

/// What a stream holds; its place is free when it is dropped.
struct Reader {
    first: Option<Bytes>,
    frames: watch::Receiver<Bytes>,
    _place: OwnedSemaphorePermit,
}

impl Hub {
    pub(super) fn new(monitor: &Monitor, max_streams: usize) -> Self {
        let max_streams = max_streams.min(Semaphore::MAX_PERMITS);
        let sender = watch::Sender::new(Bytes::new());
        Self {
            monitor: monitor.downgrade(),
            max_streams,
            room: Arc::new(Semaphore::new(max_streams)),
            channel: Mutex::new(Some(Channel { sender, task: None })),
            latest: Mutex::default(),
        }
    }

    pub(super) fn max_streams(&self) -> usize {
        self.max_streams
    }

    pub(super) fn streams(&self) -> usize {
        self.max_streams - self.room.available_permits()
    }

    pub(super) fn shutdown(&self) {
        lock(&self.channel).take();
    }

    /// The document; at most a second old, so that many who ask cost as little as one.
    pub(super) fn document(&self) -> Option<Bytes> {
        if let Some((at, json)) = &*lock(&self.latest)
            && at.elapsed() < TICK
            && self.monitor.upgrade().is_some()
        {
            return Some(json.clone());
        }
        self.read()
    }

    /// Makes the document.
    fn read(&self) -> Option<Bytes> {
        let json = serde_json::to_vec(&Live::of(&self.monitor.upgrade()?));
        let json = Bytes::from(json.expect("plain structs with text for keys"));
        *lock(&self.latest) = Some((Instant::now(), json.clone()));
        Some(json)
    }

    /// First the points so far and the document, then the document each second.
    pub(super) fn stream(
        self: &Arc<Self>,
    ) -> Result<impl Stream<Item = Result<Bytes, Infallible>> + Send + use<>, Refused> {
        let place = self.room.clone().try_acquire_owned().map_err(|_| Refused::Full)?;
        let document = self.document().ok_or(Refused::Over)?;
        let monitor = self.monitor.upgrade().ok_or(Refused::Over)?;
        let points = serde_json::to_string(&history(&monitor));
        let points = points.expect("plain structs with text for keys");
        let mut first = format!("{RETRY}event: history\ndata: {points}\n\n").into_bytes();
        first.extend_from_slice(&frame(&document));
        let frames = self.subscribe().ok_or(Refused::Over)?;
        let reader = Reader { first: Some(first.into()), frames, _place: place };
        Ok(unfold(reader, |mut reader| async move {
            Some((Ok(reader.next().await?), reader)) //
        }))
    }

    /// Sees to it that there is a task while somebody listens.
    fn subscribe(self: &Arc<Self>) -> Option<watch::Receiver<Bytes>> {
        let mut channel = lock(&self.channel);
        let channel = channel.as_mut()?;
        let frames = channel.sender.subscribe();
        // A task may have ended with its runtime.
        if channel.task.as_ref().is_none_or(JoinHandle::is_finished) {
            channel.task = Some(tokio::spawn(publish_each_second(Arc::downgrade(self))));
        }
        Some(frames)
    }

    /// Gives those who listen the document; false when nobody does.
    fn publish(&self) -> bool {
        let listened = |channel: &mut Option<Channel>| match channel {
            Some(open) if open.sender.receiver_count() > 0 => true,
            Some(open) => {
                open.task = None; // the next to listen begins another
                false
            }
            None => false,
        };
        if !listened(&mut lock(&self.channel)) {
            return false;
        }
        let document = self.read();
        let mut channel = lock(&self.channel);
        match (&mut *channel, document) {
            (Some(open), Some(document)) => drop(open.sender.send_replace(frame(&document))),
            _ => *channel = None,
        }
        channel.is_some()
    }
}

async fn publish_each_second(hub: Weak<Hub>) {
    let mut tick = interval_at(Instant::now() + TICK, TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tick.tick().await;
        if !hub.upgrade().is_some_and(|hub| hub.publish()) {
            return;
        }
    }
}

impl Reader {
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        match timeout(KEEP_ALIVE, self.frames.changed()).await {
            Ok(Ok(())) => Some(self.frames.borrow_and_update().clone()),
            Ok(Err(_)) => None,
            Err(_) => Some(Bytes::from_static(b": nothing new\n\n")),
        }
    }
}

/// JSON has no line breaks where there is nothing pretty about it.
fn frame(document: &[u8]) -> Bytes {
    [&b"event: live\ndata: "[..], document, b"\n\n"].concat().into()
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("streams", &self.streams())
            .field("max_streams", &self.max_streams)
            .finish_non_exhaustive()
    }
}
