//! Fill the gap of a lost frame with what was heard before it: its last pitch period, repeated and fading.
//!
//! Place     rust/python (`G711`, and `Concealment` for codec/g722.py) -> here; Opus has its own
//! Spec      after ITU-T G.711 Appendix I, without its 3.75 ms of delay
//! Keeps     frames that arrive cost no more than being remembered; 60 ms after the loss there is silence
//! Not here  deciding that a frame is lost (jitter.rs)

use std::ops::RangeInclusive;

use crate::FRAME_MS;

const HISTORY_MS: usize = 40;
const MIN_PITCH_US: usize = 2_500; // 400 Hz
const MAX_PITCH_US: usize = 15_000; // 66 Hz
const WINDOW_MS: usize = 15; // what is compared to find the pitch
const STEADY_MS: usize = 10; // before fading begins
const FADED_MS: usize = 60;
const REJOIN_MS: usize = 5; // from the filling back to what was said
const SEARCH_HZ: usize = 4_000; // the rate at which the pitch is looked for

/// The memory of one decoder.
#[derive(Clone, Debug)]
pub struct Concealment {
    per_ms: usize,
    history: Vec<i16>,
    period: Vec<i16>,
    filled: usize, // samples since the loss began; 0: nothing is lost
}

impl Concealment {
    /// `sample_rate` is 8000 or more, in whole kilohertz.
    #[must_use]
    pub fn new(sample_rate: u32) -> Self {
        let per_ms = (sample_rate as usize / 1000).max(8);
        Self {
            per_ms,
            history: vec![0; HISTORY_MS * per_ms],
            period: Vec::new(),
            filled: 0,
        }
    }

    /// Remember a decoded frame; after a loss its beginning is blended with the filling.
    pub fn heard(&mut self, samples: &mut [i16]) {
        if self.filled > 0 {
            self.rejoin(samples);
            self.filled = 0;
        }
        let size = self.history.len();
        let newest = samples.get(samples.len().saturating_sub(size)..);
        let newest = newest.unwrap_or_default();
        self.history.rotate_left(newest.len());
        let end = self.history.iter_mut().rev();
        for (kept, sample) in end.zip(newest.iter().rev()) {
            *kept = *sample;
        }
    }

    /// 20 ms of filling.
    pub fn lost(&mut self) -> Vec<i16> {
        if self.filled == 0 {
            self.period = self.last_period();
        }
        let count = FRAME_MS as usize * self.per_ms;
        let filling = self.fill(count).collect();
        self.filled += count;
        filling
    }

    /// The next `count` samples of the repeated period, faded by how long the loss lasts.
    fn fill(&self, count: usize) -> impl Iterator<Item = i16> {
        let faded = FADED_MS * self.per_ms;
        let slope = faded - STEADY_MS * self.per_ms;
        let from = self.filled;
        let repeated = self
            .period
            .iter()
            .cycle()
            .skip(from % self.period.len().max(1));
        repeated.zip(from..from + count).map(move |(&sample, at)| {
            let left = faded.saturating_sub(at).min(slope);
            weighted(sample, left, 0, 0, slope)
        })
    }

    fn rejoin(&self, samples: &mut [i16]) {
        let count = (REJOIN_MS * self.per_ms).min(samples.len());
        for (at, (sample, filled)) in samples.iter_mut().zip(self.fill(count)).enumerate() {
            *sample = weighted(*sample, at, filled, count - at, count);
        }
    }

    /// The last pitch period, its end blended so that it flows into its own beginning.
    fn last_period(&self) -> Vec<i16> {
        let lag = self.pitch();
        let (earlier, period) = self.history.split_at(self.history.len() - lag);
        let mut period = period.to_vec();
        let blended = lag / 4;
        let before = earlier.iter().rev().take(blended).rev();
        let end = period.iter_mut().skip(lag - blended);
        for (at, (kept, &sample)) in end.zip(before).enumerate() {
            *kept = weighted(*kept, blended - at, sample, at, blended);
        }
        period
    }

    /// The lag, in samples, at which the end of the sound resembles itself most.
    fn pitch(&self) -> usize {
        let step = (self.per_ms * 1000 / SEARCH_HZ).max(1);
        let mut thinned: Vec<i16> = self.history.iter().rev().step_by(step).copied().collect();
        thinned.reverse(); // so that the last sample is in it
        let in_samples = |us: usize| us * SEARCH_HZ / 1_000_000;
        let lags = in_samples(MIN_PITCH_US)..=in_samples(MAX_PITCH_US);
        let coarse = best_lag(&thinned, lags, WINDOW_MS * SEARCH_HZ / 1000);
        let near = coarse * step - step + 1..=coarse * step + step - 1;
        best_lag(&self.history, near, WINDOW_MS * self.per_ms)
    }
}

/// `one * its + two * other / of`, rounded down.
fn weighted(one: i16, its: usize, two: i16, other: usize, of: usize) -> i16 {
    let sum = i64::from(one) * its as i64 + i64::from(two) * other as i64;
    sum.div_euclid(of as i64) as i16
}

/// The lag with the highest normalised correlation of the last `window` samples.
fn best_lag(samples: &[i16], lags: RangeInclusive<usize>, window: usize) -> usize {
    let (mut best, mut best_score) = (*lags.end(), 0.0);
    let from = |back: usize| samples.get(samples.len().saturating_sub(window + back)..);
    let end = from(0).unwrap_or_default();
    for lag in lags {
        let earlier = from(lag).unwrap_or_default();
        let (mut product, mut energy) = (0_i64, 0_i64);
        for (&one, &two) in end.iter().zip(earlier) {
            product += i64::from(one) * i64::from(two);
            energy += i64::from(two) * i64::from(two);
        }
        let score = product as f64 * product as f64 / energy as f64;
        if product > 0 && score > best_score {
            (best, best_score) = (lag, score);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hertz: f64, rate: u32, seconds: f64) -> Vec<i16> {
        let count = (f64::from(rate) * seconds) as u32;
        let turn = hertz * std::f64::consts::TAU / f64::from(rate);
        (0..count)
            .map(|at| (8_000.0 * (f64::from(at) * turn).sin()) as i16)
            .collect()
    }

    fn loudest(samples: &[i16]) -> i16 {
        samples
            .iter()
            .map(|one| one.saturating_abs())
            .max()
            .unwrap()
    }

    #[test]
    fn a_lost_frame_of_a_tone_goes_on_in_step() {
        for rate in [8_000, 16_000] {
            let frame = rate as usize / 50;
            let mut sound = tone(250.0, rate, 0.12);
            let wanted = sound.split_off(5 * frame);
            let mut concealment = Concealment::new(rate);
            for frame in sound.chunks_mut(frame) {
                concealment.heard(frame);
            }
            let filled = concealment.lost();
            assert_eq!(filled.len(), frame);
            for (one, other) in filled.iter().zip(&wanted).take(frame / 2) {
                assert!((one - other).abs() < 300, "{one} {other}");
            }
        }
    }

    #[test]
    fn a_long_loss_fades_to_silence_and_what_follows_rejoins_it() {
        let mut concealment = Concealment::new(8_000);
        concealment.heard(&mut tone(250.0, 8_000, 0.1));
        let heard: Vec<i16> = (0..4).map(|_| loudest(&concealment.lost())).collect();
        assert!(heard.is_sorted_by(|one, other| one > other));
        assert_eq!(heard.last(), Some(&0));
        let mut frame = vec![1_000; 160];
        concealment.heard(&mut frame);
        assert_eq!((frame.first(), frame.get(20)), (Some(&0), Some(&500)));
        assert_eq!(frame.get(40..), Some([1_000; 120].as_slice()));
    }

    #[test]
    fn any_sound_of_any_length_is_survived() {
        let mut concealment = Concealment::new(8_000);
        for size in [0, 1, 159, 160, 960, 3] {
            for sample in [i16::MIN, i16::MAX, 0] {
                concealment.heard(&mut vec![sample; size]);
                assert_eq!(concealment.lost().len(), 160);
            }
        }
    }
}
