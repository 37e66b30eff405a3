//! What the kernel hands over as one, and what we hand to it as one.

use std::ops::Range;

use dexmesh_hostio::offload::{Coalescer, Joining, VNET_HEADER_BYTES, VnetHeader, split};

use super::records;

const GAP: usize = 56;
const IP_BYTES: usize = 40;

/// A read from the TUN: ten bytes of header, then a frame.
pub fn offload_split(data: &[u8]) {
    let mut data = data.to_vec();
    let length = data.len();
    let Some((header, frame)) = VnetHeader::decode(&mut data) else {
        return;
    };
    assert_eq!(
        VnetHeader::decode(&mut header.encode()).map(|found| found.0),
        Some(header)
    );
    let Ok(superframe) = split(header, frame) else {
        return;
    };
    let mut packet = Vec::new();
    for index in 0..superframe.segments() {
        packet.resize(superframe.length_of(index), 0);
        assert!(packet.len() + VNET_HEADER_BYTES <= length);
        let _ = superframe.write_segment(index, &mut packet);
        packet.push(0);
        assert!(
            !superframe.write_segment(index, &mut packet),
            "longer than it said"
        );
        packet.pop();
    }
}

/// Packets for the TUN, joined: nothing is lost or added, and what was joined splits into the same again.
pub fn offload_join(data: &[u8]) {
    let Some((&mode, rest)) = data.split_first() else {
        return;
    };
    let joining = if mode & 1 == 0 {
        Joining::TcpAndUdp
    } else {
        Joining::Tcp
    };
    let mut arena = Vec::new();
    let mut ranges = Vec::new();
    let mut first: Option<Vec<u8>> = None;
    for record in records(rest) {
        // Kind 1: the packet before, with these changes: flows are hard to guess.
        let mut packet = match &first {
            Some(packet) if record.kind & 1 != 0 => {
                super::damaged(packet, &record, record.number, false)
            }
            _ => record.body.to_vec(),
        };
        if record.kind & 2 != 0 && packet.len() >= IP_BYTES {
            let claimed = (packet.len() - IP_BYTES) as u16;
            packet[4..6].copy_from_slice(&claimed.to_be_bytes());
        }
        arena.resize(arena.len() + GAP, 0);
        ranges.push(arena.len()..arena.len() + packet.len());
        arena.extend_from_slice(&packet);
        first = Some(packet);
    }
    let before: Vec<Vec<u8>> = ranges
        .iter()
        .map(|range| arena[range.clone()].to_vec())
        .collect();
    let mut coalescer = Coalescer::default();
    let joined: Vec<(VnetHeader, usize, Vec<Range<usize>>)> = coalescer
        .join(&mut arena, &ranges, joining)
        .map(|frame| (frame.header, frame.packets, frame.collect()))
        .collect();
    assert_eq!(
        joined.iter().map(|frame| frame.1).sum::<usize>(),
        ranges.len()
    );
    let mut after = Vec::new();
    for (header, packets, pieces) in joined {
        assert_eq!(pieces.len(), packets);
        let mut frame: Vec<u8> = pieces
            .iter()
            .flat_map(|piece| arena[piece.clone()].to_vec())
            .collect();
        if packets == 1 {
            after.push(frame);
            continue;
        }
        let superframe = split(header, &mut frame).unwrap();
        assert_eq!(superframe.segments(), packets);
        for index in 0..packets {
            let mut packet = vec![0; superframe.length_of(index)];
            assert!(superframe.write_segment(index, &mut packet));
            after.push(packet);
        }
    }
    let sorted = |mut packets: Vec<Vec<u8>>| {
        packets.sort();
        packets
    };
    assert_eq!(sorted(after), sorted(before), "joining changed a packet");
}
