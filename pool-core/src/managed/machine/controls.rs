//! What operators and the runtime do to a pool: retune, suspend, invalidate, inspect, shut, bind.

use super::recorder::Event;
use super::state::{State, draw};
use super::tuning::Tuning;
use super::vocabulary::{Phase, Refusal, Time};
use crate::snapshot::CloseReason;
use crate::sync::Arc;

impl<P> State<P> {
    /// Goes by other settings from now on, and so does what there is already: connections age by
    /// them from their birth on, and all that is due by them is done at a tick that is due now. Only
    /// what was promised stays: deadlines and places of those who wait.
    pub(crate) fn retune(&mut self, tuning: Arc<Tuning>) {
        self.recorder.note_tuning(self.now, &tuning);
        self.tuning = Tuning::clone(&tuning);
        let offset = self.offset;
        self.slots.iter_mut().for_each(|(_, slot)| slot.age(&self.tuning, draw(offset, slot.id)));
        self.backoff.cap(self.now, &self.tuning);
        let sizes = self.tuning.sizes;
        while self.idle.len() > sizes.max_idle
            || self.open() - self.count(Phase::Closing) > sizes.max_size
        {
            let Some((key, connection)) = self.idle.pop_front() else { break };
            self.close(key, connection, CloseReason::Shrink);
        }
        self.out.changed = true;
        self.wind(self.now);
        self.serve();
    }

    pub(crate) fn suspend(&mut self, suspended: bool) {
        self.note(Event::Suspend(suspended));
        self.suspended = suspended;
        self.serve();
    }

    /// Everything opened so far goes: what is idle now, the rest as it comes back.
    pub(crate) fn invalidate_all(&mut self) {
        self.note(Event::InvalidateAll);
        self.generation = self.generation.wrapping_add(1);
        self.close_idle(CloseReason::Invalidated);
        self.serve();
    }

    /// Something happened that may have cut every connection.
    pub(crate) fn suspect_all(&mut self) {
        self.note(Event::SuspectAll);
        self.doubt_all();
    }

    /// No more hand-outs, ever: waiters are told, idle connections close.
    pub(crate) fn shut(&mut self) {
        self.note(Event::Shut);
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        while self.waiters.queued() > 0 {
            self.refuse(Refusal::Closed);
        }
        self.close_idle(CloseReason::PoolClosed);
        (self.out.nudge, self.out.changed) = (true, true);
    }

    /// There is a runtime to work on.
    pub(crate) fn bind(&mut self) {
        self.note(Event::Bind);
        self.bound = true;
        self.alarm = Time::NEVER;
        self.wind(self.now);
        self.serve();
    }

    /// The runtime is gone, and with it perhaps what the connections lived on: all are suspect,
    /// and whoever waits has to bring a new one.
    pub(crate) fn unbind(&mut self) {
        self.note(Event::Unbind);
        self.bound = false;
        self.out.changed = true;
        self.doubt_all();
        self.waiters.wake_all(&mut self.out.errands().wake);
    }

    /// Takes every idle connection out for an inspection; each comes back by `settle`.
    pub(crate) fn take_idle(&mut self) -> Vec<P> {
        self.note(Event::TakeIdle);
        let taken: Vec<_> = self.idle.drain(..).collect();
        taken.iter().for_each(|(key, _)| self.enter(*key, Phase::Validating));
        taken.into_iter().map(|(_, connection)| connection).collect()
    }

    fn close_idle(&mut self, reason: CloseReason) {
        while let Some((key, connection)) = self.idle.pop_front() {
            self.close(key, connection, reason);
        }
    }
}
