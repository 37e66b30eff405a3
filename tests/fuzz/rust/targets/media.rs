//! A call's incoming packets: of a peer whose counters jump about, or any bytes; played, decoded, reported.

use dexmesh_media::concealment::Concealment;
use dexmesh_media::g711::Law;
use dexmesh_media::jitter::MAX_PACKETS;
use dexmesh_media::rtp::{self, HEADER_BYTES, Packet};
use dexmesh_media::{Incoming, Outcome};

use super::records;

const CLOCK: u32 = 8_000;
const FRAME: i64 = 160;
const SSRC: u32 = 7;

/// Each record: what it is (low bits), how many packets or frames; the payload, or the whole datagram.
pub fn media_streams(data: &[u8]) {
    let mut incoming = Incoming::new(CLOCK, 0.0);
    incoming.agree(CLOCK, &[0], &[101], true);
    incoming.begin(SSRC);
    let mut concealment = Concealment::new(CLOCK);
    let (mut now, mut sequence, mut timestamp) = (1.0, 0_u16, 0_u32);
    for record in records(data) {
        let number = record.number as u32;
        match record.kind & 7 {
            0..=2 => {
                for _ in 0..number % 80 {
                    let packet = encoded(record.kind, sequence, timestamp, record.body);
                    handle(&mut incoming, &packet, now);
                    sequence = sequence.wrapping_add(u16::from(record.kind >> 5));
                    timestamp = timestamp.wrapping_add(160);
                }
            }
            3 => handle(&mut incoming, record.body, now),
            4 => timestamp = timestamp.wrapping_add(number << 24),
            5 => sequence = sequence.wrapping_add(number as u16 * 251),
            6 => incoming.begin(if number & 1 == 0 { SSRC } else { number }),
            _ => now += f64::from(number) / 50.0,
        }
        play(&mut incoming, &mut concealment, now);
        now += 0.02;
    }
    let received = incoming.received();
    assert!(received >= 0 && incoming.lost() >= 0);
    if let Some(reception) = incoming.reception_mut() {
        let _ = reception.report_block(now);
    }
}

/// What is given back for a decision was not touched before.
fn handle(incoming: &mut Incoming, data: &[u8], now: f64) {
    let known = incoming.known;
    if incoming.handle_plain(data, now) {
        return;
    }
    assert_eq!(incoming.known, known);
    match incoming.handle(data, now) {
        Outcome::Newcomer(packet) => assert_ne!(incoming.ssrc(), Some(packet.ssrc)),
        Outcome::Event(packet) => assert_eq!(incoming.ssrc(), Some(packet.ssrc)),
        Outcome::Dropped(_) => {}
        Outcome::Taken => unreachable!("sound needs no decision"),
    }
}

fn encoded(kind: u8, sequence: u16, timestamp: u32, payload: &[u8]) -> Vec<u8> {
    let payload = payload.get(..payload.len().min(1_000)).unwrap_or_default();
    let mut data = vec![0; HEADER_BYTES + payload.len()];
    let packet = Packet {
        payload_type: if kind & 8 == 0 { 0 } else { 101 },
        is_marked: false,
        sequence,
        timestamp,
        ssrc: SSRC,
        payload,
    };
    rtp::encode_into(&packet, &mut data);
    data
}

fn play(incoming: &mut Incoming, concealment: &mut Concealment, now: f64) {
    let buffer = incoming.buffer_mut();
    let _ = buffer.adjust(now);
    let mut sound = match buffer.take() {
        Ok(payload) => payload.iter().map(|&code| Law::Mu.decode(code)).collect(),
        Err(_) => concealment.lost(),
    };
    concealment.heard(&mut sound);
    buffer.advance(FRAME);
    let mut rest = buffer.clone();
    let waiting = std::iter::from_fn(|| {
        rest.advance(1 << 40); // all that waits is due
        rest.take().ok()
    });
    assert!(waiting.count() <= MAX_PACKETS);
}
