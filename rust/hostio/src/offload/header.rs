//! Decode and encode the ten bytes before every packet on a TUN descriptor with IFF_VNET_HDR.

/// Length of the header.
pub const VNET_HEADER_BYTES: usize = 10;

pub(super) const FLAG_NEEDS_CHECKSUM: u8 = 1;
pub(super) const GSO_NONE: u8 = 0;
pub(super) const GSO_TCP4: u8 = 1;
pub(super) const GSO_TCP6: u8 = 4;
pub(super) const GSO_UDP: u8 = 5;
pub(super) const GSO_ECN: u8 = 0x80;

/// What the kernel left to do for a packet, or what it may do later. All zero: an ordinary packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VnetHeader {
    /// Bit 0: the transport checksum is partial.
    pub flags: u8,
    /// Kind of superframe, 0 for none.
    pub gso_type: u8,
    /// Length of all headers; a hint only.
    pub header_length: u16,
    /// Payload bytes in each segment.
    pub segment_length: u16,
    /// Where the checksum starts to cover.
    pub checksum_start: u16,
    /// Where its field is, from there.
    pub checksum_offset: u16,
}

impl VnetHeader {
    /// From the start of what a read gave: the header and the packet behind it. None if there is less than a header.
    #[must_use]
    pub fn decode(bytes: &mut [u8]) -> Option<(VnetHeader, &mut [u8])> {
        let (header, packet) = bytes.split_first_chunk_mut::<VNET_HEADER_BYTES>()?;
        let [flags, gso_type, rest @ ..] = *header;
        let [a, b, c, d, e, f, g, h] = rest;
        let decoded = VnetHeader {
            flags,
            gso_type,
            header_length: u16::from_ne_bytes([a, b]),
            segment_length: u16::from_ne_bytes([c, d]),
            checksum_start: u16::from_ne_bytes([e, f]),
            checksum_offset: u16::from_ne_bytes([g, h]),
        };
        Some((decoded, packet))
    }

    /// Whether it announces several UDP datagrams.
    #[must_use]
    pub fn is_udp_superframe(&self) -> bool {
        self.gso_type == GSO_UDP
    }

    /// The bytes to write before a packet.
    #[must_use]
    pub fn encode(&self) -> [u8; VNET_HEADER_BYTES] {
        let [a, b] = self.header_length.to_ne_bytes();
        let [c, d] = self.segment_length.to_ne_bytes();
        let [e, f] = self.checksum_start.to_ne_bytes();
        let [g, h] = self.checksum_offset.to_ne_bytes();
        [self.flags, self.gso_type, a, b, c, d, e, f, g, h]
    }
}
