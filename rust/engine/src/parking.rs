//! Keep one packet for each address that waits for a route.
//!
//! Place     outgoing.rs parks and releases -> here
//! Spec      docs/protocol/05 §6
//! Keeps     one packet an address, the newest; at most 30 addresses, of which the oldest gives way; at most 10 s
//! Not here  finding the route (src/dexmesh/mesh/pathfinder.py)

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::buffer::lock;
use crate::message::Address;

/// Most addresses that packets wait for.
pub const MOST_PARKED: usize = 30;
const PARKED_MS: u64 = 10_000;
const EVENT_INTERVAL_MS: u64 = 200; // ours

/// A packet that waits.
#[derive(Debug)]
pub struct Parked {
    /// Where it wants to go.
    pub address: Address,
    /// The IPv6 packet.
    pub packet: Vec<u8>,
    since_ms: u64,
    event_ms: u64,
}

/// What parking a packet led to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// An older packet to the same address is gone.
    pub has_replaced: bool,
    /// The packet to the address that waited for longest is gone.
    pub has_displaced: bool,
    /// It is time to ask for a route (again).
    pub wants_event: bool,
}

/// The parking places.
#[derive(Debug, Default)]
pub struct Parking {
    places: Mutex<Vec<Parked>>,
    count: AtomicUsize,
}

impl Parking {
    /// Whether nothing waits. Asked on the fast path.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// Let a packet wait.
    pub fn park(&self, now_ms: u64, address: Address, packet: &[u8]) -> Outcome {
        let mut places = lock(&self.places);
        let mut outcome = Outcome::default();
        if let Some(parked) = places.iter_mut().find(|parked| parked.address == address) {
            parked.packet.clear();
            parked.packet.extend_from_slice(packet);
            parked.since_ms = now_ms;
            outcome.has_replaced = true;
            if now_ms.saturating_sub(parked.event_ms) >= EVENT_INTERVAL_MS {
                parked.event_ms = now_ms;
                outcome.wants_event = true;
            }
            return outcome;
        }
        if places.len() >= MOST_PARKED {
            places.remove(0);
            outcome.has_displaced = true;
        }
        places.push(Parked {
            address,
            packet: packet.to_vec(),
            since_ms: now_ms,
            event_ms: now_ms,
        });
        outcome.wants_event = true;
        self.count.store(places.len(), Ordering::Release);
        outcome
    }

    /// Whether a packet waits for this address.
    #[must_use]
    pub fn has(&self, address: &Address) -> bool {
        !self.is_empty() && lock(&self.places).iter().any(|one| one.address == *address)
    }

    /// Take the packet that waits for this address.
    pub fn take(&self, address: &Address) -> Option<Parked> {
        let mut places = lock(&self.places);
        let index = places.iter().position(|one| one.address == *address)?;
        let parked = places.remove(index);
        self.count.store(places.len(), Ordering::Release);
        Some(parked)
    }

    /// Take every packet that has waited too long.
    pub fn take_expired(&self, now_ms: u64) -> Vec<Parked> {
        if self.is_empty() {
            return Vec::new();
        }
        let mut places = lock(&self.places);
        let is_over = |parked: &mut Parked| now_ms.saturating_sub(parked.since_ms) >= PARKED_MS;
        let expired = places.extract_if(.., is_over).collect();
        self.count.store(places.len(), Ordering::Release);
        expired
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u8) -> Address {
        [number; 16]
    }

    #[test]
    fn the_newest_packet_to_an_address_waits_and_asks_at_most_every_200_ms() {
        let parking = Parking::default();
        assert!(parking.park(1000, address(1), b"first").wants_event);
        let outcome = parking.park(1199, address(1), b"second");
        assert!(outcome.has_replaced && !outcome.wants_event);
        assert!(parking.park(1200, address(1), b"third").wants_event);
        assert_eq!(parking.take(&address(1)).unwrap().packet, b"third");
        assert!(parking.take(&address(1)).is_none());
        assert!(parking.is_empty());
    }

    #[test]
    fn the_thirty_first_address_displaces_the_first() {
        let parking = Parking::default();
        for number in 0..30 {
            assert!(!parking.park(0, address(number), b"x").has_displaced);
        }
        assert!(parking.park(0, address(30), b"x").has_displaced);
        assert!(!parking.has(&address(0)));
        assert!(parking.has(&address(30)));
        assert_eq!(parking.take_expired(10_000).len(), MOST_PARKED);
    }

    #[test]
    fn a_packet_waits_ten_seconds() {
        let parking = Parking::default();
        parking.park(5, address(1), b"x");
        assert!(parking.take_expired(10_004).is_empty());
        assert_eq!(parking.take_expired(10_005).len(), 1);
        assert!(parking.is_empty());
    }
}
