//! Keep the peers: who sits at which slot of our switch and at which endpoint.
//!
//! Place     commands and stranger.rs change the table -> link.rs and forward.rs look peers up
//! Spec      docs/protocol/03 "Interface numbers", docs/protocol/04 §5 and §8
//! Keeps     one endpoint, one peer, one slot; at most 256 peers; a reader's snapshot never changes
//! Not here  when a peer is called or forgotten (src/dexmesh/mesh/peering.py)

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::buffer::lock;
use crate::crypto::PublicKey;
use crate::cryptoauth::CryptoAuth;
use crate::hash::{HashKey, KeyedMap};
use crate::label::{MAX_SLOT, SELF_SLOT};
use crate::message::{Endpoint, InterfaceNumber, PeerId, PeerStats};
use crate::switch::SlotState;

/// A directly linked node.
#[derive(Debug)]
pub struct Peer {
    /// Its number.
    pub id: PeerId,
    /// Its interface number in our switch.
    pub slot: u16,
    /// The underlay attachment.
    pub interface: InterfaceNumber,
    /// The endpoint.
    pub endpoint: Endpoint,
    /// Its permanent key.
    pub key: PublicKey,
    /// Whether it called us; Python asked for the others.
    pub is_incoming: bool,
    /// Held from the reservation of counters until the packets are with the socket.
    pub order: Mutex<()>,
    /// The link session.
    pub link: Mutex<LinkState>,
    /// Traffic.
    pub counters: LinkCounters,
    is_up: AtomicBool,
}

/// A link session and the state Python was told of.
#[derive(Debug)]
pub struct LinkState {
    /// The session.
    pub crypto: CryptoAuth,
    /// Number of the state in the last event.
    pub reported: u8,
}

/// Traffic of one peer; the words of [`PeerStats`].
#[derive(Debug, Default)]
pub struct LinkCounters {
    /// When an established message last opened.
    pub last_in_ms: AtomicU64,
    /// Plaintext bytes in.
    pub bytes_in: AtomicU64,
    /// Plaintext bytes out.
    pub bytes_out: AtomicU64,
    /// Messages in.
    pub packets_in: AtomicU64,
    /// Messages out.
    pub packets_out: AtomicU64,
    /// Messages dropped.
    pub dropped: AtomicU64,
}

/// Add to a counter that nobody synchronises by.
pub fn count(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

impl Peer {
    /// A peer that is up and has neither sent nor received anything.
    #[must_use]
    pub fn new(
        id: PeerId,
        slot: u16,
        place: (InterfaceNumber, Endpoint),
        crypto: CryptoAuth,
        is_incoming: bool,
    ) -> Self {
        Self {
            id,
            slot,
            interface: place.0,
            endpoint: place.1,
            key: *crypto.her_key(),
            is_incoming,
            order: Mutex::new(()),
            link: Mutex::new(LinkState {
                crypto,
                reported: 0,
            }),
            counters: LinkCounters::default(),
            is_up: AtomicBool::new(true),
        }
    }

    /// Mark the slot up or down.
    pub fn set_up(&self, is_up: bool) {
        self.is_up.store(is_up, Ordering::Relaxed);
    }

    /// Counters and state.
    #[must_use]
    pub fn stats(&self) -> PeerStats {
        let (state, replay) = {
            let link = lock(&self.link);
            (link.reported, link.crypto.replay_stats())
        };
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        PeerStats {
            peer: self.id,
            state,
            last_in_ms: value(&self.counters.last_in_ms),
            bytes_in: value(&self.counters.bytes_in),
            bytes_out: value(&self.counters.bytes_out),
            packets_in: value(&self.counters.packets_in),
            packets_out: value(&self.counters.packets_out),
            duplicates: replay.duplicates,
            lost: replay.lost,
            out_of_range: replay.out_of_range,
            dropped: value(&self.counters.dropped),
        }
    }
}

/// All peers and interfaces. Readers hold a snapshot; a change makes the next one.
#[derive(Clone, Debug)]
pub struct PeerTable {
    interfaces: BTreeMap<InterfaceNumber, bool>,
    by_endpoint: KeyedMap<(InterfaceNumber, Endpoint), Arc<Peer>>,
    slots: Vec<Option<Arc<Peer>>>,
}

impl PeerTable {
    /// No interface, no peer.
    #[must_use]
    pub fn new(key: HashKey) -> Self {
        Self {
            interfaces: BTreeMap::new(),
            by_endpoint: KeyedMap::with_hasher(key),
            slots: vec![None; usize::from(MAX_SLOT) + 1],
        }
    }

    /// Know an interface.
    pub fn add_interface(&mut self, interface: InterfaceNumber, is_ipv6: bool) {
        self.interfaces.insert(interface, is_ipv6);
    }

    /// Forget an interface.
    pub fn remove_interface(&mut self, interface: InterfaceNumber) {
        self.interfaces.remove(&interface);
    }

    /// Whether an interface is IPv6; None when there is none of this number.
    #[must_use]
    pub fn is_ipv6(&self, interface: InterfaceNumber) -> Option<bool> {
        self.interfaces.get(&interface).copied()
    }

    /// The peer at an endpoint.
    #[must_use]
    pub fn at_endpoint(
        &self,
        interface: InterfaceNumber,
        endpoint: &Endpoint,
    ) -> Option<&Arc<Peer>> {
        self.by_endpoint.get(&(interface, *endpoint))
    }

    /// The peer at a slot.
    #[must_use]
    pub fn at_slot(&self, slot: u16) -> Option<&Arc<Peer>> {
        self.slots.get(usize::from(slot))?.as_ref()
    }

    /// The peer of a number.
    #[must_use]
    pub fn by_id(&self, id: PeerId) -> Option<&Arc<Peer>> {
        self.iter().find(|peer| peer.id == id)
    }

    /// All peers in the order of their slots.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Peer>> {
        self.slots.iter().flatten()
    }

    /// What the switch finds at a slot.
    #[must_use]
    pub fn slot_state(&self, slot: u16) -> SlotState {
        match self.at_slot(slot) {
            None => SlotState::Free,
            Some(peer) if peer.is_up.load(Ordering::Relaxed) => SlotState::Up,
            Some(_) => SlotState::Down,
        }
    }

    /// The lowest slot without a peer.
    #[must_use]
    pub fn free_slot(&self) -> Option<u16> {
        (0..=MAX_SLOT).find(|slot| *slot != SELF_SLOT && self.at_slot(*slot).is_none())
    }

    /// Enter a peer at its slot and endpoint, which must be free.
    pub fn insert(&mut self, peer: &Arc<Peer>) {
        if let Some(place) = self.slots.get_mut(usize::from(peer.slot)) {
            *place = Some(Arc::clone(peer));
            self.by_endpoint
                .insert((peer.interface, peer.endpoint), Arc::clone(peer));
        }
    }

    /// Take a peer out.
    pub fn remove(&mut self, peer: &Peer) {
        self.by_endpoint.remove(&(peer.interface, peer.endpoint));
        if let Some(place) = self.slots.get_mut(usize::from(peer.slot)) {
            *place = None;
        }
    }
}

/// An endpoint as it is compared: no flow label, and a scope only where addresses mean nothing without it.
#[must_use]
pub fn canonical(endpoint: &Endpoint) -> Endpoint {
    match endpoint {
        SocketAddr::V4(_) => *endpoint,
        SocketAddr::V6(v6) => {
            let mut plain = *v6;
            plain.set_flowinfo(0);
            if !v6.ip().is_unicast_link_local() {
                plain.set_scope_id(0);
            }
            SocketAddr::V6(plain)
        }
    }
}
