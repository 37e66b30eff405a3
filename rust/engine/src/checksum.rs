//! Add up Internet checksums, quickly and in any number of pieces.
//!
//! Place     switch.rs (control frames), ip.rs, hostio/offload.rs -> here
//! Spec      docs/protocol/03, "Checksum"; RFC 1071, RFC 8200 §8.1
//! Keeps     no byte order to think of: sums are in memory order, results are the bytes to store

/// A ones' complement sum in progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum(u64);

impl Sum {
    /// Nothing added yet.
    pub const ZERO: Sum = Sum(0);

    /// Add bytes. Only the last piece of a sum may have an odd length.
    #[must_use]
    pub fn plus(self, bytes: &[u8]) -> Sum {
        let (words, rest) = bytes.as_chunks::<4>();
        let mut total: u64 = words
            .iter()
            .map(|word| u64::from(u32::from_ne_bytes(*word)))
            .sum();
        let mut tail = [0u8; 4];
        for (to, from) in tail.iter_mut().zip(rest) {
            *to = *from;
        }
        total += u64::from(u32::from_ne_bytes(tail));
        self.join(Sum(total))
    }

    /// Add one number as it would stand in a packet.
    #[must_use]
    pub fn plus_u32(self, value: u32) -> Sum {
        self.join(Sum(u64::from(u32::from_ne_bytes(value.to_be_bytes()))))
    }

    /// The sum of both.
    #[must_use]
    pub fn join(self, other: Sum) -> Sum {
        let (total, carry) = self.0.overflowing_add(other.0);
        Sum(total + u64::from(carry))
    }

    /// The sum folded to 16 bits, not complemented: what a partial checksum field holds.
    #[must_use]
    pub fn folded(self) -> [u8; 2] {
        let mut total = self.0;
        while total > 0xffff {
            total = (total & 0xffff) + (total >> 16);
        }
        (total as u16).to_ne_bytes()
    }

    /// The checksum to store: the folded sum, complemented.
    #[must_use]
    pub fn checksum(self) -> [u8; 2] {
        let [high, low] = self.folded();
        [!high, !low]
    }

    /// Whether a sum that includes its stored checksum says that nothing was damaged.
    #[must_use]
    pub fn is_intact(self) -> bool {
        self.checksum() == [0, 0]
    }
}

/// The Internet checksum of some bytes.
#[must_use]
pub fn internet_checksum(bytes: &[u8]) -> [u8; 2] {
    Sum::ZERO.plus(bytes).checksum()
}

/// Sum of an IPv6 pseudo header. `addresses` is source then destination, as in the IPv6 header.
#[must_use]
pub fn pseudo_header_v6(addresses: &[u8; 32], protocol: u8, length: usize) -> Sum {
    Sum::ZERO
        .plus(addresses)
        .plus_u32(length as u32)
        .plus_u32(u32::from(protocol))
}

/// Sum of an IPv4 pseudo header. `addresses` is source then destination, as in the IPv4 header.
#[must_use]
pub fn pseudo_header_v4(addresses: &[u8; 8], protocol: u8, length: usize) -> Sum {
    Sum::ZERO
        .plus(addresses)
        .plus_u32(length as u32)
        .plus_u32(u32::from(protocol))
}

/// Finish a partial checksum as the kernel leaves it (virtio NEEDS_CSUM): the field at `start + offset` holds the sum
/// of the pseudo header and everything from `start` on is still to be added. False when the field is outside the packet.
#[must_use]
pub fn complete_partial(packet: &mut [u8], start: usize, offset: usize) -> bool {
    let Some(covered) = packet.get_mut(start..) else {
        return false;
    };
    let mut checksum = Sum::ZERO.plus(covered).checksum();
    if checksum == [0, 0] {
        checksum = [0xff, 0xff]; // the same number; 0 would mean "no checksum" in UDP
    }
    match covered.get_mut(offset..).and_then(<[u8]>::first_chunk_mut) {
        Some(field) => *field = checksum,
        None => return false,
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn slow(bytes: &[u8]) -> [u8; 2] {
        let mut total = 0u32;
        for pair in bytes.chunks(2) {
            let low = pair.get(1).copied().unwrap_or(0);
            total += u32::from(u16::from_be_bytes([pair[0], low]));
            total = (total & 0xffff) + (total >> 16);
        }
        (!(total as u16)).to_be_bytes()
    }

    proptest! {
        #[test]
        fn the_fast_sum_is_the_textbook_sum(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
            prop_assert_eq!(internet_checksum(&bytes), slow(&bytes));
        }

        #[test]
        fn a_sum_in_pieces_is_the_sum_of_the_whole(
            bytes in prop::collection::vec(any::<u8>(), 0..600), cut in 0usize..300
        ) {
            let cut = (2 * cut).min(bytes.len() & !1);
            let pieces = Sum::ZERO.plus(&bytes[..cut]).plus(&bytes[cut..]);
            prop_assert_eq!(pieces.checksum(), internet_checksum(&bytes));
        }

        #[test]
        fn a_completed_partial_checksum_is_intact(
            mut bytes in prop::collection::vec(any::<u8>(), 24..200), addresses in any::<[u8; 32]>()
        ) {
            let pseudo = pseudo_header_v6(&addresses, 17, bytes.len() - 4);
            bytes[10..12].copy_from_slice(&pseudo.folded());
            prop_assert!(complete_partial(&mut bytes, 4, 6));
            prop_assert!(pseudo.plus(&bytes[4..]).is_intact());
            prop_assert_ne!(&bytes[10..12], &[0, 0]);
        }
    }

    #[test]
    fn a_checksum_field_outside_the_packet_is_refused() {
        let mut packet = [0u8; 20];
        assert!(!complete_partial(&mut packet, 21, 0));
        assert!(!complete_partial(&mut packet, 10, 9));
        assert!(!complete_partial(&mut packet, 10, usize::MAX));
        assert!(complete_partial(&mut packet, 10, 8));
    }
}
