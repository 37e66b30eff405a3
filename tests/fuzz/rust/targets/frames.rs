//! Headers and frames: IPv6 off and on, labels, error frames.

use dexmesh_engine::checksum::Sum;
use dexmesh_engine::ip::{
    FREED_BYTES, IPV6_HEADER_BYTES, Unreachable, check_outgoing, content_type_of,
    encode_packet_too_big, encode_unreachable, restore_header, strip_header,
};
use dexmesh_engine::label::{encode_director, parse_director, reverse64};
use dexmesh_engine::switch::{
    HEADER_BYTES, SlotState, SwitchError, Verdict, control_checksum, encode_authentication_error,
    encode_error, is_control_intact, label_of, switch,
};

const OWN: [u8; 16] = [0xfc, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
const OTHER: [u8; 16] = [0xfc; 16];
const ROOM: usize = 64;
const MOST_ANSWER_BYTES: usize = 1280;

/// A packet from the TUN: judged, stripped, restored, answered.
pub fn ip_headers(data: &[u8]) {
    let mut packet = data.to_vec();
    if packet.first().is_some_and(|byte| byte & 1 != 0) && packet.len() >= 25 {
        packet[0] = 0x60;
        packet[8..24].copy_from_slice(&OWN);
        packet[24] = 0xfc;
    }
    if let Ok(outgoing) = check_outgoing(&packet, &OWN) {
        assert!(outgoing.length <= packet.len() && outgoing.length >= IPV6_HEADER_BYTES);
    }
    for answer in [
        encode_packet_too_big(&packet, 1280, &OTHER),
        encode_unreachable(&packet, Unreachable::NoRoute, &OTHER),
    ]
    .into_iter()
    .flatten()
    {
        assert!(answer.len() <= MOST_ANSWER_BYTES);
        assert_eq!(&answer[24..40], &packet[8..24]);
    }
    let mut arena = vec![0; ROOM];
    arena.extend_from_slice(&packet);
    let whole = ROOM..arena.len();
    let next_header = packet.get(6).copied();
    if let Some(stripped) = strip_header(&mut arena, whole.clone()) {
        assert_eq!(stripped.start, whole.start + FREED_BYTES);
        assert_eq!(
            content_type_of(&arena[stripped.clone()]),
            next_header.map(u16::from)
        );
        let back = restore_header(&mut arena, stripped, &OWN, &OTHER).unwrap();
        assert_eq!(back, whole);
        assert_eq!(
            &arena[back][IPV6_HEADER_BYTES..],
            &packet[IPV6_HEADER_BYTES..]
        );
    }
    let mut arena = packet;
    for start in [0, FREED_BYTES, usize::MAX] {
        let end = arena.len();
        let _ = restore_header(&mut arena, start..end, &OTHER, &OWN);
    }
}

/// A switch packet behind the number of the interface it came by (1 byte).
pub fn switch_frames(data: &[u8]) {
    let Some((&ingress, packet)) = data.split_first() else {
        return;
    };
    let slots = |slot: u16| match slot % 3 {
        0 => SlotState::Free,
        1 => SlotState::Up,
        _ => SlotState::Down,
    };
    let mut switched = packet.to_vec();
    let verdict = switch(&mut switched, u16::from(ingress), slots);
    match verdict {
        Verdict::Deliver | Verdict::Forward(_) => {
            assert_eq!(&switched[HEADER_BYTES..], &packet[HEADER_BYTES..]);
        }
        Verdict::Refuse(error, _) => {
            assert_eq!(switched, packet);
            is_sound(encode_error(packet, error), packet);
        }
        Verdict::Drop(_) => {}
    }
    is_sound(encode_error(packet, SwitchError::Undeliverable), packet);
    is_sound(encode_authentication_error(packet, 8, 100), packet);
    let _ = is_control_intact(packet);
    let mut frame = packet.to_vec();
    if frame.len() >= 4 {
        let checksum = control_checksum(&frame);
        frame[..2].copy_from_slice(&checksum);
        assert!(is_control_intact(&frame));
        assert!(Sum::ZERO.plus(&frame).is_intact());
    }
    if let Some(label) = label_of(packet) {
        assert_eq!(reverse64(reverse64(label)), label);
        let director = parse_director(label);
        if let Some(bits) = encode_director(director.slot, director.width) {
            assert_eq!(parse_director(bits | 1 << director.width), director);
        }
    }
}

/// An error frame leads back along the label of its cause and carries a right checksum.
fn is_sound(frame: Option<Vec<u8>>, cause: &[u8]) {
    let Some(frame) = frame else {
        return;
    };
    assert_eq!(label_of(&frame).map(reverse64), label_of(cause));
    assert!(is_control_intact(&frame[HEADER_BYTES + 4..]));
    assert!(
        encode_error(&frame, SwitchError::MalformedAddress).is_none(),
        "errors for errors"
    );
}
