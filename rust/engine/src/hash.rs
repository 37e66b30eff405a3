//! Hash table keys with a secret, so that nobody outside can choose keys that collide.
//!
//! Place     peers.rs, sessions.rs, limits.rs -> here
//! Keeps     the same seed gives the same hashes; no table is ever iterated into behaviour
//! Not here  cryptographic hashes (crypto/)

use std::hash::{BuildHasher, Hasher};

use crate::crypto::Random;

/// A hash table with a secret.
pub type KeyedMap<K, V> = std::collections::HashMap<K, V, HashKey>;

/// The secret of one table.
#[derive(Clone, Copy, Debug)]
pub struct HashKey {
    start: u64,
    factor: u64,
}

impl HashKey {
    /// Draw a secret.
    #[must_use]
    pub fn draw(random: &mut dyn Random) -> Self {
        let mut bytes = [0; 16];
        random.fill(&mut bytes);
        let both = u128::from_le_bytes(bytes);
        Self {
            start: (both >> 64) as u64,
            factor: both as u64 | 1,
        }
    }

    /// The hash of one number.
    #[must_use]
    pub fn hash_of(&self, number: u64) -> u64 {
        let mut hasher = self.build_hasher();
        hasher.write_u64(number);
        hasher.finish()
    }
}

impl BuildHasher for HashKey {
    type Hasher = KeyedHasher;

    fn build_hasher(&self) -> KeyedHasher {
        KeyedHasher {
            state: self.start,
            key: *self,
        }
    }
}

/// The hash of one key, in progress.
#[derive(Clone, Debug)]
pub struct KeyedHasher {
    state: u64,
    key: HashKey,
}

const fn folded_product(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    product as u64 ^ (product >> 64) as u64
}

impl Hasher for KeyedHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.write_u64(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            let mut word = [0; 8];
            for (to, from) in word.iter_mut().zip(rest) {
                *to = *from;
            }
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, number: u8) {
        self.write_u64(u64::from(number));
    }

    fn write_u16(&mut self, number: u16) {
        self.write_u64(u64::from(number));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.state =
            folded_product(self.state ^ number, self.key.factor).rotate_left(23) ^ self.key.start;
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn finish(&self) -> u64 {
        folded_product(self.state, self.key.factor)
    }
}
