//! Do what Python asks for, one method a command.
//!
//! Place     src/dexmesh/engine/door.py by way of the Python module -> here
//! Spec      src/dexmesh/engine/messages.py
//! Keeps     a command never fails loudly: what was not done comes back as an event or shows in the stats
//! Not here  what is asked for, and why (src/dexmesh/mesh)

use std::sync::Arc;

use crate::buffer::{lock, write};
use crate::crypto::keys::address_of;
use crate::cryptoauth::{Credential, CryptoAuth, Layer};
use crate::drop::DropReason;
use crate::engine::{Engine, Sink};
use crate::link::MAX_MESSAGE_BYTES;
use crate::message::{Address, Endpoint, Event, InterfaceNumber, Label, PeerId, PublicKey};
use crate::peers::{Peer, PeerTable, canonical};
use crate::switch::{CONTROL_WORD, encode_header};

/// Longest control frame we send.
const MAX_CONTROL_BYTES: usize = MAX_MESSAGE_BYTES - 200;

/// Interfaces, users, peers.
impl Engine {
    /// Accept and send datagrams under this number.
    pub fn add_interface(&self, interface: InterfaceNumber, is_ipv6: bool) {
        self.change_peers(|table| table.add_interface(interface, is_ipv6));
    }

    /// Forget an interface and every peer on it.
    pub fn remove_interface(&self, interface: InterfaceNumber) {
        let gone = self.change_peers(|table| {
            table.remove_interface(interface);
            let on_it = |peer: &&Arc<Peer>| peer.interface == interface;
            let gone: Vec<_> = table.iter().filter(on_it).map(Arc::clone).collect();
            for peer in &gone {
                table.remove(peer);
            }
            gone
        });
        for peer in gone {
            self.tell(Event::PeerRemoved {
                peer: peer.id,
                reason: "interface removed",
            });
        }
    }

    /// Let peers in that present this credential. A user that is there already stays as it is.
    pub fn add_user(&self, login: Option<&[u8]>, password: &[u8], only_address: Option<Address>) {
        let mut users = write(&self.users);
        let _ = Arc::make_mut(&mut users).add(login, password, only_address);
    }

    /// Let nobody in any more under this login. Peers that are in stay in.
    pub fn remove_user(&self, login: &[u8]) {
        Arc::make_mut(&mut write(&self.users)).remove(login);
    }

    /// Make a peer that we call. An empty password and no login present no credential.
    pub fn add_peer(
        &self,
        now_ms: u64,
        interface: InterfaceNumber,
        endpoint: &Endpoint,
        key: PublicKey,
        credential: Option<Credential>,
    ) {
        let endpoint = canonical(endpoint);
        let mut crypto = self.crypto_with(now_ms, key, Layer::Link, false);
        crypto.set_credential(credential);
        let result = self.change_peers(|table| {
            self.refusal(table, interface, &endpoint, &key)?;
            let slot = table.free_slot().ok_or("switch full")?;
            let id = self.next_peer_id();
            let peer = Arc::new(Peer::new(id, slot, (interface, endpoint), crypto, false));
            table.insert(&peer);
            Ok(peer)
        });
        self.tell(match result {
            Ok(peer) => Event::PeerAdded {
                peer: peer.id,
                slot: peer.slot,
                interface,
                endpoint,
                key,
                is_incoming: false,
                user: String::new(),
            },
            Err(reason) => Event::PeerRefused {
                interface,
                endpoint,
                reason,
            },
        });
    }

    fn refusal(
        &self,
        table: &PeerTable,
        interface: InterfaceNumber,
        endpoint: &Endpoint,
        key: &PublicKey,
    ) -> Result<(), &'static str> {
        let is_ipv6 = table.is_ipv6(interface).ok_or("no such interface")?;
        if is_ipv6 != endpoint.is_ipv6() {
            return Err("wrong family");
        }
        if key == self.public_key() {
            return Err("own key");
        }
        if !self.is_foreign_mesh_key(key, &address_of(key)) {
            return Err("not a mesh key");
        }
        match table.at_endpoint(interface, endpoint) {
            Some(_) => Err("endpoint in use"),
            None => Ok(()),
        }
    }

    /// Free the slot of a peer.
    pub fn remove_peer(&self, peer: PeerId) {
        let removed = self.change_peers(|table| {
            let found = table.by_id(peer).map(Arc::clone)?;
            table.remove(&found);
            Some(found)
        });
        if removed.is_some() {
            self.tell(Event::PeerRemoved {
                peer,
                reason: "removed",
            });
        }
    }

    /// Begin the link session of a peer anew.
    pub fn reset_peer(&self, peer: PeerId) {
        if let Some(peer) = self.peer_table().by_id(peer) {
            self.with_link(peer, CryptoAuth::reset);
        }
    }

    /// Mark the slot of a peer up or down.
    pub fn set_peer_up(&self, peer: PeerId, is_up: bool) {
        if let Some(peer) = self.peer_table().by_id(peer) {
            peer.set_up(is_up);
        }
    }

    fn change_peers<T>(&self, change: impl FnOnce(&mut PeerTable) -> T) -> T {
        change(Arc::make_mut(&mut write(&self.peers)))
    }
}

/// Packets and sessions.
impl Engine {
    /// Send a control frame (from its checksum on) along a label through our own switch.
    pub fn send_control(&self, now_ms: u64, label: Label, frame: &[u8], sink: &mut dyn Sink) {
        if label == 0 {
            self.drop_packets(DropReason::SwitchMalformedAddress, 1);
            return;
        }
        if frame.len() > MAX_CONTROL_BYTES {
            self.drop_packets(DropReason::SendOversize, 1);
            return;
        }
        let mut packet = encode_header(label).to_vec();
        packet.extend_from_slice(&CONTROL_WORD);
        packet.extend_from_slice(frame);
        self.send_own(now_ms, &packet, sink);
    }

    /// Send content by the session with a node, making the session if there is none. Label 0 means the session's own.
    #[allow(clippy::too_many_arguments)] // the fields of the command
    pub fn send_inner(
        &self,
        now_ms: u64,
        key: &PublicKey,
        version: u32,
        label: Label,
        content_type: u16,
        content: &[u8],
        sink: &mut dyn Sink,
    ) {
        let result = self.session_for(now_ms, key, label).and_then(|session| {
            if version != 0 {
                lock(&session.state).version = version;
            }
            self.send_content(now_ms, &session, label, content_type, content, sink)?;
            self.release_parked(now_ms, &session.address, sink);
            Ok(())
        });
        if let Err(reason) = result {
            self.drop_packets(reason, 1);
        }
    }

    /// User traffic to a node goes along `label` from now on (0 = no route). Version 0 leaves the version as it is.
    pub fn set_route(
        &self,
        now_ms: u64,
        key: &PublicKey,
        version: u32,
        label: Label,
        sink: &mut dyn Sink,
    ) {
        match self.session_for(now_ms, key, label) {
            Ok(session) => {
                {
                    let mut state = lock(&session.state);
                    state.send_label = label;
                    if version != 0 {
                        state.version = version;
                    }
                }
                self.release_parked(now_ms, &session.address, sink);
            }
            Err(reason) => self.drop_packets(reason, 1),
        }
    }

    /// Begin the session with a node anew.
    pub fn reset_session(&self, address: &Address) {
        if let Some(session) = self.session_with(address) {
            self.with_session(&session, 0, |state| state.crypto.reset());
        }
    }

    /// Forget the session with a node.
    pub fn remove_session(&self, address: &Address) {
        let removed = write(&self.sessions).remove(address);
        if removed.is_some() {
            self.tell(Event::SessionRemoved {
                address: *address,
                reason: "removed",
            });
        }
    }
}
