use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Room for so many streams.
#[derive(Clone, Debug)]
pub struct Room {
    taken: Arc<AtomicUsize>,
    size: Arc<AtomicUsize>,
}

/// The place of one stream, free again once it is dropped.
#[derive(Debug)]
pub(super) struct Place(Arc<AtomicUsize>);

impl Room {
    /// Room for `size` streams.
    pub fn new(size: usize) -> Self {
        Self { taken: Arc::default(), size: Arc::new(AtomicUsize::new(size)) }
    }

    /// Makes it larger or smaller. Streams that are open stay so, even where they are too many.
    pub fn resize(&self, size: usize) {
        self.size.store(size, Relaxed);
    }

    /// Takes a place; `None` where all are taken.
    pub(super) fn enter(&self) -> Option<Place> {
        let size = self.size.load(Relaxed);
        let one_more = |taken| (taken < size).then_some(taken + 1);
        self.taken.fetch_update(Relaxed, Relaxed, one_more).ok()?;
        Some(Place(Arc::clone(&self.taken)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_that_shrinks_lets_nobody_in_until_enough_have_left() {
        let room = Room::new(2);
        let (first, second) = (room.enter().unwrap(), room.enter().unwrap());
        assert!(room.enter().is_none());
        room.resize(1);
        drop(first);
        assert!(room.enter().is_none());
        drop(second);
        assert!(room.enter().is_some());
        room.resize(2);
        assert!(room.enter().is_some());
    }
}
