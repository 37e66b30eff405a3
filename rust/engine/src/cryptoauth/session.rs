//! Hold the record of one session: its state, what a reset forgets, its timeouts.
//!
//! Place     link.rs and session.rs of the engine -> here; sending.rs and receiving.rs move it on
//! Spec      docs/protocol/01, "Session record", "Timeouts" and "Weak points, and what we do"
//! Keeps     every table is bounded; secrets are wiped when forgotten and never printed
//! Not here  what a packet does to the record (receiving.rs), what is sent next (sending.rs)

use core::ops::Range;
use std::sync::Arc;

use super::handshake::word;
use super::ticket::open_one;
use super::{AuthError, Credential, REKEY_COUNTER, ReplayStats, ReplayWindow, User};
use crate::crypto::keys::{boxkey, shared_secret};
use crate::crypto::{Address, Kernel, Key, LocalKeys, PublicKey, Secret, address_of};

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
    pub(super) local: Arc<LocalKeys>,
    pub(super) her_key: PublicKey,
    pub(super) her_address: Address,
    pub(super) settings: Settings,
    pub(super) credential: Option<Credential>,
    pub(super) static_shared: Option<Secret>,
    pub(super) user: Option<Arc<User>>,
    pub(super) last_s: u64,
    pub(super) epochs: u64,
    pub(super) stats: ReplayStats,
    pub(super) round: Round,
    pub(super) earlier: Option<Box<Earlier>>,
    pub(super) finished: Finished,
}

/// What a reset forgets.
#[derive(Debug, Default)]
pub(super) struct Round {
    pub(super) next: u32,
    pub(super) is_initiator: bool,
    pub(super) established: bool,
    pub(super) epoch: u64,
    pub(super) temp: Option<TempKeys>,
    pub(super) her_temp: Option<HerTempKey>,
    pub(super) secret: Option<Key>,
    pub(super) window: ReplayWindow,
}

#[derive(Debug)]
pub(super) struct TempKeys {
    pub(super) private: Secret,
    pub(super) public: PublicKey,
    pub(super) shared_with_her: Option<Secret>,
}

#[derive(Debug)]
pub(super) struct HerTempKey {
    pub(super) public: PublicKey,
    /// With our permanent key: enters the KEY we send. Only for a key that came in a HELLO.
    pub(super) shared_with_us: Option<Secret>,
}

/// An established session that a newer handshake replaced, kept for what is still under way.
#[derive(Debug)]
pub(super) struct Earlier {
    pub(super) round: Round,
    pub(super) user: Option<Arc<User>>,
    pub(super) last_s: u64,
    /// She asked for the new handshake: if data of the old session comes, it was not she.
    pub(super) may_return: bool,
}

/// Her temporary keys of the last handshakes that were carried through; she never uses one again.
#[derive(Debug, Default)]
pub(super) struct Finished {
    pub(super) keys: Vec<PublicKey>,
    pub(super) oldest: usize,
}

impl Finished {
    pub(super) fn learn(&mut self, key: PublicKey) {
        if self.keys.len() < REMEMBERED_HANDSHAKES {
            self.keys.push(key);
        } else if let Some(slot) = self.keys.get_mut(self.oldest) {
            *slot = key;
            self.oldest = (self.oldest + 1) % REMEMBERED_HANDSHAKES;
        }
    }

    pub(super) fn knows(&self, key: &PublicKey) -> bool {
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

    /// The life that may come back when the present one turns out to be begun by a replay.
    #[must_use]
    pub fn earlier_epoch(&self) -> Option<u64> {
        self.earlier.as_ref().map(|earlier| earlier.round.epoch)
    }

    /// As whom she authenticated in the last handshake packet accepted.
    #[must_use]
    pub const fn user(&self) -> Option<&Arc<User>> {
        self.user.as_ref()
    }

    /// Her temporary key in the present handshake.
    #[must_use]
    pub fn her_temp_key(&self) -> Option<&PublicKey> {
        self.round.her_temp.as_ref().map(|hers| &hers.public)
    }

    /// Whether she carried a handshake with this temporary key through: she never uses one again.
    #[must_use]
    pub fn has_finished(&self, her_temp_key: &PublicKey) -> bool {
        self.finished.knows(her_temp_key)
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
        if self.round.established {
            self.replace_round(false);
            self.last_s = now_ms / 1000;
        }
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

/// What sending and receiving share.
impl CryptoAuth {
    pub(super) const fn kernel(&self) -> Kernel {
        self.settings.kernel
    }

    pub(super) fn is_hardened(&self) -> bool {
        self.settings.strictness == Strictness::Hardened
    }

    /// Our permanent key with hers, computed once. `None` for a point of low order.
    pub(super) fn static_shared(&mut self) -> Option<&Secret> {
        if self.static_shared.is_none() {
            self.static_shared = shared_secret(self.local.private(), &self.her_key);
        }
        self.static_shared.as_ref()
    }

    /// Reset after silence (docs/protocol/01 "Timeouts").
    pub(super) fn check_timeouts(&mut self, now_s: u64) {
        if self
            .earlier
            .as_ref()
            .is_some_and(|earlier| earlier.is_over(now_s))
        {
            self.earlier = None;
        }
        let allowed = match self.round.next {
            _ if self.round.established => SILENCE_TIMEOUT_S,
            word::REPEAT_HELLO => return,
            _ => SETUP_TIMEOUT_S,
        };
        if now_s.saturating_sub(self.last_s) >= allowed {
            self.start_round();
            self.last_s = now_s;
        }
    }

    /// Begin anew, keeping an established session for what is still under way.
    pub(super) fn replace_round(&mut self, may_return: bool) {
        let replaced = self.start_round();
        if replaced.established && self.is_hardened() {
            self.earlier = Some(Box::new(Earlier {
                round: replaced,
                user: self.user.clone(),
                last_s: self.last_s,
                may_return,
            }));
        }
    }

    fn start_round(&mut self) -> Round {
        self.epochs += 1;
        let fresh = Round {
            epoch: self.epochs,
            ..Round::default()
        };
        core::mem::replace(&mut self.round, fresh)
    }
}

impl Earlier {
    pub(super) const fn is_over(&self, now_s: u64) -> bool {
        now_s.saturating_sub(self.last_s) >= SILENCE_TIMEOUT_S
    }
}

impl Round {
    /// The key of data packets, computed once both temporary keys are known.
    pub(super) fn session_secret(&mut self) -> Option<&Key> {
        if self.secret.is_none() {
            let (temp, her_temp) = (self.temp.as_ref()?, self.her_temp.as_ref()?);
            self.secret = boxkey(&temp.private, &her_temp.public);
        }
        self.secret.as_ref()
    }

    /// Decrypt a data packet in place.
    pub(super) fn decrypt(
        &mut self,
        kernel: Kernel,
        counter: u32,
        packet: &mut [u8],
    ) -> Result<(), AuthError> {
        let she_is_initiator = !self.is_initiator;
        let key = self.session_secret().ok_or(AuthError::Decrypt)?;
        open_one(kernel, key, she_is_initiator, counter, packet)
    }

    pub(super) fn has_her_temp(&self, key: &PublicKey) -> bool {
        self.her_temp
            .as_ref()
            .is_some_and(|hers| hers.public == *key)
    }
}
