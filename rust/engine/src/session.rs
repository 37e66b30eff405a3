//! Hold the record of one end-to-end session: its crypto, both handles, labels and version.
//!
//! Place     sessions.rs keeps them -> router.rs (in) and outgoing.rs (out) use them
//! Spec      docs/protocol/05 §3, §5 and §6
//! Keeps     what she chose as handle is forgotten with the handshake it came in
//! Not here  which label is best and when a session ends (src/dexmesh/mesh)

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::buffer::lock;
use crate::crypto::{Address, PublicKey};
use crate::cryptoauth::{CryptoAuth, SealTicket};
use crate::message::{Label, SessionStats};

/// The session with one node.
#[derive(Debug)]
pub struct Session {
    /// Her address.
    pub address: Address,
    /// Her permanent key.
    pub key: PublicKey,
    /// The handle we chose: she puts it in front of her data.
    pub handle: u32,
    /// Held from the reservation of counters until the packets are with the socket.
    pub order: Mutex<()>,
    /// What changes.
    pub state: Mutex<SessionState>,
    /// Traffic.
    pub activity: Activity,
}

/// What changes in a session.
#[derive(Debug)]
pub struct SessionState {
    /// The crypto session.
    pub crypto: CryptoAuth,
    /// Number of the state in the last event.
    pub reported: u8,
    /// Protocol version of the other end, 0 = not known.
    pub version: u32,
    /// Label user traffic is sent by, 0 = none.
    pub send_label: Label,
    /// Path label back of the newest packet that opened, 0 = none yet.
    pub receive_label: Label,
    /// Her handles, each with the life of the crypto session it belongs to: the newest, and that of the earlier life.
    handles: [(u64, u32); 2],
}

/// Traffic of one session; the words of [`SessionStats`].
#[derive(Debug, Default)]
pub struct Activity {
    /// When anything last opened.
    pub last_in_ms: AtomicU64,
    /// When anything was last sent.
    pub last_out_ms: AtomicU64,
    /// When user traffic last came in.
    pub last_user_in_ms: AtomicU64,
    /// When user traffic last went out, or was parked.
    pub last_user_out_ms: AtomicU64,
    /// Plaintext bytes in.
    pub bytes_in: AtomicU64,
    /// Plaintext bytes out.
    pub bytes_out: AtomicU64,
    /// Packets in.
    pub packets_in: AtomicU64,
    /// Packets out.
    pub packets_out: AtomicU64,
}

/// Why user traffic has to wait (docs/protocol/05 §6).
pub type Obstacle = &'static str;

/// What user traffic needs to leave.
#[derive(Debug)]
pub struct Passage {
    /// Counters and key.
    pub ticket: SealTicket,
    /// Her handle.
    pub handle: u32,
    /// Where to.
    pub label: Label,
}

impl Session {
    /// A session that has neither sent nor received anything.
    #[must_use]
    pub fn new(state: SessionState, handle: u32) -> Self {
        Self {
            address: *state.crypto.her_address(),
            key: *state.crypto.her_key(),
            handle,
            order: Mutex::new(()),
            state: Mutex::new(state),
            activity: Activity::default(),
        }
    }

    /// Counters and state.
    #[must_use]
    pub fn stats(&self) -> SessionStats {
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let state = lock(&self.state);
        let replay = state.crypto.replay_stats();
        SessionStats {
            address: self.address,
            key: self.key,
            state: state.reported,
            handle: self.handle,
            send_handle: state.send_handle().unwrap_or(0),
            version: state.version,
            send_label: state.send_label,
            receive_label: state.receive_label,
            last_in_ms: value(&self.activity.last_in_ms),
            last_out_ms: value(&self.activity.last_out_ms),
            last_user_in_ms: value(&self.activity.last_user_in_ms),
            last_user_out_ms: value(&self.activity.last_user_out_ms),
            bytes_in: value(&self.activity.bytes_in),
            bytes_out: value(&self.activity.bytes_out),
            packets_in: value(&self.activity.packets_in),
            packets_out: value(&self.activity.packets_out),
            duplicates: replay.duplicates,
            lost: replay.lost,
            out_of_range: replay.out_of_range,
        }
    }
}

impl SessionState {
    /// Nothing known yet.
    #[must_use]
    pub const fn new(crypto: CryptoAuth) -> Self {
        Self {
            crypto,
            reported: 0,
            version: 0,
            send_label: 0,
            receive_label: 0,
            handles: [(0, 0); 2],
        }
    }

    /// The handle she chose in the current life of the session.
    #[must_use]
    pub fn send_handle(&self) -> Option<u32> {
        let epoch = self.crypto.epoch();
        self.handles
            .iter()
            .find(|(of, handle)| *of == epoch && *handle != 0)
            .map(|(_, handle)| *handle)
    }

    /// Remember the handle of a handshake packet that opened. That of the life the session may return to stays, however
    /// many handshakes turn out to be replays (docs/protocol/01 §18).
    pub fn learn_handle(&mut self, handle: u32) {
        let epoch = self.crypto.epoch();
        if self.crypto.earlier_epoch() == Some(self.handles[0].0) {
            self.handles[1] = self.handles[0];
        }
        self.handles[0] = (epoch, handle);
    }

    /// Why user traffic may not leave now; None when it may.
    pub fn obstacle(&mut self, now_ms: u64) -> Option<Obstacle> {
        if self.version == 0 {
            return Some("no version");
        }
        if self.send_label == 0 {
            return Some("no label");
        }
        if self.crypto.must_handshake(now_ms) || self.send_handle().is_none() {
            return Some("handshake unfinished");
        }
        None
    }

    /// Reserve counters for `count` packets of user traffic.
    ///
    /// # Errors
    /// Why it has to wait.
    pub fn begin_user_traffic(&mut self, count: usize, now_ms: u64) -> Result<Passage, Obstacle> {
        if let Some(obstacle) = self.obstacle(now_ms) {
            return Err(obstacle);
        }
        let ticket = self.crypto.begin_seal(count, now_ms);
        match (ticket, self.send_handle()) {
            (Some(ticket), Some(handle)) => Ok(Passage {
                ticket,
                handle,
                label: self.send_label,
            }),
            _ => Err("handshake unfinished"),
        }
    }

    /// The state as events and error frames number it.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.crypto.state().number()
    }
}
