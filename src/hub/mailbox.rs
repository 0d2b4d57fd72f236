use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::Notify;

/// What a subscriber has to look at again, by the slot it gave each of its endpoints.
///
/// Its size is fixed when it is made, however much is published. Marks are set while the board is
/// locked for writing and taken off while it is locked for reading: the lock orders them, so the
/// atomics need not.
#[derive(Debug)]
pub(super) struct Mailbox {
    marks: Box<[AtomicU8]>,
    bell: Notify,
}

/// What changed of an endpoint.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(super) enum Mark {
    /// There is a newer snapshot.
    Snapshot = 1,
    /// It became stale, fresh or gone.
    Standing = 2,
}

impl Mailbox {
    /// A mailbox for so many endpoints, with everything marked.
    pub(super) fn new(slots: usize) -> Self {
        let all = Mark::Snapshot as u8 | Mark::Standing as u8;
        Self { marks: (0..slots).map(|_| AtomicU8::new(all)).collect(), bell: Notify::new() }
    }

    /// Marks a slot and wakes the subscriber. Returns whether it was marked already.
    pub(super) fn mark(&self, slot: usize, mark: Mark) -> bool {
        let Some(marks) = self.marks.get(slot) else {
            return false;
        };
        let before = marks.fetch_or(mark as u8, Ordering::Relaxed);
        self.bell.notify_one();
        before & mark as u8 != 0
    }

    /// Wakes the subscriber.
    pub(super) fn ring(&self) {
        self.bell.notify_one();
    }

    /// Takes a mark off.
    pub(super) fn clear(&self, slot: usize, mark: Mark) {
        if let Some(marks) = self.marks.get(slot) {
            marks.fetch_and(!(mark as u8), Ordering::Relaxed);
        }
    }

    /// The slots with a mark.
    pub(super) fn marked(&self, mark: Mark) -> impl Iterator<Item = usize> {
        self.marks
            .iter()
            .enumerate()
            .filter(move |(_, marks)| marks.load(Ordering::Relaxed) & mark as u8 != 0)
            .map(|(slot, _)| slot)
    }

    /// Whether a slot has a mark.
    pub(super) fn is_marked(&self, slot: usize, mark: Mark) -> bool {
        self.marks.get(slot).is_some_and(|marks| marks.load(Ordering::Relaxed) & mark as u8 != 0)
    }

    /// Waits until something is marked after the last return.
    pub(super) async fn rung(&self) {
        self.bell.notified().await;
    }
}
