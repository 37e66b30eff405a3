//! Queue events for Python in a bounded ring and wake it when there is something to read.
//!
//! Place     every stage of the data plane -> here -> `Engine::take_events`
//! Spec      docs/architecture.md §2
//! Keeps     at most [`RING`] events, of which those a flood can cause never fill more than [`FLOOD_RING`], and those of
//!           handshakes no more than [`HANDSHAKE_RING`]; what does not fit is dropped and counted

use std::collections::VecDeque;
use std::sync::{Mutex, RwLock};

use crate::buffer::{lock, read, write};
use crate::message::Event;

/// Most events waiting.
pub const RING: usize = 1024;
/// Most events waiting when another flood event may still be added.
pub const FLOOD_RING: usize = RING / 4 * 3;
/// Most events waiting when another event that a handshake caused may still be added: the rest is for peers.
pub const HANDSHAKE_RING: usize = RING / 8 * 7;

/// Called when the ring goes from empty to not empty. Must not call the engine.
pub type Waker = Box<dyn Fn() + Send + Sync>;

/// The ring.
#[derive(Default)]
pub struct EventRing {
    queue: Mutex<VecDeque<Event>>,
    waker: RwLock<Option<Waker>>,
}

impl EventRing {
    /// Add an event; false when it had to be dropped.
    #[must_use]
    pub fn push(&self, event: Event) -> bool {
        let limit = limit_of(&event);
        let mut queue = lock(&self.queue);
        if queue.len() >= limit {
            return false;
        }
        let was_empty = queue.is_empty();
        queue.push_back(event);
        drop(queue);
        if was_empty {
            self.wake();
        }
        true
    }

    /// The oldest events, at most `most`. Wakes again when some are left.
    #[must_use]
    pub fn take(&self, most: usize) -> Vec<Event> {
        let mut queue = lock(&self.queue);
        let count = most.min(queue.len());
        let taken = queue.drain(..count).collect();
        let is_left = !queue.is_empty();
        drop(queue);
        if is_left {
            self.wake();
        }
        taken
    }

    /// Call this from now on; at once if something is waiting already.
    pub fn set_waker(&self, waker: Waker) {
        *write(&self.waker) = Some(waker);
        if !lock(&self.queue).is_empty() {
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(waker) = read(&self.waker).as_ref() {
            waker();
        }
    }
}

impl std::fmt::Debug for EventRing {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "EventRing({} waiting)", lock(&self.queue).len())
    }
}

/// How many events may wait when another of this kind is added. The first kind anybody outside can cause any number of;
/// of the second kind, as many as handshakes are allowed; without the third, slots of our switch would be lost.
const fn limit_of(event: &Event) -> usize {
    match event {
        Event::LinkHandshake { .. }
        | Event::ControlFrame { .. }
        | Event::RouteNeeded { .. }
        | Event::RoutingMessage { .. } => FLOOD_RING,
        Event::LinkStateChanged { .. }
        | Event::SessionAdded { .. }
        | Event::SessionStateChanged { .. }
        | Event::SessionRemoved { .. } => HANDSHAKE_RING,
        Event::PeerAdded { .. } | Event::PeerRefused { .. } | Event::PeerRemoved { .. } => RING,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn flood() -> Event {
        Event::LinkHandshake { peer: 1 }
    }

    fn handshake() -> Event {
        Event::SessionRemoved {
            address: [0xfc; 16],
            reason: "evicted",
        }
    }

    fn rare() -> Event {
        Event::PeerRemoved {
            peer: 1,
            reason: "removed",
        }
    }

    #[test]
    fn a_flood_leaves_room_for_what_matters() {
        let ring = EventRing::default();
        let taken = (0..2 * RING).filter(|_| ring.push(flood())).count();
        assert_eq!(taken, FLOOD_RING);
        let taken = (0..RING).filter(|_| ring.push(handshake())).count();
        assert_eq!(taken, HANDSHAKE_RING - FLOOD_RING);
        let taken = (0..RING).filter(|_| ring.push(rare())).count();
        assert_eq!(taken, RING - HANDSHAKE_RING);
        assert_eq!(ring.take(usize::MAX).len(), RING);
        assert!(ring.push(flood()));
    }

    #[test]
    fn it_wakes_once_when_it_fills_and_again_when_something_was_left() {
        let ring = EventRing::default();
        let woken = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&woken);
        assert!(ring.push(rare()));
        ring.set_waker(Box::new(move || {
            counter.fetch_add(1, Ordering::Relaxed);
        }));
        assert_eq!(woken.load(Ordering::Relaxed), 1);
        assert!(ring.push(rare()));
        assert_eq!(woken.load(Ordering::Relaxed), 1);
        assert_eq!(ring.take(1).len(), 1);
        assert_eq!(woken.load(Ordering::Relaxed), 2);
        assert_eq!(ring.take(10).len(), 1);
        assert_eq!(woken.load(Ordering::Relaxed), 2);
        assert!(ring.push(flood()));
        assert_eq!(woken.load(Ordering::Relaxed), 3);
    }
}
