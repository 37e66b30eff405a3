//! Compute Poly1305 tags, of one message or of several side by side.
//!
//! Place     stream.rs -> here
//! Spec      docs/protocol/01, "Toolbox"; RFC 8439 section 2.5
//! Keeps     no branch and no index depends on a secret
//! Not here  comparing tags (stream.rs)

use super::secretbox::Tag;

const BITS_26: u64 = (1 << 26) - 1;
const BITS_32: u64 = (1 << 32) - 1;
const BITS_42: u64 = (1 << 42) - 1;
const BITS_44: u64 = (1 << 44) - 1;

/// The one-time key of a message.
pub(super) type OneTimeKey = [u8; 32];

/// One message under way, in limbs of 44, 44 and 42 bits.
#[derive(Clone, Copy)]
struct Accumulator {
    h: [u64; 3],
    r: [u64; 3],
}

/// The tag of one message.
#[inline(always)]
pub(super) fn tag(key: &OneTimeKey, message: &[u8]) -> Tag {
    let mut accumulator = Accumulator::new(key);
    accumulator.update(message);
    accumulator.finish(key)
}

/// The tags of N messages. What their lengths have in common is computed side by side, the rest one by one.
#[inline(always)]
pub(super) fn tags<const N: usize>(keys: &[OneTimeKey; N], messages: &[&[u8]; N]) -> [Tag; N] {
    let common = messages
        .iter()
        .map(|message| message.len() / 16)
        .min()
        .unwrap_or(0);
    let accumulators = side_by_side(keys, messages, common);
    core::array::from_fn(|lane| {
        let mut accumulator = accumulators[lane];
        accumulator.update(&messages[lane][common * 16..]);
        accumulator.finish(&keys[lane])
    })
}

#[inline(always)]
fn halves(bytes: &[u8; 16]) -> [u64; 2] {
    let whole = u128::from_le_bytes(*bytes);
    [whole as u64, (whole >> 64) as u64]
}

#[inline(always)]
fn clamped(key: &OneTimeKey) -> [u64; 2] {
    let [low, high] = halves(key.first_chunk().unwrap_or(&[0; 16]));
    [low & 0x0fff_fffc_0fff_ffff, high & 0x0fff_fffc_0fff_fffc]
}

#[inline(always)]
fn limbs_44([low, high]: [u64; 2]) -> [u64; 3] {
    [
        low & BITS_44,
        (low >> 44 | high << 20) & BITS_44,
        high >> 24,
    ]
}

#[inline(always)]
fn product(a: u64, b: u64) -> u128 {
    u128::from(a) * u128::from(b)
}

impl Accumulator {
    #[inline(always)]
    fn new(key: &OneTimeKey) -> Self {
        Self {
            h: [0; 3],
            r: limbs_44(clamped(key)),
        }
    }

    #[inline(always)]
    fn update(&mut self, message: &[u8]) {
        let (blocks, rest) = message.as_chunks::<16>();
        for block in blocks {
            self.block(block, 1 << 40);
        }
        if !rest.is_empty() {
            let mut last = [0; 16];
            last[..rest.len()].copy_from_slice(rest);
            last[rest.len()] = 1;
            self.block(&last, 0);
        }
    }

    #[inline(always)]
    fn block(&mut self, block: &[u8; 16], high_bit: u64) {
        let [m0, m1, m2] = limbs_44(halves(block));
        let [h0, h1, h2] = self.h;
        let (h0, h1, h2) = (h0 + m0, h1 + m1, h2 + (m2 | high_bit));
        let [r0, r1, r2] = self.r;
        // 2^132 = 4 * 2^130, and 2^130 = 5 modulo the prime
        let (s1, s2) = (r1 * 20, r2 * 20);
        let d0 = product(h0, r0) + product(h1, s2) + product(h2, s1);
        let d1 = product(h0, r1) + product(h1, r0) + product(h2, s2);
        let d2 = product(h0, r2) + product(h1, r1) + product(h2, r0);
        let d1 = d1 + (d0 >> 44);
        let d2 = d2 + (d1 >> 44);
        let h0 = (d0 as u64 & BITS_44) + (d2 >> 42) as u64 * 5;
        let h1 = (d1 as u64 & BITS_44) + (h0 >> 44);
        self.h = [h0 & BITS_44, h1, d2 as u64 & BITS_42];
    }

    #[inline(always)]
    fn carry(&mut self) {
        let [h0, h1, h2] = self.h;
        let h1 = h1 + (h0 >> 44);
        let h2 = h2 + (h1 >> 44);
        let h0 = (h0 & BITS_44) + (h2 >> 42) * 5;
        self.h = [h0, h1 & BITS_44, h2 & BITS_42];
    }

    #[inline(always)]
    fn finish(mut self, key: &OneTimeKey) -> Tag {
        self.carry();
        self.carry();
        let [h0, h1, h2] = self.h;
        let h1 = h1 + (h0 >> 44);
        let h0 = h0 & BITS_44;
        // h - p = h + 5 - 2^130: taken when it is not negative
        let g0 = h0 + 5;
        let g1 = h1 + (g0 >> 44);
        let g2 = (h2 + (g1 >> 44)).wrapping_sub(1 << 42);
        let keep = (g2 >> 63).wrapping_neg();
        let pick = |h: u64, g: u64| u128::from(h & keep | g & !keep);
        let h = pick(h0, g0 & BITS_44)
            .wrapping_add(pick(h1, g1 & BITS_44) << 44)
            .wrapping_add(pick(h2, g2) << 88);
        let pad = key.last_chunk().copied().map_or(0, u128::from_le_bytes);
        h.wrapping_add(pad).to_le_bytes()
    }
}

/// Five limbs of 26 bits, of N messages.
type Limbs<const N: usize> = [[u64; N]; 5];

#[inline(always)]
fn side_by_side<const N: usize>(
    keys: &[OneTimeKey; N],
    messages: &[&[u8]; N],
    blocks: usize,
) -> [Accumulator; N] {
    let r = limbs_26(core::array::from_fn(|lane| clamped(&keys[lane])), 0);
    let mut h = [[0; N]; 5];
    let messages: [&[[u8; 16]]; N] = core::array::from_fn(|lane| messages[lane].as_chunks().0);
    for index in 0..blocks {
        let block = core::array::from_fn(|lane| messages[lane].get(index).map_or([0; 2], halves));
        h = absorb(&h, &limbs_26(block, 1 << 24), &r);
    }
    core::array::from_fn(|lane| Accumulator {
        h: joined(h.map(|limb| limb[lane])),
        r: limbs_44(clamped(&keys[lane])),
    })
}

#[inline(always)]
fn limbs_26<const N: usize>(halves: [[u64; 2]; N], high_bit: u64) -> Limbs<N> {
    let low: [u64; N] = core::array::from_fn(|lane| halves[lane][0]);
    let high: [u64; N] = core::array::from_fn(|lane| halves[lane][1]);
    [
        core::array::from_fn(|i| low[i] & BITS_26),
        core::array::from_fn(|i| low[i] >> 26 & BITS_26),
        core::array::from_fn(|i| (low[i] >> 52 | high[i] << 12) & BITS_26),
        core::array::from_fn(|i| high[i] >> 14 & BITS_26),
        core::array::from_fn(|i| high[i] >> 40 | high_bit),
    ]
}

/// (h + m) * r modulo 2^130 - 5, limbs a little above 26 bits.
#[inline(always)]
fn absorb<const N: usize>(h: &Limbs<N>, m: &Limbs<N>, r: &Limbs<N>) -> Limbs<N> {
    let h: Limbs<N> =
        core::array::from_fn(|limb| core::array::from_fn(|i| h[limb][i] + m[limb][i]));
    let s: Limbs<N> = core::array::from_fn(|limb| core::array::from_fn(|i| r[limb][i] * 5));
    let mut d: Limbs<N> = core::array::from_fn(|k| {
        let mut sum = [0; N];
        for j in 0..5 {
            let factor = if j <= k { &r[k - j] } else { &s[5 + k - j] };
            sum = core::array::from_fn(|i| sum[i] + (h[j][i] & BITS_32) * (factor[i] & BITS_32));
        }
        sum
    });
    carry(&mut d, 0, 1, 1);
    carry(&mut d, 3, 4, 1);
    carry(&mut d, 1, 2, 1);
    carry(&mut d, 4, 0, 5);
    carry(&mut d, 2, 3, 1);
    carry(&mut d, 0, 1, 1);
    carry(&mut d, 3, 4, 1);
    d
}

#[inline(always)]
fn carry<const N: usize>(d: &mut Limbs<N>, from: usize, to: usize, factor: u64) {
    d[to] = core::array::from_fn(|i| d[to][i] + (d[from][i] >> 26) * factor);
    d[from] = core::array::from_fn(|i| d[from][i] & BITS_26);
}

/// Limbs of 26 bits (or a little more) as limbs of 44.
#[inline(always)]
fn joined(h: [u64; 5]) -> [u64; 3] {
    let [h0, h1, h2, h3, h4] = h.map(u128::from);
    let low = h0 + (h1 << 26) + (h2 << 52);
    let high = (low >> 44) + (h3 << 34) + (h4 << 60);
    [
        low as u64 & BITS_44,
        high as u64 & BITS_44,
        (high >> 44) as u64,
    ]
}
