//! dexmesh engine.

pub mod checksum;
pub mod crypto;
pub mod cryptoauth;
pub mod drop;
pub mod ip;
pub mod label;
pub mod message;
pub mod switch;
