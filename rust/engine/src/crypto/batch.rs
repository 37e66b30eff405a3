//! Seal and open many data packets of one session side by side.
//!
//! Place     cryptoauth/ticket.rs -> here -> salsa20.rs, poly1305.rs
//! Spec      docs/protocol/01, "Data nonce"
//! Keeps     allocates nothing; every packet gets a verdict; same bytes as secretbox.rs, packet by packet
//! Not here  counters in packets, replay (cryptoauth/)

use core::ops::Range;

use super::keys::Key;
use super::secretbox::Kernel;

/// Which of the two 32-bit slots of the nonce holds the counter; the sender's part in the handshake decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NonceSlot {
    /// Slot 0, bytes 0 to 3: sent by the responder.
    Responder,
    /// Slot 1, bytes 4 to 7: sent by the initiator.
    Initiator,
}

/// One box in an arena: 16 bytes of tag, then the message; and the counter of its nonce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Tag and message, in bytes of the arena.
    pub range: Range<usize>,
    /// Counter that goes into the nonce.
    pub counter: u32,
}

/// Encrypt every message in place and write its tag in front. `verdicts[i]` says whether box i was sealed:
/// false only when its range does not fit (shorter than a tag, or outside the arena).
pub fn seal_batch(
    kernel: Kernel,
    key: &Key,
    slot: NonceSlot,
    arena: &mut [u8],
    boxes: &[Sealed],
    verdicts: &mut [bool],
) {
    todo!("{kernel:?}{key:?}{slot:?}{arena:?}{boxes:?}{verdicts:?}")
}

/// Check every tag and decrypt in place. `verdicts[i]` is true when box i is genuine; if not, its bytes are left as they
/// came.
pub fn open_batch(
    kernel: Kernel,
    key: &Key,
    slot: NonceSlot,
    arena: &mut [u8],
    boxes: &[Sealed],
    verdicts: &mut [bool],
) {
    todo!("{kernel:?}{key:?}{slot:?}{arena:?}{boxes:?}{verdicts:?}")
}
