//! Let in whoever presents a valid credential, and be silent to everybody else.
//!
//! Place     link.rs (a datagram from an unknown endpoint, or with another key) -> here -> a new peer
//! Spec      docs/protocol/04 §5.1 and §8, docs/protocol/01 §14 and §18
//! Keeps     no answer and no state until the handshake opened; curve operations only for a credential we know, and
//!           only so often for each source prefix; recorded HELLOs of one key take a few slots at most
//! Not here  peers that we call (commands.rs)

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::buffer::{bytes_of, bytes_of_mut, lock, word_at, write};
use crate::crypto::keys::address_of;
use crate::cryptoauth::{CryptoAuth, HANDSHAKE_HEADER_BYTES, Layer, Opened, Users};
use crate::drop::DropReason;
use crate::engine::{Engine, Sink, reason_of};
use crate::limits::prefix_of;
use crate::message::{Endpoint, Event, InterfaceNumber, PublicKey};
use crate::peers::{Peer, PeerTable};

const REPEAT_HELLO: u32 = 1;
const KEY_AT: usize = 40;
const LOOKUP_AT: usize = 4;
/// A link that was heard within this time is alive: nobody takes its endpoint over. A source address is easily forged.
const REPLACE_AFTER_MS: u64 = 20_480; // docs/protocol/04 §7, unresponsive

/// Slots for unfinished handshakes of one key. Whoever records a HELLO can send it from anywhere, as long as its sender
/// did not finish it with us.
const MOST_UNFINISHED: usize = 8; // ours

type Place = (InterfaceNumber, Endpoint);

impl Engine {
    /// A datagram from an endpoint without a peer.
    pub(crate) fn receive_from_stranger(
        &self,
        now_ms: u64,
        place: Place,
        arena: &mut [u8],
        packet: &Range<usize>,
        sink: &mut dyn Sink,
    ) {
        if let Err(reason) = self.try_stranger(now_ms, place, arena, packet, sink) {
            self.drop_packets(reason, 1);
        }
    }

    /// A handshake with another key from the endpoint of a peer: a new node may live there when the old one called us
    /// and is silent now. A peer that Python asked for keeps its place.
    pub(crate) fn receive_other_key(
        &self,
        now_ms: u64,
        peer: &Arc<Peer>,
        arena: &mut [u8],
        packet: &Range<usize>,
        sink: &mut dyn Sink,
    ) {
        let last_in_ms = peer.counters.last_in_ms.load(Ordering::Relaxed);
        let is_alive = last_in_ms != 0 && now_ms.saturating_sub(last_in_ms) < REPLACE_AFTER_MS;
        if is_alive || !peer.is_incoming {
            self.drop_of_peer(peer, DropReason::CryptoWrongPermanentKey, 1);
            return;
        }
        let place = (peer.interface, peer.endpoint);
        if let Err(reason) = self.try_stranger(now_ms, place, arena, packet, sink) {
            self.drop_of_peer(peer, reason, 1);
        }
    }

    fn try_stranger(
        &self,
        now_ms: u64,
        place: Place,
        arena: &mut [u8],
        packet: &Range<usize>,
        sink: &mut dyn Sink,
    ) -> Result<(), DropReason> {
        if self.peer_table().is_ipv6(place.0).is_none() {
            return Err(DropReason::LinkInterfaceGone);
        }
        let users = self.users();
        let key = self.judge_hello(arena, packet, &users)?;
        let may_try = lock(&self.limits.link_handshakes).take(prefix_of(&place.1), now_ms);
        if !may_try {
            return Err(DropReason::LinkHandshakeRateLimited);
        }
        let mut crypto = self.crypto_with(now_ms, key, Layer::Link, true);
        let opened = crypto
            .open(now_ms, &users, bytes_of_mut(arena, packet))
            .map_err(reason_of)?;
        if self.was_finished(&crypto) {
            return Err(DropReason::CryptoInvalidPacket);
        }
        let peer = self.admit(place, crypto)?;
        let Opened { range, kind } = opened;
        let plaintext = packet.start + range.start..packet.start + range.end;
        self.with_link(&peer, |_| ());
        self.accept(now_ms, &peer, arena, &[plaintext], kind, sink);
        Ok(())
    }

    /// Everything about a HELLO that costs nothing to know: its key, if it is worth a try.
    fn judge_hello(
        &self,
        arena: &[u8],
        packet: &Range<usize>,
        users: &Users,
    ) -> Result<PublicKey, DropReason> {
        let message = bytes_of(arena, packet);
        let is_hello = word_at(arena, packet, 0).is_some_and(|word| word <= REPEAT_HELLO);
        if message.len() < HANDSHAKE_HEADER_BYTES || !is_hello {
            return Err(DropReason::LinkUnknownEndpoint);
        }
        let key = message.get(KEY_AT..).and_then(<[u8]>::first_chunk);
        let lookup = message.get(LOOKUP_AT..).and_then(<[u8]>::first_chunk);
        let (Some(key), Some(lookup)) = (key, lookup) else {
            return Err(DropReason::LinkUnknownEndpoint);
        };
        if key == self.local.public() {
            return Err(DropReason::LinkOwnKey);
        }
        if users.find(lookup).is_none() {
            return Err(DropReason::CryptoAuthRequired);
        }
        if !self.is_foreign_mesh_key(key, &address_of(key)) {
            return Err(DropReason::LinkKeyNotMesh);
        }
        Ok(*key)
    }

    /// Whether a peer with this key carried this very handshake through, so that it is a recording.
    fn was_finished(&self, crypto: &CryptoAuth) -> bool {
        let Some(temp_key) = crypto.her_temp_key() else {
            return false;
        };
        self.peer_table().iter().any(|peer| {
            peer.key == *crypto.her_key() && lock(&peer.link).crypto.has_finished(temp_key)
        })
    }

    /// Give somebody who showed a valid credential a slot, and the endpoint if another peer had it.
    fn admit(&self, place: Place, crypto: CryptoAuth) -> Result<Arc<Peer>, DropReason> {
        let user = crypto.user().map(|user| user.login().to_vec());
        let user = String::from_utf8_lossy(&user.unwrap_or_default()).into_owned();
        let mut shared = write(&self.peers);
        let table = Arc::make_mut(&mut shared);
        let at_endpoint = table.at_endpoint(place.0, &place.1).map(Arc::clone);
        if let Some(replaced) = at_endpoint.or_else(|| oldest_of_many(table, crypto.her_key())) {
            table.remove(&replaced);
            self.tell(Event::PeerRemoved {
                peer: replaced.id,
                reason: "replaced",
            });
        }
        let slot = table.free_slot().ok_or(DropReason::LinkSwitchFull)?;
        let id = self.next_peer_id();
        let peer = Arc::new(Peer::new(id, slot, place, crypto, true));
        let is_told = self.try_tell(Event::PeerAdded {
            peer: id,
            slot,
            interface: peer.interface,
            endpoint: peer.endpoint,
            key: peer.key,
            is_incoming: true,
            user,
        });
        if !is_told {
            // Nobody would ever ping it or free its slot; it calls again.
            return Err(DropReason::EventRingFull);
        }
        table.insert(&peer);
        Ok(peer)
    }

    pub(crate) fn next_peer_id(&self) -> u64 {
        self.last_peer.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// The first of the callers with this key who never sent data, when there are as many as there may be.
fn oldest_of_many(table: &PeerTable, key: &PublicKey) -> Option<Arc<Peer>> {
    let is_unfinished = |peer: &&Arc<Peer>| {
        peer.is_incoming
            && peer.key == *key
            && peer.counters.last_in_ms.load(Ordering::Relaxed) == 0
    };
    if table.iter().filter(is_unfinished).count() < MOST_UNFINISHED {
        return None;
    }
    let oldest = table
        .iter()
        .filter(is_unfinished)
        .min_by_key(|peer| peer.id);
    oldest.map(Arc::clone)
}
