//! Seal and open single messages with XSalsa20-Poly1305.
//!
//! Place     cryptoauth/handshake.rs and session.rs -> here -> salsa20.rs, poly1305.rs
//! Spec      docs/protocol/01, "Toolbox"
//! Keeps     tags are compared in constant time; a message whose tag is wrong is left as it came
//! Not here  many packets at a time (batch.rs)

use zeroize::Zeroizing;

use super::keys::{Key, Secret};
use super::stream::{self, Direction, Message};

/// Length of a nonce.
pub const NONCE_BYTES: usize = 24;
/// Length of a tag.
pub const TAG_BYTES: usize = 16;
/// A nonce of XSalsa20.
pub type Nonce = [u8; NONCE_BYTES];
/// A Poly1305 tag.
pub type Tag = [u8; TAG_BYTES];

/// Which instructions the bulk kernels use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kernel {
    /// The widest this machine has, found at run time.
    #[default]
    Auto,
    /// At most AVX2, to compare with what is wider; elsewhere than on x86-64 like `Portable`.
    Avx2,
    /// Only what every machine of this architecture has.
    Portable,
}

/// HSalsa20 of a key and 16 bytes.
#[must_use]
pub fn hsalsa20(key: &Secret, input: &[u8; 16]) -> Key {
    let words = stream::hsalsa20(key, words(input));
    let mut bytes = Zeroizing::new([0; 32]);
    for (bytes, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
        *bytes = word.to_le_bytes();
    }
    Secret::new(*bytes)
}

/// Encrypt `message` in place and return its tag.
#[must_use]
pub fn seal_in_place(kernel: Kernel, key: &Key, nonce: &Nonce, message: &mut [u8]) -> Tag {
    let mut one = [whole(nonce, message)];
    stream::process(kernel, Direction::Seal, key, message, &mut one);
    one[0].tag
}

/// Check `tag` and decrypt `message` in place. On a wrong tag: false, and the message is left as it came.
#[must_use]
pub fn open_in_place(
    kernel: Kernel,
    key: &Key,
    nonce: &Nonce,
    tag: &Tag,
    message: &mut [u8],
) -> bool {
    let mut one = [whole(nonce, message)];
    one[0].tag = *tag;
    stream::process(kernel, Direction::Open, key, message, &mut one);
    one[0].genuine
}

fn whole(nonce: &Nonce, message: &[u8]) -> Message {
    let [a, b, c, d, e, f] = words(nonce);
    Message {
        range: 0..message.len(),
        head: [a, b, c, d],
        tail: [e, f],
        ..Message::new()
    }
}

fn words<const BYTES: usize, const WORDS: usize>(bytes: &[u8; BYTES]) -> [u32; WORDS] {
    let mut words = [0; WORDS];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    words
}
