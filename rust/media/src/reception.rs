//! Count what arrives of one source: order, doubles, loss and jitter, as RTCP reports them.
//!
//! Place     incoming.rs hands in each packet -> here -> the report block of session.py
//! Spec      RFC 3550 A.1 (sequence), A.3 (loss), A.8 (jitter)
//! Keeps     a packet is counted once; a far jump of the sequence needs two packets in a row to be believed
//! Not here  when a packet is played (jitter.rs)

use crate::DropReason;
use crate::rtp::SEQUENCES;
use crate::units_at;

/// RFC 3550 A.1.
pub const MAX_DROPOUT: i64 = 3_000;
/// RFC 3550 A.1 has 100; the mesh may hold a packet for seconds.
pub const MAX_MISORDER: i64 = 300;

const SEEN_WORDS: usize = 8;
const SEEN_BITS: i64 = 64 * SEEN_WORDS as i64; // more than MAX_MISORDER
const MOST_LOST: i64 = 0x7F_FFFF; // signed 24 bit

/// What a report says of a source (RFC 3550 §6.4.1), in the order of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportBlock {
    /// Whose packets these were.
    pub ssrc: u32,
    /// Lost since the last report, of 256.
    pub fraction_lost: u8,
    /// Lost in all.
    pub cumulative_lost: i32,
    /// With wraps.
    pub highest_sequence: u32,
    /// In units of the clock.
    pub jitter: u32,
    /// The middle 32 bits of the NTP time in the last sender report; 0: there was none.
    pub last_report: u32,
    /// How long ago that came, in 1/65536 s.
    pub delay_since: u32,
}

/// The statistics of one SSRC.
#[derive(Clone, Debug)]
pub struct Reception {
    /// Whose.
    pub ssrc: u32,
    /// Packets that came, doubles not counted.
    pub received: i64,
    clock: u32,
    highest: Option<i64>, // extended by the number of wraps
    base: i64,
    seen: [u64; SEEN_WORDS], // a bit for each of the last SEEN_BITS sequence numbers, in a ring
    restart_at: Option<u16>,
    transit: Option<u32>,
    jitter_16: u64, // sixteen times the jitter, so that integers keep the fraction
    expected_before: i64,
    received_before: i64,
    last_report: u32,
    report_at: f64,
}

impl Reception {
    /// `clock` is the RTP clock in Hz.
    #[must_use]
    pub fn new(ssrc: u32, clock: u32) -> Self {
        Self {
            ssrc,
            received: 0,
            clock,
            highest: None,
            base: 0,
            seen: [0; SEEN_WORDS],
            restart_at: None,
            transit: None,
            jitter_16: 0,
            expected_before: 0,
            received_before: 0,
            last_report: 0,
            report_at: 0.0,
        }
    }

    /// Count a packet. Its sequence number with wraps, or why it is not to be used.
    pub fn place(&mut self, sequence: u16) -> Result<i64, DropReason> {
        let Some(highest) = self.highest else {
            return Ok(self.restart(sequence));
        };
        let step = (i64::from(sequence) - highest).rem_euclid(SEQUENCES);
        let back = (SEQUENCES - step) % SEQUENCES;
        if step != 0 && step < MAX_DROPOUT {
            self.received += 1;
            return Ok(self.go_on(highest, step));
        }
        if back <= MAX_MISORDER {
            return self.place_before(highest - back);
        }
        if self.restart_at == Some(sequence) {
            return Ok(self.restart(sequence));
        }
        self.restart_at = Some(sequence.wrapping_add(1));
        Err(DropReason::SequenceJump)
    }

    fn go_on(&mut self, highest: i64, step: i64) -> i64 {
        if step >= SEEN_BITS {
            self.seen = [0; SEEN_WORDS];
        } else {
            for passed in highest + 1..highest + step {
                self.mark(passed, false);
            }
        }
        self.mark(highest + step, true);
        self.highest = Some(highest + step);
        highest + step
    }

    /// A packet that others have overtaken, or that comes again.
    fn place_before(&mut self, place: i64) -> Result<i64, DropReason> {
        if self.is_seen(place) {
            return Err(DropReason::Duplicate);
        }
        self.mark(place, true);
        self.base = self.base.min(place);
        self.received += 1;
        Ok(place)
    }

    /// Begin, or begin again where the other side did; what was lost before stays lost.
    fn restart(&mut self, sequence: u16) -> i64 {
        // Above all before, and with room below for packets that come behind the first.
        let round = self.highest.unwrap_or(0) / SEQUENCES + 1;
        let highest = round * SEQUENCES + i64::from(sequence);
        self.base = highest - self.lost() - self.received;
        self.highest = Some(highest);
        self.seen = [0; SEEN_WORDS];
        self.mark(highest, true);
        self.restart_at = None;
        self.transit = None;
        self.received += 1;
        highest
    }

    fn is_seen(&self, place: i64) -> bool {
        let (word, bit) = ring_place(place);
        self.seen.get(word).is_some_and(|bits| bits & bit != 0)
    }

    fn mark(&mut self, place: i64, is_seen: bool) {
        let (word, bit) = ring_place(place);
        if let Some(bits) = self.seen.get_mut(word) {
            *bits = if is_seen { *bits | bit } else { *bits & !bit };
        }
    }

    /// Learn the jitter from a packet of sound.
    pub fn time(&mut self, timestamp: u32, now: f64) {
        let transit = (units_at(now, self.clock) as u32).wrapping_sub(timestamp);
        if let Some(before) = self.transit {
            let change = transit.wrapping_sub(before).cast_signed().unsigned_abs();
            self.jitter_16 = self.jitter_16 + u64::from(change) - ((self.jitter_16 + 8) >> 4);
        }
        self.transit = Some(transit);
    }

    /// How many packets there should have been.
    #[must_use]
    pub fn expected(&self) -> i64 {
        self.highest.map_or(0, |highest| highest - self.base + 1)
    }

    /// How many of them did not come, so far.
    #[must_use]
    pub fn lost(&self) -> i64 {
        (self.expected() - self.received).max(0)
    }

    /// Mean change of transit, in units of the RTP clock (RFC 3550 A.8).
    #[must_use]
    pub fn jitter(&self) -> u64 {
        self.jitter_16 >> 4
    }

    /// The same in milliseconds.
    #[must_use]
    pub fn jitter_ms(&self) -> f64 {
        self.jitter_16 as f64 * 1000.0 / 16.0 / f64::from(self.clock)
    }

    /// Remember the last SR, for the other side to measure the round trip with.
    pub fn handle_sender_report(&mut self, ntp: u64, now: f64) {
        self.last_report = (ntp >> 16) as u32;
        self.report_at = now;
    }

    /// What happened since the last block, and in all.
    pub fn report_block(&mut self, now: f64) -> ReportBlock {
        let (expected, received) = (self.expected(), self.received);
        let wanted = expected - self.expected_before;
        let missing = wanted - (received - self.received_before);
        (self.expected_before, self.received_before) = (expected, received);
        let fraction = if wanted <= 0 || missing <= 0 {
            0
        } else {
            ((missing << 8) / wanted).min(255)
        };
        let since = if self.last_report == 0 {
            0.0
        } else {
            (now - self.report_at) * 65_536.0
        };
        ReportBlock {
            ssrc: self.ssrc,
            fraction_lost: fraction as u8,
            cumulative_lost: self.lost().min(MOST_LOST) as i32,
            highest_sequence: self
                .highest
                .map_or(0, |highest| (highest - SEQUENCES) as u32),
            jitter: u32::try_from(self.jitter()).unwrap_or(u32::MAX),
            last_report: self.last_report,
            delay_since: since as u32, // saturates
        }
    }
}

fn ring_place(place: i64) -> (usize, u64) {
    let bit = place.rem_euclid(SEEN_BITS);
    ((bit / 64) as usize, 1 << (bit % 64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SSRC: u32 = 0xCAFE;

    /// A source of which these came.
    fn heard(sequences: impl IntoIterator<Item = u16>) -> Reception {
        let mut reception = Reception::new(SSRC, 8_000);
        for sequence in sequences {
            let _ = reception.place(sequence);
        }
        reception
    }

    fn counts(reception: &Reception) -> (i64, i64) {
        (reception.expected(), reception.lost())
    }

    #[test]
    fn nothing_lost_nothing_counted() {
        let reception = heard([7, 8, 9]);
        assert_eq!((counts(&reception), reception.received), ((3, 0), 3));
    }

    #[test]
    fn the_sequence_wraps() {
        let mut reception = heard([65534, 65535]);
        let before = reception.place(0).unwrap();
        assert_eq!(reception.place(1), Ok(before + 1));
        assert_eq!(counts(&reception), (4, 0));
        assert_eq!(reception.report_block(0.0).highest_sequence, 1 << 16 | 1);
    }

    #[test]
    fn what_is_missing_is_lost_until_it_comes() {
        let mut reception = heard([1, 2, 4]);
        assert_eq!(reception.lost(), 1);
        assert!(reception.place(3).is_ok());
        assert_eq!(reception.lost(), 0);
    }

    #[test]
    fn a_double_is_told_and_not_counted() {
        let mut reception = heard([1, 2, 3]);
        for sequence in [3, 2, 1] {
            assert_eq!(reception.place(sequence), Err(DropReason::Duplicate));
        }
        assert_eq!(reception.received, 3);
    }

    #[test]
    fn a_number_of_the_round_before_is_no_double() {
        let mut reception = heard([0]);
        for sequence in (2_000..=u16::MAX).step_by(2_000).chain([600]) {
            assert!(reception.place(sequence).is_ok());
        }
        assert!(reception.place(599).is_ok());
        assert!(reception.place(601).is_ok());
        assert_eq!(reception.place(600), Err(DropReason::Duplicate));
    }

    #[test]
    fn packets_before_the_first_count_too() {
        let mut reception = heard([2]);
        assert!(reception.place(1).is_ok());
        assert!(reception.place(65535).is_ok());
        assert_eq!(counts(&reception), (4, 1));
    }

    #[test]
    fn a_far_jump_is_believed_with_the_second_packet() {
        let mut reception = heard([1, 2]);
        assert_eq!(reception.place(30_000), Err(DropReason::SequenceJump));
        assert!(reception.place(3).is_ok());
        assert_eq!(reception.place(40_000), Err(DropReason::SequenceJump));
        assert!(reception.place(40_001).is_ok());
        assert_eq!(reception.lost(), 0);
    }

    #[test]
    fn after_a_restart_numbers_are_above_all_before() {
        let mut reception = Reception::new(SSRC, 8_000);
        let before = reception.place(60_000).unwrap();
        assert!(reception.place(5).is_err());
        assert!(reception.place(6).unwrap() > before);
    }

    #[test]
    fn what_was_lost_before_a_restart_stays_lost() {
        let reception = heard([1, 3, 40_000, 40_001, 40_003]);
        assert_eq!((reception.lost(), reception.received), (2, 4));
    }

    #[test]
    fn how_far_a_sequence_may_jump() {
        for (sequence, is_taken) in [
            (1000 + MAX_DROPOUT - 1, true),
            (1000 + MAX_DROPOUT, false),
            (1000 - MAX_MISORDER, true),
            (1000 - MAX_MISORDER - 1, false),
        ] {
            let placed = heard([1000]).place(sequence as u16);
            assert_eq!(placed.is_ok(), is_taken, "{sequence}");
        }
    }

    #[test]
    fn a_report_tells_of_the_time_since_the_last() {
        let mut reception = heard((0..10).chain(15..20)); // 5 of 20 are missing
        assert_eq!(reception.report_block(1.0).fraction_lost, 64);
        for sequence in 20..40 {
            assert!(reception.place(sequence).is_ok());
        }
        let block = reception.report_block(2.0);
        assert_eq!((block.fraction_lost, block.cumulative_lost), (0, 5));
        assert_eq!(block.ssrc, SSRC);
    }

    #[test]
    fn a_report_without_a_packet_is_all_zeros() {
        let block = Reception::new(SSRC, 8_000).report_block(5.0);
        assert_eq!((block.fraction_lost, block.cumulative_lost), (0, 0));
        assert_eq!(block.highest_sequence, 0);
        assert_eq!((block.last_report, block.delay_since), (0, 0));
    }

    #[test]
    fn late_packets_never_make_a_negative_loss() {
        let mut reception = heard([5]);
        reception.report_block(0.0);
        for sequence in [4, 3, 2] {
            assert!(reception.place(sequence).is_ok());
        }
        assert_eq!(reception.report_block(1.0).fraction_lost, 0);
    }

    #[test]
    fn even_arrival_has_no_jitter_even_where_the_timestamp_wraps() {
        for first in [0, u32::MAX - 1600] {
            let mut reception = Reception::new(SSRC, 8_000);
            for number in 0..50 {
                let timestamp = first.wrapping_add(number * 160);
                reception.time(timestamp, 1.0 + f64::from(number) * 0.02);
            }
            assert_eq!(reception.jitter(), 0);
        }
    }

    /// RFC 3550 A.8: J += (|D| - J) / 16, here with |D| = 80 units each time.
    #[test]
    fn jitter_follows_the_example_of_the_standard() {
        let mut reception = Reception::new(SSRC, 8_000);
        let mut expected = 0.0;
        for number in 0..200 {
            let late = if number % 2 == 1 { 0.01 } else { 0.0 };
            reception.time(number * 160, f64::from(number) * 0.02 + late);
            if number > 0 {
                expected += (80.0 - expected) / 16.0;
            }
        }
        assert!((reception.jitter() as f64 - expected).abs() <= 1.0);
        assert!((reception.jitter_ms() - 10.0).abs() < 0.2);
    }

    #[test]
    fn the_last_sender_report_is_told_back_with_its_age() {
        let mut reception = heard([1]);
        reception.handle_sender_report(0x1122_3344_5566_7788, 10.0);
        let block = reception.report_block(10.5);
        assert_eq!(
            (block.last_report, block.delay_since),
            (0x3344_5566, 0x8000)
        );
    }

    proptest! {
        #[test]
        fn in_any_order_each_number_counts_once(
            sequences in proptest::collection::vec(0..MAX_MISORDER as u16, 0..200)
        ) {
            let mut reception = Reception::new(SSRC, 8_000);
            let mut taken = std::collections::BTreeSet::new();
            for sequence in sequences {
                if let Ok(place) = reception.place(sequence) {
                    prop_assert!(taken.insert(place));
                }
            }
            prop_assert_eq!(reception.received, taken.len() as i64);
            if let (Some(first), Some(last)) = (taken.first(), taken.last()) {
                prop_assert_eq!(reception.expected(), last - first + 1);
            }
        }
    }
}
