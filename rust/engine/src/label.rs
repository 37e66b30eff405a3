//! Read and write directors of our encoding scheme, v358: which interface a label names next.
//!
//! Place     switch.rs and Python's labels (by way of vectors) -> here
//! Spec      docs/protocol/03, "v358 and its two oddities", "Arithmetic"
//! Keeps     every 64-bit label gives a director; nothing here can fail on what a peer sends
//! Not here  other nodes' schemes, splicing, re-encoding (src/dexmesh/wire/label.py, scheme.py)

use crate::message::Label;

/// Interface number of our own router.
pub const SELF_SLOT: u16 = 1;
/// Highest interface number v358 can name.
pub const MAX_SLOT: u16 = 256;
/// Bits of label a packet may consume on its way.
pub const MAX_LABEL_SHIFT: u32 = 63;

/// The next step a label asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Director {
    /// Interface number, 0 to 256.
    pub slot: u16,
    /// Bits it is written in: 4, 7 or 10.
    pub width: u32,
}

/// The first director of a label.
#[must_use]
pub const fn parse_director(label: Label) -> Director {
    let (slot, width) = match label & 3 {
        1 | 3 => match (label >> 1) & 7 {
            0 => (1, 4),
            1 => (0, 4),
            value => (value, 4),
        },
        2 => (skip_self((label >> 2) & 0x1f), 7),
        _ => (skip_self((label >> 2) & 0xff), 10),
    };
    Director {
        slot: slot as u16,
        width,
    }
}

/// Forms 1 and 2 have no code for interface 1, so that numbers above it move down by one.
const fn skip_self(value: u64) -> u64 {
    if value == 0 { 0 } else { value + 1 }
}

/// Bits of the smallest form that can name `slot`.
#[must_use]
pub const fn width_of(slot: u16) -> u32 {
    match slot {
        0..=7 => 4,
        8..=32 => 7,
        _ => 10,
    }
}

/// The director of `slot` in the form that is `width` bits wide; None where that form cannot name it.
/// Our router is always the value 1, whatever the width.
#[must_use]
pub const fn encode_director(slot: u16, width: u32) -> Option<u64> {
    if slot > MAX_SLOT || width < width_of(slot) {
        return None;
    }
    let value = slot as u64;
    match (width, slot) {
        (4 | 7 | 10, SELF_SLOT) => Some(1),
        (4, 0) => Some(3),
        (4, _) => Some(2 * value + 1),
        (7, 0) => Some(2),
        (7, _) => Some(4 * (value - 1) + 2),
        (10, 0) => Some(0),
        (10, _) => Some(4 * (value - 1)),
        _ => None,
    }
}

/// The path label to the peer at `slot`: its smallest director below a single 1 bit. Slots above 256: None.
#[must_use]
pub const fn one_hop_label(slot: u16) -> Option<Label> {
    let width = width_of(slot);
    match encode_director(slot, width) {
        Some(director) => Some((1 << width) | director),
        None => None,
    }
}

/// Bit i becomes bit 63−i: turns the way back at the high end of a received label into a path label.
#[must_use]
pub const fn reverse64(label: Label) -> Label {
    label.reverse_bits()
}

/// Whether the first director names our own router.
#[must_use]
pub const fn is_self(label: Label) -> bool {
    parse_director(label).slot == SELF_SLOT
}

/// Whether a path label has exactly one director, so that it names a peer (or, as `0x11`, ourselves).
#[must_use]
pub const fn is_one_hop(label: Label) -> bool {
    label != 0 && label.ilog2() == parse_director(label).width
}
