//! TUN, UDP, threads: everything that packets do with the operating system.
//!
//! Place     rust/python -> runner -> rust/engine; runner -> tun, udp -> Linux
//! Spec      docs/architecture.md §2
//! Keeps     `unsafe` is in sys.rs, udp.rs and call_socket.rs only, each with its reason

mod attachments;
pub mod call_socket;
pub mod environment;
pub mod offload;
pub mod plane;
mod runner;
mod stats;
pub mod sys;
mod threads;
pub mod tun;
pub mod udp;

pub use runner::{Capabilities, Fault, MOST_INTERFACES, Runner};
pub use stats::IoStats;
