//! Keep the encrypted session of two nodes: handshake, data, replay, timeouts.
//!
//! One [`CryptoAuth`] is the session with one key, on a link or between the ends of a route. Handshake packets and
//! everything unusual go through [`CryptoAuth::seal_handshake`] and [`CryptoAuth::open`]. Data takes the fast way
//! in three steps, so that a lock is held only for the first and the last: `begin_seal`, [`SealTicket::seal`]; and
//! `begin_open`, [`OpenTicket::open`], `finish_open`.
//!
//! Place     link.rs and session.rs -> here -> crypto/
//! Spec      docs/protocol/01, all
//! Keeps     no clock, no randomness of its own; a packet from the network never panics and never grows a table
//! Not here  session handles and switch headers (session.rs), which credential a peer gets (Python)

pub mod error;
mod handshake;
mod receiving;
pub mod replay;
mod sending;
pub mod session;
pub mod ticket;
pub mod users;

pub use error::AuthError;
pub use replay::{ReplayStats, ReplayWindow};
pub use session::{CryptoAuth, Kind, Layer, Opened, Settings, State, Strictness};
pub use ticket::{OpenTicket, SealTicket, Verdict};
pub use users::{Credential, User, UserError, Users};

/// Bytes in front of the payload of a handshake packet (docs/protocol/01 "Handshake packet").
pub const HANDSHAKE_HEADER_BYTES: usize = 120;
/// Bytes in front of the payload of a data packet: counter and tag (docs/protocol/01 "Data packet").
pub const DATA_HEADER_BYTES: usize = 20;
/// The lowest counter; smaller first words are handshake packets.
pub const FIRST_COUNTER: u32 = 4;
/// From this counter on a sender starts a new handshake (docs/protocol/01 "Sending").
pub const COUNTER_LIMIT: u32 = 0xffff_fff0;
/// From this counter on [`CryptoAuth::wants_rekey`] says yes; ours, invisible to the peer.
pub const REKEY_COUNTER: u32 = 1 << 31;
