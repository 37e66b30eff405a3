//! Decide what each packet does to the session, and what is sent next.
//!
//! Place     link.rs and session.rs of the engine -> here -> handshake.rs, ticket.rs, replay.rs
//! Spec      docs/protocol/01, "Session record" to "Timeouts" and "Weak points, and what we do"
//! Keeps     a packet that fails changes nothing a peer could see; every table is bounded
//! Not here  the bytes of a handshake packet (handshake.rs), the bulk of the data (ticket.rs)

use core::ops::Range;
use std::sync::Arc;

use super::handshake::{self, Header, Outgoing, word};
use super::{
    AuthError, COUNTER_LIMIT, Credential, DATA_HEADER_BYTES, FIRST_COUNTER, HANDSHAKE_HEADER_BYTES,
    OpenTicket, REKEY_COUNTER, ReplayStats, ReplayWindow, SealTicket, User, Users, Verdict,
};
use crate::crypto::keys::{boxkey, shared_secret};
use crate::crypto::{
    Address, Kernel, Key, LocalKeys, PublicKey, Random, Secret, address_of, public_key,
};

const SETUP_TIMEOUT_S: u64 = 10;
const SILENCE_TIMEOUT_S: u64 = 60;
const REMEMBERED_HANDSHAKES: usize = 64; // ours

/// Where the session lives; decides which packets look at the clock (docs/protocol/01 "Receiving").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layer {
    /// Between two peers: every packet.
    #[default]
    Link,
    /// Between the ends of a route: handshake packets only.
    EndToEnd,
}

/// Whether to behave exactly as cjdns v20.7, or better where the peer cannot tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strictness {
    /// With the handling of docs/protocol/01 "Weak points".
    #[default]
    Hardened,
    /// As recorded from the reference.
    Reference,
}

/// What a session is told at its creation and keeps for life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Refuse handshakes without a credential of one of our users.
    pub require_auth: bool,
    /// Link or end to end.
    pub layer: Layer,
    /// Hardened, except to replay recordings.
    pub strictness: Strictness,
    /// Which instructions the bulk of the work uses.
    pub kernel: Kernel,
}

/// What a session reports of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum State {
    /// Nothing happened.
    Init = 0,
    /// We sent a HELLO.
    SentHello = 1,
    /// We got a HELLO.
    ReceivedHello = 2,
    /// We answered it with a KEY.
    SentKey = 3,
    /// We got a KEY; data may be sent.
    ReceivedKey = 4,
    /// Data came, too.
    Established = 100,
}

impl State {
    /// The number of the admin interface and of error frames.
    #[must_use]
    pub const fn number(self) -> u32 {
        self as u32
    }
}

/// What kind of packet was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// HELLO or REPEAT_HELLO.
    Hello,
    /// KEY or REPEAT_KEY.
    Key,
    /// Data.
    Data,
}

/// A packet that was accepted and decrypted in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Where the payload is, in bytes of the packet given.
    pub range: Range<usize>,
    /// What carried it.
    pub kind: Kind,
}

/// The encrypted session with one key.
#[derive(Debug)]
pub struct CryptoAuth {
    local: Arc<LocalKeys>,
    her_key: PublicKey,
    her_address: Address,
    settings: Settings,
    credential: Option<Credential>,
    static_shared: Option<Secret>,
    user: Option<Arc<User>>,
    last_s: u64,
    epochs: u64,
    stats: ReplayStats,
    round: Round,
    earlier: Option<Box<Earlier>>,
    finished: Finished,
}

/// What a reset forgets.
#[derive(Debug, Default)]
struct Round {
    next: u32,
    is_initiator: bool,
    established: bool,
    epoch: u64,
    temp: Option<TempKeys>,
    her_temp: Option<HerTempKey>,
    secret: Option<Key>,
    window: ReplayWindow,
}

#[derive(Debug)]
struct TempKeys {
    private: Secret,
    public: PublicKey,
    shared_with_her: Option<Secret>,
}

#[derive(Debug)]
struct HerTempKey {
    public: PublicKey,
    /// With our permanent key: enters the KEY we send. Only for a key that came in a HELLO.
    shared_with_us: Option<Secret>,
}

/// An established session that a newer handshake replaced, kept for what is still under way.
#[derive(Debug)]
struct Earlier {
    round: Round,
    user: Option<Arc<User>>,
    last_s: u64,
    /// She asked for the new handshake: if data of the old session comes, it was not she.
    may_return: bool,
}

/// Her temporary keys of the last handshakes that were carried through; she never uses one again.
#[derive(Debug, Default)]
struct Finished {
    keys: Vec<PublicKey>,
    oldest: usize,
}

impl Finished {
    fn learn(&mut self, key: PublicKey) {
        if self.keys.len() < REMEMBERED_HANDSHAKES {
            self.keys.push(key);
        } else if let Some(slot) = self.keys.get_mut(self.oldest) {
            *slot = key;
            self.oldest = (self.oldest + 1) % REMEMBERED_HANDSHAKES;
        }
    }

    fn knows(&self, key: &PublicKey) -> bool {
        self.keys.contains(key)
    }
}

/// Creation, questions, orders.
impl CryptoAuth {
    /// A session with the owner of `her_key`, nothing sent yet. `now_ms` is monotonic milliseconds here and everywhere.
    #[must_use]
    pub fn new(
        local: &Arc<LocalKeys>,
        her_key: PublicKey,
        settings: Settings,
        now_ms: u64,
    ) -> Self {
        Self {
            local: Arc::clone(local),
            her_key,
            her_address: address_of(&her_key),
            settings,
            credential: None,
            static_shared: None,
            user: None,
            last_s: now_ms / 1000,
            epochs: 0,
            stats: ReplayStats::default(),
            round: Round::default(),
            earlier: None,
            finished: Finished::default(),
        }
    }

    /// Her permanent key.
    #[must_use]
    pub const fn her_key(&self) -> &PublicKey {
        &self.her_key
    }

    /// The address her key hashes to.
    #[must_use]
    pub const fn her_address(&self) -> &Address {
        &self.her_address
    }

    /// The state as cjdns reports it.
    #[must_use]
    pub const fn state(&self) -> State {
        match self.round.next {
            0 => State::Init,
            1 => State::SentHello,
            2 => State::ReceivedHello,
            3 => State::SentKey,
            5.. if self.round.established => State::Established,
            _ => State::ReceivedKey,
        }
    }

    /// State and next counter in one number (docs/protocol/01 "Session record").
    #[must_use]
    pub const fn next(&self) -> u32 {
        self.round.next
    }

    /// Whether data was received in this session.
    #[must_use]
    pub const fn is_established(&self) -> bool {
        self.round.established
    }

    /// Which life of the session this is; changes with every new handshake.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.round.epoch
    }

    /// As whom she authenticated in the last handshake packet accepted.
    #[must_use]
    pub const fn user(&self) -> Option<&Arc<User>> {
        self.user.as_ref()
    }

    /// What the replay windows have seen since the session was made.
    #[must_use]
    pub const fn replay_stats(&self) -> ReplayStats {
        self.stats
    }

    /// The current replay window.
    #[must_use]
    pub const fn replay_window(&self) -> ReplayWindow {
        self.round.window
    }

    /// Whether so many packets were sent that a new handshake should be started while there is time: call `rekey`.
    #[must_use]
    pub const fn wants_rekey(&self) -> bool {
        self.round.established && self.round.next >= REKEY_COUNTER
    }

    /// Start a new handshake with the next packet; what she still sends in the old session stays readable meanwhile.
    pub fn rekey(&mut self, now_ms: u64) {
        self.replace_round(false);
        self.last_s = now_ms / 1000;
    }

    /// Present this credential from now on. Another one than before resets the session.
    pub fn set_credential(&mut self, credential: Option<Credential>) {
        if credential != self.credential {
            self.credential = credential;
            self.reset();
        }
    }

    /// Forget the handshake; the next packet sent is a HELLO.
    pub fn reset(&mut self) {
        self.earlier = None;
        self.start_round();
    }
}

/// Sending.
impl CryptoAuth {
    /// Whether the next payload has to travel in a handshake packet. Looks at the timeouts first.
    pub fn must_handshake(&mut self, now_ms: u64) -> bool {
        todo!("{now_ms}")
    }

    /// A handshake packet with `payload` inside. `None` when data may be sent instead (take `begin_seal`), or when her
    /// permanent key is a point of low order, with which nothing can be sealed.
    pub fn seal_handshake(
        &mut self,
        now_ms: u64,
        random: &mut dyn Random,
        payload: &[u8],
    ) -> Option<Vec<u8>> {
        todo!(
            "{now_ms} {payload:?} {}",
            random as *mut _ as *mut () as usize
        )
    }

    /// Reserve `count` counters for data packets. `None` when a handshake packet is due instead.
    pub fn begin_seal(&mut self, count: usize, now_ms: u64) -> Option<SealTicket> {
        todo!("{now_ms} {count}")
    }

    /// One packet, whatever is due: the slow and simple way, for tests and for Python.
    pub fn seal(
        &mut self,
        now_ms: u64,
        random: &mut dyn Random,
        payload: &[u8],
    ) -> Option<Vec<u8>> {
        todo!(
            "{now_ms} {payload:?} {}",
            random as *mut _ as *mut () as usize
        )
    }
}

/// Receiving.
impl CryptoAuth {
    /// Open any packet in place: the way for handshake packets, and for data before the session is established.
    ///
    /// # Errors
    /// Why it was refused. The session then is as before, and the packet as it came (except after [`AuthError::Replay`]:
    /// decrypted).
    pub fn open(
        &mut self,
        now_ms: u64,
        users: &Users,
        packet: &mut [u8],
    ) -> Result<Opened, AuthError> {
        todo!("{now_ms} {users:?} {packet:?}")
    }

    /// A ticket to open data packets with, when the session is established. Looks at the timeouts first (on links).
    pub fn begin_open(&mut self, now_ms: u64) -> Option<OpenTicket> {
        todo!("{now_ms}")
    }

    /// Judge what a ticket opened: `Opened` stays only for packets that are new. If the session changed since
    /// `begin_open`, every packet is refused.
    pub fn finish_open(&mut self, ticket: &OpenTicket, verdicts: &mut [Verdict], now_ms: u64) {
        todo!("{now_ms} {ticket:?} {verdicts:?}")
    }
}

impl CryptoAuth {
    fn replace_round(&mut self, may_return: bool) {
        todo!("{may_return}")
    }
    fn start_round(&mut self) {
        todo!()
    }
}
