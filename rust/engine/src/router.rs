//! Receive what the switch delivers to us: control frames, session handshakes and session data.
//!
//! Place     forward.rs -> here -> Python (control frames, routing messages) or the TUN (user traffic)
//! Spec      docs/protocol/03 §7, §8 and §9.3; docs/protocol/05 §2 to §6
//! Keeps     data allocates nothing; nothing but routing messages is taken from a handshake packet; an unknown handle
//!           is met with silence
//! Not here  what control frames and routing messages mean (src/dexmesh/mesh)

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::buffer::{BATCH, Batch, bytes_of, bytes_of_mut, lock, read, run_length, word_at};
use crate::cryptoauth::{
    AuthError, DATA_HEADER_BYTES as OPENED_BYTES, FIRST_COUNTER, OpenTicket, Verdict,
};
use crate::drop::DropReason;
use crate::engine::{Engine, Sink, reason_of};
use crate::forward::{CONTROL_START, LINK_ROOM};
use crate::ip::{DATA_HEADER_BYTES, content_type_of, restore_header};
use crate::message::{Event, Label};
use crate::peers::{Peer, count};
use crate::session::Session;
use crate::switch::{HEADER_BYTES, encode_authentication_error};

/// Content type of an inter-router message.
pub const CONTENT_ROUTING: u16 = 256;
/// Length of a handle in front of session data.
pub const HANDLE_BYTES: usize = 4;
/// Highest handle; the word after it announces a control frame.
pub const LAST_HANDLE: u32 = 0xffff_fffe;

const LEAST_BYTES: usize = HEADER_BYTES + 24;
const CONTROL: u32 = 0xffff_ffff;
const LAST_HANDSHAKE: u32 = FIRST_COUNTER - 1;
const IPV6_CONTENT: u16 = 256;
/// Switch header and handle in front of session data.
const DATA_START: usize = HEADER_BYTES + HANDLE_BYTES;

impl Engine {
    /// Packets for our router, whose way back is `label`.
    pub(crate) fn receive_at_router(
        &self,
        now_ms: u64,
        from: Option<&Arc<Peer>>,
        label: Label,
        arena: &mut [u8],
        packets: &[Range<usize>],
        sink: &mut dyn Sink,
    ) {
        let mut rest = packets;
        while let Some(first) = rest.first() {
            let word = word_at(arena, first, HEADER_BYTES);
            let length = match word {
                Some(FIRST_COUNTER..=LAST_HANDLE) => {
                    run_length(rest, |packet| word_at(arena, packet, HEADER_BYTES))
                }
                _ => 1,
            };
            let (run, others) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            rest = others;
            match (word, from) {
                (None, _) => self.drop_packets(DropReason::RouterRunt, run.len()),
                (Some(CONTROL), _) => self.tell_control_frame(bytes_of(arena, first)),
                // Our own session packet on a label that leads back to us.
                (Some(_), None) => self.drop_packets(DropReason::RouterUnknownHandle, run.len()),
                (Some(..=LAST_HANDSHAKE), Some(peer)) => {
                    self.receive_session_handshake(now_ms, peer, label, arena, first, sink);
                }
                (Some(handle), Some(_)) => {
                    self.receive_session_data(now_ms, handle, label, arena, run, sink);
                }
            }
        }
    }

    /// Data packets with one handle.
    fn receive_session_data(
        &self,
        now_ms: u64,
        handle: u32,
        label: Label,
        arena: &mut [u8],
        run: &[Range<usize>],
        sink: &mut dyn Sink,
    ) {
        let Some(session) = read(&self.sessions).by_handle(handle).map(Arc::clone) else {
            self.drop_packets(DropReason::RouterUnknownHandle, run.len());
            return;
        };
        let mut batch = Batch::new();
        for packet in run {
            match word_at(arena, packet, DATA_START) {
                _ if packet.len() < LEAST_BYTES => self.drop_packets(DropReason::RouterRunt, 1),
                Some(FIRST_COUNTER..) => {
                    batch.push(packet.start + DATA_START..packet.end);
                }
                _ => self.drop_packets(DropReason::RouterBadCounter, 1),
            }
        }
        if batch.is_empty() {
            return;
        }
        let ticket = self.with_session(&session, label, |state| state.crypto.begin_open(now_ms));
        match ticket {
            Some(ticket) => self.open_batch(now_ms, &session, &ticket, label, arena, batch, sink),
            None => {
                for packet in batch.packets() {
                    self.open_early(now_ms, &session, label, arena, packet, sink);
                }
            }
        }
    }

    #[allow(clippy::too_many_arguments)] // the whole context of a run
    fn open_batch(
        &self,
        now_ms: u64,
        session: &Session,
        ticket: &OpenTicket,
        label: Label,
        arena: &mut [u8],
        mut batch: Batch,
        sink: &mut dyn Sink,
    ) {
        let mut verdicts = [Verdict::Handshake; BATCH];
        let verdicts = verdicts.get_mut(..batch.len()).unwrap_or_default();
        ticket.open(arena, batch.packets_mut(), verdicts);
        let state = self.with_session(session, label, |state| {
            state.crypto.finish_open(ticket, verdicts, now_ms);
            if verdicts
                .iter()
                .any(|one| matches!(one, Verdict::Opened { .. }))
            {
                state.receive_label = label;
            }
            state.number()
        });
        let mut opened = Batch::new();
        for (packet, verdict) in batch.packets().iter().zip(verdicts) {
            match verdict {
                Verdict::Opened { .. } => {
                    opened.push(packet.clone());
                }
                Verdict::Handshake | Verdict::Refused(AuthError::NoSession) => {
                    self.drop_packets(DropReason::CryptoStaleSession, 1);
                }
                Verdict::Refused(error) => {
                    let start = match error {
                        AuthError::Replay => packet.start - OPENED_BYTES, // it had been opened
                        _ => packet.start,
                    };
                    let whole = start - DATA_START..packet.end;
                    self.refuse_opening(now_ms, *error, state, bytes_of(arena, &whole), sink);
                }
            }
        }
        self.receive_content(now_ms, session, label, arena, opened.packets(), sink);
    }

    /// One data packet of a session that is not established yet.
    fn open_early(
        &self,
        now_ms: u64,
        session: &Session,
        label: Label,
        arena: &mut [u8],
        packet: &Range<usize>,
        sink: &mut dyn Sink,
    ) {
        let users = self.users();
        let message = bytes_of_mut(arena, packet);
        let (result, number) = self.with_session(session, label, |state| {
            let result = state.crypto.open(now_ms, &users, message);
            if result.is_ok() {
                state.receive_label = label;
            }
            (result, state.number())
        });
        match result {
            Ok(opened) => {
                let plaintext = packet.start + opened.range.start..packet.start + opened.range.end;
                self.receive_content(now_ms, session, label, arena, &[plaintext], sink);
                self.release_parked(now_ms, &session.address, sink);
            }
            Err(error) => {
                let whole = packet.start - DATA_START..packet.end;
                self.refuse_opening(now_ms, error, number, bytes_of(arena, &whole), sink);
            }
        }
    }

    /// Plaintexts of data packets: data header and content.
    fn receive_content(
        &self,
        now_ms: u64,
        session: &Session,
        label: Label,
        arena: &mut [u8],
        plaintexts: &[Range<usize>],
        sink: &mut dyn Sink,
    ) {
        let mut user_traffic = Batch::new();
        for plaintext in plaintexts {
            self.count_in(now_ms, session, plaintext.len());
            match content_type_of(bytes_of(arena, plaintext)) {
                None => self.drop_packets(DropReason::RouterPlaintextRunt, 1),
                Some(CONTENT_ROUTING) => {
                    self.tell_routing_message(session, label, bytes_of(arena, plaintext));
                }
                Some(..IPV6_CONTENT) => {
                    let (from, to) = (&session.address, self.local.address());
                    match restore_header(arena, plaintext.clone(), from, to) {
                        Some(packet) => {
                            user_traffic.push(packet);
                        }
                        None => self.drop_packets(DropReason::RouterPlaintextRunt, 1),
                    }
                }
                Some(_) => self.drop_packets(DropReason::RouterUnhandledContentType, 1),
            }
        }
        if !user_traffic.is_empty() {
            let last = &session.activity.last_user_in_ms;
            last.store(now_ms, Ordering::Relaxed);
            sink.deliver(arena, user_traffic.packets());
        }
    }

    pub(crate) fn count_in(&self, now_ms: u64, session: &Session, bytes: usize) {
        let activity = &session.activity;
        activity.last_in_ms.store(now_ms, Ordering::Relaxed);
        count(&activity.bytes_in, bytes as u64);
        count(&activity.packets_in, 1);
    }

    /// Hand a routing message (data header first) to Python.
    pub(crate) fn tell_routing_message(&self, session: &Session, label: Label, plaintext: &[u8]) {
        if let Some(content) = plaintext.get(DATA_HEADER_BYTES..) {
            self.tell(Event::RoutingMessage {
                address: session.address,
                key: session.key,
                label,
                content: content.to_vec(),
            });
        }
    }

    fn refuse_opening(
        &self,
        now_ms: u64,
        error: AuthError,
        state: u32,
        packet: &[u8],
        sink: &mut dyn Sink,
    ) {
        self.drop_packets(reason_of(error), 1);
        self.tell_refused(now_ms, error, state, packet, sink);
    }

    /// Tell the sender of a packet that it did not open, but not too often (docs/protocol/03 §9.3). `packet` is as the
    /// switch delivered it, whatever the attempt did to the sealed part.
    pub(crate) fn tell_refused(
        &self,
        now_ms: u64,
        error: AuthError,
        state: u32,
        packet: &[u8],
        sink: &mut dyn Sink,
    ) {
        if !lock(&self.limits.error_frames).take(now_ms) {
            return;
        }
        if let Some(frame) = encode_authentication_error(packet, error.number(), state) {
            self.send_own(now_ms, &frame, sink);
        }
    }

    /// Send a whole switch packet of our own through our switch.
    pub(crate) fn send_own(&self, now_ms: u64, packet: &[u8], sink: &mut dyn Sink) {
        let mut arena = vec![0; LINK_ROOM];
        arena.extend_from_slice(packet);
        let whole = LINK_ROOM..arena.len();
        self.switch_packets(now_ms, None, &mut arena, &[whole], sink);
    }
}

const _: () = assert!(CONTROL_START == DATA_START);
