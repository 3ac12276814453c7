//! [`Notify`] and [`watch`], with tokio's rules on who is told.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use shuttle::sync::Mutex;

#[derive(Debug, Default)]
pub struct Notify(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    permit: bool,
    /// How often all were told.
    round: u64,
    next: u64,
    queue: VecDeque<(u64, Option<Waker>)>,
    /// Told by `notify_one` and not looked yet.
    told: Vec<u64>,
}

impl Notify {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn notify_one(&self) {
        let waker = {
            let mut waiting = self.0.lock().unwrap();
            match waiting.queue.pop_front() {
                Some((number, waker)) => {
                    waiting.told.push(number);
                    waker
                }
                None => {
                    waiting.permit = true;
                    None
                }
            }
        };
        waker.map(Waker::wake);
    }

    pub fn notify_waiters(&self) {
        let queue = {
            let mut waiting = self.0.lock().unwrap();
            waiting.round += 1;
            std::mem::take(&mut waiting.queue)
        };
        queue.into_iter().filter_map(|(_, waker)| waker).for_each(Waker::wake);
    }

    pub fn notified(&self) -> Notified<'_> {
        let round = self.0.lock().unwrap().round;
        Notified { notify: self, round, number: None, done: false }
    }
}

#[derive(Debug)]
pub struct Notified<'a> {
    notify: &'a Notify,
    round: u64,
    number: Option<u64>,
    done: bool,
}

impl Notified<'_> {
    pub fn enable(mut self: Pin<&mut Self>) -> bool {
        self.look(None)
    }

    fn look(&mut self, waker: Option<&Waker>) -> bool {
        let mut waiting = self.notify.0.lock().unwrap();
        let told = match self.number {
            Some(number) => waiting.told.iter().position(|told| *told == number),
            None => None,
        };
        if let Some(at) = told {
            waiting.told.swap_remove(at);
            self.number = None;
            self.done = true;
        } else if waiting.round != self.round || std::mem::take(&mut waiting.permit) {
            self.done = true;
        }
        if !self.done {
            let number = *self.number.get_or_insert_with(|| {
                waiting.next += 1;
                waiting.next
            });
            let waker = waker.cloned();
            match waiting.queue.iter_mut().find(|(queued, _)| *queued == number) {
                Some((_, old)) => *old = waker.or(old.take()),
                None => waiting.queue.push_back((number, waker)),
            }
        }
        self.done
    }
}

impl Future for Notified<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.done || self.look(Some(cx.waker())) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Notified<'_> {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let pass_on = {
            let mut waiting = self.notify.0.lock().unwrap();
            waiting.queue.retain(|(queued, _)| *queued != number);
            let told = waiting.told.iter().position(|told| *told == number);
            told.map(|at| waiting.told.swap_remove(at)).is_some()
        };
        if pass_on {
            self.notify.notify_one();
        }
    }
}

pub mod watch {
    //! A value that is watched.

    use std::sync::Arc;

    use shuttle::sync::Mutex;

    use super::Notify;

    #[derive(Debug)]
    pub struct Sender<T>(Arc<(Mutex<T>, Notify)>);

    #[derive(Debug)]
    pub struct Receiver<T>(Arc<(Mutex<T>, Notify)>);

    impl<T> Sender<T> {
        pub fn new(value: T) -> Self {
            Self(Arc::new((Mutex::new(value), Notify::new())))
        }

        pub fn subscribe(&self) -> Receiver<T> {
            Receiver(self.0.clone())
        }

        pub fn send_replace(&self, value: T) -> T {
            let old = std::mem::replace(&mut *self.0.0.lock().unwrap(), value);
            self.0.1.notify_waiters();
            old
        }
    }

    impl<T> Receiver<T> {
        pub async fn wait_for(&mut self, mut so: impl FnMut(&T) -> bool) {
            loop {
                let mut changed = std::pin::pin!(self.0.1.notified());
                changed.as_mut().enable();
                if so(&self.0.0.lock().unwrap()) {
                    return;
                }
                changed.await;
            }
        }
    }
}
