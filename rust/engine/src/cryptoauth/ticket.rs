//! Seal and open a batch of data packets while nobody holds the session.
//!
//! Place     session.rs gives a ticket -> link.rs or session.rs of the engine runs it -> `finish_open`
//! Spec      docs/protocol/01, "Data packet" and "Data nonce"
//! Keeps     allocates nothing; a counter is given out once; ranges that do not fit harm nobody but themselves
//! Not here  replay and timeouts (session.rs)

use core::ops::Range;

use super::{AuthError, DATA_HEADER_BYTES, FIRST_COUNTER};
use crate::crypto::{Kernel, Key, NonceSlot, Sealed, TAG_BYTES, open_batch, seal_batch};

/// The right to seal `count` packets with counters nobody else has.
#[derive(Debug)]
pub struct SealTicket {
    /// Session secret.
    pub key: Key,
    /// Whether we began this handshake; decides the nonce slot.
    pub is_initiator: bool,
    /// Counter of the first packet; the others follow.
    pub first_counter: u32,
    /// How many counters are reserved.
    pub count: usize,
    /// Which life of the session this belongs to.
    pub epoch: u64,
    /// Which instructions to use.
    pub kernel: Kernel,
}

/// What is needed to open data packets of an established session.
#[derive(Debug)]
pub struct OpenTicket {
    /// Session secret.
    pub key: Key,
    /// Whether we began this handshake; she uses the other nonce slot.
    pub is_initiator: bool,
    /// Which life of the session this belongs to.
    pub epoch: u64,
    /// Which instructions to use.
    pub kernel: Kernel,
}

/// What became of one packet of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its tag is right. Not yet accepted: `finish_open` has to see it.
    Opened {
        /// Its counter.
        counter: u32,
    },
    /// Not a data packet, and untouched: give it to `CryptoAuth::open`.
    Handshake,
    /// Refused.
    Refused(AuthError),
}

const CHUNK: usize = 16;
const NO_BOX: Sealed = Sealed {
    range: 0..0,
    counter: 0,
};

impl SealTicket {
    /// Seal each plaintext in place, write counter and tag into the 20 bytes in front of it and widen its range by
    /// them. A range that has no 20 bytes in front, lies outside the arena, or exceeds the reserved counters becomes
    /// empty (`0..0`) and its bytes stay as they are.
    pub fn seal(&self, arena: &mut [u8], ranges: &mut [Range<usize>]) {
        let slot = if self.is_initiator {
            NonceSlot::Initiator
        } else {
            NonceSlot::Responder
        };
        for (first, chunk) in (0..).step_by(CHUNK).zip(ranges.chunks_mut(CHUNK)) {
            let mut boxes = [NO_BOX; CHUNK];
            let mut sealed = [false; CHUNK];
            for ((index, range), one) in (first..).zip(&mut *chunk).zip(&mut boxes) {
                *one = self.prepare(arena, index, range);
            }
            seal_batch(
                self.kernel,
                &self.key,
                slot,
                arena,
                &boxes[..chunk.len()],
                &mut sealed[..chunk.len()],
            );
            for (range, was_sealed) in chunk.iter_mut().zip(sealed) {
                if !was_sealed {
                    *range = 0..0;
                }
            }
        }
    }

    fn prepare(&self, arena: &mut [u8], index: usize, range: &mut Range<usize>) -> Sealed {
        let fits = index < self.count && range.start <= range.end && range.end <= arena.len();
        let (true, Some(start)) = (fits, range.start.checked_sub(DATA_HEADER_BYTES)) else {
            return NO_BOX;
        };
        let counter = self.first_counter.wrapping_add(index as u32);
        if let Some(word) = arena.get_mut(start..start + 4) {
            word.copy_from_slice(&counter.to_be_bytes());
        }
        range.start = start;
        Sealed {
            range: start + 4..range.end,
            counter,
        }
    }
}

impl OpenTicket {
    /// Check and decrypt each packet in place and narrow its range to the plaintext. Writes one verdict a packet;
    /// ranges of packets that were not opened stay as they are. `verdicts` must be as long as `ranges`; packets beyond it are
    /// not looked at.
    pub fn open(&self, arena: &mut [u8], ranges: &mut [Range<usize>], verdicts: &mut [Verdict]) {
        let slot = if self.is_initiator {
            NonceSlot::Responder
        } else {
            NonceSlot::Initiator
        };
        for (ranges, verdicts) in ranges.chunks_mut(CHUNK).zip(verdicts.chunks_mut(CHUNK)) {
            let count = ranges.len().min(verdicts.len());
            let mut boxes = [NO_BOX; CHUNK];
            let mut genuine = [false; CHUNK];
            for ((range, verdict), one) in ranges.iter().zip(&mut *verdicts).zip(&mut boxes) {
                (*verdict, *one) = classify(arena, range);
            }
            open_batch(
                self.kernel,
                &self.key,
                slot,
                arena,
                &boxes[..count],
                &mut genuine[..count],
            );
            for ((range, verdict), genuine) in ranges.iter_mut().zip(verdicts).zip(genuine) {
                match verdict {
                    Verdict::Opened { .. } if genuine => range.start += DATA_HEADER_BYTES,
                    Verdict::Opened { .. } => *verdict = Verdict::Refused(AuthError::Decrypt),
                    Verdict::Handshake | Verdict::Refused(_) => {}
                }
            }
        }
    }
}

fn classify(arena: &[u8], range: &Range<usize>) -> (Verdict, Sealed) {
    let packet = arena.get(range.clone()).unwrap_or_default();
    if packet.len() < DATA_HEADER_BYTES {
        return (Verdict::Refused(AuthError::Runt), NO_BOX);
    }
    let counter = packet.first_chunk().copied().map_or(0, u32::from_be_bytes);
    if counter < FIRST_COUNTER {
        return (Verdict::Handshake, NO_BOX);
    }
    let range = range.start + DATA_HEADER_BYTES - TAG_BYTES..range.end;
    (Verdict::Opened { counter }, Sealed { range, counter })
}

/// Open one data packet in place, if its tag is right.
pub(super) fn open_one(
    kernel: Kernel,
    key: &Key,
    sender_is_initiator: bool,
    counter: u32,
    packet: &mut [u8],
) -> Result<(), AuthError> {
    let slot = if sender_is_initiator {
        NonceSlot::Initiator
    } else {
        NonceSlot::Responder
    };
    let one = [Sealed {
        range: DATA_HEADER_BYTES - TAG_BYTES..packet.len(),
        counter,
    }];
    let mut genuine = [false];
    open_batch(kernel, key, slot, packet, &one, &mut genuine);
    if genuine[0] {
        Ok(())
    } else {
        Err(AuthError::Decrypt)
    }
}
