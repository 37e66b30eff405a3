//! Take in the packets of the source that is believed, and give them back when they are due.
//!
//! Place     rust/python hands in datagrams -> rtp.rs -> reception.rs (counted) -> jitter.rs -> receiver.py
//! Spec      RFC 3550 §5.1; docs/apps/sip.md §3 Media
//! Keeps     one source at a time, which Python names; whatever asks for a decision is handed to Python untouched
//! Not here  which source is believed (receiver.py), digits (dtmf.py), sound (the codec)

use crate::jitter::JitterBuffer;
use crate::reception::Reception;
use crate::rtp::{self, Packet};
use crate::{DropReason, FRAME_MS};

/// A payload type for each bit.
type Types = u128;

/// What became of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// It waits to be played.
    Taken,
    /// It goes no further.
    Dropped(DropReason),
    /// It is of a source that is not believed, and was not counted.
    Newcomer(Packet<'a>),
    /// It was counted, and speaks of a digit.
    Event(Packet<'a>),
}

/// The incoming half of a call's RTP.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// When the last packet came, of any source.
    pub heard_at: f64,
    /// When the last one of the believed source came; None: there is none.
    pub source_heard_at: Option<f64>,
    /// How many of the believed sources came, whatever became of them.
    pub known: u64,
    /// Packets that came after their time.
    pub too_late: u64,
    clock: u32,
    sound_types: Types,
    event_types: Types,
    is_listening: bool,
    reception: Option<Reception>,
    buffer: JitterBuffer,
    received_before: i64, // of former sources, as the next two
    lost_before: i64,
    thrown_before: u64,
    drops: [u64; DropReason::ALL.len()],
}

impl Incoming {
    /// For a call that begins; `clock` is the RTP clock in Hz.
    #[must_use]
    pub fn new(clock: u32, now: f64) -> Self {
        Self {
            heard_at: now,
            source_heard_at: None,
            known: 0,
            too_late: 0,
            clock,
            sound_types: 0,
            event_types: 0,
            is_listening: false,
            reception: None,
            buffer: JitterBuffer::new(clock),
            received_before: 0,
            lost_before: 0,
            thrown_before: 0,
            drops: [0; DropReason::ALL.len()],
        }
    }

    /// What was agreed from now on, and no source is believed. Types of sound are no events.
    pub fn agree(&mut self, clock: u32, sound: &[u8], events: &[u8], is_listening: bool) {
        self.clock = clock;
        self.sound_types = types(sound);
        self.event_types = types(events) & !self.sound_types;
        self.is_listening = is_listening;
        self.forget();
    }

    /// Believe in this source from now on, and in no other.
    pub fn begin(&mut self, ssrc: u32) {
        self.forget();
        self.reception = Some(Reception::new(ssrc, self.clock));
    }

    /// The next source begins anew; what was counted stays counted.
    fn forget(&mut self) {
        self.received_before = self.received();
        self.lost_before = self.lost();
        self.thrown_before = self.thrown_away();
        self.reception = None;
        self.source_heard_at = None;
        self.buffer = JitterBuffer::new(self.clock);
    }

    /// Take in a datagram that came at `now`. What is dropped is for the caller to count.
    pub fn handle<'a>(&mut self, data: &'a [u8], now: f64) -> Outcome<'a> {
        match rtp::decode(data) {
            Ok(packet) => self.handle_packet(packet, now),
            Err(reason) => Outcome::Dropped(reason),
        }
    }

    /// Take in a datagram, and count it if it is dropped; false if there is something to decide: nothing was done.
    pub fn handle_plain(&mut self, data: &[u8], now: f64) -> bool {
        let outcome = match rtp::decode(data) {
            Ok(packet) if !self.is_plain(&packet) => return false,
            Ok(packet) => self.handle_packet(packet, now),
            Err(reason) => Outcome::Dropped(reason),
        };
        if let Outcome::Dropped(reason) = outcome
            && let Some(count) = self.drops.get_mut(reason as usize)
        {
            *count += 1;
        }
        true
    }

    fn is_plain(&self, packet: &Packet<'_>) -> bool {
        self.ssrc() == Some(packet.ssrc) && !has(self.event_types, packet.payload_type)
    }

    fn handle_packet<'a>(&mut self, packet: Packet<'a>, now: f64) -> Outcome<'a> {
        self.heard_at = now;
        let Some(reception) = &mut self.reception else {
            return Outcome::Newcomer(packet);
        };
        if reception.ssrc != packet.ssrc {
            return Outcome::Newcomer(packet);
        }
        self.source_heard_at = Some(now);
        self.known += 1;
        let sequence = match reception.place(packet.sequence) {
            Ok(sequence) => sequence,
            Err(reason) => return Outcome::Dropped(reason),
        };
        let is_sound = has(self.sound_types, packet.payload_type);
        if !is_sound && !has(self.event_types, packet.payload_type) {
            return Outcome::Dropped(DropReason::UnknownPayloadType);
        }
        if !self.is_listening {
            return Outcome::Dropped(DropReason::NotListening);
        }
        if !is_sound {
            return Outcome::Event(packet);
        }
        if packet.payload.is_empty() {
            return Outcome::Dropped(DropReason::Empty);
        }
        reception.time(packet.timestamp, now);
        let placed = self
            .buffer
            .put(packet.timestamp, sequence, packet.payload, now);
        match placed {
            Ok(()) => Outcome::Taken,
            Err(reason) => {
                self.too_late += u64::from(reason == DropReason::Late);
                Outcome::Dropped(reason)
            }
        }
    }

    /// Whom we believe.
    #[must_use]
    pub fn ssrc(&self) -> Option<u32> {
        self.reception.as_ref().map(|one| one.ssrc)
    }

    /// The statistics of whom we believe.
    #[must_use]
    pub fn reception(&self) -> Option<&Reception> {
        self.reception.as_ref()
    }

    /// The same, to be asked for a report.
    pub fn reception_mut(&mut self) -> Option<&mut Reception> {
        self.reception.as_mut()
    }

    /// What waits.
    #[must_use]
    pub fn buffer(&self) -> &JitterBuffer {
        &self.buffer
    }

    /// What waits, to be played.
    pub fn buffer_mut(&mut self) -> &mut JitterBuffer {
        &mut self.buffer
    }

    /// 20 ms in units of the clock.
    #[must_use]
    pub fn frame_units(&self) -> i64 {
        i64::from(self.clock) * FRAME_MS / 1000
    }

    /// Packets that came, doubles not counted.
    #[must_use]
    pub fn received(&self) -> i64 {
        self.received_before + self.reception.as_ref().map_or(0, |one| one.received)
    }

    /// Packets that never came.
    #[must_use]
    pub fn lost(&self) -> i64 {
        self.lost_before + self.reception.as_ref().map_or(0, Reception::lost)
    }

    /// Packets that would have been played, had the delay not been shortened.
    #[must_use]
    pub fn thrown_away(&self) -> u64 {
        self.thrown_before + self.buffer.overflowed
    }

    /// How many `handle_plain` dropped, by reason.
    pub fn drops(&self) -> impl Iterator<Item = (DropReason, u64)> {
        DropReason::ALL.into_iter().zip(self.drops)
    }
}

fn types(list: &[u8]) -> Types {
    list.iter().fold(0, |all, &one| all | bit(one))
}

fn has(all: Types, one: u8) -> bool {
    all & bit(one) != 0
}

fn bit(payload_type: u8) -> Types {
    1_u128.checked_shl(payload_type.into()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SSRC: u32 = 0xCAFE;
    const CLOCK: u32 = 8_000;

    fn packet(number: u16, kind: u8, ssrc: u32, payload: &[u8]) -> Vec<u8> {
        let mut data = vec![0; rtp::HEADER_BYTES + payload.len()];
        let packet = Packet {
            payload_type: kind,
            is_marked: false,
            sequence: number,
            timestamp: u32::from(number) * 160,
            ssrc,
            payload,
        };
        rtp::encode_into(&packet, &mut data);
        data
    }

    fn believing() -> Incoming {
        let mut incoming = Incoming::new(CLOCK, 0.0);
        incoming.agree(CLOCK, &[0, 9], &[101, 9], true);
        incoming.begin(SSRC);
        incoming
    }

    fn dropped(incoming: &Incoming) -> Vec<(DropReason, u64)> {
        incoming.drops().filter(|(_, count)| *count > 0).collect()
    }

    #[test]
    fn sound_of_the_believed_source_waits_to_be_played() {
        let mut incoming = believing();
        assert!(incoming.handle_plain(&packet(1, 0, SSRC, b"a"), 10.0));
        assert!(incoming.handle_plain(&packet(2, 9, SSRC, b"b"), 10.02)); // sound before events
        incoming.buffer_mut().advance(320);
        assert_eq!(incoming.buffer_mut().take(), Ok(b"a".as_slice().into()));
        assert_eq!((incoming.received(), incoming.heard_at), (2, 10.02));
        assert_eq!(dropped(&incoming), []);
    }

    #[test]
    fn what_asks_for_a_decision_is_left_untouched() {
        let mut incoming = believing();
        for data in [packet(1, 0, 7, b"a"), packet(1, 101, SSRC, b"a")] {
            assert!(!incoming.handle_plain(&data, 10.0));
        }
        assert_eq!((incoming.received(), incoming.heard_at), (0, 0.0));
        let stranger = packet(1, 0, 7, b"a");
        let outcome = incoming.handle(&stranger, 10.0);
        assert!(matches!(outcome, Outcome::Newcomer(one) if one.ssrc == 7));
        assert_eq!((incoming.heard_at, incoming.source_heard_at), (10.0, None));
        let event = packet(1, 101, SSRC, b"a");
        assert!(matches!(incoming.handle(&event, 11.0), Outcome::Event(_)));
        assert_eq!((incoming.received(), incoming.known), (1, 1));
    }

    #[test]
    fn nobody_is_believed_before_the_first_was_named_and_after_an_agreement() {
        let mut incoming = believing();
        incoming.agree(CLOCK, &[0], &[], true);
        assert!(!incoming.handle_plain(&packet(1, 0, SSRC, b"a"), 10.0));
        assert_eq!(incoming.ssrc(), None);
    }

    #[test]
    fn what_is_dropped_on_the_way_is_counted_by_its_reason() {
        let mut incoming = believing();
        for data in [
            b"junk".to_vec(),
            packet(1, 13, SSRC, b"a"),
            packet(2, 0, SSRC, b""),
            packet(3, 0, SSRC, b"a"),
            packet(3, 0, SSRC, b"a"),
            packet(30_000, 0, SSRC, b"a"),
        ] {
            assert!(incoming.handle_plain(&data, 10.0));
        }
        assert_eq!(
            dropped(&incoming),
            [
                (DropReason::TooShort, 1),
                (DropReason::Empty, 1),
                (DropReason::UnknownPayloadType, 1),
                (DropReason::SequenceJump, 1),
                (DropReason::Duplicate, 1),
            ]
        );
        incoming.agree(CLOCK, &[0], &[], false);
        incoming.begin(SSRC);
        assert!(incoming.handle_plain(&packet(1, 0, SSRC, b"a"), 10.0));
        assert!(dropped(&incoming).contains(&(DropReason::NotListening, 1)));
    }

    #[test]
    fn what_was_counted_of_a_source_stays_counted_with_the_next() {
        let mut incoming = believing();
        for number in [1, 3] {
            assert!(incoming.handle_plain(&packet(number, 0, SSRC, b"a"), 10.0));
        }
        incoming.begin(7);
        assert!(incoming.handle_plain(&packet(500, 0, 7, b"a"), 10.0));
        assert_eq!((incoming.received(), incoming.lost()), (3, 1));
    }
}
