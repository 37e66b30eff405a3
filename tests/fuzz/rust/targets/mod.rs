//! Give any bytes to everything in Rust that reads bytes of others; nothing panics, and what must hold, holds.
//!
//! Place     tests/fuzz/rust/fuzz_targets (a fuzzer), rust/hostio/tests/fuzz_corpus.rs (the committed inputs) -> here
//! Keeps     one function a target; no state from one input to the next; the same input does the same
//! Not here  targets in Python (tests/fuzz/targets.py)
#![allow(dead_code, clippy::unwrap_used)]

mod crypto;
mod engine;
mod frames;
mod media;
mod offload;

#[path = "../../../../rust/engine/tests/net/mod.rs"]
mod net;

pub use crypto::cryptoauth_packets;
pub use engine::{link_datagrams, session_packets, switch_packets, tun_packets};
pub use frames::{ip_headers, switch_frames};
pub use media::media_streams;
pub use offload::{offload_join, offload_split};

const RECORD_HEADER_BYTES: usize = 4;
/// Handshakes are slow: longer inputs teach a fuzzer nothing new.
const MOST_RECORDS: usize = 24;

/// One step of an input: what to do, a number to do it with, and bytes.
struct Record<'a> {
    kind: u8,
    number: usize,
    body: &'a [u8],
}

/// Cut an input into steps: kind (1), number (1), length of the body (2, little-endian), body.
fn records(mut data: &[u8]) -> Vec<Record<'_>> {
    let mut found = Vec::new();
    while let Some((header, rest)) = data.split_first_chunk::<RECORD_HEADER_BYTES>() {
        let [kind, number, low, high] = *header;
        let length = usize::from(u16::from_le_bytes([low, high])).min(rest.len());
        let (body, after) = rest.split_at(length);
        found.push(Record {
            kind,
            number: usize::from(number),
            body,
        });
        data = after;
        if found.len() == MOST_RECORDS {
            break;
        }
    }
    found
}

/// Damage a recorded packet: `body` is XORed over it from `offset` on; cut behind that if so wanted.
fn damaged(packet: &[u8], record: &Record<'_>, offset: usize, is_cut: bool) -> Vec<u8> {
    let mut packet = packet.to_vec();
    for (byte, by) in packet.iter_mut().skip(offset).zip(record.body) {
        *byte ^= by;
    }
    if is_cut {
        packet.truncate(offset + record.body.len());
    }
    packet
}
