//! dexmesh engine.

pub mod crypto;
pub mod cryptoauth;
