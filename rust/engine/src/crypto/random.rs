//! Give random bytes to those who may not ask the operating system for them.
//!
//! Place     the caller seeds a source -> here -> cryptoauth/handshake.rs
//! Keeps     the same seed gives the same bytes; what was given cannot be computed back from the state
//! Not here  entropy: the daemon brings 32 bytes of it

use std::collections::VecDeque;

use sha2::{Digest, Sha512};
use zeroize::Zeroize;

/// A source of random bytes, injected wherever the engine needs some.
pub trait Random: Send {
    /// Fill `out` with random bytes.
    fn fill(&mut self, out: &mut [u8]);
}

/// Unlimited bytes from a 32-byte seed: SHA-512 with the key replaced after every 32 bytes of output.
pub struct SeededRandom {
    key: [u8; 32],
}

impl SeededRandom {
    /// Start from a seed; for the daemon it must be 32 bytes of entropy.
    #[must_use]
    pub const fn new(seed: [u8; 32]) -> Self {
        Self { key: seed }
    }
}

impl Random for SeededRandom {
    fn fill(&mut self, out: &mut [u8]) {
        for piece in out.chunks_mut(32) {
            let mut digest: [u8; 64] = Sha512::digest(self.key).into();
            self.key.copy_from_slice(&digest[..32]);
            piece.copy_from_slice(&digest[32..32 + piece.len()]);
            digest.zeroize();
        }
    }
}

impl Drop for SeededRandom {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl core::fmt::Debug for SeededRandom {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("SeededRandom(<secret>)")
    }
}

/// Bytes given beforehand, in order: for replaying recorded exchanges.
///
/// A session draws: 32 bytes of temporary private key (when it makes a new one), the 24-byte nonce, and
/// 9 lookup bytes (bytes 5 to 13 of the packet, only without a credential).
#[derive(Debug, Default)]
pub struct ScriptedRandom {
    bytes: VecDeque<u8>,
    missing: usize,
}

impl ScriptedRandom {
    /// A script with these bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.iter().copied().collect(),
            missing: 0,
        }
    }

    /// Append bytes to the script.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    /// How many bytes are left over.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.bytes.len()
    }

    /// How many bytes were asked for after the script had ended (they were given as zeros).
    #[must_use]
    pub const fn missing(&self) -> usize {
        self.missing
    }
}

impl Random for ScriptedRandom {
    fn fill(&mut self, out: &mut [u8]) {
        for byte in out {
            *byte = self.bytes.pop_front().unwrap_or_else(|| {
                self.missing += 1;
                0
            });
        }
    }
}
