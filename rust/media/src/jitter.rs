//! Hold packets back just long enough that most arrive before their time to be played.
//!
//! Place     incoming.rs: `put` each packet, `adjust` and `take` for every 20 ms that are played
//! Spec      docs/apps/sip.md §3 Media (40-200 ms, adaptive; bursts of loss and delay up to seconds)
//! Keeps     the delay is LEAST_MS to MOST_MS; at most MAX_PACKETS wait; a packet that was overtaken by
//!           the sound is never played after it
//! Not here  lost packets and doubles (reception.rs), making up what is missing (the codec)
//!
//! The algorithm. Playing runs on: every 20 ms the place in the sound moves by 20 ms, whether packets are
//! there or not. What changes is how far behind the fastest packets it runs, the *delay*.
//!
//! * A packet's *transit* is its arrival minus its timestamp; the least of the last 5 to 10 s is that of a
//!   packet which waited nowhere. The *lateness* of a packet is its transit above that.
//! * Latenesses below 200 ms (no waiting saves the others) go into steps of 20 ms, where older ones count
//!   less: half after 1.7 s. The *target* is the first step behind which lie 2 % at most, and one step
//!   more, within 40 to 200 ms.
//! * A delay more than 20 ms above the target is shortened by 20 ms, more than 20 ms below is stretched by as
//!   much, one step in 100 ms; `receiver.py` does it without a click.
//! * An empty buffer and a packet that comes late: playing goes back to that packet, so that nothing that
//!   arrived is thrown away. If it came later than 200 ms the way has changed: all begins anew with it.
//! * A crowd of packets at once (a route came back) that reaches more than 240 ms ahead: playing jumps to the
//!   target before the newest.

use std::collections::VecDeque;

use crate::{DropReason, FRAME_MS, units_at};

/// The least a packet is held back.
pub const LEAST_MS: i64 = 40;
/// The most.
pub const MOST_MS: i64 = 200;
/// Ours: 200 ms in packets of 5 ms, and some.
pub const MAX_PACKETS: usize = 64;

const CHANGE_EVERY_S: f64 = 0.1; // ours
const LATE_SHARE: f64 = 0.02; // ours: so much may come too late
const JUMP_MS: i64 = MOST_MS + 2 * FRAME_MS; // a delay may be a frame off, and moves by frames
const STEPS: usize = (MOST_MS / FRAME_MS) as usize;
const LEAST_STEPS: usize = (LEAST_MS / FRAME_MS) as usize;
const WINDOW_PACKETS: u32 = 250; // 5 s of packets of 20 ms
const GROWTH: f64 = 1.008; // of the weight from packet to packet: the half-life is 87
const MOST_WEIGHT: f64 = 1e9;
const JUDGE_EVERY: u32 = 10; // packets
const SMOOTHING: i64 = 16;
const UNKNOWN: i64 = 1 << 62; // a transit greater than all

/// Why there is no packet to play.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// The first packet is not due yet.
    BeforeStart,
    /// Nothing has arrived in time.
    Empty,
    /// Later packets are here, this one is not.
    Lost,
    /// The other side left a pause.
    Pause,
}

/// What one step of `adjust` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Two frames are played as one.
    Shorten,
    /// One frame is played as it is.
    None,
    /// One is made up.
    Stretch,
}

#[derive(Clone, Debug)]
struct Waiting {
    placed: i64,
    sequence: i64,
    payload: Box<[u8]>,
}

/// The waiting packets of one source. All times are in units of its clock.
#[derive(Clone, Debug)]
pub struct JitterBuffer {
    /// Packets thrown away to catch up.
    pub overflowed: u64,
    clock: i64,
    frame: i64,
    target: i64,
    waiting: VecDeque<Waiting>, // in the order of `placed`
    next: Option<i64>,          // the timestamp that is played next
    last_played: i64,           // its sequence number; -1: nothing was
    timestamp: i64,             // of the last packet, with wraps
    newest: i64,
    offset: i64, // the moment at which timestamp 0 would be played, smoothed
    least: i64,
    least_before: i64,
    window_left: u32,
    late: [f64; STEPS],
    late_total: f64,
    weight: f64,
    judge_in: u32,
    change_at: f64,
}

impl JitterBuffer {
    /// `clock` is the RTP clock in Hz.
    #[must_use]
    pub fn new(clock: u32) -> Self {
        let clock = i64::from(clock);
        Self {
            overflowed: 0,
            clock,
            frame: clock * FRAME_MS / 1000,
            target: clock * LEAST_MS / 1000,
            waiting: VecDeque::new(),
            next: None,
            last_played: -1,
            timestamp: 0,
            newest: 0,
            offset: 0,
            least: UNKNOWN,
            least_before: UNKNOWN,
            window_left: WINDOW_PACKETS,
            late: [0.0; STEPS],
            late_total: 0.0,
            weight: 1.0,
            judge_in: JUDGE_EVERY,
            change_at: 0.0,
        }
    }

    /// Take in a packet. `sequence` is extended by its wraps, `timestamp` that of the wire.
    pub fn put(
        &mut self,
        timestamp: u32,
        sequence: i64,
        payload: &[u8],
        now: f64,
    ) -> Result<(), DropReason> {
        let change = timestamp.wrapping_sub(self.timestamp as u32).cast_signed();
        let placed = self.timestamp.wrapping_add(i64::from(change));
        self.timestamp = placed;
        let arrival = units_at(now, self.clock as u32);
        match self.next {
            None => self.start(placed, arrival),
            Some(next) if placed < next => {
                if !self.waiting.is_empty() || sequence <= self.last_played {
                    self.learn(arrival - placed);
                    return Err(DropReason::Late);
                }
                self.go_back(next, placed, arrival);
            }
            Some(_) => {}
        }
        self.learn(arrival - placed);
        self.insert(Waiting {
            placed,
            sequence,
            payload: payload.into(),
        })
    }

    fn insert(&mut self, packet: Waiting) -> Result<(), DropReason> {
        if self
            .waiting
            .back()
            .is_none_or(|last| packet.placed > last.placed)
        {
            self.newest = packet.placed;
            self.waiting.push_back(packet);
        } else if self.waiting.len() >= MAX_PACKETS {
            return Err(DropReason::Overflow);
        } else {
            match self
                .waiting
                .binary_search_by_key(&packet.placed, |one| one.placed)
            {
                Ok(_) => return Err(DropReason::Duplicate),
                Err(index) => self.waiting.insert(index, packet),
            }
        }
        if self.waiting.len() > MAX_PACKETS || self.ahead() > self.clock * JUMP_MS / 1000 {
            self.jump();
        }
        Ok(())
    }

    /// From the place that is played to the beginning of the newest packet.
    #[must_use]
    pub fn ahead(&self) -> i64 {
        match self.next {
            Some(next) if !self.waiting.is_empty() => self.newest - next,
            _ => 0,
        }
    }

    fn start(&mut self, placed: i64, arrival: i64) {
        let next = placed - self.target;
        self.next = Some(next);
        self.offset = arrival - next;
        self.newest = placed;
    }

    /// Nothing waits and this comes late: what was made up in its place is said again in truth.
    fn go_back(&mut self, next: i64, placed: i64, arrival: i64) {
        let late = next - placed;
        if late > self.clock * MOST_MS / 1000 {
            self.least = arrival - placed;
            self.least_before = self.least;
            self.window_left = WINDOW_PACKETS;
            self.start(placed, arrival);
        } else {
            self.next = Some(placed);
            self.offset += late;
        }
    }

    /// Too much waits: go on at the target before the newest packet.
    fn jump(&mut self) {
        let Some(next) = self.next else { return };
        let place = next.max(self.newest - self.target);
        let before = self.waiting.len();
        self.waiting.retain(|one| one.placed >= place);
        let most = self.waiting.len().min(MAX_PACKETS / 2);
        self.waiting.drain(..self.waiting.len() - most);
        self.overflowed += (before - most) as u64;
        self.offset -= place - next;
        self.next = Some(place);
    }

    /// Weigh one packet's lateness, and judge the target now and then.
    fn learn(&mut self, transit: i64) {
        self.least = self.least.min(transit);
        self.window_left -= 1;
        if self.window_left == 0 {
            self.turn_window(transit);
        }
        let step = (transit - self.least.min(self.least_before)) / self.frame;
        if let Some(late) = self.late.get_mut(step as usize) {
            self.weight *= GROWTH;
            *late += self.weight;
            self.late_total += self.weight;
        }
        self.judge_in -= 1;
        if self.judge_in == 0 {
            self.judge();
        }
    }

    /// Forget the older half of the leasts; if all are greater now, what was late is so by less.
    fn turn_window(&mut self, transit: i64) {
        let before = self.least.min(self.least_before);
        self.window_left = WINDOW_PACKETS;
        self.least_before = self.least;
        self.least = transit;
        let steps = (self.least.min(self.least_before) - before) / self.frame;
        if steps > 0 {
            let steps = STEPS.min(steps as usize);
            let sum: f64 = self.late.iter().take(steps).sum();
            self.late.rotate_left(steps);
            for late in self.late.iter_mut().rev().take(steps) {
                *late = 0.0;
            }
            let [first, ..] = &mut self.late;
            *first += sum;
        }
    }

    fn judge(&mut self) {
        self.judge_in = JUDGE_EVERY;
        let allowed = self.late_total * LATE_SHARE;
        let (mut step, mut behind) = (STEPS, 0.0);
        for late in self.late.iter().rev() {
            if behind + late > allowed {
                break;
            }
            behind += late;
            step -= 1;
        }
        self.target = (step + 1).clamp(LEAST_STEPS, STEPS) as i64 * self.frame;
        if self.weight > MOST_WEIGHT {
            for late in &mut self.late {
                *late /= self.weight;
            }
            self.late_total /= self.weight;
            self.weight = 1.0;
        }
    }

    /// How long the fastest packets wait here.
    #[must_use]
    pub fn delay_ms(&self) -> f64 {
        if self.next.is_none() {
            return 0.0;
        }
        self.delay().max(0) as f64 * 1000.0 / self.clock as f64
    }

    fn delay(&self) -> i64 {
        self.offset - self.least.min(self.least_before)
    }

    /// Once for every 20 ms, before `take`.
    pub fn adjust(&mut self, now: f64) -> Change {
        let Some(next) = self.next else {
            return Change::None;
        };
        let offset = units_at(now, self.clock as u32) - next;
        self.offset += (offset - self.offset).div_euclid(SMOOTHING);
        let excess = self.delay() - self.target;
        if excess.abs() <= self.frame || now < self.change_at {
            return Change::None;
        }
        if excess > 0 && self.waiting.len() < 2 {
            return Change::None;
        }
        self.change_at = now + CHANGE_EVERY_S;
        if excess > 0 {
            self.offset -= self.frame; // the caller takes one frame more
            return Change::Shorten;
        }
        self.offset += self.frame;
        Change::Stretch
    }

    /// The payload that is due; the caller says by `advance` how much sound was in it.
    pub fn take(&mut self) -> Result<Box<[u8]>, Gap> {
        let next = self.next.ok_or(Gap::BeforeStart)?;
        let first = self.waiting.front().ok_or(Gap::Empty)?;
        if first.placed >= next + self.frame {
            return Err(match self.last_played {
                -1 => Gap::BeforeStart,
                last if first.sequence == last + 1 => Gap::Pause,
                _ => Gap::Lost,
            });
        }
        self.next = Some(first.placed);
        self.last_played = first.sequence;
        let taken = self.waiting.pop_front().ok_or(Gap::Empty)?;
        Ok(taken.payload)
    }

    /// So much sound was played or made up, in units of the RTP clock.
    pub fn advance(&mut self, units: i64) {
        if let Some(next) = &mut self.next {
            *next += units;
        }
    }

    /// The packet right behind a lost frame, which may tell what was in that (Opus FEC).
    #[must_use]
    pub fn successor(&self) -> Option<&[u8]> {
        let first = self.waiting.front()?;
        (first.placed < self.next? + 2 * self.frame).then_some(&*first.payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CLOCK: u32 = 8_000;
    const UNITS: i64 = 160;

    type Taken = Result<Box<[u8]>, Gap>;

    fn payload(number: i64) -> Box<[u8]> {
        number.to_be_bytes().into()
    }

    /// Packet `number` of a source that began at timestamp 0.
    fn put(buffer: &mut JitterBuffer, number: i64, now: f64) -> Result<(), DropReason> {
        let timestamp = (number * UNITS) as u32;
        buffer.put(timestamp, 70_000 + number, &payload(number), now)
    }

    /// A buffer that has these, and whose place is at the first.
    fn started(numbers: &[i64]) -> JitterBuffer {
        let mut buffer = JitterBuffer::new(CLOCK);
        for &number in numbers {
            assert_eq!(put(&mut buffer, number, 1.0), Ok(()));
        }
        assert_eq!(buffer.take(), Err(Gap::BeforeStart));
        buffer.advance(2 * UNITS);
        buffer
    }

    /// What so many takes give.
    fn played(buffer: &mut JitterBuffer, frames: usize) -> Vec<Taken> {
        (0..frames)
            .map(|_| {
                let taken = buffer.take();
                buffer.advance(UNITS);
                taken
            })
            .collect()
    }

    fn sound(numbers: impl IntoIterator<Item = i64>) -> Vec<Taken> {
        numbers
            .into_iter()
            .map(|number| Ok(payload(number)))
            .collect()
    }

    #[test]
    fn before_the_first_packet_there_is_nothing() {
        let mut buffer = JitterBuffer::new(CLOCK);
        assert_eq!(played(&mut buffer, 3), vec![Err(Gap::BeforeStart); 3]);
        assert_eq!(buffer.delay_ms(), 0.0);
        assert_eq!(buffer.adjust(1.0), Change::None);
    }

    #[test]
    fn the_first_packet_waits_for_40_ms() {
        let mut buffer = JitterBuffer::new(CLOCK);
        put(&mut buffer, 5, 1.0).unwrap();
        let before = Err(Gap::BeforeStart);
        assert_eq!(
            played(&mut buffer, 4),
            [before.clone(), before, Ok(payload(5)), Err(Gap::Empty)]
        );
    }

    #[test]
    fn what_came_out_of_order_is_played_in_order() {
        assert_eq!(played(&mut started(&[0, 2, 1, 3]), 4), sound(0..4));
    }

    #[test]
    fn a_packet_that_is_missing_is_lost_and_its_successor_known() {
        let mut buffer = started(&[0, 2]);
        assert_eq!(played(&mut buffer, 1), sound([0]));
        assert_eq!(buffer.take(), Err(Gap::Lost));
        assert_eq!(buffer.successor(), Some(&*payload(2)));
        buffer.advance(UNITS);
        assert_eq!(buffer.take(), Ok(payload(2)));
    }

    #[test]
    fn of_two_that_are_missing_only_the_second_has_a_successor() {
        let mut buffer = started(&[0, 3]);
        played(&mut buffer, 1);
        assert_eq!((buffer.take(), buffer.successor()), (Err(Gap::Lost), None));
        buffer.advance(UNITS);
        assert_eq!(buffer.take(), Err(Gap::Lost));
        assert_eq!(buffer.successor(), Some(&*payload(3)));
    }

    #[test]
    fn a_pause_of_the_other_side_is_no_loss() {
        let mut buffer = started(&[0]);
        buffer.put(5 * 160, 70_001, &payload(1), 1.0).unwrap();
        let pause = vec![Err(Gap::Pause); 4];
        assert_eq!(
            played(&mut buffer, 6),
            [sound([0]), pause, sound([1])].concat()
        );
    }

    #[test]
    fn a_packet_that_the_sound_has_passed_is_late() {
        let mut buffer = started(&[0, 2, 3]);
        assert_eq!(
            played(&mut buffer, 3),
            [Ok(payload(0)), Err(Gap::Lost), Ok(payload(2))]
        );
        assert_eq!(put(&mut buffer, 1, 1.1), Err(DropReason::Late));
        assert_eq!(played(&mut buffer, 1), sound([3]));
        assert_eq!(put(&mut buffer, 1, 1.1), Err(DropReason::Late)); // even when nothing waits
    }

    #[test]
    fn a_late_packet_is_played_if_nothing_waits() {
        let mut buffer = started(&[0]);
        played(&mut buffer, 3);
        assert_eq!(put(&mut buffer, 1, 1.1), Ok(()));
        assert_eq!(played(&mut buffer, 1), sound([1]));
    }

    #[test]
    fn the_same_moment_twice_is_a_double() {
        let mut buffer = started(&[0, 1]);
        let again = buffer.put(0, 70_002, b"other", 1.0);
        assert_eq!(again, Err(DropReason::Duplicate));
    }

    #[test]
    fn a_packet_between_two_frames_is_played_with_the_first_of_them() {
        let mut buffer = started(&[0]);
        buffer.put(160 + 80, 70_001, &payload(1), 1.0).unwrap();
        assert_eq!(played(&mut buffer, 2), sound([0, 1]));
        buffer.put(320 + 80, 70_002, &payload(2), 1.0).unwrap();
        assert_eq!(played(&mut buffer, 1), sound([2]));
    }

    #[test]
    fn the_timestamp_wraps() {
        let mut buffer = JitterBuffer::new(CLOCK);
        for number in 0..4 {
            let timestamp = (number - 2) * UNITS;
            buffer
                .put(timestamp as u32, number, &payload(number), 1.0)
                .unwrap();
        }
        assert_eq!(played(&mut buffer, 6).split_off(2), sound(0..4));
    }

    #[test]
    fn a_crowd_of_packets_is_cut_to_the_target() {
        let mut buffer = started(&[0]);
        for number in 1..=100 {
            assert_eq!(put(&mut buffer, number, 1.0), Ok(()));
            assert!(buffer.ahead() <= 240 * 8);
        }
        assert!(buffer.overflowed > 80);
        let last = played(&mut buffer, 20).into_iter().rfind(Result::is_ok);
        assert_eq!(last, Some(Ok(payload(100))));
    }

    #[test]
    fn tiny_packets_do_not_fill_it_either() {
        let mut buffer = JitterBuffer::new(CLOCK);
        for number in 0..10 * MAX_PACKETS as u32 {
            let _ = buffer.put(number, i64::from(number), b"x", 1.0);
        }
        assert!(buffer.overflowed >= 8 * MAX_PACKETS as u64);
        let taken = (0..3 * MAX_PACKETS).filter(|_| buffer.take().is_ok());
        assert!(taken.count() <= MAX_PACKETS);
    }

    #[test]
    fn a_packet_in_between_finds_no_room_where_all_is_full() {
        let mut buffer = JitterBuffer::new(CLOCK);
        for number in (0..2 * MAX_PACKETS as u32).step_by(2) {
            assert_eq!(buffer.put(number, i64::from(number), b"x", 1.0), Ok(()));
        }
        assert_eq!(buffer.put(3, 1000, b"x", 1.0), Err(DropReason::Overflow));
    }

    /// The other side starts its clock anew: some frames are lost, the call goes on.
    #[test]
    fn a_leap_of_the_timestamp_is_followed() {
        for leap in [5_000_000, -5_000_000] {
            let mut buffer = started(&[0]);
            let mut taken = Vec::new();
            for number in 1..30 {
                let leapt = if number > 10 { leap } else { 0 };
                let timestamp = (number * UNITS + leapt) as u32;
                let now = 1.0 + number as f64 * 0.02;
                let _ = buffer.put(timestamp, 70_000 + number, &payload(number), now);
                taken.extend(played(&mut buffer, 1));
            }
            assert_eq!(taken.split_off(26), sound([25, 26, 27]));
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_the_buffer_is_bounded(
            arrivals in proptest::collection::vec(
                (prop_oneof![any::<u32>(), (0..40_u32).prop_map(|n| n * 160)], 0..300_i64, any::<bool>()),
                0..150,
            ),
        ) {
            let mut buffer = JitterBuffer::new(CLOCK);
            let mut now = 1.0;
            for (timestamp, sequence, is_played) in arrivals {
                let _ = buffer.put(timestamp, sequence, b"x", now);
                if is_played {
                    now += 0.02;
                    buffer.adjust(now);
                    let _ = buffer.take();
                    buffer.advance(UNITS);
                }
                prop_assert!(buffer.waiting.len() <= MAX_PACKETS);
                prop_assert!((-160..=1920).contains(&buffer.ahead())); // timestamps may overlap by a frame
                prop_assert!((40 * 8..=200 * 8).contains(&buffer.target));
                prop_assert!(buffer.waiting.iter().is_sorted_by(|one, other| one.placed < other.placed));
            }
        }
    }
}
