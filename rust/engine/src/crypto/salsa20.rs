//! Run the Salsa20 permutation over several blocks side by side.
//!
//! A state holds word w of all N blocks next to each other, so that each step is one vector instruction.
//!
//! Place     stream.rs -> here
//! Spec      docs/protocol/01, "Toolbox"; D. J. Bernstein, "The Salsa20 family of stream ciphers"
//! Keeps     no branch and no index depends on a secret
//! Not here  which blocks of which packets (stream.rs)

/// Word w of N blocks, for all 16 words.
pub(super) type State<const N: usize> = [[u32; N]; 16];

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

/// The state for N blocks: a key and four input words (nonce and block number) each.
#[inline(always)]
pub(super) fn state<const N: usize>(keys: &[[u32; N]; 8], input: &[[u32; N]; 4]) -> State<N> {
    let mut state = [[0; N]; 16];
    for (at, constant) in CONSTANT_AT.into_iter().zip(CONSTANTS) {
        state[at] = [constant; N];
    }
    for (at, words) in KEY_AT.into_iter().zip(keys) {
        state[at] = *words;
    }
    for (at, words) in INPUT_AT.into_iter().zip(input) {
        state[at] = *words;
    }
    state
}

/// The key stream blocks of a state, word by word.
#[inline(always)]
pub(super) fn core<const N: usize>(state: &State<N>) -> State<N> {
    let mut mixed = *state;
    rounds(&mut mixed);
    for (mixed, start) in mixed.iter_mut().zip(state) {
        *mixed = add(mixed, start);
    }
    mixed
}

/// HSalsa20 of N keys and inputs: N keys again.
#[inline(always)]
pub(super) fn hsalsa20<const N: usize>(state: &State<N>) -> [[u32; N]; 8] {
    let mut mixed = *state;
    rounds(&mut mixed);
    let [a, b, c, d] = CONSTANT_AT;
    let [e, f, g, h] = INPUT_AT;
    [a, b, c, d, e, f, g, h].map(|at| mixed[at])
}

#[inline(always)]
fn rounds<const N: usize>(s: &mut State<N>) {
    for _ in 0..10 {
        quarter(s, 0, 4, 8, 12);
        quarter(s, 5, 9, 13, 1);
        quarter(s, 10, 14, 2, 6);
        quarter(s, 15, 3, 7, 11);
        quarter(s, 0, 1, 2, 3);
        quarter(s, 5, 6, 7, 4);
        quarter(s, 10, 11, 8, 9);
        quarter(s, 15, 12, 13, 14);
    }
}

#[inline(always)]
fn quarter<const N: usize>(s: &mut State<N>, a: usize, b: usize, c: usize, d: usize) {
    s[b] = mix::<N, 7>(&s[b], &s[a], &s[d]);
    s[c] = mix::<N, 9>(&s[c], &s[b], &s[a]);
    s[d] = mix::<N, 13>(&s[d], &s[c], &s[b]);
    s[a] = mix::<N, 18>(&s[a], &s[d], &s[c]);
}

#[inline(always)]
fn mix<const N: usize, const BITS: u32>(x: &[u32; N], y: &[u32; N], z: &[u32; N]) -> [u32; N] {
    core::array::from_fn(|i| x[i] ^ y[i].wrapping_add(z[i]).rotate_left(BITS))
}

#[inline(always)]
fn add<const N: usize>(x: &[u32; N], y: &[u32; N]) -> [u32; N] {
    core::array::from_fn(|i| x[i].wrapping_add(y[i]))
}
