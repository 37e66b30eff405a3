//! Remember which counters were seen, so that no packet is accepted twice.
//!
//! Place     session.rs, after the tag was found right -> here
//! Spec      docs/protocol/01, "Replay window" (the exact verdicts of cjdns v20.7)
//! Keeps     a counter accepted once is never accepted again by the same window

/// Counters 64 wide from `base`; bit i stands for counter base + i.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplayWindow {
    base: u32,
    bits: u64,
}

/// What the windows of one session have seen since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplayStats {
    /// Genuine packets that came a second time.
    pub duplicates: u64,
    /// Counters that left the window without having come.
    pub lost: u64,
    /// Genuine packets older than the window.
    pub out_of_range: u64,
}

/// After a jump the newest counter stands at this bit.
const NEWEST_BIT: u32 = 47;

impl ReplayWindow {
    /// An empty window whose lowest acceptable counter is `base`.
    #[must_use]
    pub const fn at(base: u32) -> Self {
        Self { base, bits: 0 }
    }

    /// A window that has seen `counter` and nothing else, and would still take the 47 before it.
    #[must_use]
    pub fn started_by(counter: u32) -> Self {
        let base = counter
            .saturating_sub(NEWEST_BIT)
            .max(super::FIRST_COUNTER.min(counter));
        Self {
            base,
            bits: 1 << (counter - base),
        }
    }

    /// Lowest counter that could still be accepted.
    #[must_use]
    pub const fn base(&self) -> u32 {
        self.base
    }

    /// The bit field.
    #[must_use]
    pub const fn bits(&self) -> u64 {
        self.bits
    }

    /// Accept a counter, or refuse it because it was seen or is too old.
    pub fn accept(&mut self, counter: u32, stats: &mut ReplayStats) -> bool {
        let Some(mut offset) = counter.checked_sub(self.base) else {
            stats.out_of_range += 1;
            return false;
        };
        while offset > 63 {
            let shift = if self.bits as u32 == u32::MAX {
                32
            } else {
                offset - NEWEST_BIT
            };
            self.shift(shift, stats);
            offset -= shift;
        }
        let bit = 1 << offset;
        if self.bits & bit != 0 {
            stats.duplicates += 1;
            return false;
        }
        self.bits |= bit;
        true
    }

    fn shift(&mut self, shift: u32, stats: &mut ReplayStats) {
        let kept = self.bits.checked_shr(shift).unwrap_or(0);
        let seen = self.bits.count_ones() - kept.count_ones();
        stats.lost += u64::from(shift - seen);
        self.base += shift;
        self.bits = kept;
    }
}
