//! The data plane of dexmesh: links, switch and sessions, without a clock, a socket or a thread of its own.
//!
//! Place     hostio (threads, sockets, TUN) and the Python module -> [`Engine`]
//! Spec      docs/architecture.md §2, docs/protocol
//! Keeps     the same inputs and seed give the same outputs; nothing a peer sends makes it panic or grow

mod buffer;
pub mod checksum;
mod commands;
pub mod crypto;
pub mod cryptoauth;
pub mod drop;
mod engine;
mod events;
mod forward;
mod greet;
mod hash;
pub mod ip;
pub mod label;
mod limits;
mod link;
pub mod message;
mod outgoing;
mod parking;
mod peers;
mod router;
mod session;
mod sessions;
mod stranger;
pub mod switch;

pub use buffer::{BATCH, HEADROOM};
pub use engine::{Engine, EngineError, EngineOptions, Sink};
pub use events::{FLOOD_RING, RING, Waker};
pub use link::MAX_MESSAGE_BYTES;
pub use parking::MOST_PARKED;
