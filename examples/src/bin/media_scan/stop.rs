//! The wish to stop: said once, heard by every part of the scan.

use tokio::sync::watch;

/// Cheap to clone; all clones hear of it. The first reason counts.
#[derive(Clone, Debug)]
pub(crate) struct Stop(watch::Sender<Option<Reason>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Interrupted,
    Failed,
}

impl Stop {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    /// The user wants it.
    pub(crate) fn interrupt(&self) {
        self.say(Reason::Interrupted);
    }

    /// A part of the scan failed, and the others are of no use.
    pub(crate) fn fail(&self) {
        self.say(Reason::Failed);
    }

    /// Whether it was said.
    pub(crate) fn is_set(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Whether the user said it.
    pub(crate) fn is_interrupted(&self) -> bool {
        *self.0.borrow() == Some(Reason::Interrupted)
    }

    /// Waits until it is said.
    pub(crate) async fn wait(&self) {
        // The sender is in `self`, so the channel is open.
        let _ = self.0.subscribe().wait_for(Option::is_some).await;
    }

    fn say(&self, reason: Reason) {
        self.0.send_if_modified(|said| {
            let first = said.is_none();
            said.get_or_insert(reason);
            first
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_clone_hears_it_also_afterwards() {
        let stop = Stop::new();
        let other = stop.clone();
        let waiting = tokio::spawn(async move { other.wait().await });
        assert!(!stop.is_set());
        stop.interrupt();
        waiting.await.unwrap();
        stop.wait().await;
        assert!(stop.clone().is_set());
    }

    #[test]
    fn the_first_reason_counts() {
        let (interrupted, failed) = (Stop::new(), Stop::new());
        interrupted.interrupt();
        interrupted.fail();
        failed.fail();
        failed.interrupt();
        assert!(interrupted.is_interrupted() && !failed.is_interrupted() && failed.is_set());
    }
}
