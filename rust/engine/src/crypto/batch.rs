//! Seal and open many data packets of one session side by side.
//!
//! Place     cryptoauth/ticket.rs -> here -> salsa20.rs, poly1305.rs
//! Spec      docs/protocol/01, "Data nonce"
//! Keeps     allocates nothing; every packet gets a verdict; same bytes as secretbox.rs, packet by packet
//! Not here  counters in packets, replay (cryptoauth/)

use core::ops::Range;

use super::keys::Key;
use super::secretbox::{Kernel, TAG_BYTES};
use super::stream::{self, Direction, GROUP, Message};

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

/// Encrypt every message in place and write its tag in front. `verdicts[i]` says whether box i was sealed: false only
/// when its range does not fit (shorter than a tag, or outside the arena). Boxes without a verdict are not looked at.
pub fn seal_batch(
    kernel: Kernel,
    key: &Key,
    slot: NonceSlot,
    arena: &mut [u8],
    boxes: &[Sealed],
    verdicts: &mut [bool],
) {
    for (boxes, verdicts) in boxes.chunks(GROUP).zip(verdicts.chunks_mut(GROUP)) {
        let mut messages = [const { Message::new() }; GROUP];
        let messages = prepare(slot, arena, boxes, verdicts, &mut messages);
        stream::process(kernel, Direction::Seal, key, arena, messages);
        for ((one, verdict), message) in boxes.iter().zip(verdicts).zip(messages) {
            let tag = arena
                .get_mut(one.range.clone())
                .and_then(|bytes| bytes.first_chunk_mut());
            if let (true, Some(tag)) = (*verdict, tag) {
                *tag = message.tag;
            }
        }
    }
}

/// Check every tag and decrypt in place. `verdicts[i]` is true when box i is genuine; if not, its bytes are left as they
/// came. Boxes without a verdict are not looked at.
pub fn open_batch(
    kernel: Kernel,
    key: &Key,
    slot: NonceSlot,
    arena: &mut [u8],
    boxes: &[Sealed],
    verdicts: &mut [bool],
) {
    for (boxes, verdicts) in boxes.chunks(GROUP).zip(verdicts.chunks_mut(GROUP)) {
        let mut messages = [const { Message::new() }; GROUP];
        let messages = prepare(slot, arena, boxes, verdicts, &mut messages);
        stream::process(kernel, Direction::Open, key, arena, messages);
        for (verdict, message) in verdicts.iter_mut().zip(messages) {
            *verdict &= message.genuine;
        }
    }
}

/// Describe the boxes to the kernel; a box that does not fit gets a false verdict and becomes an empty message.
fn prepare<'a>(
    slot: NonceSlot,
    arena: &[u8],
    boxes: &[Sealed],
    verdicts: &mut [bool],
    messages: &'a mut [Message; GROUP],
) -> &'a mut [Message] {
    let count = boxes.len().min(verdicts.len());
    for ((one, verdict), message) in boxes.iter().zip(&mut *verdicts).zip(&mut *messages) {
        let tag = arena
            .get(one.range.clone())
            .and_then(|bytes| bytes.first_chunk());
        *verdict = tag.is_some();
        if let Some(tag) = tag {
            message.range = one.range.start + TAG_BYTES..one.range.end;
            message.tag = *tag;
        }
        message.head = match slot {
            NonceSlot::Responder => [one.counter, 0, 0, 0],
            NonceSlot::Initiator => [0, one.counter, 0, 0],
        };
    }
    &mut messages[..count]
}
