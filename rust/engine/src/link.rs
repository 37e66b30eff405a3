//! Open link messages from peers and seal what leaves to them.
//!
//! Place     UDP -> here -> forward.rs (opened switch packets); forward.rs -> here -> UDP
//! Spec      docs/protocol/04 §4 and §5, docs/protocol/01 §14
//! Keeps     data packets allocate nothing; before a link is established nothing but packets for our router gets in;
//!           counters of one link reach the sink in order
//! Not here  unknown endpoints (stranger.rs), crypto (cryptoauth/)

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::buffer::{Batch, bytes_of, bytes_of_mut, lock, word_at};
use crate::cryptoauth::{AuthError, FIRST_COUNTER, Kind, OpenTicket, Verdict};
use crate::drop::DropReason;
use crate::engine::{Engine, Sink, reason_of};
use crate::message::{Endpoint, Event, InterfaceNumber};
use crate::peers::{Peer, canonical, count};

/// Longest link message (docs/protocol/04 §2).
pub const MAX_MESSAGE_BYTES: usize = 3496;
/// Lowest byte of a label that leads to our router and no further.
const TO_OUR_ROUTER: u8 = 1;

impl Engine {
    /// Datagrams that came from one endpoint. They are opened and forwarded where they lie.
    pub fn handle_datagrams(
        &self,
        now_ms: u64,
        interface: InterfaceNumber,
        from: &Endpoint,
        arena: &mut [u8],
        packets: &[Range<usize>],
        sink: &mut dyn Sink,
    ) {
        let from = canonical(from);
        let mut rest = packets;
        while let Some(first) = rest.first() {
            if first.len() > MAX_MESSAGE_BYTES {
                self.drop_packets(DropReason::LinkOversize, 1);
                rest = rest.get(1..).unwrap_or_default();
                continue;
            }
            let table = self.peer_table();
            let taken = match table.at_endpoint(interface, &from) {
                Some(peer) => self.receive(now_ms, peer, arena, rest, sink),
                None => {
                    self.receive_from_stranger(now_ms, (interface, from), arena, first, sink);
                    1
                }
            };
            rest = rest.get(taken..).unwrap_or_default();
        }
    }

    /// Take some messages of a known peer; says how many.
    fn receive(
        &self,
        now_ms: u64,
        peer: &Arc<Peer>,
        arena: &mut [u8],
        packets: &[Range<usize>],
        sink: &mut dyn Sink,
    ) -> usize {
        let mut batch = Batch::new();
        for packet in packets {
            let is_data = word_at(arena, packet, 0).is_some_and(|word| word >= FIRST_COUNTER);
            let is_fit = is_data && packet.len() <= MAX_MESSAGE_BYTES;
            if !is_fit || !batch.push(packet.clone()) {
                break;
            }
        }
        let ticket = (!batch.is_empty())
            .then(|| self.with_link(peer, |link| link.begin_open(now_ms)))
            .flatten();
        if let Some(ticket) = ticket {
            let taken = batch.len();
            self.receive_data(now_ms, peer, &ticket, arena, batch, sink);
            return taken;
        }
        if let Some(packet) = packets.first() {
            self.receive_one(now_ms, peer, arena, packet, sink);
        }
        1
    }

    /// Data packets of an established link.
    fn receive_data(
        &self,
        now_ms: u64,
        peer: &Arc<Peer>,
        ticket: &OpenTicket,
        arena: &mut [u8],
        mut batch: Batch,
        sink: &mut dyn Sink,
    ) {
        let mut verdicts = [Verdict::Handshake; crate::buffer::BATCH];
        let verdicts = verdicts.get_mut(..batch.len()).unwrap_or_default();
        ticket.open(arena, batch.packets_mut(), verdicts);
        self.with_link(peer, |link| link.finish_open(ticket, verdicts, now_ms));
        let mut opened = Batch::new();
        for (packet, verdict) in batch.packets().iter().zip(verdicts) {
            match verdict {
                Verdict::Opened { .. } => {
                    opened.push(packet.clone());
                }
                Verdict::Handshake => self.drop_of_peer(peer, DropReason::CryptoStaleSession, 1),
                Verdict::Refused(AuthError::NoSession) => {
                    self.drop_of_peer(peer, DropReason::CryptoStaleSession, 1);
                }
                Verdict::Refused(error) => self.drop_of_peer(peer, reason_of(*error), 1),
            }
        }
        self.accept(now_ms, peer, arena, opened.packets(), Kind::Data, sink);
    }

    /// A handshake packet, or data before the link is established.
    fn receive_one(
        &self,
        now_ms: u64,
        peer: &Arc<Peer>,
        arena: &mut [u8],
        packet: &Range<usize>,
        sink: &mut dyn Sink,
    ) {
        let users = self.users();
        let message = bytes_of_mut(arena, packet);
        match self.with_link(peer, |link| link.open(now_ms, &users, message)) {
            Ok(opened) => {
                let plaintext = packet.start + opened.range.start..packet.start + opened.range.end;
                self.accept(now_ms, peer, arena, &[plaintext], opened.kind, sink);
            }
            Err(AuthError::WrongPermanentKey) => {
                self.receive_other_key(now_ms, peer, arena, packet, sink);
            }
            Err(error) => self.drop_of_peer(peer, reason_of(error), 1),
        }
    }

    /// Count opened messages and hand them to the switch, if they may pass (docs/protocol/04 §5.3).
    pub(crate) fn accept(
        &self,
        now_ms: u64,
        peer: &Arc<Peer>,
        arena: &mut [u8],
        plaintexts: &[Range<usize>],
        kind: Kind,
        sink: &mut dyn Sink,
    ) {
        if plaintexts.is_empty() {
            return;
        }
        let bytes: usize = plaintexts.iter().map(Range::len).sum();
        count(&peer.counters.bytes_in, bytes as u64);
        count(&peer.counters.packets_in, plaintexts.len() as u64);
        if kind == Kind::Data {
            peer.counters.last_in_ms.store(now_ms, Ordering::Relaxed);
        } else {
            // A handshake packet can be replayed, so that it may not reach beyond our router.
            let is_for_us = plaintexts
                .iter()
                .all(|plaintext| bytes_of(arena, plaintext).get(7) == Some(&TO_OUR_ROUTER));
            if !is_for_us {
                self.drop_of_peer(peer, DropReason::LinkNotEstablished, plaintexts.len());
                return;
            }
            self.tell(Event::LinkHandshake { peer: peer.id });
        }
        self.switch_packets(now_ms, Some(peer), arena, plaintexts, sink);
    }

    /// Seal switch packets where they lie and send them to a peer. Each needs 20 free bytes in front.
    pub(crate) fn send_to_peer(
        &self,
        now_ms: u64,
        peer: &Peer,
        arena: &mut [u8],
        packets: &mut [Range<usize>],
        sink: &mut dyn Sink,
    ) {
        if packets.is_empty() {
            return;
        }
        let bytes: usize = packets.iter().map(Range::len).sum();
        count(&peer.counters.bytes_out, bytes as u64);
        count(&peer.counters.packets_out, packets.len() as u64);
        let _order = lock(&peer.order);
        match self.with_link(peer, |link| link.begin_seal(packets.len(), now_ms)) {
            Some(ticket) => {
                ticket.seal(arena, packets);
                sink.send(peer.interface, &peer.endpoint, arena, packets);
            }
            None => {
                for packet in packets {
                    self.send_handshake(now_ms, peer, bytes_of(arena, packet), sink);
                }
            }
        }
    }

    /// One packet inside whatever the link has to send next. The caller holds the order of the peer.
    fn send_handshake(&self, now_ms: u64, peer: &Peer, payload: &[u8], sink: &mut dyn Sink) {
        let sealed = self.with_link(peer, |link| {
            link.seal(now_ms, &mut *lock(&self.random), payload)
        });
        if let Some(mut message) = sealed {
            let whole = 0..message.len();
            sink.send(peer.interface, &peer.endpoint, &mut message, &[whole]);
        }
    }
}
