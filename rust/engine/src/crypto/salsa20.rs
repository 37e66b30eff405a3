//! Run the Salsa20 permutation over several blocks side by side.
//!
//! A state holds word w of all blocks next to each other, so that each step is one vector instruction.
//!
//! Place     stream.rs -> here
//! Spec      docs/protocol/01, "Toolbox"; D. J. Bernstein, "The Salsa20 family of stream ciphers"
//! Keeps     no branch and no index depends on a secret
//! Not here  which blocks of which packets (stream.rs)

use super::lanes::Lanes;

/// Word w of all blocks, for all 16 words.
pub(super) type State<L> = [<L as Lanes>::Words; 16];

/// The eight words of a key.
pub(super) type KeyWords = [u32; 8];

/// "expand 32-byte k"
const CONSTANTS: [u32; 4] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];
const CONSTANT_AT: [usize; 4] = [0, 5, 10, 15];
const KEY_AT: [usize; 8] = [1, 2, 3, 4, 11, 12, 13, 14];
const INPUT_AT: [usize; 4] = [6, 7, 8, 9];

/// Read the words of a 32-byte key.
#[inline(always)]
pub(super) fn key_words(key: &[u8; 32]) -> KeyWords {
    let mut words = KeyWords::default();
    for (word, bytes) in words.iter_mut().zip(key.as_chunks().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    words
}

/// The state of `L::WORDS` blocks: a key and four input words (nonce and block number) each.
#[inline(always)]
pub(super) fn state<L: Lanes>(lanes: L, key: [L::Words; 8], input: [L::Words; 4]) -> State<L> {
    let mut state = [lanes.words(|_| 0); 16];
    for (at, constant) in CONSTANT_AT.into_iter().zip(CONSTANTS) {
        state[at] = lanes.words(|_| constant);
    }
    for (at, words) in KEY_AT.into_iter().zip(key) {
        state[at] = words;
    }
    for (at, words) in INPUT_AT.into_iter().zip(input) {
        state[at] = words;
    }
    state
}

/// The key stream blocks of a state, word by word.
#[inline(always)]
pub(super) fn expand<L: Lanes>(lanes: L, state: &State<L>) -> State<L> {
    let mut mixed = rounds(lanes, *state);
    for (mixed, start) in mixed.iter_mut().zip(state) {
        *mixed = lanes.add(*mixed, *start);
    }
    mixed
}

/// HSalsa20 of keys and inputs: keys again.
#[inline(always)]
pub(super) fn hsalsa20<L: Lanes>(lanes: L, state: &State<L>) -> [L::Words; 8] {
    let mixed = rounds(lanes, *state);
    let [a, b, c, d] = CONSTANT_AT;
    let [e, f, g, h] = INPUT_AT;
    [a, b, c, d, e, f, g, h].map(|at| mixed[at])
}

#[inline(always)]
fn rounds<L: Lanes>(lanes: L, mut s: State<L>) -> State<L> {
    for _ in 0..10 {
        quarter(lanes, &mut s, 0, 4, 8, 12);
        quarter(lanes, &mut s, 5, 9, 13, 1);
        quarter(lanes, &mut s, 10, 14, 2, 6);
        quarter(lanes, &mut s, 15, 3, 7, 11);
        quarter(lanes, &mut s, 0, 1, 2, 3);
        quarter(lanes, &mut s, 5, 6, 7, 4);
        quarter(lanes, &mut s, 10, 11, 8, 9);
        quarter(lanes, &mut s, 15, 12, 13, 14);
    }
    s
}

#[inline(always)]
fn quarter<L: Lanes>(lanes: L, s: &mut State<L>, a: usize, b: usize, c: usize, d: usize) {
    s[b] = lanes.xor(s[b], lanes.rotate::<7, 25>(lanes.add(s[a], s[d])));
    s[c] = lanes.xor(s[c], lanes.rotate::<9, 23>(lanes.add(s[b], s[a])));
    s[d] = lanes.xor(s[d], lanes.rotate::<13, 19>(lanes.add(s[c], s[b])));
    s[a] = lanes.xor(s[a], lanes.rotate::<18, 14>(lanes.add(s[d], s[c])));
}
