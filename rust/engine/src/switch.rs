//! Forward by label: rewrite the header in place, or say why not; and build the error frames that tell the sender.
//!
//! Place     link.rs (opened packet) or our router -> here -> link.rs (next hop) or our router (slot 1)
//! Spec      docs/protocol/03, "What a switch does with a packet", "Error frames", "Checksum"
//! Keeps     allocates nothing to forward; every packet that enters gets exactly one [`Verdict`]; a packet that is
//!           refused is left as it came, so that the error frame can quote it
//! Not here  which peer sits at a slot (engine tables), what control frames mean (src/dexmesh/mesh)

use crate::checksum::{Sum, internet_checksum};
use crate::drop::DropReason;
use crate::label::{
    MAX_LABEL_SHIFT, SELF_SLOT, encode_director, parse_director, reverse64, width_of,
};
use crate::message::Label;

/// Length of a switch header.
pub const HEADER_BYTES: usize = 12;
/// The word after the header that announces a control frame.
pub const CONTROL_WORD: [u8; 4] = [0xff; 4];
/// An offending packet shorter than this causes no error frame.
pub const LEAST_CAUSE_BYTES: usize = 16;

const MOST_CAUSE_BYTES: usize = 256;
const TYPE_ERROR: u16 = 2;
const SUPPRESS_ERRORS: u8 = 1;
const CONGESTION_ONE: u8 = 2;
const VERSION_ONE: u8 = 0x40;
const SHIFT_MASK: u8 = 0x3f;
const QUOTED_BYTES: usize = 16;

/// Numbers of error frames that we send (docs/protocol/03 §9.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum SwitchError {
    /// The label cannot be followed.
    MalformedAddress = 1,
    /// A packet for our router that could not be opened.
    Authentication = 6,
    /// The peer the label names is unresponsive.
    Undeliverable = 8,
    /// The way back does not fit.
    ReturnPathInvalid = 10,
}

/// What is at an interface number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotState {
    /// Nobody.
    Free,
    /// A peer that does not answer at the moment.
    Down,
    /// A peer, or our router.
    Up,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// For our router; the header is rewritten and reverse64 of its label is the path back.
    Deliver,
    /// For the peer at this slot; the header is rewritten.
    Forward(u16),
    /// It goes no further and its sender may be told ([`encode_error`]); the packet is as it came.
    Refuse(SwitchError, DropReason),
    /// It goes no further, silently.
    Drop(DropReason),
}

/// Where packets with one label, from one ingress, go and how their headers change. Packets of a batch that share both
/// need to ask only once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Interface number to leave by; 1 is our router.
    pub egress: u16,
    /// Label after this hop.
    pub label: Label,
    /// Bits of label consumed.
    pub width: u32,
}

/// Switch one packet that came in at `ingress` (1 when our own router sends).
#[must_use]
pub fn switch(packet: &mut [u8], ingress: u16, slots: impl Fn(u16) -> SlotState) -> Verdict {
    let Some(label) = label_of(packet) else {
        return Verdict::Drop(DropReason::SwitchRunt);
    };
    match next_hop(label, ingress, slots) {
        Ok(hop) => rewrite(packet, hop),
        Err((error, reason)) => Verdict::Refuse(error, reason),
    }
}

/// The label of a packet; None when it is shorter than a header.
#[must_use]
pub fn label_of(packet: &[u8]) -> Option<Label> {
    let header = packet.first_chunk::<HEADER_BYTES>()?;
    header.first_chunk().map(|label| u64::from_be_bytes(*label))
}

/// Steps 2 to 7 of docs/protocol/03 §6: everything that depends on the label and the ingress only.
pub fn next_hop(
    label: Label,
    ingress: u16,
    slots: impl Fn(u16) -> SlotState,
) -> Result<Hop, (SwitchError, DropReason)> {
    const MALFORMED: (SwitchError, DropReason) = (
        SwitchError::MalformedAddress,
        DropReason::SwitchMalformedAddress,
    );
    let next = parse_director(label);
    let mut width = next.width;
    let back_width = width_of(ingress);
    if back_width > width {
        if next.slot != SELF_SLOT {
            return Err(MALFORMED);
        }
        let must_be_zero = ((1 << (back_width + 4)) - 1) & !1;
        if label & must_be_zero != 0 {
            return Err((
                SwitchError::ReturnPathInvalid,
                DropReason::SwitchReturnPathInvalid,
            ));
        }
        width = back_width;
    }
    if next.slot != SELF_SLOT {
        match slots(next.slot) {
            SlotState::Free => {
                return Err((SwitchError::MalformedAddress, DropReason::SwitchNoPeer));
            }
            SlotState::Down if ingress != SELF_SLOT => {
                return Err((SwitchError::Undeliverable, DropReason::SwitchPeerDown));
            }
            SlotState::Down | SlotState::Up => {}
        }
    }
    let back = encode_director(ingress, width).ok_or(MALFORMED)?;
    Ok(Hop {
        egress: next.slot,
        label: (label >> width) | reverse64(back),
        width,
    })
}

/// Steps 8 to 10: change the header as `hop` says. The verdict is Deliver, Forward or Drop.
#[must_use]
pub fn rewrite(packet: &mut [u8], hop: Hop) -> Verdict {
    let Some(header) = packet.first_chunk_mut::<HEADER_BYTES>() else {
        return Verdict::Drop(DropReason::SwitchRunt);
    };
    let shift = u32::from(header[9] & SHIFT_MASK) + hop.width;
    if shift > MAX_LABEL_SHIFT {
        return Verdict::Drop(DropReason::SwitchLabelShiftOverflow);
    }
    header[..8].copy_from_slice(&hop.label.to_be_bytes());
    header[9] = (header[9] & !SHIFT_MASK) | shift as u8;
    header[10..].copy_from_slice(&[0xff; 2]);
    if hop.egress == SELF_SLOT {
        Verdict::Deliver
    } else {
        Verdict::Forward(hop.egress)
    }
}

/// The header our router puts before what it sends along a path label (docs/protocol/03 §7).
#[must_use]
pub const fn encode_header(label: Label) -> [u8; HEADER_BYTES] {
    let [a, b, c, d, e, f, g, h] = label.to_be_bytes();
    [a, b, c, d, e, f, g, h, 0, VERSION_ONE, 0, 0]
}

/// The error frame for a packet that was refused, switch header first, or None where the rules allow no error. It leaves
/// by the interface the packet came from, without passing our switch.
#[must_use]
pub fn encode_error(cause: &[u8], error: SwitchError) -> Option<Vec<u8>> {
    let label = label_of(cause)?;
    if !may_answer(cause) {
        return None;
    }
    let cause = cause.get(..MOST_CAUSE_BYTES).unwrap_or(cause);
    let mut frame = error_frame_start(reverse64(label), SUPPRESS_ERRORS | CONGESTION_ONE, error);
    frame[10..HEADER_BYTES].copy_from_slice(&[0xff; 2]);
    frame.extend_from_slice(cause);
    fill_checksum(&mut frame);
    Some(frame)
}

/// The AUTHENTICATION error for a packet our router could not open, or None where the rules allow no error. `packet` is
/// as the switch delivered it. Goes through our switch like any control frame.
#[must_use]
pub fn encode_authentication_error(packet: &[u8], failure: u32, state: u32) -> Option<Vec<u8>> {
    let label = label_of(packet)?;
    let quoted = packet.get(..HEADER_BYTES + QUOTED_BYTES)?;
    if !may_answer(packet) {
        return None;
    }
    let error = SwitchError::Authentication;
    let mut frame = error_frame_start(reverse64(label), SUPPRESS_ERRORS, error);
    frame.extend_from_slice(quoted);
    frame.extend_from_slice(&failure.to_be_bytes());
    frame.extend_from_slice(&state.to_be_bytes());
    fill_checksum(&mut frame);
    Some(frame)
}

fn may_answer(cause: &[u8]) -> bool {
    cause.len() >= LEAST_CAUSE_BYTES && cause.get(8).is_some_and(|byte| byte & SUPPRESS_ERRORS == 0)
}

fn error_frame_start(label: Label, flags: u8, error: SwitchError) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEADER_BYTES + 12 + MOST_CAUSE_BYTES);
    frame.extend_from_slice(&encode_header(label));
    frame[8] = flags;
    frame.extend_from_slice(&CONTROL_WORD);
    frame.extend_from_slice(&[0, 0]);
    frame.extend_from_slice(&TYPE_ERROR.to_be_bytes());
    frame.extend_from_slice(&(error as u32).to_be_bytes());
    frame
}

/// Offset of a control frame (its checksum) in a switch packet.
const CONTROL_START: usize = HEADER_BYTES + CONTROL_WORD.len();

fn fill_checksum(packet: &mut [u8]) {
    if let Some(frame) = packet.get_mut(CONTROL_START..) {
        let checksum = control_checksum(frame);
        if let Some(field) = frame.first_chunk_mut() {
            *field = checksum;
        }
    }
}

/// The checksum of a control frame that begins with its checksum field; the field's present value does not matter.
#[must_use]
pub fn control_checksum(frame: &[u8]) -> [u8; 2] {
    internet_checksum(frame.get(2..).unwrap_or_default())
}

/// Whether a control frame, from its checksum on, is undamaged. The swapped checksum v20.7 puts into AUTHENTICATION
/// errors counts as good for errors (docs/protocol/03 §9.3).
#[must_use]
pub fn is_control_intact(frame: &[u8]) -> bool {
    let Some([first, second, kind @ ..]) = frame.first_chunk::<4>() else {
        return false;
    };
    if Sum::ZERO.plus(frame).is_intact() {
        return true;
    }
    u16::from_be_bytes(*kind) == TYPE_ERROR && control_checksum(frame) == [*second, *first]
}
