//! Every event the data plane tells Python, and every snapshot it answers with, on one page.
//!
//! Place     engine stages -> bounded ring ([`crate::engine`]) -> `src/dexmesh/engine/messages.py`
//! Spec      the Python page has the same names, fields and order, and lists the commands too
//! Keeps     plain values only; never a secret

/// Number of a peer, never used twice while the engine lives.
pub type PeerId = u64;
/// Number of an underlay attachment (a UDP socket), chosen by Python.
pub type InterfaceNumber = u32;
/// IPv6 of a node.
pub type Address = [u8; 16];
/// Permanent public key of a node.
pub type PublicKey = [u8; 32];
/// 64-bit path label.
pub type Label = u64;

/// An underlay endpoint of a peer.
pub type Endpoint = std::net::SocketAddr;

/// What the data plane tells Python. "Flood" events may use at most 3/4 of the ring and those of handshakes (states,
/// sessions) 7/8, so that the others still get through; what does not fit is dropped and counted (`EventRingFull`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A peer got a slot: because Python asked (`is_incoming` false), or because somebody with a
    /// valid credential called (`user` says whose).
    PeerAdded {
        /// Its number from now on.
        peer: PeerId,
        /// Its interface number in our switch (0, 2 … 256).
        slot: u16,
        /// The underlay attachment it came by.
        interface: InterfaceNumber,
        /// Its underlay endpoint.
        endpoint: Endpoint,
        /// Its permanent key.
        key: PublicKey,
        /// Whether it called us.
        is_incoming: bool,
        /// Login of the credential it presented, empty if none.
        user: String,
    },
    /// A peer Python asked for was not made.
    PeerRefused {
        /// The underlay attachment.
        interface: InterfaceNumber,
        /// The endpoint.
        endpoint: Endpoint,
        /// `no such interface`, `own key`, `not a mesh key`, `endpoint in use`, `switch full`, `wrong family`.
        reason: &'static str,
    },
    /// A peer is gone from its slot: Python removed it, or another key took over its endpoint.
    PeerRemoved {
        /// Its number.
        peer: PeerId,
        /// `removed`, `replaced`, `interface removed`.
        reason: &'static str,
    },
    /// The link session of a peer changed state (0–4, 100; docs/protocol/01 §7).
    LinkStateChanged {
        /// Its number.
        peer: PeerId,
        /// State before.
        old_state: u8,
        /// State now.
        state: u8,
    },
    /// A message was accepted on a link that is not established (docs/protocol/04 §5.3). Flood.
    LinkHandshake {
        /// Its number.
        peer: PeerId,
    },
    /// A control frame for our router: everything after the word ffffffff. Flood.
    ControlFrame {
        /// Path label back to the sender.
        label: Label,
        /// The frame, from its checksum on.
        frame: Vec<u8>,
    },
    /// A packet from the TUN waits for a route (at most one event per address per 200 ms). Flood.
    RouteNeeded {
        /// Where the packet wants to go.
        address: Address,
        /// `no session`, `no version`, `no label`, `handshake unfinished`.
        reason: &'static str,
    },
    /// An inter-router message (content type 256) came by a session. Flood.
    RoutingMessage {
        /// Address of the sender.
        address: Address,
        /// Its permanent key.
        key: PublicKey,
        /// Path label back to the sender, as it came.
        label: Label,
        /// The bencoded message.
        content: Vec<u8>,
    },
    /// A session was made, by us or by a stranger's handshake.
    SessionAdded {
        /// The other end.
        address: Address,
        /// Its permanent key.
        key: PublicKey,
        /// The handle we chose.
        handle: u32,
        /// Path label back to the sender, or the label we were told.
        label: Label,
        /// True if the other end began.
        is_incoming: bool,
    },
    /// A session changed state (0–4, 100).
    SessionStateChanged {
        /// The other end.
        address: Address,
        /// State before.
        old_state: u8,
        /// State now.
        state: u8,
        /// Label of the packet that caused it (0 when we caused it ourselves).
        label: Label,
    },
    /// A session is gone.
    SessionRemoved {
        /// The other end.
        address: Address,
        /// `removed` or `evicted`.
        reason: &'static str,
    },
}

/// Counters and state of one peer. Times are monotonic milliseconds, 0 = never.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerStats {
    /// Its number.
    pub peer: PeerId,
    /// State of the link session (0–4, 100).
    pub state: u8,
    /// When an established message last opened.
    pub last_in_ms: u64,
    /// Plaintext bytes of link messages in.
    pub bytes_in: u64,
    /// Plaintext bytes of link messages out.
    pub bytes_out: u64,
    /// Link messages in.
    pub packets_in: u64,
    /// Link messages out.
    pub packets_out: u64,
    /// Replay window: duplicates.
    pub duplicates: u64,
    /// Replay window: counters never seen.
    pub lost: u64,
    /// Replay window: too old.
    pub out_of_range: u64,
    /// Link messages dropped after the peer was known.
    pub dropped: u64,
}

/// Counters and state of one session. Times are monotonic milliseconds, 0 = never.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionStats {
    /// The other end.
    pub address: Address,
    /// Its permanent key.
    pub key: PublicKey,
    /// State of the session (0–4, 100).
    pub state: u8,
    /// The handle we chose.
    pub handle: u32,
    /// The handle the other end chose, 0 = not known.
    pub send_handle: u32,
    /// Protocol version of the other end, 0 = not known.
    pub version: u32,
    /// Label user traffic is sent by, 0 = none.
    pub send_label: Label,
    /// Path label back of the newest packet that opened.
    pub receive_label: Label,
    /// When anything last opened.
    pub last_in_ms: u64,
    /// When anything was last sent.
    pub last_out_ms: u64,
    /// When user traffic last came in.
    pub last_user_in_ms: u64,
    /// When user traffic last went out (or was parked).
    pub last_user_out_ms: u64,
    /// Plaintext bytes in.
    pub bytes_in: u64,
    /// Plaintext bytes out.
    pub bytes_out: u64,
    /// Packets in.
    pub packets_in: u64,
    /// Packets out.
    pub packets_out: u64,
    /// Replay window: duplicates.
    pub duplicates: u64,
    /// Replay window: counters never seen.
    pub lost: u64,
    /// Replay window: too old.
    pub out_of_range: u64,
}
