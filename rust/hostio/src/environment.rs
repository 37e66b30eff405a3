//! Read which rungs of the fallback ladder are forced from outside.
//!
//! Place     rust/python -> here -> runner, engine options
//! Spec      DEXMESH_UDP_GSO=0|1, DEXMESH_UDP_GRO=0|1, DEXMESH_CRYPTO=auto|portable; DEXMESH_TUN_OFFLOAD is read where
//!           the device is opened (src/dexmesh/host/tun.py)

use std::env;

use dexmesh_engine::crypto::Kernel;

use crate::udp::UdpRungs;

/// Which socket offloads may be tried; all, unless the environment says 0.
#[must_use]
pub fn udp_rungs() -> UdpRungs {
    UdpRungs {
        gso: is_allowed("DEXMESH_UDP_GSO"),
        gro: is_allowed("DEXMESH_UDP_GRO"),
    }
}

/// Which crypto kernels may be used.
#[must_use]
pub fn crypto_kernel() -> Kernel {
    match env::var("DEXMESH_CRYPTO").as_deref() {
        Ok("portable") => Kernel::Portable,
        _ => Kernel::Auto,
    }
}

fn is_allowed(name: &str) -> bool {
    env::var(name).as_deref() != Ok("0")
}
