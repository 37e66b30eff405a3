//! Turn keys into secrets, and secrets into sealed packets.
//!
//! Place     cryptoauth/ -> here; nothing below
//! Spec      docs/protocol/01, "Identity", "Toolbox" and "Data nonce"
//! Keeps     allocates nothing, never panics on what a peer sent, compares tags in constant time
//! Not here  which key, which counter, and whether a packet is wanted at all (cryptoauth/)

pub mod batch;
pub mod keys;
mod lanes;
#[cfg(target_arch = "x86_64")]
mod lanes_x86;
mod poly1305;
pub mod random;
mod salsa20;
pub mod secretbox;
mod stream;

pub use batch::{NonceSlot, Sealed, open_batch, seal_batch};
pub use keys::{Address, Key, LocalKeys, PublicKey, Secret, address_of, boxkey, public_key, pwkey};
pub use random::{Random, ScriptedRandom, SeededRandom};
pub use secretbox::{Kernel, NONCE_BYTES, Nonce, TAG_BYTES, Tag, open_in_place, seal_in_place};
