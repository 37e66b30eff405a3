//! Join packets for the TUN into superframes by pointer: the headers of the first, the payloads of all.
//!
//! Place     `Sink::deliver` -> here -> tun.rs (one writev a superframe)
//! Keeps     packets of one flow stay in order; joined is only what the kernel itself would join: consecutive TCP segments
//!           that differ in nothing but sequence and PSH, or UDP datagrams of one size; each with a right checksum
//! Not here  IPv4 and extension headers: such packets pass one by one

use core::ops::Range;

use dexmesh_engine::checksum::pseudo_header_v6;

use super::header::{FLAG_NEEDS_CHECKSUM, GSO_TCP6, GSO_UDP, VnetHeader};

const IP_BYTES: usize = 40;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ACK: u8 = 0x10;
const PSH: u8 = 0x08;
const MOST_BYTES: usize = 65_535;
const MOST_PACKETS: usize = 64;
/// How many superframes back a packet looks for its flow.
const LOOK_BACK: usize = 8;
const END: usize = usize::MAX;

/// What may be joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joining {
    /// TCP only.
    Tcp,
    /// TCP and UDP.
    TcpAndUdp,
}

/// What one packet looks like to the rules.
#[derive(Clone, Copy, Debug)]
struct Shape {
    protocol: u8,
    header_length: usize,
    payload_length: usize,
    sequence: u32,
    flags: u8,
    /// Whether something may be joined to it, or it to something.
    is_plain: bool,
}

#[derive(Debug)]
struct Frame {
    first: Range<usize>,
    shape: Option<Shape>,
    last_piece: usize,
    first_piece: usize,
    packets: usize,
    payload_total: usize,
    flags: u8,
    is_verified: bool,
    is_closed: bool,
}

/// Reused from call to call, so that joining allocates nothing once it has seen its largest batch.
#[derive(Debug, Default)]
pub struct Coalescer {
    frames: Vec<Frame>,
    /// Where the pieces are, each with the number of the one that follows.
    pieces: Vec<(Range<usize>, usize)>,
}

/// One write to the TUN.
#[derive(Debug)]
pub struct Joined<'a> {
    /// What goes before it.
    pub header: VnetHeader,
    /// How many packets it is.
    pub packets: usize,
    pieces: &'a [(Range<usize>, usize)],
    next: usize,
}

impl Iterator for Joined<'_> {
    type Item = Range<usize>;

    /// The next piece, in bytes of the arena.
    fn next(&mut self) -> Option<Range<usize>> {
        let (range, next) = self.pieces.get(self.next)?;
        self.next = *next;
        Some(range.clone())
    }
}

impl Coalescer {
    /// Join what may be joined. The headers of first packets are changed in place to say so.
    pub fn join<'c>(
        &'c mut self,
        arena: &mut [u8],
        packets: &[Range<usize>],
        joining: Joining,
    ) -> impl Iterator<Item = Joined<'c>> + use<'c> {
        self.frames.clear();
        self.pieces.clear();
        for packet in packets {
            self.take(arena, packet, joining);
        }
        for frame in &mut self.frames {
            if frame.packets > 1 {
                seal_headers(arena, frame);
            }
        }
        let pieces = &self.pieces;
        self.frames.iter().map(move |frame| Joined {
            header: vnet_header(frame),
            packets: frame.packets,
            pieces,
            next: frame.first_piece,
        })
    }

    fn take(&mut self, arena: &[u8], range: &Range<usize>, joining: Joining) {
        let shape = arena.get(range.clone()).and_then(shape_of);
        let shape = shape.filter(|found| found.protocol == TCP || joining == Joining::TcpAndUdp);
        if let Some(found) = shape
            && let Some(frame) = find_flow(&mut self.frames, arena, range, found)
            && may_follow(frame, found, arena, range)
        {
            let payload = range.start + found.header_length..range.end;
            let number = self.pieces.len();
            if let Some(last) = self.pieces.get_mut(frame.last_piece) {
                last.1 = number;
            }
            frame.last_piece = number;
            self.pieces.push((payload, END));
            frame.packets += 1;
            frame.payload_total += found.payload_length;
            frame.flags |= found.flags;
            let is_shorter = frame
                .shape
                .is_some_and(|first| found.payload_length < first.payload_length);
            frame.is_closed = is_shorter || found.flags & PSH != 0 && found.protocol == TCP;
            return;
        }
        self.frames.push(Frame {
            first: range.clone(),
            shape,
            first_piece: self.pieces.len(),
            last_piece: self.pieces.len(),
            packets: 1,
            payload_total: shape.map_or(0, |found| found.payload_length),
            flags: shape.map_or(0, |found| found.flags),
            is_verified: false,
            is_closed: shape.is_none_or(|found| {
                !found.is_plain || found.protocol == TCP && found.flags & PSH != 0
            }),
        });
        self.pieces.push((range.clone(), END));
    }
}

/// What a packet is to the rules; None for anything but TCP or UDP right after an IPv6 header.
fn shape_of(packet: &[u8]) -> Option<Shape> {
    let (header, transport) = packet.split_first_chunk::<IP_BYTES>()?;
    let claimed = usize::from(u16::from_be_bytes([header[4], header[5]]));
    if header[0] >> 4 != 6 || claimed != transport.len() {
        return None;
    }
    match header[6] {
        TCP => {
            let tcp: &[u8; 20] = transport.first_chunk()?;
            let tcp_length = usize::from(tcp[12] >> 4) * 4;
            let payload_length = transport.len().checked_sub(tcp_length.max(20))?;
            let flags = tcp[13];
            Some(Shape {
                protocol: TCP,
                header_length: IP_BYTES + tcp_length.max(20),
                payload_length,
                sequence: u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]),
                flags,
                is_plain: flags & !PSH == ACK && payload_length > 0 && tcp_length >= 20,
            })
        }
        UDP => {
            let udp: &[u8; 8] = transport.first_chunk()?;
            let length = usize::from(u16::from_be_bytes([udp[4], udp[5]]));
            let payload_length = transport.len() - udp.len();
            Some(Shape {
                protocol: UDP,
                header_length: IP_BYTES + udp.len(),
                payload_length,
                sequence: 0,
                flags: 0,
                is_plain: length == transport.len() && payload_length > 0,
            })
        }
        _ => None,
    }
}

/// The newest superframe of this packet's flow, so that no packet overtakes another of its flow.
fn find_flow<'a>(
    frames: &'a mut [Frame],
    arena: &[u8],
    range: &Range<usize>,
    shape: Shape,
) -> Option<&'a mut Frame> {
    let flow = flow_of(arena, range)?;
    frames.iter_mut().rev().take(LOOK_BACK).find(|frame| {
        frame
            .shape
            .is_some_and(|first| first.protocol == shape.protocol)
            && flow_of(arena, &frame.first) == Some(flow)
    })
}

/// Addresses and ports.
fn flow_of<'a>(arena: &'a [u8], range: &Range<usize>) -> Option<&'a [u8; 36]> {
    arena.get(range.start + 8..range.end)?.first_chunk()
}

/// Whether a packet may be the next segment of a superframe.
fn may_follow(frame: &mut Frame, shape: Shape, arena: &[u8], range: &Range<usize>) -> bool {
    let Some(first) = frame.shape else {
        return false;
    };
    let total = first.header_length + frame.payload_total + shape.payload_length;
    let next_sequence = first.sequence.wrapping_add(frame.payload_total as u32);
    let fits = !frame.is_closed
        && shape.is_plain
        && shape.header_length == first.header_length
        && shape.payload_length <= first.payload_length
        && (shape.protocol == UDP || shape.sequence == next_sequence)
        && frame.packets < MOST_PACKETS
        && total <= MOST_BYTES;
    if !fits {
        return false;
    }
    let (Some(before), Some(packet)) = (arena.get(frame.first.clone()), arena.get(range.clone()))
    else {
        return false;
    };
    if !have_equal_headers(before, packet, shape) {
        return false;
    }
    frame.is_verified = frame.is_verified || is_intact(before);
    frame.is_closed = !frame.is_verified;
    frame.is_verified && is_intact(packet)
}

/// Equal in all that segments of one superframe share. Addresses and ports are known to be equal.
fn have_equal_headers(first: &[u8], packet: &[u8], shape: Shape) -> bool {
    let same = |part: Range<usize>| first.get(part.clone()) == packet.get(part);
    let same_ip = same(0..4) && same(6..8);
    let tcp_rest = IP_BYTES + 20..shape.header_length;
    let same_tcp = || {
        same(IP_BYTES + 8..IP_BYTES + 13)
            && same(IP_BYTES + 14..IP_BYTES + 16)
            && same(IP_BYTES + 18..IP_BYTES + 20)
            && same(tcp_rest)
    };
    same_ip && (shape.protocol == UDP || same_tcp())
}

/// Whether the transport checksum of an IPv6 packet is right. UDP without a checksum does not count.
fn is_intact(packet: &[u8]) -> bool {
    let Some((header, transport)) = packet.split_first_chunk::<IP_BYTES>() else {
        return false;
    };
    let Some(addresses) = header.last_chunk::<32>() else {
        return false;
    };
    if header[6] == UDP && transport.get(6..8) == Some(&[0, 0]) {
        return false;
    }
    pseudo_header_v6(addresses, header[6], transport.len())
        .plus(transport)
        .is_intact()
}

/// Make the first packet's headers those of the superframe: its length, its PSH, and a partial checksum.
fn seal_headers(arena: &mut [u8], frame: &Frame) {
    let (Some(shape), Some(packet)) = (frame.shape, arena.get_mut(frame.first.clone())) else {
        return;
    };
    let transport_length = shape.header_length - IP_BYTES + frame.payload_total;
    let length = (transport_length as u16).to_be_bytes();
    let Some((header, transport)) = packet.split_first_chunk_mut::<IP_BYTES>() else {
        return;
    };
    header[4..6].copy_from_slice(&length);
    let [_, _, _, _, _, _, _, _, addresses @ ..] = header;
    let partial = pseudo_header_v6(addresses, shape.protocol, transport_length).folded();
    if shape.protocol == TCP {
        if let Some(tcp) = transport.first_chunk_mut::<20>() {
            tcp[13] |= frame.flags & PSH;
            tcp[16..18].copy_from_slice(&partial);
        }
    } else if let Some(udp) = transport.first_chunk_mut::<8>() {
        udp[4..6].copy_from_slice(&length);
        udp[6..8].copy_from_slice(&partial);
    }
}

fn vnet_header(frame: &Frame) -> VnetHeader {
    let Some(shape) = frame.shape.filter(|_| frame.packets > 1) else {
        return VnetHeader::default();
    };
    let is_tcp = shape.protocol == TCP;
    VnetHeader {
        flags: FLAG_NEEDS_CHECKSUM,
        gso_type: if is_tcp { GSO_TCP6 } else { GSO_UDP },
        header_length: shape.header_length as u16,
        segment_length: shape.payload_length as u16,
        checksum_start: IP_BYTES as u16,
        checksum_offset: if is_tcp { 16 } else { 6 },
    }
}
