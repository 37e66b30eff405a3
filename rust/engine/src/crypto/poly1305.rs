//! Compute Poly1305 tags, of one message or of several side by side.
//!
//! Place     stream.rs -> here
//! Spec      docs/protocol/01, "Toolbox"; RFC 8439 section 2.5
//! Keeps     no branch and no index depends on a secret
//! Not here  comparing tags (stream.rs)

use super::lanes::Lanes;
use super::secretbox::Tag;

const BITS_26: u64 = (1 << 26) - 1;
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

/// The tags of `L::LONGS` messages. What their lengths have in common is computed side by side, the rest one by one.
#[inline(always)]
pub(super) fn tags<L: Lanes>(lanes: L, keys: &[OneTimeKey], messages: &[&[u8]], tags: &mut [Tag]) {
    let common = messages
        .iter()
        .map(|message| message.len() / 16)
        .min()
        .unwrap_or(0);
    let h = side_by_side(lanes, keys, messages, common).map(|limb| lanes.each_long(limb));
    for (lane, ((tag, key), message)) in tags.iter_mut().zip(keys).zip(messages).enumerate() {
        let mut accumulator = Accumulator::new(key);
        accumulator.h = joined(h.map(|limb| limb[lane]));
        accumulator.update(message.get(common * 16..).unwrap_or_default());
        *tag = accumulator.finish(key);
    }
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

/// Five limbs of 26 bits, of several messages.
type Limbs<L> = [<L as Lanes>::Longs; 5];

#[inline(always)]
fn side_by_side<L: Lanes>(
    lanes: L,
    keys: &[OneTimeKey],
    messages: &[&[u8]],
    blocks: usize,
) -> Limbs<L> {
    let key = |lane: usize| keys.get(lane).map_or([0; 2], clamped);
    let r = limbs_26(
        lanes,
        [
            lanes.longs(|lane| key(lane)[0]),
            lanes.longs(|lane| key(lane)[1]),
        ],
        0,
    );
    let five = lanes.longs(|_| 5);
    let s = r.map(|limb| lanes.product(limb, five));
    let mut h = [lanes.longs(|_| 0); 5];
    let mut texts = [&[][..]; 8];
    for (text, message) in texts.iter_mut().zip(messages) {
        *text = message.as_chunks().0;
    }
    for index in 0..blocks {
        let block = lanes.halves(|lane| {
            texts[lane]
                .get(index)
                .map_or(0, |block| u128::from_le_bytes(*block))
        });
        let m = limbs_26(lanes, block, 1 << 24);
        for (h, m) in h.iter_mut().zip(m) {
            *h = lanes.add_longs(*h, m);
        }
        h = times(lanes, &h, &r, &s);
    }
    h
}

#[inline(always)]
fn limbs_26<L: Lanes>(lanes: L, [low, high]: [L::Longs; 2], high_bit: u64) -> Limbs<L> {
    let mask = lanes.longs(|_| BITS_26);
    let across = lanes.or(lanes.right(low, 52), lanes.left(high, 12));
    [
        lanes.and(low, mask),
        lanes.and(lanes.right(low, 26), mask),
        lanes.and(across, mask),
        lanes.and(lanes.right(high, 14), mask),
        lanes.or(lanes.right(high, 40), lanes.longs(|_| high_bit)),
    ]
}

/// h * r modulo 2^130 - 5, limbs a little above 26 bits; s is 5 * r.
#[inline(always)]
fn times<L: Lanes>(lanes: L, h: &Limbs<L>, r: &Limbs<L>, s: &Limbs<L>) -> Limbs<L> {
    let mut d = *h;
    for (k, sum) in d.iter_mut().enumerate() {
        *sum = lanes.product(h[0], r[k]);
        for j in 1..5 {
            let factor = if j <= k { r[k - j] } else { s[5 + k - j] };
            *sum = lanes.add_longs(*sum, lanes.product(h[j], factor));
        }
    }
    carry(lanes, &mut d, 0, 1);
    carry(lanes, &mut d, 3, 4);
    carry(lanes, &mut d, 1, 2);
    let over = lanes.right(d[4], 26);
    d[4] = lanes.and(d[4], lanes.longs(|_| BITS_26));
    d[0] = lanes.add_longs(d[0], lanes.add_longs(over, lanes.left(over, 2)));
    carry(lanes, &mut d, 2, 3);
    carry(lanes, &mut d, 0, 1);
    carry(lanes, &mut d, 3, 4);
    d
}

#[inline(always)]
fn carry<L: Lanes>(lanes: L, d: &mut Limbs<L>, from: usize, to: usize) {
    d[to] = lanes.add_longs(d[to], lanes.right(d[from], 26));
    d[from] = lanes.and(d[from], lanes.longs(|_| BITS_26));
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
