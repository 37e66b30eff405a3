//! RTP packets: bytes to fields and back.
//!
//! Place     incoming.rs, outgoing.rs -> here
//! Spec      RFC 3550 §5.1 (header), §5.3.1 (extension); docs/apps/sip.md §3 Media
//! Keeps     every bit of the header is honoured; bounded: MAX_BYTES; any bytes give a packet or a reason
//! Not here  order, loss and time (reception.rs, jitter.rs)

use crate::DropReason;

/// Ours: no 120 ms of sound in any codec of ours are longer.
pub const MAX_BYTES: usize = 2_048;
/// Of the header without sources and extension.
pub const HEADER_BYTES: usize = 12;
/// How many sequence numbers there are.
pub const SEQUENCES: i64 = 1 << 16;

const VERSION: u8 = 0x80;
const VERSION_MASK: u8 = 0xC0;
const PADDING: u8 = 0x20;
const EXTENSION: u8 = 0x10;
const SOURCES_MASK: u8 = 0x0F;
const MARKER: u8 = 0x80;
const WORD_BYTES: usize = 4;

/// A packet without padding, extension and contributing sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// What is in it, as the two sides agreed.
    pub payload_type: u8,
    /// The first after a pause, for sound.
    pub is_marked: bool,
    /// Its number, without wraps.
    pub sequence: u16,
    /// Its moment, in units of the clock.
    pub timestamp: u32,
    /// Whose it is.
    pub ssrc: u32,
    /// The sound.
    pub payload: &'a [u8],
}

/// The packet in a datagram.
pub fn decode(data: &[u8]) -> Result<Packet<'_>, DropReason> {
    let Some((header, rest)) = data.split_first_chunk::<HEADER_BYTES>() else {
        return Err(DropReason::TooShort);
    };
    if data.len() > MAX_BYTES {
        return Err(DropReason::TooLong);
    }
    let [first, second, s0, s1, t0, t1, t2, t3, i0, i1, i2, i3] = *header;
    Ok(Packet {
        payload_type: second & !MARKER,
        is_marked: second & MARKER != 0,
        sequence: u16::from_be_bytes([s0, s1]),
        timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
        ssrc: u32::from_be_bytes([i0, i1, i2, i3]),
        payload: if first == VERSION {
            rest
        } else {
            payload_of(first, rest)?
        },
    })
}

/// The payload behind a header with more than the usual: sources, an extension, padding.
fn payload_of(first: u8, rest: &[u8]) -> Result<&[u8], DropReason> {
    if first & VERSION_MASK != VERSION {
        return Err(DropReason::BadVersion);
    }
    let mut start = WORD_BYTES * usize::from(first & SOURCES_MASK);
    if first & EXTENSION != 0 {
        let Some(&[_, _, high, low]) = rest.get(start..start + WORD_BYTES) else {
            return Err(DropReason::BadExtension);
        };
        start += WORD_BYTES + WORD_BYTES * usize::from(u16::from_be_bytes([high, low]));
        if start > rest.len() {
            return Err(DropReason::BadExtension);
        }
    }
    let payload = rest.get(start..).ok_or(DropReason::TooShort)?;
    if first & PADDING == 0 {
        return Ok(payload);
    }
    let padding = usize::from(*payload.last().ok_or(DropReason::BadPadding)?);
    let end = payload.len().checked_sub(padding).filter(|_| padding > 0);
    let whole = end.and_then(|end| payload.get(..end));
    whole.ok_or(DropReason::BadPadding)
}

/// Write a packet with nothing but the usual header; `into` has exactly its length. Payload types end at 127.
pub fn encode_into(packet: &Packet<'_>, into: &mut [u8]) {
    let Some((header, payload)) = into.split_first_chunk_mut::<HEADER_BYTES>() else {
        return;
    };
    let marker = if packet.is_marked { MARKER } else { 0 };
    let [s0, s1] = packet.sequence.to_be_bytes();
    let [t0, t1, t2, t3] = packet.timestamp.to_be_bytes();
    let [i0, i1, i2, i3] = packet.ssrc.to_be_bytes();
    let second = packet.payload_type & !MARKER | marker;
    *header = [VERSION, second, s0, s1, t0, t1, t2, t3, i0, i1, i2, i3];
    for (to, from) in payload.iter_mut().zip(packet.payload) {
        *to = *from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PLAIN: [u8; 12] = [
        0x80, 0, 0x12, 0x34, 0, 0, 0x0A, 0xA0, 0xCA, 0xFE, 0xBA, 0xBE,
    ];
    const SOUND: &[u8] = b"sound";

    fn with(first: u8, rest: &[u8]) -> Vec<u8> {
        [&[first], PLAIN.get(1..).unwrap(), rest].concat()
    }

    fn plain(payload: &[u8]) -> Packet<'_> {
        Packet {
            payload_type: 0,
            is_marked: false,
            sequence: 0x1234,
            timestamp: 0xAA0,
            ssrc: 0xCAFE_BABE,
            payload,
        }
    }

    fn encoded(packet: &Packet<'_>) -> Vec<u8> {
        let mut data = vec![0; HEADER_BYTES + packet.payload.len()];
        encode_into(packet, &mut data);
        data
    }

    #[test]
    fn a_plain_packet_is_read() {
        assert_eq!(decode(&with(0x80, SOUND)), Ok(plain(SOUND)));
    }

    #[test]
    fn marker_and_payload_type_share_a_byte() {
        let mut data = with(0x80, SOUND);
        data[1] = 0xE5;
        let packet = decode(&data).unwrap();
        assert_eq!((packet.is_marked, packet.payload_type), (true, 101));
    }

    #[test]
    fn sources_extension_and_padding_are_passed_over() {
        let sources = [&[1; 8], SOUND].concat();
        assert_eq!(decode(&with(0x82, &sources)), Ok(plain(SOUND)));
        let extension = [&[0xBE, 0xDE, 0, 2], [1; 8].as_slice(), SOUND].concat();
        assert_eq!(decode(&with(0x90, &extension)), Ok(plain(SOUND)));
        let padding = [SOUND, &[0, 0, 3]].concat();
        assert_eq!(decode(&with(0xA0, &padding)), Ok(plain(SOUND)));
        let all = [
            &[1; 4],
            [0xBE, 0xDE, 0, 1, 1, 1, 1, 1].as_slice(),
            SOUND,
            &[1],
        ]
        .concat();
        assert_eq!(decode(&with(0xB1, &all)), Ok(plain(SOUND)));
    }

    #[test]
    fn padding_may_be_all_there_is() {
        assert_eq!(decode(&with(0xA0, &[0, 2])), Ok(plain(b"")));
    }

    #[test]
    fn what_is_no_packet_is_dropped_with_its_reason() {
        let extension = |rest: &[u8]| [&[0xBE, 0xDE], rest].concat();
        for (data, reason) in [
            (vec![], DropReason::TooShort),
            (PLAIN[..11].to_vec(), DropReason::TooShort),
            (with(0x80, &[0; MAX_BYTES]), DropReason::TooLong),
            (with(0x00, SOUND), DropReason::BadVersion),
            (with(0x40, SOUND), DropReason::BadVersion),
            (with(0xC0, SOUND), DropReason::BadVersion),
            (with(0x8F, SOUND), DropReason::TooShort),
            (with(0x90, &extension(&[0])), DropReason::BadExtension),
            (
                with(0x90, &extension(&[0, 2, 1, 1, 1, 1, 1, 1, 1])),
                DropReason::BadExtension,
            ),
            (with(0x9F, &extension(&[0, 0])), DropReason::BadExtension),
            (with(0xA0, b"sound\0"), DropReason::BadPadding),
            (with(0xA0, b"sound\x07"), DropReason::BadPadding),
            (with(0xA0, b""), DropReason::BadPadding),
        ] {
            assert_eq!(decode(&data), Err(reason), "{data:02x?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_packet_or_a_reason(data: Vec<u8>) {
            if let Ok(packet) = decode(&data) {
                let again = encoded(&packet);
                prop_assert_eq!(decode(&again), Ok(packet));
            }
        }

        #[test]
        fn what_is_written_is_read(
            payload_type in 0..=127_u8, is_marked: bool, sequence: u16, timestamp: u32, ssrc: u32,
            payload in proptest::collection::vec(any::<u8>(), 0..=MAX_BYTES - HEADER_BYTES),
        ) {
            let packet = Packet { payload_type, is_marked, sequence, timestamp, ssrc, payload: &payload };
            let data = encoded(&packet);
            prop_assert_eq!(decode(&data), Ok(packet));
        }
    }
}
