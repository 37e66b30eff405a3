//! Hold the places of one batch of packets without allocating, and take locks that outlive a panic.
//!
//! Place     every stage of the packet path -> here
//! Keeps     at most [`BATCH`] packets; a packet is a range of bytes in the arena of the caller

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Free bytes in front of every packet handed to `handle_tun`.
pub const HEADROOM: usize = 64;
/// Most packets that are handled as one run.
pub const BATCH: usize = 64;

/// Places of up to [`BATCH`] packets in an arena.
#[derive(Debug)]
pub struct Batch {
    ranges: [Range<usize>; BATCH],
    length: usize,
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

impl Batch {
    /// No packets.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            ranges: [const { 0..0 }; BATCH],
            length: 0,
        }
    }

    /// Add a packet; false when there is no room left.
    pub fn push(&mut self, packet: Range<usize>) -> bool {
        let Some(place) = self.ranges.get_mut(self.length) else {
            return false;
        };
        *place = packet;
        self.length += 1;
        true
    }

    /// Forget all packets.
    pub const fn clear(&mut self) {
        self.length = 0;
    }

    /// Whether no further packet fits.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.length == BATCH
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.length
    }

    /// The packets.
    #[must_use]
    pub fn packets(&self) -> &[Range<usize>] {
        self.ranges.get(..self.length).unwrap_or_default()
    }

    /// The packets, to be moved.
    pub fn packets_mut(&mut self) -> &mut [Range<usize>] {
        self.ranges.get_mut(..self.length).unwrap_or_default()
    }
}

/// The bytes of a packet; empty when the range lies outside the arena.
#[must_use]
pub fn bytes_of<'a>(arena: &'a [u8], packet: &Range<usize>) -> &'a [u8] {
    arena.get(packet.clone()).unwrap_or_default()
}

/// The bytes of a packet, to be changed.
pub fn bytes_of_mut<'a>(arena: &'a mut [u8], packet: &Range<usize>) -> &'a mut [u8] {
    arena.get_mut(packet.clone()).unwrap_or_default()
}

/// The 32-bit word at `offset` of a packet.
#[must_use]
pub fn word_at(arena: &[u8], packet: &Range<usize>, offset: usize) -> Option<u32> {
    let bytes = bytes_of(arena, packet).get(offset..)?;
    bytes.first_chunk().copied().map(u32::from_be_bytes)
}

/// How many packets at the front of `packets` share what `property` says of the first.
pub fn run_length<T: PartialEq>(
    packets: &[Range<usize>],
    property: impl Fn(&Range<usize>) -> T,
) -> usize {
    let Some(first) = packets.first().map(&property) else {
        return 0;
    };
    packets
        .iter()
        .take_while(|packet| property(packet) == first)
        .count()
}

/// Take a lock; what a panicking thread left behind is taken as it is, because every change is small and complete.
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Take a lock for reading.
pub fn read<T: ?Sized>(shared: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    shared.read().unwrap_or_else(PoisonError::into_inner)
}

/// Take a lock for writing.
pub fn write<T: ?Sized>(shared: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    shared.write().unwrap_or_else(PoisonError::into_inner)
}
