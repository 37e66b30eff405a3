//! Splitting and joining undo each other, and refuse what they should.

use core::ops::Range;

use dexmesh_engine::checksum::{Sum, pseudo_header_v4, pseudo_header_v6};
use dexmesh_engine::drop::DropReason;
use proptest::prelude::*;

use super::header::{GSO_TCP4, GSO_TCP6, GSO_UDP};
use super::*;

const TCP: u8 = 6;
const UDP: u8 = 17;

/// A TCP or UDP packet to be.
#[derive(Clone, Debug)]
struct Draft {
    version: u8,
    protocol: u8,
    port: u8,
    sequence: u32,
    flags: u8,
    ack: u8,
    options: usize,
    payload: Vec<u8>,
}

fn draft(protocol: u8, sequence: u32, payload: Vec<u8>) -> Draft {
    Draft {
        version: 6,
        protocol,
        port: 1,
        sequence,
        flags: 0x10,
        ack: 7,
        options: 12,
        payload,
    }
}

impl Draft {
    fn transport_header_length(&self) -> usize {
        if self.protocol == TCP {
            20 + self.options
        } else {
            8
        }
    }

    fn ip_header_length(&self) -> usize {
        if self.version == 6 { 40 } else { 20 }
    }

    fn checksum_field(&self) -> usize {
        self.ip_header_length() + if self.protocol == TCP { 16 } else { 6 }
    }

    fn pseudo(&self, packet: &[u8]) -> Sum {
        let length = packet.len() - self.ip_header_length();
        if self.version == 6 {
            pseudo_header_v6(packet[8..40].try_into().unwrap(), self.protocol, length)
        } else {
            pseudo_header_v4(packet[12..20].try_into().unwrap(), self.protocol, length)
        }
    }

    fn encode(&self, is_partial: bool) -> Vec<u8> {
        let transport = self.transport_header_length() + self.payload.len();
        let mut packet = if self.version == 6 {
            let mut header = vec![0x60, 0, 0, 0, 0, 0, self.protocol, 42];
            header[4..6].copy_from_slice(&(transport as u16).to_be_bytes());
            header.extend_from_slice(&[0xfc; 32]);
            header
        } else {
            let mut header = vec![0x45, 0, 0, 0, 0, 9, 0x40, 0, 64, self.protocol, 0, 0];
            header[2..4].copy_from_slice(&(20 + transport as u16).to_be_bytes());
            header.extend_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
            let checksum = Sum::ZERO.plus(&header).checksum();
            header[10..12].copy_from_slice(&checksum);
            header
        };
        packet.extend_from_slice(&[1, self.port, 2, 2]);
        if self.protocol == TCP {
            packet.extend_from_slice(&self.sequence.to_be_bytes());
            packet.extend_from_slice(&[0, 0, 0, self.ack]);
            let offset = ((20 + self.options) / 4) as u8;
            packet.extend_from_slice(&[offset << 4, self.flags, 1, 1, 0, 0, 0, 0]);
            packet.extend(vec![1; self.options]);
        } else {
            packet.extend_from_slice(&(transport as u16).to_be_bytes());
            packet.extend_from_slice(&[0, 0]);
        }
        packet.extend_from_slice(&self.payload);
        let pseudo = self.pseudo(&packet);
        let sum = pseudo.plus(&packet[self.ip_header_length()..]);
        let value = if is_partial {
            pseudo.folded()
        } else {
            sum.checksum()
        };
        let field = self.checksum_field();
        packet[field..field + 2].copy_from_slice(&value);
        packet
    }

    fn vnet_header(&self, segment_length: u16) -> VnetHeader {
        VnetHeader {
            flags: 1,
            gso_type: match (self.protocol, self.version) {
                (UDP, _) => GSO_UDP,
                (_, 6) => GSO_TCP6,
                _ => GSO_TCP4,
            },
            header_length: (self.ip_header_length() + self.transport_header_length()) as u16,
            segment_length,
            checksum_start: self.ip_header_length() as u16,
            checksum_offset: (self.checksum_field() - self.ip_header_length()) as u16,
        }
    }

    fn is_intact(&self, packet: &[u8]) -> bool {
        let covered = &packet[self.ip_header_length()..];
        self.pseudo(packet).plus(covered).is_intact()
    }
}

fn segments_of(frame: &Superframe<'_>) -> Vec<Vec<u8>> {
    (0..frame.segments())
        .map(|index| {
            let mut out = vec![0xee; frame.length_of(index)];
            assert!(frame.write_segment(index, &mut out));
            out
        })
        .collect()
}

/// Packets in an arena with gaps, as the engine delivers them.
fn lay_out(packets: &[Vec<u8>]) -> (Vec<u8>, Vec<Range<usize>>) {
    let mut arena = Vec::new();
    let mut ranges = Vec::new();
    for packet in packets {
        arena.extend_from_slice(&[0xcc; 56]);
        ranges.push(arena.len()..arena.len() + packet.len());
        arena.extend_from_slice(packet);
    }
    (arena, ranges)
}

fn join(packets: &[Vec<u8>], joining: Joining) -> Vec<(VnetHeader, usize, Vec<u8>)> {
    let (mut arena, ranges) = lay_out(packets);
    let mut coalescer = Coalescer::default();
    let joined: Vec<(VnetHeader, usize, Vec<Range<usize>>)> = coalescer
        .join(&mut arena, &ranges, joining)
        .map(|frame| (frame.header, frame.packets, frame.collect()))
        .collect();
    joined
        .into_iter()
        .map(|(header, packets, pieces)| {
            let bytes = pieces.into_iter().flat_map(|piece| arena[piece].to_vec());
            (header, packets, bytes.collect())
        })
        .collect()
}

fn split_again(header: VnetHeader, bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut bytes = bytes.to_vec();
    segments_of(&split(header, &mut bytes).unwrap())
}

prop_compose! {
    fn superframes()(
        version in prop::sample::select(vec![4u8, 6]), protocol in prop::sample::select(vec![TCP, UDP]),
        sequence: u32, flags in prop::sample::select(vec![0x10u8, 0x18, 0x19, 0x98]),
        options in prop::sample::select(vec![0usize, 12, 40]),
        payload in prop::collection::vec(any::<u8>(), 1..20_000), segment_length in 1u16..2000,
    ) -> (Draft, u16) {
        let floor = (payload.len() / 64 + 1) as u16;
        (Draft { version, protocol, port: 1, sequence, flags, ack: 7, options, payload }, segment_length.max(floor))
    }
}

prop_compose! {
    /// Packets of three flows that are often, but not always, consecutive.
    fn traffic()(
        choices in prop::collection::vec(
            (0u8..3, 0u8..12, prop::sample::select(vec![100usize, 100, 100, 60, 1, 0]), any::<u8>()), 1..40)
    ) -> Vec<Draft> {
        let mut next = [u32::MAX - 150, 5, 0];
        choices.into_iter().map(|(flow, oddity, length, byte)| {
            let sequence = &mut next[usize::from(flow)];
            let protocol = if flow == 2 { UDP } else { TCP };
            let mut packet = draft(protocol, *sequence, vec![byte; length]);
            packet.port = flow;
            match oddity {
                0 => packet.flags = 0x18,
                1 => packet.flags = 0x11,
                2 => packet.ack = 8,
                3 => packet.options = 8,
                4 => packet.sequence = packet.sequence.wrapping_add(1),
                _ => {}
            }
            *sequence = sequence.wrapping_add(length as u32);
            packet
        }).collect()
    }
}

fn flow(packet: &[u8]) -> u8 {
    packet[41]
}

proptest! {
    #[test]
    fn every_segment_is_a_sound_packet((draft, segment_length) in superframes()) {
        let mut frame = draft.encode(true);
        let split = split(draft.vnet_header(segment_length), &mut frame).unwrap();
        let segments = segments_of(&split);
        let headers = draft.ip_header_length() + draft.transport_header_length();
        let mut payload = Vec::new();
        for (index, segment) in segments.iter().enumerate() {
            let is_last = index + 1 == segments.len();
            prop_assert!(draft.is_intact(segment));
            prop_assert!(is_last || segment.len() == headers + usize::from(segment_length));
            if draft.version == 4 {
                prop_assert!(Sum::ZERO.plus(&segment[..20]).is_intact());
                prop_assert_eq!(&segment[4..6], &(9 + index as u16).to_be_bytes());
                prop_assert_eq!(&segment[2..4], &(segment.len() as u16).to_be_bytes());
            } else {
                prop_assert_eq!(&segment[4..6], &(segment.len() as u16 - 40).to_be_bytes());
            }
            let transport = &segment[draft.ip_header_length()..];
            if draft.protocol == TCP {
                let sequence = draft.sequence.wrapping_add(payload.len() as u32);
                prop_assert_eq!(&transport[4..8], &sequence.to_be_bytes());
                let flags = draft.flags & if is_last { 0xff } else { !0x09 } & if index == 0 { 0xff } else { !0x80 };
                prop_assert_eq!(transport[13], flags);
            } else {
                prop_assert_eq!(&transport[4..6], &(transport.len() as u16).to_be_bytes());
            }
            payload.extend_from_slice(&segment[headers..]);
        }
        prop_assert_eq!(payload, draft.payload);
    }

    #[test]
    fn joining_what_was_split_gives_the_superframe_back((mut draft, segment_length) in superframes()) {
        draft.version = 6;
        draft.flags &= !0x81;
        let frame = draft.encode(true);
        let header = draft.vnet_header(segment_length);
        let segments = split_again(header, &frame);
        let joined = join(&segments, Joining::TcpAndUdp);
        prop_assert_eq!(joined.len(), 1);
        prop_assert_eq!(joined[0].1, segments.len());
        if segments.len() == 1 {
            prop_assert_eq!(joined[0].0, VnetHeader::default());
            prop_assert_eq!(&joined[0].2, &segments[0]);
        } else {
            prop_assert_eq!(joined[0].0, header);
            prop_assert_eq!(&joined[0].2, &frame);
        }
    }

    #[test]
    fn splitting_what_was_joined_gives_every_packet_back_in_the_order_of_its_flow(drafts in traffic()) {
        let packets: Vec<Vec<u8>> = drafts.iter().map(|draft| draft.encode(false)).collect();
        let joined = join(&packets, Joining::TcpAndUdp);
        prop_assert_eq!(joined.iter().map(|frame| frame.1).sum::<usize>(), packets.len());
        let out: Vec<Vec<u8>> = joined.iter().flat_map(|(header, _, bytes)| split_again(*header, bytes)).collect();
        for port in 0..3 {
            let of_flow = |list: &[Vec<u8>]| -> Vec<Vec<u8>> {
                list.iter().filter(|packet| flow(packet) == port).cloned().collect()
            };
            prop_assert_eq!(of_flow(&out), of_flow(&packets));
        }
    }

    #[test]
    fn a_damaged_packet_stays_alone_and_damaged(drafts in traffic(), which: prop::sample::Index, bit in 320usize..400) {
        let mut packets: Vec<Vec<u8>> = drafts.iter().map(|draft| draft.encode(false)).collect();
        let index = which.index(packets.len());
        let length = packets[index].len();
        packets[index][bit / 8 % length] ^= 1 << (bit % 8);
        let damaged = packets[index].clone();
        let joined = join(&packets, Joining::TcpAndUdp);
        prop_assert!(joined.iter().any(|(_, count, bytes)| *count == 1 && *bytes == damaged));
    }

    #[test]
    fn no_bytes_make_it_panic(
        raw in prop::collection::vec(any::<u8>(), 0..200), gso in 0u8..8, start in 0u16..120, segment in 0u16..50,
        version in prop::sample::select(vec![0x45u8, 0x60, 0x4f, 0]),
    ) {
        let mut frame = raw.clone();
        if let Some(first) = frame.first_mut() {
            *first = version;
        }
        let header = VnetHeader { flags: 1, gso_type: gso, segment_length: segment, checksum_start: start, ..VnetHeader::default() };
        if let Ok(found) = split(header, &mut frame) {
            for index in 0..found.segments() {
                let mut out = vec![0; found.length_of(index)];
                let _ = found.write_segment(index, &mut out);
            }
        }
        let _ = join(&[raw.clone(), frame, raw], Joining::TcpAndUdp);
    }

    #[test]
    fn a_vnet_header_reads_back(bytes: [u8; 10], packet in prop::collection::vec(any::<u8>(), 0..9)) {
        let mut raw = bytes.to_vec();
        raw.extend_from_slice(&packet);
        let (header, rest) = VnetHeader::decode(&mut raw).unwrap();
        prop_assert_eq!(header.encode(), bytes);
        prop_assert_eq!(&rest[..], &packet[..]);
    }
}

#[test]
fn a_single_packet_with_a_partial_checksum_gets_a_whole_one() {
    let draft = draft(UDP, 0, vec![5; 33]);
    let header = VnetHeader {
        gso_type: 0,
        ..draft.vnet_header(0)
    };
    let mut frame = draft.encode(true);
    let segments = segments_of(&split(header, &mut frame).unwrap());
    assert_eq!(segments, vec![draft.encode(false)]);
}

#[test]
fn a_packet_without_offload_passes_unchanged() {
    let packet = draft(TCP, 1, vec![1; 10]).encode(false);
    let segments = split_again(VnetHeader::default(), &packet);
    assert_eq!(segments, vec![packet]);
}

#[test]
fn superframes_that_contradict_themselves_are_refused() {
    let draft = draft(TCP, 0, vec![9; 300]);
    let good = draft.vnet_header(100);
    let refused = |header: VnetHeader, frame: &[u8]| {
        let mut frame = frame.to_vec();
        split(header, &mut frame).err()
    };
    let frame = draft.encode(true);
    let bad = Some(DropReason::TunBadOffload);
    assert_eq!(refused(good, &frame), None);
    assert_eq!(
        refused(
            VnetHeader {
                segment_length: 0,
                ..good
            },
            &frame
        ),
        bad
    );
    assert_eq!(
        refused(
            VnetHeader {
                gso_type: GSO_TCP4,
                ..good
            },
            &frame
        ),
        bad
    );
    assert_eq!(
        refused(
            VnetHeader {
                gso_type: 3,
                ..good
            },
            &frame
        ),
        bad
    );
    assert_eq!(
        refused(
            VnetHeader {
                checksum_start: 39,
                ..good
            },
            &frame
        ),
        bad
    );
    assert_eq!(
        refused(
            VnetHeader {
                checksum_start: 500,
                ..good
            },
            &frame
        ),
        bad
    );
    assert_eq!(refused(good, &frame[..72]), bad);
    assert_eq!(refused(good, &[]), bad);
    let short_offset = VnetHeader {
        gso_type: 0,
        checksum_offset: 1000,
        ..good
    };
    assert_eq!(refused(short_offset, &frame), bad);
}

#[test]
fn udp_is_joined_only_where_the_kernel_takes_it() {
    let packets: Vec<Vec<u8>> = (0..3)
        .map(|_| draft(UDP, 0, vec![1; 64]).encode(false))
        .collect();
    assert_eq!(join(&packets, Joining::TcpAndUdp).len(), 1);
    assert_eq!(join(&packets, Joining::Tcp).len(), 3);
}

#[test]
fn a_superframe_never_grows_beyond_what_a_length_field_can_say() {
    let packets: Vec<Vec<u8>> = (0..60)
        .map(|index| draft(TCP, index * 1300, vec![1; 1300]).encode(false))
        .collect();
    let joined = join(&packets, Joining::Tcp);
    assert_eq!(joined.len(), 2);
    assert!(joined.iter().all(|(_, _, bytes)| bytes.len() <= 65_535));
    let small: Vec<Vec<u8>> = (0..100)
        .map(|index| draft(TCP, index, vec![1]).encode(false))
        .collect();
    let counts: Vec<usize> = join(&small, Joining::Tcp)
        .iter()
        .map(|frame| frame.1)
        .collect();
    assert_eq!(counts, vec![64, 36]);
}
