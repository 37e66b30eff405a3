//! Compute with several numbers at a time, in whatever vectors the machine has.
//!
//! Place     salsa20.rs, poly1305.rs -> here -> lanes_x86.rs
//! Keeps     every implementation gives the same numbers; all operations wrap and none branches
//! Not here  which implementation is taken (stream.rs)

/// A block of the Salsa20 key stream.
pub(super) type Block = [u8; 64];

/// Vectors of `WORDS` 32-bit numbers and of `LONGS` 64-bit numbers, and what is done with them.
pub(super) trait Lanes: Copy {
    /// A vector of 32-bit numbers.
    type Words: Copy;
    /// A vector of 64-bit numbers.
    type Longs: Copy;
    /// How many 32-bit numbers; at most 16, a divisor of 16.
    const WORDS: usize;
    /// How many 64-bit numbers; at most 8.
    const LONGS: usize;

    /// A vector made lane by lane.
    fn words(self, lane: impl Fn(usize) -> u32) -> Self::Words;
    /// The numbers of a vector, the first `WORDS` of them.
    fn each_word(self, words: Self::Words) -> [u32; 16];
    /// Sums.
    fn add(self, a: Self::Words, b: Self::Words) -> Self::Words;
    /// Exclusive or.
    fn xor(self, a: Self::Words, b: Self::Words) -> Self::Words;
    /// Rotation to the left; RIGHT is 32 - LEFT.
    fn rotate<const LEFT: i32, const RIGHT: i32>(self, a: Self::Words) -> Self::Words;
    /// Write the blocks whose words lie side by side; `blocks` has `WORDS` of them.
    fn store(self, words: &[Self::Words; 16], blocks: &mut [Block]);

    /// A vector made lane by lane.
    fn longs(self, lane: impl Fn(usize) -> u64) -> Self::Longs;
    /// The numbers of a vector, the first `LONGS` of them.
    fn each_long(self, longs: Self::Longs) -> [u64; 8];
    /// The lower and the upper halves of one 128-bit number a lane.
    fn halves(self, lane: impl Fn(usize) -> u128) -> [Self::Longs; 2];
    /// Sums.
    fn add_longs(self, a: Self::Longs, b: Self::Longs) -> Self::Longs;
    /// Bitwise and.
    fn and(self, a: Self::Longs, b: Self::Longs) -> Self::Longs;
    /// Bitwise or.
    fn or(self, a: Self::Longs, b: Self::Longs) -> Self::Longs;
    /// Shift to the right.
    fn right(self, a: Self::Longs, bits: u64) -> Self::Longs;
    /// Shift to the left.
    fn left(self, a: Self::Longs, bits: u64) -> Self::Longs;
    /// Products of the lower 32 bits.
    fn product(self, a: Self::Longs, b: Self::Longs) -> Self::Longs;
}

/// What every machine has: arrays.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrays<const WORDS: usize, const LONGS: usize>;

#[inline(always)]
fn zip<T: Copy, const N: usize>(a: [T; N], b: [T; N], f: impl Fn(T, T) -> T) -> [T; N] {
    let mut out = a;
    for (out, b) in out.iter_mut().zip(b) {
        *out = f(*out, b);
    }
    out
}

impl<const WORDS: usize, const LONGS: usize> Lanes for Arrays<WORDS, LONGS> {
    type Words = [u32; WORDS];
    type Longs = [u64; LONGS];
    const WORDS: usize = WORDS;
    const LONGS: usize = LONGS;

    #[inline(always)]
    fn words(self, lane: impl Fn(usize) -> u32) -> Self::Words {
        core::array::from_fn(lane)
    }

    #[inline(always)]
    fn each_word(self, words: Self::Words) -> [u32; 16] {
        let mut each = [0; 16];
        each[..WORDS].copy_from_slice(&words);
        each
    }

    #[inline(always)]
    fn add(self, a: Self::Words, b: Self::Words) -> Self::Words {
        zip(a, b, u32::wrapping_add)
    }

    #[inline(always)]
    fn xor(self, a: Self::Words, b: Self::Words) -> Self::Words {
        zip(a, b, |a, b| a ^ b)
    }

    #[inline(always)]
    fn rotate<const LEFT: i32, const RIGHT: i32>(self, a: Self::Words) -> Self::Words {
        zip(a, a, |a, _| a << LEFT | a >> RIGHT)
    }

    #[inline(always)]
    fn store(self, words: &[Self::Words; 16], blocks: &mut [Block]) {
        for (lane, block) in blocks.iter_mut().enumerate().take(WORDS) {
            for (bytes, word) in block.as_chunks_mut().0.iter_mut().zip(words) {
                *bytes = word[lane].to_le_bytes();
            }
        }
    }

    #[inline(always)]
    fn longs(self, lane: impl Fn(usize) -> u64) -> Self::Longs {
        core::array::from_fn(lane)
    }

    #[inline(always)]
    fn each_long(self, longs: Self::Longs) -> [u64; 8] {
        let mut each = [0; 8];
        each[..LONGS].copy_from_slice(&longs);
        each
    }

    #[inline(always)]
    fn halves(self, lane: impl Fn(usize) -> u128) -> [Self::Longs; 2] {
        let lanes: [u128; LONGS] = core::array::from_fn(lane);
        [
            lanes.map(|lane| lane as u64),
            lanes.map(|lane| (lane >> 64) as u64),
        ]
    }

    #[inline(always)]
    fn add_longs(self, a: Self::Longs, b: Self::Longs) -> Self::Longs {
        zip(a, b, u64::wrapping_add)
    }

    #[inline(always)]
    fn and(self, a: Self::Longs, b: Self::Longs) -> Self::Longs {
        zip(a, b, |a, b| a & b)
    }

    #[inline(always)]
    fn or(self, a: Self::Longs, b: Self::Longs) -> Self::Longs {
        zip(a, b, |a, b| a | b)
    }

    #[inline(always)]
    fn right(self, a: Self::Longs, bits: u64) -> Self::Longs {
        zip(a, a, |a, _| a >> bits)
    }

    #[inline(always)]
    fn left(self, a: Self::Longs, bits: u64) -> Self::Longs {
        zip(a, a, |a, _| a << bits)
    }

    #[inline(always)]
    fn product(self, a: Self::Longs, b: Self::Longs) -> Self::Longs {
        zip(a, b, |a, b| (a & 0xffff_ffff) * (b & 0xffff_ffff))
    }
}
