//! Compute with several numbers at a time on x86-64: AVX2 and AVX-512.
//!
//! pulp's tokens prove that the machine has the instructions, which makes calling them safe.
//!
//! Place     lanes.rs says what each operation is -> here
//! Keeps     the same numbers as the arrays of lanes.rs

use core::arch::x86_64::{__m128i, __m256i, __m512i};

use pulp::bytemuck::cast;
use pulp::x86::{V3, V4};

use super::lanes::{Block, Lanes};

/// One implementation: the vector type, its instructions, and in how many 128-bit parts they work.
macro_rules! lanes {
    (
        $token:ident, $vector:ident, $parts:literal, rotate($this:ident, $a:ident, $left:ident, $right:ident) $rotate:expr,
        $feature:ident: $add:ident $xor:ident $low_32:ident $high_32:ident $low_64:ident $high_64:ident
        $add_64:ident $and:ident $or:ident $right_64:ident $left_64:ident $product:ident
    ) => {
        impl Lanes for $token {
            type Words = $vector;
            type Longs = $vector;
            const WORDS: usize = 4 * $parts;
            const LONGS: usize = 2 * $parts;

            #[inline(always)]
            fn words(self, lane: impl Fn(usize) -> u32) -> $vector {
                let mut lanes = [0_u32; 4 * $parts];
                for (index, word) in lanes.iter_mut().enumerate() {
                    *word = lane(index);
                }
                cast(lanes)
            }

            #[inline(always)]
            fn each_word(self, words: $vector) -> [u32; 16] {
                let mut each = [0; 16];
                each[..4 * $parts].copy_from_slice(&cast::<_, [u32; 4 * $parts]>(words));
                each
            }

            #[inline(always)]
            fn add(self, a: $vector, b: $vector) -> $vector {
                self.$feature.$add(a, b)
            }

            #[inline(always)]
            fn xor(self, a: $vector, b: $vector) -> $vector {
                self.$feature.$xor(a, b)
            }

            #[inline(always)]
            fn rotate<const $left: i32, const $right: i32>(self, $a: $vector) -> $vector {
                let $this = self;
                $rotate
            }

            /// Four words at a time: a 4 by 4 transposition inside each 128-bit part.
            #[inline(always)]
            fn store(self, words: &[$vector; 16], blocks: &mut [Block]) {
                let x = self.$feature;
                for (quarter, [a, b, c, d]) in words.as_chunks().0.iter().enumerate() {
                    let (ab_low, ab_high) = (x.$low_32(*a, *b), x.$high_32(*a, *b));
                    let (cd_low, cd_high) = (x.$low_32(*c, *d), x.$high_32(*c, *d));
                    let lanes = [
                        x.$low_64(ab_low, cd_low),
                        x.$high_64(ab_low, cd_low),
                        x.$low_64(ab_high, cd_high),
                        x.$high_64(ab_high, cd_high),
                    ];
                    for (index, lane) in lanes.into_iter().enumerate() {
                        for (part, bytes) in cast::<_, [[u8; 16]; $parts]>(lane).iter().enumerate()
                        {
                            if let Some(block) = blocks.get_mut(4 * part + index) {
                                block.as_chunks_mut().0[quarter] = *bytes;
                            }
                        }
                    }
                }
            }

            #[inline(always)]
            fn longs(self, lane: impl Fn(usize) -> u64) -> $vector {
                let mut lanes = [0_u64; 2 * $parts];
                for (index, long) in lanes.iter_mut().enumerate() {
                    *long = lane(index);
                }
                cast(lanes)
            }

            #[inline(always)]
            fn each_long(self, longs: $vector) -> [u64; 8] {
                let mut each = [0; 8];
                each[..2 * $parts].copy_from_slice(&cast::<_, [u64; 2 * $parts]>(longs));
                each
            }

            #[inline(always)]
            fn halves(self, lane: impl Fn(usize) -> u128) -> [$vector; 2] {
                let (mut even, mut odd) = ([0_u128; $parts], [0_u128; $parts]);
                for part in 0..$parts {
                    even[part] = lane(2 * part);
                    odd[part] = lane(2 * part + 1);
                }
                let (even, odd) = (cast(even), cast(odd));
                [
                    self.$feature.$low_64(even, odd),
                    self.$feature.$high_64(even, odd),
                ]
            }

            #[inline(always)]
            fn add_longs(self, a: $vector, b: $vector) -> $vector {
                self.$feature.$add_64(a, b)
            }

            #[inline(always)]
            fn and(self, a: $vector, b: $vector) -> $vector {
                self.$feature.$and(a, b)
            }

            #[inline(always)]
            fn or(self, a: $vector, b: $vector) -> $vector {
                self.$feature.$or(a, b)
            }

            #[inline(always)]
            fn right(self, a: $vector, bits: u64) -> $vector {
                self.$feature.$right_64(a, cast::<_, __m128i>([bits, 0]))
            }

            #[inline(always)]
            fn left(self, a: $vector, bits: u64) -> $vector {
                self.$feature.$left_64(a, cast::<_, __m128i>([bits, 0]))
            }

            #[inline(always)]
            fn product(self, a: $vector, b: $vector) -> $vector {
                self.$feature.$product(a, b)
            }
        }
    };
}

lanes!(
    V3, __m256i, 2,
    rotate(x, a, LEFT, RIGHT) x.avx2._mm256_or_si256(x.avx2._mm256_slli_epi32::<LEFT>(a), x.avx2._mm256_srli_epi32::<RIGHT>(a)),
    avx2: _mm256_add_epi32 _mm256_xor_si256 _mm256_unpacklo_epi32 _mm256_unpackhi_epi32 _mm256_unpacklo_epi64 _mm256_unpackhi_epi64
    _mm256_add_epi64 _mm256_and_si256 _mm256_or_si256 _mm256_srl_epi64 _mm256_sll_epi64 _mm256_mul_epu32
);

lanes!(
    V4, __m512i, 4,
    rotate(x, a, LEFT, RIGHT) x.avx512f._mm512_rol_epi32::<LEFT>(a),
    avx512f: _mm512_add_epi32 _mm512_xor_si512 _mm512_unpacklo_epi32 _mm512_unpackhi_epi32 _mm512_unpacklo_epi64 _mm512_unpackhi_epi64
    _mm512_add_epi64 _mm512_and_si512 _mm512_or_si512 _mm512_srl_epi64 _mm512_sll_epi64 _mm512_mul_epu32
);
