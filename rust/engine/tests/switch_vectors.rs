//! Play the switch groups of tests/vectors/switch.json: what the reference does with a packet, we do.

#![allow(clippy::expect_used)]

use std::fs;
use std::path::Path;

use dexmesh_engine::checksum::internet_checksum;
use dexmesh_engine::label::{
    encode_director, is_one_hop, is_self, one_hop_label, parse_director, reverse64, width_of,
};
use dexmesh_engine::switch::{
    CONTROL_WORD, HEADER_BYTES, SlotState, SwitchError, Verdict, control_checksum,
    encode_authentication_error, encode_error, encode_header, is_control_intact, switch,
};
use proptest::prelude::*;
use serde_json::Value;

fn vectors(group: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/switch.json");
    let text = fs::read_to_string(path).expect("tests/vectors/switch.json");
    let mut all: Value = serde_json::from_str(&text).expect("JSON");
    all[group].take()
}

fn cases(group: &str) -> Vec<Value> {
    let list = vectors(group)["cases"].as_array().expect("cases").clone();
    assert!(!list.is_empty(), "{group} has no cases");
    list
}

fn of_our_scheme(group: &str) -> Vec<Value> {
    let mut list = cases(group);
    list.retain(|case| case["scheme"] == "v358");
    assert!(list.len() >= 28, "{group} has too few cases for v358");
    list
}

fn label(value: &Value) -> u64 {
    let digits = value.as_str().expect("label").replace('.', "");
    u64::from_str_radix(&digits, 16).expect("hex")
}

fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().expect("hex");
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex"))
        .collect()
}

fn number(value: &Value) -> u64 {
    value.as_u64().expect("number")
}

/// What leaves the switch, and by which interface.
fn play(
    ingress: u16,
    mut packet: Vec<u8>,
    slots: impl Fn(u16) -> SlotState,
) -> Option<(u16, Vec<u8>, Verdict)> {
    let before = packet.clone();
    let verdict = switch(&mut packet, ingress, slots);
    match verdict {
        Verdict::Deliver => Some((1, packet, verdict)),
        Verdict::Forward(egress) => Some((egress, packet, verdict)),
        Verdict::Drop(_) => None,
        Verdict::Refuse(error, _) => {
            assert_eq!(packet, before, "a refused packet must stay as it came");
            encode_error(&packet, error).map(|frame| (ingress, frame, verdict))
        }
    }
}

#[test]
fn directors_are_written_like_the_reference_writes_them() {
    for case in of_our_scheme("directors") {
        let slot = number(&case["interface"]) as u16;
        let width = number(&case["bits"]) as u32;
        assert_eq!(
            encode_director(slot, width),
            Some(number(&case["director"])),
            "{case}"
        );
        if case["form"] == "smallest" {
            assert_eq!(width_of(slot), width, "{case}");
            if slot != 1 {
                assert_eq!(
                    one_hop_label(slot),
                    Some(label(&case["one_hop_label"])),
                    "{case}"
                );
            }
        }
    }
}

#[test]
fn directors_are_read_like_the_reference_reads_them() {
    for case in of_our_scheme("parse_director") {
        let path = label(&case["label"]);
        let director = parse_director(path);
        let width = [4, 7, 10][number(&case["form"]) as usize];
        assert_eq!(
            u64::from(director.slot),
            number(&case["interface"]),
            "{case}"
        );
        assert_eq!(director.width, width, "{case}");
        assert_eq!(is_self(path), case["is_self"] == true, "{case}");
        assert_eq!(is_one_hop(path), case["is_one_hop"] == true, "{case}");
    }
}

#[test]
fn bits_are_reversed() {
    for case in cases("bit_reverse") {
        assert_eq!(reverse64(label(&case["in"])), label(&case["out"]), "{case}");
    }
}

#[test]
fn checksums_are_the_references() {
    for case in cases("checksum") {
        assert_eq!(
            internet_checksum(&bytes(&case["data"])),
            bytes(&case["cksum"])[..],
            "{case}"
        );
    }
}

#[test]
fn packets_are_switched_like_the_reference_switches_them() {
    let setup = vectors("switching")["setup"].take();
    let listed = |key: &str, slot: u16| {
        let list = setup[key].as_array().expect(key);
        list.iter().any(|entry| number(entry) == u64::from(slot))
    };
    let slots = |slot: u16| match slot {
        _ if listed("down_interfaces_v20_only", slot) => SlotState::Down,
        _ if listed("interfaces", slot) => SlotState::Up,
        _ => SlotState::Free,
    };
    for case in cases("switching") {
        let outcome = play(number(&case["ingress"]) as u16, bytes(&case["in"]), slots);
        match case["action"].as_str().expect("action") {
            "drop" => assert!(outcome.is_none(), "{case}"),
            action => {
                let (egress, out, verdict) = outcome.unwrap_or_else(|| panic!("lost: {case}"));
                assert_eq!(u64::from(egress), number(&case["egress"]), "{case}");
                assert_eq!(out, bytes(&case["out"]), "{case}");
                match verdict {
                    Verdict::Refuse(error, _) => {
                        assert_eq!(action, "error", "{case}");
                        assert_eq!(u64::from(error as u32), number(&case["error"]), "{case}");
                    }
                    _ => assert_eq!(action, "forward", "{case}"),
                }
            }
        }
    }
}

/// The live node had the slots 0 and 2 to 37.
fn live_slots(slot: u16) -> SlotState {
    if slot <= 37 {
        SlotState::Up
    } else {
        SlotState::Free
    }
}

#[test]
fn packets_are_switched_like_a_running_node_switched_them() {
    for case in cases("switching_live") {
        let outcome = play(
            number(&case["ingress"]) as u16,
            bytes(&case["in"]),
            live_slots,
        );
        match outcome {
            None => assert!(case["egress"].is_null(), "lost: {case}"),
            Some((egress, out, _)) => {
                assert_eq!(Some(u64::from(egress)), case["egress"].as_u64(), "{case}");
                assert_eq!(out, bytes(&case["out"]), "{case}");
            }
        }
    }
}

fn forward(ingress: u16, packet: Vec<u8>, egress: u16) -> Vec<u8> {
    let (left_by, out, _) = play(ingress, packet, live_slots).expect("forwarded");
    assert_eq!(left_by, egress);
    out
}

#[test]
fn two_switches_in_a_row_do_what_two_running_nodes_did() {
    let live = vectors("multihop_live");
    // X is interface 2 of R and R is 2 of S there: see the return labels in the vectors.
    let on_r_s = forward(2, bytes(&live["x_to_r"]), 0);
    let s_to_y = bytes(&live["s_to_y"]);
    let ingress_at_s = parse_director(reverse64(label_in(&s_to_y))).slot;
    assert_eq!(forward(ingress_at_s, on_r_s, 2), s_to_y);

    let error = &live["error_case"];
    let at_s = forward(2, bytes(&error["x_to_r"]), 0);
    let (back_by, frame, _) = play(ingress_at_s, at_s, live_slots).expect("an error");
    assert_eq!(back_by, ingress_at_s);
    let to_x = forward(0, frame, 2);
    assert_eq!(to_x, bytes(&error["error_r_to_x"]));
    let seen = forward(0, to_x, 1);
    let full = label(&error["label_seen_by_x_router_after_final_reversal"]);
    assert_eq!(reverse64(label_in(&seen)), full);
}

fn label_in(packet: &[u8]) -> u64 {
    u64::from_be_bytes(packet[..8].try_into().expect("8 bytes"))
}

#[test]
fn a_packet_on_the_line_a_b_c_changes_as_it_did() {
    let line = vectors("line_a_b_c");
    let steps = line["steps"].as_array().expect("steps");
    let header = |step: usize| bytes(&steps[step]["header"]);
    assert_eq!(encode_header(0x133)[..], header(0));
    let on_a_b = forward(1, header(0), 0);
    assert_eq!(on_a_b, header(1));
    let on_b_c = forward(2, on_a_b, 0);
    assert_eq!(on_b_c, header(2));
    let at_c = forward(0, on_b_c, 1);
    assert_eq!(at_c, header(3));
    assert_eq!(reverse64(label_in(&at_c)), label(&steps[4]["label"]));
}

#[test]
fn header_fields_lie_where_the_reference_has_them() {
    for case in cases("switch_headers") {
        let raw = bytes(&case["hex"]);
        assert_eq!(label_in(&raw), label(&case["label"]), "{case}");
        let shift = number(&case["label_shift"]);
        let mut packet = raw.clone();
        packet[..8].copy_from_slice(&1u64.to_be_bytes());
        match switch(&mut packet, 0, live_slots) {
            Verdict::Drop(_) => assert!(shift + 4 > 63, "{case}"),
            verdict => {
                assert_eq!(verdict, Verdict::Deliver, "{case}");
                assert_eq!(
                    packet[8], raw[8],
                    "congestion and suppress-errors stay: {case}"
                );
                assert_eq!(
                    u64::from(packet[9] >> 6),
                    number(&case["version"]),
                    "{case}"
                );
                assert_eq!(u64::from(packet[9] & 63), shift + 4, "{case}");
                assert_eq!(packet[10..], [0xff, 0xff], "{case}");
            }
        }
    }
}

#[test]
fn an_authentication_error_has_the_layout_of_the_notes_and_the_right_checksum() {
    let mut packet = bytes(&Value::from("80000000000000010044ffff"));
    packet.extend(0..40u8);
    let frame = encode_authentication_error(&packet, 15, 100).expect("an error frame");
    assert_eq!(frame.len(), 60);
    assert_eq!(label_in(&frame), reverse64(label_in(&packet)));
    assert_eq!(frame[8..12], [0x01, 0x40, 0, 0]);
    assert_eq!(frame[12..16], CONTROL_WORD);
    assert_eq!(frame[18..24], [0, 2, 0, 0, 0, 6]);
    assert_eq!(frame[24..52], packet[..28]);
    assert_eq!(frame[52..], [0, 0, 0, 15, 0, 0, 0, 100]);
    assert!(is_control_intact(&frame[16..]));
    assert_eq!(control_checksum(&frame[16..]), frame[16..18]);
    packet[8] |= 1;
    assert_eq!(encode_authentication_error(&packet, 15, 100), None);
}

#[test]
fn swapped_checksums_count_for_errors_only() {
    for kind in [2u8, 3] {
        let mut frame = vec![0, 0, 0, kind, 1, 2, 3, 4, 55];
        let checksum = control_checksum(&frame);
        frame[..2].copy_from_slice(&checksum);
        assert!(is_control_intact(&frame));
        frame.swap(0, 1);
        assert_eq!(is_control_intact(&frame), kind == 2);
        frame[8] ^= 1;
        assert!(!is_control_intact(&frame));
    }
    assert!(!is_control_intact(&[0xff, 0xff]));
}

proptest! {
    #[test]
    fn every_slot_in_every_form_reads_back(slot in 0u16..=256, width in prop::sample::select(vec![4u32, 7, 10])) {
        match encode_director(slot, width) {
            None => prop_assert!(width_of(slot) > width),
            Some(bits) if slot == 1 => prop_assert_eq!(bits, 1),
            Some(bits) => {
                let director = parse_director(bits);
                prop_assert_eq!((director.slot, director.width), (slot, width));
            }
        }
    }

    #[test]
    fn the_answer_finds_its_way_back(label: u64, ingress in 0u16..=256, payload in 0usize..300) {
        let mut packet = encode_header(label).to_vec();
        packet.resize(HEADER_BYTES + payload, 0xab);
        if let Verdict::Forward(egress) = switch(&mut packet, ingress, |_| SlotState::Up) {
            let back = parse_director(reverse64(label_in(&packet)));
            if ingress != 1 {
                prop_assert_eq!(back.slot, ingress);
            }
            prop_assert_ne!(egress, 1);
        }
    }

    #[test]
    fn any_bytes_get_a_verdict_and_no_error_is_made_of_an_error(
        mut packet in prop::collection::vec(any::<u8>(), 0..320), ingress: u16, mask: u64
    ) {
        let slots = |slot: u16| match (mask >> (slot % 64)) & 3 {
            0 => SlotState::Free,
            1 => SlotState::Down,
            _ => SlotState::Up,
        };
        if let Verdict::Refuse(error, _) = switch(&mut packet, ingress, slots)
            && let Some(mut frame) = encode_error(&packet, error)
        {
            prop_assert!(frame.len() <= HEADER_BYTES + 12 + 256);
            prop_assert!(is_control_intact(&frame[16..]));
            prop_assert_eq!(encode_error(&frame, SwitchError::MalformedAddress), None);
            let _ = switch(&mut frame, ingress, slots);
        }
        let _ = encode_authentication_error(&packet, 1, 1);
    }
}
