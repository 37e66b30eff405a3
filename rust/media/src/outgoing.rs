//! Number the packets that we send.
//!
//! Place     rust/python -> here; src/dexmesh/apps/call/media/sender.py decides what is sent
//! Spec      RFC 3550 §5.1
//! Keeps     sequence and timestamp wrap as those of the wire

use crate::rtp::Packet;

/// One source of ours.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing {
    /// Its name.
    pub ssrc: u32,
    /// Of the next frame, whether it is sent or not.
    pub timestamp: u32,
    /// Packets so far.
    pub packets: u64,
    /// Bytes of payload so far.
    pub octets: u64,
    sequence: u16,
}

impl Outgoing {
    /// Everything starts at random (RFC 3550 §5.1): the caller gives the numbers.
    #[must_use]
    pub fn new(ssrc: u32, sequence: u16, timestamp: u32) -> Self {
        Self {
            ssrc,
            timestamp,
            packets: 0,
            octets: 0,
            sequence,
        }
    }

    /// Time goes on, whether something is sent or not; the timestamp before.
    pub fn advance(&mut self, units: u32) -> u32 {
        let before = self.timestamp;
        self.timestamp = before.wrapping_add(units);
        before
    }

    /// The next packet, with this in it.
    pub fn packet<'a>(
        &mut self,
        payload_type: u8,
        is_marked: bool,
        timestamp: u32,
        payload: &'a [u8],
    ) -> Packet<'a> {
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        self.packets += 1;
        self.octets += payload.len() as u64;
        Packet {
            payload_type,
            is_marked,
            sequence,
            timestamp,
            ssrc: self.ssrc,
            payload,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_and_timestamp_wrap() {
        let mut outgoing = Outgoing::new(7, u16::MAX, u32::MAX);
        let timestamp = outgoing.advance(160);
        assert_eq!((timestamp, outgoing.timestamp), (u32::MAX, 159));
        assert_eq!(outgoing.packet(0, true, 1, b"xy").sequence, u16::MAX);
        assert_eq!(outgoing.packet(0, false, 2, b"z").sequence, 0);
        assert_eq!((outgoing.packets, outgoing.octets), (2, 3));
    }
}
