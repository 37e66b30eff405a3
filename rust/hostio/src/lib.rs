//! dexmesh hostio: TUN, UDP, threads.

pub mod offload;
