//! Hold everything the data plane knows, and the small steps that every stage shares.
//!
//! Place     hostio and the Python module -> here: packets by link.rs and outgoing.rs, commands by commands.rs
//! Spec      docs/architecture.md §2
//! Keeps     `Sync`: any thread may call anything at any time; locks are taken in the order session order, peer order,
//!           state, and tables only for a look or a change; no clock, no socket, no randomness but the seed's
//! Not here  what is decided (src/dexmesh/mesh)

use std::ops::Range;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, RwLock};

use crate::buffer::{lock, read};
use crate::crypto::{Kernel, LocalKeys, SeededRandom};
use crate::cryptoauth::{AuthError, CryptoAuth, Layer, Settings, Users};
use crate::drop::{DropCounters, DropReason};
use crate::events::{EventRing, Waker};
use crate::hash::HashKey;
use crate::ip::MESH_PREFIX;
use crate::limits::{Bucket, Rate, SourceLimiter};
use crate::message::{
    Address, Endpoint, Event, InterfaceNumber, Label, PeerStats, PublicKey, SessionStats,
};
use crate::parking::Parking;
use crate::peers::{Peer, PeerTable, count};
use crate::session::{Session, SessionState};
use crate::sessions::Sessions;

/// Where packets go: collected when there is no runner, sent when there is one. Must not call the engine.
pub trait Sink {
    /// Link messages to an endpoint. Empty ranges are to be skipped.
    fn send(
        &mut self,
        interface: InterfaceNumber,
        to: &Endpoint,
        arena: &mut [u8],
        packets: &[Range<usize>],
    );
    /// Whole IPv6 packets for the TUN.
    fn deliver(&mut self, arena: &mut [u8], packets: &[Range<usize>]);
}

/// What may be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineOptions {
    /// Most end-to-end sessions at a time.
    pub max_sessions: usize,
    /// Which instructions seal and open packets.
    pub kernel: Kernel,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            max_sessions: 4096,
            kernel: Kernel::default(),
        }
    }
}

/// Why there is no engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineError {
    /// The address of the private key does not begin with fc.
    NotAMeshKey,
}

impl std::fmt::Display for EngineError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotAMeshKey => formatter.write_str(
                "the address of this private key is not in fc00::/8; generate another key",
            ),
        }
    }
}

impl std::error::Error for EngineError {}

const LINK_HANDSHAKES: Rate = Rate {
    burst: 64,
    per_second: 64,
}; // ours, for each source prefix
const ALL_LINK_HANDSHAKES: Rate = Rate {
    burst: 1024,
    per_second: 1024,
}; // ours
const SESSION_HANDSHAKES: Rate = Rate {
    burst: 512,
    per_second: 256,
}; // ours, for each peer they come by
const ALL_SESSION_HANDSHAKES: Rate = Rate {
    burst: 1024,
    per_second: 1024,
}; // ours
const ERROR_FRAMES: Rate = Rate {
    burst: 64,
    per_second: 64,
}; // ours
const ICMP_ANSWERS: Rate = Rate {
    burst: 50,
    per_second: 50,
}; // ours

/// The data plane.
#[derive(Debug)]
pub struct Engine {
    pub(crate) local: Arc<LocalKeys>,
    pub(crate) peers: RwLock<Arc<PeerTable>>,
    pub(crate) sessions: RwLock<Sessions>,
    pub(crate) users: RwLock<Arc<Users>>,
    pub(crate) parking: Parking,
    pub(crate) random: Mutex<SeededRandom>,
    pub(crate) last_peer: AtomicU64,
    pub(crate) limits: Limits,
    kernel: Kernel,
    events: EventRing,
    drops: DropCounters,
}

/// How often costly things may be done.
#[derive(Debug)]
pub(crate) struct Limits {
    pub(crate) link_handshakes: Mutex<SourceLimiter>,
    pub(crate) session_handshakes: Mutex<SourceLimiter>,
    pub(crate) error_frames: Mutex<Bucket>,
    pub(crate) icmp_answers: Mutex<Bucket>,
}

impl Engine {
    /// A node with this private key. `seed` must be 32 bytes of entropy, except in tests.
    ///
    /// # Errors
    /// [`EngineError::NotAMeshKey`].
    pub fn new(
        private_key: [u8; 32],
        seed: [u8; 32],
        options: EngineOptions,
    ) -> Result<Self, EngineError> {
        let local = Arc::new(LocalKeys::new(private_key));
        if local.address()[0] != MESH_PREFIX {
            return Err(EngineError::NotAMeshKey);
        }
        let mut random = SeededRandom::new(seed);
        let key = HashKey::draw(&mut random);
        let limiter = |each, all| Mutex::new(SourceLimiter::new(key, each, all));
        Ok(Self {
            local,
            peers: RwLock::new(Arc::new(PeerTable::new(key))),
            sessions: RwLock::new(Sessions::new(&mut random, key, options.max_sessions)),
            users: RwLock::default(),
            parking: Parking::default(),
            random: Mutex::new(random),
            last_peer: AtomicU64::new(0),
            limits: Limits {
                link_handshakes: limiter(LINK_HANDSHAKES, ALL_LINK_HANDSHAKES),
                session_handshakes: limiter(SESSION_HANDSHAKES, ALL_SESSION_HANDSHAKES),
                error_frames: Mutex::new(Bucket::new(ERROR_FRAMES, 0)),
                icmp_answers: Mutex::new(Bucket::new(ICMP_ANSWERS, 0)),
            },
            kernel: options.kernel,
            events: EventRing::default(),
            drops: DropCounters::default(),
        })
    }

    /// Our address.
    #[must_use]
    pub fn address(&self) -> &Address {
        self.local.address()
    }

    /// Our permanent key.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        self.local.public()
    }

    /// The oldest events, at most `most`.
    #[must_use]
    pub fn take_events(&self, most: usize) -> Vec<Event> {
        self.events.take(most)
    }

    /// Call this when the events go from none to some.
    pub fn set_waker(&self, waker: Waker) {
        self.events.set_waker(waker);
    }

    /// Every peer, in the order of the slots.
    #[must_use]
    pub fn peer_stats(&self) -> Vec<PeerStats> {
        self.peer_table().iter().map(|peer| peer.stats()).collect()
    }

    /// Every session, in the order of the handles.
    #[must_use]
    pub fn session_stats(&self) -> Vec<SessionStats> {
        let sessions = read(&self.sessions).in_order();
        sessions.iter().map(|session| session.stats()).collect()
    }

    /// How many packets were dropped for each reason, where any were.
    #[must_use]
    pub fn drop_counts(&self) -> Vec<(DropReason, u64)> {
        let all = DropReason::ALL.iter();
        all.map(|reason| (*reason, self.drops.get(*reason)))
            .filter(|(_, packets)| *packets > 0)
            .collect()
    }

    /// Count packets that the caller had to drop (sockets, TUN).
    pub fn count_drops(&self, reason: DropReason, packets: u64) {
        self.drops.add(reason, packets);
    }
}

/// What every stage shares.
impl Engine {
    pub(crate) fn drop_packets(&self, reason: DropReason, packets: usize) {
        self.drops.add(reason, packets as u64);
    }

    pub(crate) fn tell(&self, event: Event) {
        let _ = self.try_tell(event);
    }

    /// Whether Python will hear of it.
    pub(crate) fn try_tell(&self, event: Event) -> bool {
        let is_told = self.events.push(event);
        if !is_told {
            self.drops.add(DropReason::EventRingFull, 1);
        }
        is_told
    }

    pub(crate) fn peer_table(&self) -> Arc<PeerTable> {
        Arc::clone(&read(&self.peers))
    }

    pub(crate) fn users(&self) -> Arc<Users> {
        Arc::clone(&read(&self.users))
    }

    pub(crate) fn session_with(&self, address: &Address) -> Option<Arc<Session>> {
        read(&self.sessions).with(address).map(Arc::clone)
    }

    /// A crypto session with the owner of a key.
    pub(crate) fn crypto_with(
        &self,
        now_ms: u64,
        key: PublicKey,
        layer: Layer,
        require_auth: bool,
    ) -> CryptoAuth {
        let settings = Settings {
            require_auth,
            layer,
            kernel: self.kernel,
            ..Settings::default()
        };
        CryptoAuth::new(&self.local, key, settings, now_ms)
    }

    /// Whether a key may be somebody else's in the mesh.
    pub(crate) fn is_foreign_mesh_key(&self, key: &PublicKey, address: &Address) -> bool {
        address[0] == MESH_PREFIX && key != self.local.public()
    }

    /// Do something with a link session, and tell Python when its state changed.
    pub(crate) fn with_link<T>(&self, peer: &Peer, act: impl FnOnce(&mut CryptoAuth) -> T) -> T {
        let mut link = lock(&peer.link);
        let result = act(&mut link.crypto);
        let state = link.crypto.state().number() as u8;
        let old_state = std::mem::replace(&mut link.reported, state);
        if state != old_state {
            let peer = peer.id;
            self.tell(Event::LinkStateChanged {
                peer,
                old_state,
                state,
            });
        }
        result
    }

    /// Do something with a session, and tell Python when its state changed because of a packet with this label.
    pub(crate) fn with_session<T>(
        &self,
        session: &Session,
        label: Label,
        act: impl FnOnce(&mut SessionState) -> T,
    ) -> T {
        let mut guard = lock(&session.state);
        let result = act(&mut guard);
        let state = guard.number() as u8;
        let old_state = std::mem::replace(&mut guard.reported, state);
        if state != old_state {
            self.tell(Event::SessionStateChanged {
                address: session.address,
                old_state,
                state,
                label,
            });
        }
        result
    }

    /// Count link messages that were dropped after their peer was known.
    pub(crate) fn drop_of_peer(&self, peer: &Peer, reason: DropReason, packets: usize) {
        self.drop_packets(reason, packets);
        count(&peer.counters.dropped, packets as u64);
    }
}

/// The drop reason of a crypto error.
pub(crate) const fn reason_of(error: AuthError) -> DropReason {
    match error {
        AuthError::Runt => DropReason::CryptoRunt,
        AuthError::NoSession => DropReason::CryptoNoSession,
        AuthError::KeyPacketInEstablishedSession => DropReason::CryptoKeyPacketEstablished,
        AuthError::WrongPermanentKey => DropReason::CryptoWrongPermanentKey,
        AuthError::IpRestricted => DropReason::CryptoAddressRestricted,
        AuthError::AuthRequired => DropReason::CryptoAuthRequired,
        AuthError::UnrecognizedAuth => DropReason::CryptoUnrecognizedAuth,
        AuthError::StrayKey => DropReason::CryptoStrayKey,
        AuthError::HandshakeDecryptFailed => DropReason::CryptoHandshakeOpenFailed,
        AuthError::Wiseguy => DropReason::CryptoZeroTempKey,
        AuthError::InvalidPacket => DropReason::CryptoInvalidPacket,
        AuthError::Replay => DropReason::CryptoReplay,
        AuthError::Decrypt => DropReason::CryptoOpenFailed,
    }
}
