//! Cut what the kernel hands over as one superframe into packets, and join packets into superframes for it.
//!
//! Place     tun.rs -> header, split -> engine; engine -> coalesce -> tun.rs
//! Spec      Linux `virtio_net_hdr` (include/uapi/linux/virtio_net.h); RFC 9293 and RFC 768 for what segments look like
//! Keeps     safe Rust without I/O; a packet whose checksum is wrong is never joined, which would repair it

mod coalesce;
mod header;
mod split;

pub use coalesce::{Coalescer, Joined, Joining};
pub use header::{VNET_HEADER_BYTES, VnetHeader};
pub use split::{Superframe, split};

#[cfg(test)]
mod tests;
