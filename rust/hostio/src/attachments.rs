//! Keep which sockets and which TUN the threads use, exchangeable while packets flow.
//!
//! Place     runner.rs
//! Keeps     a descriptor is closed only when nobody polls, reads or writes it any more

use std::sync::Arc;

use dexmesh_engine::message::InterfaceNumber;

use crate::tun::TunPort;
use crate::udp::UdpPort;

/// One state of affairs; never changed, only replaced.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attachments {
    /// Grows with every replacement.
    pub generation: u64,
    pub sockets: Vec<(InterfaceNumber, Arc<UdpPort>)>,
    pub tun: Option<Arc<TunPort>>,
}

impl Attachments {
    pub fn socket(&self, interface: InterfaceNumber) -> Option<&Arc<UdpPort>> {
        let found = self.sockets.iter().find(|(number, _)| *number == interface);
        found.map(|(_, port)| port)
    }

    pub fn without_socket(&self, interface: InterfaceNumber) -> Attachments {
        let mut next = self.clone();
        next.sockets.retain(|(number, _)| *number != interface);
        next
    }
}
