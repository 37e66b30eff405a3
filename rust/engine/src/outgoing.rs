//! Send what the TUN or Python wants to say to a node, or let it wait until it may leave.
//!
//! Place     TUN or commands.rs -> here -> forward.rs (sealed switch packets, from slot 1)
//! Spec      docs/protocol/05 §6, docs/protocol/10 §2
//! Keeps     user traffic never travels in a handshake packet; it is sealed where it lies; what waits is bounded
//!           (parking.rs); counters of one session reach the link in order
//! Not here  which route is taken (src/dexmesh/mesh)

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::buffer::{Batch, HEADROOM, bytes_of, bytes_of_mut, lock, read};
use crate::cryptoauth::Layer;
use crate::drop::DropReason;
use crate::engine::{Engine, Sink};
use crate::ip::{
    DATA_HEADER_BYTES, MTU_BYTES, Unreachable, check_outgoing, encode_data_header,
    encode_packet_too_big, encode_unreachable, strip_header,
};
use crate::message::{Address, Event, Label};
use crate::parking::Parked;
use crate::peers::count;
use crate::router::{CONTENT_ROUTING, HANDLE_BYTES};
use crate::session::{Obstacle, Passage, Session, SessionState};
use crate::switch::{HEADER_BYTES, encode_header};

/// Longest content of a routing message: with everything around it the link message stays below the limit of 04 §2.
const MAX_CONTENT_BYTES: usize = 3000; // ours

impl Engine {
    /// IPv6 packets from the TUN, each with [`HEADROOM`] free bytes in front.
    pub fn handle_tun(
        &self,
        now_ms: u64,
        arena: &mut [u8],
        packets: &[Range<usize>],
        sink: &mut dyn Sink,
    ) {
        let own = self.local.address();
        let mut run = Batch::new();
        let mut run_to = *own;
        for packet in packets {
            match check_outgoing(bytes_of(arena, packet), own) {
                Ok(outgoing) => {
                    if run.is_full() || outgoing.destination != run_to {
                        self.send_run(now_ms, &run_to, arena, &run, sink);
                        run.clear();
                        run_to = outgoing.destination;
                    }
                    run.push(packet.start..packet.start + outgoing.length);
                }
                Err(reason) => {
                    self.drop_packets(reason, 1);
                    if reason == DropReason::TunTooBig {
                        let packet = bytes_of(arena, packet);
                        let answer = encode_packet_too_big(packet, MTU_BYTES as u32, own);
                        self.answer_tun(now_ms, answer, sink);
                    }
                }
            }
        }
        self.send_run(now_ms, &run_to, arena, &run, sink);
    }

    /// Packets from the TUN to one address.
    fn send_run(
        &self,
        now_ms: u64,
        to: &Address,
        arena: &mut [u8],
        run: &Batch,
        sink: &mut dyn Sink,
    ) {
        let Some(newest) = run.packets().last() else {
            return;
        };
        if to == self.local.address() {
            sink.deliver(arena, run.packets());
            return;
        }
        let result = match self.session_with(to) {
            Some(session) => self.send_user_traffic(now_ms, &session, arena, run.packets(), sink),
            None => Err("no session"),
        };
        if let Err(obstacle) = result {
            self.drop_packets(DropReason::TunParkedReplaced, run.len() - 1);
            self.park(now_ms, to, bytes_of(arena, newest), obstacle);
            // The route may have come between the look and the parking.
            self.release_parked(now_ms, to, sink);
        }
    }

    /// Seal IPv6 packets for a session where they lie and send them on.
    fn send_user_traffic(
        &self,
        now_ms: u64,
        session: &Session,
        arena: &mut [u8],
        packets: &[Range<usize>],
        sink: &mut dyn Sink,
    ) -> Result<(), Obstacle> {
        let activity = &session.activity;
        activity.last_user_out_ms.store(now_ms, Ordering::Relaxed);
        let _order = lock(&session.order);
        let passage = self.with_session(session, 0, |state| {
            state.begin_user_traffic(packets.len(), now_ms)
        })?;
        let mut batch = Batch::new();
        for packet in packets {
            if let Some(plaintext) = strip_header(arena, packet.clone()) {
                count(&activity.bytes_out, plaintext.len() as u64);
                batch.push(plaintext);
            }
        }
        count(&activity.packets_out, batch.len() as u64);
        activity.last_out_ms.store(now_ms, Ordering::Relaxed);
        passage.ticket.seal(arena, batch.packets_mut());
        for packet in batch.packets_mut() {
            prepend_headers(arena, packet, &passage);
        }
        self.switch_packets(now_ms, None, arena, batch.packets(), sink);
        Ok(())
    }

    /// Send content to the other end of a session; routing messages may travel in handshake packets.
    pub(crate) fn send_content(
        &self,
        now_ms: u64,
        session: &Session,
        label: Label,
        content_type: u16,
        content: &[u8],
        sink: &mut dyn Sink,
    ) -> Result<(), DropReason> {
        if content.len() > MAX_CONTENT_BYTES {
            return Err(DropReason::SendOversize);
        }
        let _order = lock(&session.order);
        let sealed = self.with_session(session, 0, |state| {
            let label = if label == 0 { state.send_label } else { label };
            if label == 0 {
                return Err(DropReason::SwitchMalformedAddress);
            }
            let is_handshake = state.crypto.must_handshake(now_ms);
            let handle = match (is_handshake, state.send_handle()) {
                (false, Some(handle)) => handle,
                (true, _) if content_type == CONTENT_ROUTING => session.handle,
                _ => return Err(DropReason::RouterContentBeforeHandshake),
            };
            let mut payload = Vec::with_capacity(HANDLE_BYTES + DATA_HEADER_BYTES + content.len());
            if is_handshake {
                payload.extend_from_slice(&handle.to_be_bytes());
            }
            payload.extend_from_slice(&encode_data_header(content_type));
            payload.extend_from_slice(content);
            let message = state
                .crypto
                .seal(now_ms, &mut *lock(&self.random), &payload)
                .ok_or(DropReason::CryptoZeroTempKey)?;
            let mut packet = encode_header(label).to_vec();
            if !is_handshake {
                packet.extend_from_slice(&handle.to_be_bytes());
            }
            packet.extend_from_slice(&message);
            Ok(packet)
        });
        let packet = sealed?;
        let activity = &session.activity;
        activity.last_out_ms.store(now_ms, Ordering::Relaxed);
        count(&activity.packets_out, 1);
        count(
            &activity.bytes_out,
            (DATA_HEADER_BYTES + content.len()) as u64,
        );
        if content_type < CONTENT_ROUTING {
            activity.last_user_out_ms.store(now_ms, Ordering::Relaxed);
        }
        self.send_own(now_ms, &packet, sink);
        Ok(())
    }
}

/// What waits.
impl Engine {
    /// Let a packet wait for a route, and ask for one.
    fn park(&self, now_ms: u64, to: &Address, packet: &[u8], obstacle: Obstacle) {
        let outcome = self.parking.park(now_ms, *to, packet);
        if outcome.has_replaced {
            self.drop_packets(DropReason::TunParkedReplaced, 1);
        }
        if outcome.has_displaced {
            self.drop_packets(DropReason::TunParkingFull, 1);
        }
        if outcome.wants_event {
            self.tell(Event::RouteNeeded {
                address: *to,
                reason: obstacle,
            });
        }
    }

    /// Send what waits for an address, if it may leave now.
    pub(crate) fn release_parked(&self, now_ms: u64, to: &Address, sink: &mut dyn Sink) {
        if !self.parking.has(to) {
            return;
        }
        let Some(session) = self.session_with(to) else {
            return;
        };
        if self
            .with_session(&session, 0, |state| state.obstacle(now_ms))
            .is_some()
        {
            return;
        }
        let Some(parked) = self.parking.take(to) else {
            return;
        };
        let mut arena = vec![0; HEADROOM];
        arena.extend_from_slice(&parked.packet);
        let whole = HEADROOM..arena.len();
        if let Err(obstacle) = self.send_user_traffic(now_ms, &session, &mut arena, &[whole], sink)
        {
            self.park(now_ms, to, &parked.packet, obstacle);
        }
    }

    /// Nobody knows a route: drop what waits for this address and tell its sender.
    pub fn drop_parked(&self, now_ms: u64, address: &Address, sink: &mut dyn Sink) {
        if let Some(parked) = self.parking.take(address) {
            self.give_up(now_ms, &parked, sink);
        }
    }

    /// Do what time asks for, about once a second: give up what waited too long, renew keys that sealed too much.
    pub fn tick(&self, now_ms: u64, sink: &mut dyn Sink) {
        for parked in self.parking.take_expired(now_ms) {
            self.give_up(now_ms, &parked, sink);
        }
        for peer in self.peer_table().iter() {
            self.with_link(peer, |link| {
                if link.wants_rekey() {
                    link.rekey(now_ms);
                }
            });
        }
        let sessions = read(&self.sessions).in_order();
        for session in sessions {
            self.with_session(&session, 0, |state| {
                if state.crypto.wants_rekey() {
                    state.crypto.rekey(now_ms);
                }
            });
        }
    }

    fn give_up(&self, now_ms: u64, parked: &Parked, sink: &mut dyn Sink) {
        self.drop_packets(DropReason::TunNoRoute, 1);
        let own = self.local.address();
        let answer = encode_unreachable(&parked.packet, Unreachable::NoRoute, own);
        self.answer_tun(now_ms, answer, sink);
    }

    fn answer_tun(&self, now_ms: u64, answer: Option<Vec<u8>>, sink: &mut dyn Sink) {
        let Some(answer) = answer else {
            return;
        };
        if lock(&self.limits.icmp_answers).take(now_ms) {
            let mut arena = vec![0; HEADROOM];
            arena.extend_from_slice(&answer);
            let whole = HEADROOM..arena.len();
            sink.deliver(&mut arena, &[whole]);
        }
    }

    /// The session with a node, made if there is none.
    pub(crate) fn session_for(
        &self,
        now_ms: u64,
        key: &[u8; 32],
        label: Label,
    ) -> Result<Arc<Session>, DropReason> {
        let state = SessionState::new(self.crypto_with(now_ms, *key, Layer::EndToEnd, false));
        let address = *state.crypto.her_address();
        if let Some(session) = self.session_with(&address) {
            return Ok(session);
        }
        if !self.is_foreign_mesh_key(key, &address) {
            return Err(DropReason::RouterBadKey);
        }
        self.enter_session(now_ms, state, label, false)
    }
}

/// Put switch header and handle in front of a sealed packet. One that could not be sealed stays empty.
fn prepend_headers(arena: &mut [u8], packet: &mut Range<usize>, passage: &Passage) {
    let Some(start) = packet.start.checked_sub(HEADER_BYTES + HANDLE_BYTES) else {
        return;
    };
    let place = start..packet.start;
    let (header, handle) = bytes_of_mut(arena, &place)
        .split_at_mut_checked(HEADER_BYTES)
        .unwrap_or_default();
    header.copy_from_slice(&encode_header(passage.label));
    handle.copy_from_slice(&passage.handle.to_be_bytes());
    packet.start = start;
}
