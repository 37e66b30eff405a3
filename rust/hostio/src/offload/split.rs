//! Cut a superframe from the TUN into packets with finished checksums.
//!
//! Place     tun.rs (one read) -> here -> arena slots for `Engine::handle_tun`
//! Keeps     copies each byte once, straight to its final place; a frame that contradicts itself is refused

use dexmesh_engine::checksum::{
    Sum, complete_partial, internet_checksum, pseudo_header_v4, pseudo_header_v6,
};
use dexmesh_engine::drop::DropReason;

use super::header::{
    FLAG_NEEDS_CHECKSUM, GSO_ECN, GSO_NONE, GSO_TCP4, GSO_TCP6, GSO_UDP, VnetHeader,
};

const TCP: u8 = 6;
const UDP: u8 = 17;
const TCP_LEAST_BYTES: usize = 20;
const UDP_HEADER_BYTES: usize = 8;
const TCP_FLAGS: usize = 13;
const FIN_PSH: u8 = 0x01 | 0x08;
const CWR: u8 = 0x80;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Whole,
    Tcp,
    Udp,
}

/// One read from the TUN, ready to be written out packet by packet.
#[derive(Debug)]
pub struct Superframe<'a> {
    headers: &'a [u8],
    payload: &'a [u8],
    transport_start: usize,
    segment_length: usize,
    kind: Kind,
}

/// Understand one read. A single packet is a superframe of one; its partial checksum is finished here.
pub fn split(header: VnetHeader, frame: &mut [u8]) -> Result<Superframe<'_>, DropReason> {
    let start = usize::from(header.checksum_start);
    let needs_checksum = header.flags & FLAG_NEEDS_CHECKSUM != 0;
    let version = frame.first().map_or(0, |byte| byte >> 4);
    let kind = match (header.gso_type & !GSO_ECN, version) {
        (GSO_NONE, _) => Kind::Whole,
        (GSO_TCP4, 4) | (GSO_TCP6, 6) => Kind::Tcp,
        (GSO_UDP, 4 | 6) => Kind::Udp,
        _ => return Err(DropReason::TunBadOffload),
    };
    if kind == Kind::Whole {
        let offset = usize::from(header.checksum_offset);
        if needs_checksum && !complete_partial(frame, start, offset) {
            return Err(DropReason::TunBadOffload);
        }
        return Ok(Superframe {
            headers: &[],
            payload: frame,
            transport_start: 0,
            segment_length: usize::MAX,
            kind,
        });
    }
    cut(frame, kind, start, usize::from(header.segment_length)).ok_or(DropReason::TunBadOffload)
}

fn cut(
    frame: &[u8],
    kind: Kind,
    transport_start: usize,
    segment_length: usize,
) -> Option<Superframe<'_>> {
    let ip_length = match frame.first()? >> 4 {
        6 => 40,
        _ => usize::from(frame.first()? & 15) * 4,
    };
    let transport = frame.get(transport_start..)?;
    let header_length = transport_start
        + match kind {
            Kind::Udp => UDP_HEADER_BYTES,
            _ => usize::from(transport.get(12)? >> 4) * 4,
        };
    let least = transport_start
        + if kind == Kind::Tcp {
            TCP_LEAST_BYTES
        } else {
            UDP_HEADER_BYTES
        };
    let is_sound = ip_length >= 20
        && transport_start >= ip_length
        && header_length >= least
        && segment_length > 0
        && frame.len() > header_length;
    let (headers, payload) = frame.split_at_checked(header_length)?;
    is_sound.then_some(Superframe {
        headers,
        payload,
        transport_start,
        segment_length,
        kind,
    })
}

impl Superframe<'_> {
    /// How many packets it is.
    #[must_use]
    pub fn segments(&self) -> usize {
        self.payload.len().div_ceil(self.segment_length).max(1)
    }

    /// Length of packet `index`, headers included.
    #[must_use]
    pub fn length_of(&self, index: usize) -> usize {
        self.headers.len() + self.payload_of(index).len()
    }

    fn payload_of(&self, index: usize) -> &[u8] {
        let start = self
            .segment_length
            .saturating_mul(index)
            .min(self.payload.len());
        let end = start
            .saturating_add(self.segment_length)
            .min(self.payload.len());
        self.payload.get(start..end).unwrap_or_default()
    }

    /// Write packet `index` to `out`, which is `length_of(index)` long. False, and nothing of use in `out`, if it is not.
    #[must_use]
    pub fn write_segment(&self, index: usize, out: &mut [u8]) -> bool {
        let payload = self.payload_of(index);
        if out.len() != self.headers.len() + payload.len() {
            return false;
        }
        let (headers, rest) = out.split_at_mut(self.headers.len());
        headers.copy_from_slice(self.headers);
        rest.copy_from_slice(payload);
        self.kind == Kind::Whole || self.finish_segment(index, out).is_some()
    }

    fn finish_segment(&self, index: usize, out: &mut [u8]) -> Option<()> {
        let protocol = if self.kind == Kind::Tcp { TCP } else { UDP };
        let transport_length = out.len() - self.transport_start;
        let pseudo = finish_ip_header(out, index, protocol, transport_length)?;
        let transport = out.get_mut(self.transport_start..)?;
        let field = match self.kind {
            Kind::Tcp => {
                let is_last = index + 1 == self.segments();
                let bytes_before = self.segment_length * index;
                finish_tcp_header(transport, bytes_before as u32, index == 0, is_last)?;
                16
            }
            _ => {
                let length = u16::try_from(transport_length).ok()?;
                transport
                    .get_mut(4..6)?
                    .copy_from_slice(&length.to_be_bytes());
                6
            }
        };
        transport.get_mut(field..field + 2)?.fill(0);
        let mut checksum = pseudo.plus(transport).checksum();
        if self.kind == Kind::Udp && checksum == [0, 0] {
            checksum = [0xff, 0xff];
        }
        transport
            .get_mut(field..field + 2)?
            .copy_from_slice(&checksum);
        Some(())
    }
}

/// Put the length (and in IPv4 number and checksum) of one packet into its header; gives the pseudo header's sum.
fn finish_ip_header(
    packet: &mut [u8],
    index: usize,
    protocol: u8,
    transport_length: usize,
) -> Option<Sum> {
    let total = packet.len();
    if packet.first()? >> 4 == 6 {
        let header: &mut [u8; 40] = packet.first_chunk_mut()?;
        header[4..6].copy_from_slice(&u16::try_from(total - 40).ok()?.to_be_bytes());
        let addresses: &[u8; 32] = header.last_chunk()?;
        return Some(pseudo_header_v6(addresses, protocol, transport_length));
    }
    let header_length = usize::from(packet.first()? & 15) * 4;
    let header = packet.get_mut(..header_length)?;
    header
        .get_mut(2..4)?
        .copy_from_slice(&u16::try_from(total).ok()?.to_be_bytes());
    let number: &mut [u8; 2] = header.get_mut(4..)?.first_chunk_mut()?;
    *number = u16::from_be_bytes(*number)
        .wrapping_add(index as u16)
        .to_be_bytes();
    header.get_mut(10..12)?.fill(0);
    let checksum = internet_checksum(header);
    header.get_mut(10..12)?.copy_from_slice(&checksum);
    let addresses: &[u8; 8] = header.get(12..)?.first_chunk()?;
    Some(pseudo_header_v4(addresses, protocol, transport_length))
}

/// FIN and PSH belong to the last segment, CWR to the first, and the sequence number moves on.
fn finish_tcp_header(
    tcp: &mut [u8],
    bytes_before: u32,
    is_first: bool,
    is_last: bool,
) -> Option<()> {
    let sequence: &mut [u8; 4] = tcp.get_mut(4..)?.first_chunk_mut()?;
    *sequence = u32::from_be_bytes(*sequence)
        .wrapping_add(bytes_before)
        .to_be_bytes();
    let flags = tcp.get_mut(TCP_FLAGS)?;
    if !is_last {
        *flags &= !FIN_PSH;
    }
    if !is_first {
        *flags &= !CWR;
    }
    Some(())
}
