//! Say how often something costly may be done, in all and for each source.
//!
//! Place     stranger.rs (handshakes by source prefix), router.rs (handshakes by slot, error frames), outgoing.rs -> here
//! Keeps     a fixed amount of memory; two sources that share a place start it anew for each other
//! Not here  which packets count as costly (the callers)

use std::net::IpAddr;

use crate::hash::HashKey;
use crate::message::Endpoint;

const PLACES: usize = 1024;

/// So many at once and so many a second after that.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Most at once.
    pub burst: u32,
    /// How many come back in a second.
    pub per_second: u32,
}

/// A stock that is drawn from and fills up with time.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    rate: Rate,
    thousandths: u64,
    filled_ms: u64,
}

impl Bucket {
    /// A full one.
    #[must_use]
    pub const fn new(rate: Rate, now_ms: u64) -> Self {
        Self {
            rate,
            thousandths: rate.burst as u64 * 1000,
            filled_ms: now_ms,
        }
    }

    /// Draw one, if there is one.
    pub fn take(&mut self, now_ms: u64) -> bool {
        let passed = now_ms.saturating_sub(self.filled_ms);
        self.filled_ms = self.filled_ms.max(now_ms);
        let gained = passed.saturating_mul(u64::from(self.rate.per_second));
        let most = u64::from(self.rate.burst) * 1000;
        self.thousandths = self.thousandths.saturating_add(gained).min(most);
        match self.thousandths.checked_sub(1000) {
            Some(rest) => {
                self.thousandths = rest;
                true
            }
            None => false,
        }
    }
}

/// One bucket for each source, and one for all together.
#[derive(Debug)]
pub struct SourceLimiter {
    key: HashKey,
    rate: Rate,
    all: Bucket,
    places: Vec<Option<(u64, Bucket)>>,
}

impl SourceLimiter {
    /// Nobody seen yet.
    #[must_use]
    pub fn new(key: HashKey, rate: Rate, all: Rate) -> Self {
        Self {
            key,
            rate,
            all: Bucket::new(all, 0),
            places: vec![None; PLACES],
        }
    }

    /// Whether `source` may do it once more.
    pub fn take(&mut self, source: u64, now_ms: u64) -> bool {
        let index = self.key.hash_of(source) as usize % PLACES;
        let Some(place) = self.places.get_mut(index) else {
            return false;
        };
        let bucket = match place {
            Some((owner, bucket)) if *owner == source => bucket,
            _ => &mut place.insert((source, Bucket::new(self.rate, now_ms))).1,
        };
        bucket.take(now_ms) && self.all.take(now_ms)
    }
}

/// The source prefix of an endpoint: /24 of IPv4, /48 of IPv6.
#[must_use]
pub fn prefix_of(endpoint: &Endpoint) -> u64 {
    match endpoint.ip().to_canonical() {
        IpAddr::V4(ip) => u64::from(ip.to_bits() >> 8),
        IpAddr::V6(ip) => (ip.to_bits() >> 80) as u64 | 1 << 63,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::SeededRandom;

    const RATE: Rate = Rate {
        burst: 3,
        per_second: 2,
    };
    const MANY: Rate = Rate {
        burst: 5,
        per_second: 5,
    };

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let mut bucket = Bucket::new(RATE, 1000);
        let taken = |bucket: &mut Bucket, now| (0..10).filter(|_| bucket.take(now)).count();
        assert_eq!(taken(&mut bucket, 1000), 3);
        assert_eq!(taken(&mut bucket, 1499), 0);
        assert_eq!(taken(&mut bucket, 1500), 1);
        assert_eq!(taken(&mut bucket, 900), 0);
        assert_eq!(taken(&mut bucket, u64::MAX), 3);
    }

    #[test]
    fn one_source_does_not_use_up_what_another_may_but_all_share_a_limit() {
        let key = HashKey::draw(&mut SeededRandom::new([1; 32]));
        let mut limiter = SourceLimiter::new(key, RATE, MANY);
        assert_eq!((0..9).filter(|_| limiter.take(7, 0)).count(), 3);
        assert_eq!((0..9).filter(|_| limiter.take(8, 0)).count(), 2);
    }

    #[test]
    fn neighbours_share_a_prefix() {
        let prefix = |text: &str| prefix_of(&text.parse().unwrap());
        assert_eq!(prefix("192.0.2.1:5"), prefix("192.0.2.200:9"));
        assert_ne!(prefix("192.0.2.1:5"), prefix("192.0.3.1:5"));
        assert_eq!(prefix("[2001:db8:1:2::1]:5"), prefix("[2001:db8:1:3::1]:5"));
        assert_ne!(prefix("[2001:db8:1::1]:5"), prefix("[2001:db8:2::1]:5"));
        assert_eq!(prefix("[::ffff:192.0.2.7]:5"), prefix("192.0.2.1:1"));
    }
}
