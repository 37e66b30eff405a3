//! What happens to every packet of a call: RTP, its statistics, the jitter buffer, G.711.
//!
//! Place     rust/python (`Incoming`, `Outgoing`, `G711`, ...) -> here; src/dexmesh/apps/call/media decides
//! Spec      docs/apps/sip.md §3 Media; docs/decisions/0015-media-in-rust.md
//! Keeps     no clock, socket or randomness; any bytes give a value or a reason; bounded memory
//! Not here  which source is believed, digits, reports, codecs and plans (Python)

pub mod concealment;
mod drop;
pub mod g711;
mod incoming;
pub mod jitter;
mod outgoing;
pub mod reception;
pub mod rtp;

pub use drop::DropReason;
pub use incoming::{Incoming, Outcome};
pub use outgoing::Outgoing;

/// What one frame of sound lasts, everywhere in a call.
pub const FRAME_MS: i64 = 20;

/// A moment in units of a clock, as RTP counts: whole units, rounded down.
fn units_at(now: f64, clock: u32) -> i64 {
    (now * f64::from(clock)) as i64
}
