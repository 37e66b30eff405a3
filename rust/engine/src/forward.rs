//! Move switch packets from where they came in to where their labels lead.
//!
//! Place     link.rs (a peer's packets) or outgoing.rs (our own) -> here -> link.rs (next hop) or router.rs (for us)
//! Spec      docs/protocol/03 §6, §7 and §9
//! Keeps     consecutive packets with one label cost one lookup; a refused packet is counted, and a run of them answered
//!           with one error frame
//! Not here  the rules of one packet (switch.rs)

use std::ops::Range;
use std::sync::Arc;

use crate::buffer::{Batch, bytes_of, bytes_of_mut, lock, run_length};
use crate::drop::DropReason;
use crate::engine::{Engine, Sink};
use crate::label::{SELF_SLOT, reverse64};
use crate::message::Event;
use crate::peers::{Peer, PeerTable};
use crate::switch::{
    CONTROL_WORD, HEADER_BYTES, Hop, SwitchError, Verdict, encode_error, label_of, next_hop,
    rewrite,
};

/// Offset of a control frame in a switch packet.
pub(crate) const CONTROL_START: usize = HEADER_BYTES + CONTROL_WORD.len();
/// Free bytes in front of a packet that we build ourselves.
pub(crate) const LINK_ROOM: usize = 20;

impl Engine {
    /// Switch packets that came from a peer, or from our own router (`from` is None).
    pub(crate) fn switch_packets(
        &self,
        now_ms: u64,
        from: Option<&Arc<Peer>>,
        arena: &mut [u8],
        packets: &[Range<usize>],
        sink: &mut dyn Sink,
    ) {
        let table = self.peer_table();
        let ingress = from.map_or(SELF_SLOT, |peer| peer.slot);
        let mut rest = packets;
        while let Some(first) = rest.first() {
            let label = label_of(bytes_of(arena, first));
            let length = run_length(rest, |packet| label_of(bytes_of(arena, packet)));
            let (run, others) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            rest = others;
            let Some(label) = label else {
                self.drop_packets(DropReason::SwitchRunt, run.len());
                continue;
            };
            match next_hop(label, ingress, |slot| table.slot_state(slot)) {
                Ok(hop) => self.follow(now_ms, (&table, from), hop, arena, run, sink),
                Err((error, reason)) => {
                    self.drop_packets(reason, run.len());
                    self.answer_refused(now_ms, from, error, bytes_of(arena, first), sink);
                }
            }
        }
    }

    /// Rewrite the headers of a run and hand it on.
    fn follow(
        &self,
        now_ms: u64,
        (table, from): (&PeerTable, Option<&Arc<Peer>>),
        hop: Hop,
        arena: &mut [u8],
        run: &[Range<usize>],
        sink: &mut dyn Sink,
    ) {
        let mut rest = run;
        while !rest.is_empty() {
            let mut batch = Batch::new();
            let mut taken = 0;
            for packet in rest {
                if batch.is_full() {
                    break;
                }
                taken += 1;
                match rewrite(bytes_of_mut(arena, packet), hop) {
                    Verdict::Deliver | Verdict::Forward(_) => {
                        batch.push(packet.clone());
                    }
                    Verdict::Drop(reason) | Verdict::Refuse(_, reason) => {
                        self.drop_packets(reason, 1);
                    }
                }
            }
            rest = rest.get(taken..).unwrap_or_default();
            if hop.egress == SELF_SLOT {
                let label = reverse64(hop.label);
                self.receive_at_router(now_ms, from, label, arena, batch.packets(), sink);
            } else if let Some(peer) = table.at_slot(hop.egress) {
                self.send_to_peer(now_ms, peer, arena, batch.packets_mut(), sink);
            }
        }
    }

    /// Tell whoever sent a packet that it cannot go on: the peer it came from, or Python.
    fn answer_refused(
        &self,
        now_ms: u64,
        from: Option<&Arc<Peer>>,
        error: SwitchError,
        packet: &[u8],
        sink: &mut dyn Sink,
    ) {
        let Some(peer) = from else {
            if !lock(&self.limits.error_frames).take(now_ms) {
                return;
            }
            if let Some(frame) = encode_error(packet, error) {
                self.tell_control_frame(&frame);
            }
            return;
        };
        if let Some(frame) = encode_error(packet, error) {
            let mut arena = vec![0; LINK_ROOM];
            arena.extend_from_slice(&frame);
            let mut whole = LINK_ROOM..arena.len();
            let packets = std::slice::from_mut(&mut whole);
            self.send_to_peer(now_ms, peer, &mut arena, packets, sink);
        }
    }

    /// Hand a control frame for our router to Python.
    pub(crate) fn tell_control_frame(&self, packet: &[u8]) {
        if let (Some(label), Some(frame)) = (label_of(packet), packet.get(CONTROL_START..)) {
            self.tell(Event::ControlFrame {
                label: reverse64(label),
                frame: frame.to_vec(),
            });
        }
    }
}
