//! Decide what a packet that came does to the session.
//!
//! Place     link.rs and session.rs of the engine -> here -> handshake.rs, ticket.rs, replay.rs
//! Spec      docs/protocol/01, "Receiving", "Both sides start" and "Weak points, and what we do"
//! Keeps     a packet that is refused changes nothing (with `Strictness::Reference`: but the window base)
//! Not here  what the payload may be (the callers)

use std::sync::Arc;

use super::handshake::{self, Header, word};
use super::session::{CryptoAuth, HerTempKey, Kind, Layer, Opened};
use super::{
    AuthError, DATA_HEADER_BYTES, FIRST_COUNTER, HANDSHAKE_HEADER_BYTES, OpenTicket, ReplayWindow,
    User, Users, Verdict,
};
use crate::crypto::keys::{boxkey, shared_secret};
use crate::crypto::{PublicKey, Secret};

/// The word a session that got a KEY, or that sends data, has passed.
const RECEIVED_KEY: u32 = 4;
/// How many counters the reference leaves out when data establishes the session.
const SKIPPED_COUNTERS: u32 = 3;

impl CryptoAuth {
    /// Open any packet in place: the way for handshake packets, and for data before the session is established.
    ///
    /// # Errors
    /// Why it was refused. Packets refused after decryption (replays, handshakes that do not fit) are left decrypted.
    pub fn open(
        &mut self,
        now_ms: u64,
        users: &Users,
        packet: &mut [u8],
    ) -> Result<Opened, AuthError> {
        let now_s = now_ms / 1000;
        let first_word = packet.first_chunk().copied().map(u32::from_be_bytes);
        if self.settings.layer == Layer::Link || first_word.is_some_and(|word| word < FIRST_COUNTER)
        {
            self.check_timeouts(now_s);
        }
        let (Some(first_word), true) = (first_word, packet.len() >= DATA_HEADER_BYTES) else {
            return Err(AuthError::Runt);
        };
        match first_word {
            FIRST_COUNTER.. => {
                if self.round.established {
                    self.open_data(first_word, packet, now_s)?;
                } else {
                    self.open_early_data(first_word, packet, now_s)?;
                }
                Ok(Opened {
                    range: DATA_HEADER_BYTES..packet.len(),
                    kind: Kind::Data,
                })
            }
            word::KEY.. if self.round.established => Err(AuthError::KeyPacketInEstablishedSession),
            _ => self.open_handshake(first_word, users, packet),
        }
    }

    /// A ticket to open data packets with, when the session is established. On links it looks at the timeouts first.
    pub fn begin_open(&mut self, now_ms: u64) -> Option<OpenTicket> {
        if self.settings.layer == Layer::Link {
            self.check_timeouts(now_ms / 1000);
        }
        if !self.round.established {
            return None;
        }
        Some(OpenTicket {
            key: self.round.session_secret()?.clone(),
            is_initiator: self.round.is_initiator,
            epoch: self.round.epoch,
            kernel: self.kernel(),
        })
    }

    /// Judge what a ticket opened: `Opened` stays only for packets that are new. If the session changed since
    /// `begin_open`, every packet is refused.
    pub fn finish_open(&mut self, ticket: &OpenTicket, verdicts: &mut [Verdict], now_ms: u64) {
        let is_current = self.round.established && self.round.epoch == ticket.epoch;
        for verdict in verdicts {
            let Verdict::Opened { counter } = *verdict else {
                continue;
            };
            if !is_current {
                *verdict = Verdict::Refused(AuthError::NoSession);
            } else if self.round.window.accept(counter, &mut self.stats) {
                self.last_s = now_ms / 1000;
            } else {
                *verdict = Verdict::Refused(AuthError::Replay);
            }
        }
    }
}

/// Data.
impl CryptoAuth {
    fn open_data(&mut self, counter: u32, packet: &mut [u8], now_s: u64) -> Result<(), AuthError> {
        self.round.decrypt(self.settings.kernel, counter, packet)?;
        if !self.round.window.accept(counter, &mut self.stats) {
            return Err(AuthError::Replay);
        }
        self.last_s = now_s;
        Ok(())
    }

    /// Data that may establish the session, or belong to the one before.
    fn open_early_data(
        &mut self,
        counter: u32,
        packet: &mut [u8],
        now_s: u64,
    ) -> Result<(), AuthError> {
        let Err(refusal) = self.establish(counter, packet, now_s) else {
            return Ok(());
        };
        match self.open_earlier_data(counter, packet, now_s) {
            Some(result) => result,
            None => Err(refusal),
        }
    }

    fn establish(&mut self, counter: u32, packet: &mut [u8], now_s: u64) -> Result<(), AuthError> {
        if self.round.next < word::REPEAT_KEY {
            return Err(AuthError::NoSession);
        }
        let decrypted = self.round.decrypt(self.settings.kernel, counter, packet);
        if self.is_hardened() {
            decrypted?;
            self.round.window = ReplayWindow::started_by(counter);
        } else {
            let is_new = decrypted.is_ok() && self.round.window.accept(counter, &mut self.stats);
            self.round.window = ReplayWindow::at(counter.wrapping_add(1));
            decrypted?;
            if !is_new {
                return Err(AuthError::Replay);
            }
        }
        self.round.established = true;
        self.round.next = self.round.next.saturating_add(SKIPPED_COUNTERS);
        self.last_s = now_s;
        self.earlier = None;
        if let (false, Some(her_temp)) = (self.round.is_initiator, &self.round.her_temp) {
            self.finished.learn(her_temp.public);
        }
        Ok(())
    }

    /// Data of the session that a newer handshake replaced. If she was said to have asked for that handshake, she did
    /// not: go back. `None` when the packet is not of that session.
    fn open_earlier_data(
        &mut self,
        counter: u32,
        packet: &mut [u8],
        now_s: u64,
    ) -> Option<Result<(), AuthError>> {
        let kernel = self.kernel();
        let earlier = self
            .earlier
            .as_mut()
            .filter(|earlier| !earlier.is_over(now_s))?;
        earlier.round.decrypt(kernel, counter, packet).ok()?;
        if !earlier.round.window.accept(counter, &mut self.stats) {
            return Some(Err(AuthError::Replay));
        }
        earlier.last_s = now_s;
        if earlier.may_return {
            let earlier = self.earlier.take()?;
            self.round = earlier.round;
            self.user = earlier.user;
            self.last_s = now_s;
        }
        Some(Ok(()))
    }
}

/// Handshakes.
impl CryptoAuth {
    fn open_handshake(
        &mut self,
        first_word: u32,
        users: &Users,
        packet: &mut [u8],
    ) -> Result<Opened, AuthError> {
        let header = Header::decode(packet)?;
        if header.permanent_key != self.her_key {
            return Err(AuthError::WrongPermanentKey);
        }
        let user = self.authenticate(&header, users)?;
        let is_key = first_word >= word::KEY;
        if is_key && !self.round.is_initiator {
            return Err(AuthError::StrayKey);
        }
        let shared = if is_key {
            self.temp_shared()
        } else {
            self.static_shared()
        };
        let shared = shared.ok_or(AuthError::HandshakeDecryptFailed)?;
        let key = handshake::key_of(shared, user.as_ref().map(|user| user.hash()));
        let temp_key = header.open(self.kernel(), &key, packet)?;
        if temp_key == [0; 32] {
            return Err(AuthError::Wiseguy);
        }
        if is_key {
            self.accept_key(first_word, temp_key)?;
            self.user = user;
        } else if self.accept_hello(first_word, temp_key)? {
            self.user = user;
        }
        Ok(Opened {
            range: HANDSHAKE_HEADER_BYTES..packet.len(),
            kind: if is_key { Kind::Key } else { Kind::Hello },
        })
    }

    fn authenticate(&self, header: &Header, users: &Users) -> Result<Option<Arc<User>>, AuthError> {
        match users.find(&header.lookup) {
            Some(user)
                if user
                    .only_from()
                    .is_some_and(|only| *only != self.her_address) =>
            {
                Err(AuthError::IpRestricted)
            }
            Some(user) => Ok(Some(Arc::clone(user))),
            None if self.settings.require_auth => Err(AuthError::AuthRequired),
            None if header.lookup[0] != 0 => Err(AuthError::UnrecognizedAuth),
            None => Ok(None),
        }
    }

    /// Our temporary key with her permanent one, computed once a handshake.
    fn temp_shared(&mut self) -> Option<&Secret> {
        let temp = self.round.temp.as_mut()?;
        if temp.shared_with_her.is_none() {
            temp.shared_with_her = shared_secret(&temp.private, &self.her_key);
        }
        temp.shared_with_her.as_ref()
    }

    fn accept_key(&mut self, first_word: u32, temp_key: PublicKey) -> Result<(), AuthError> {
        let is_same = self.round.has_her_temp(&temp_key);
        let next = self.round.next;
        if next >= RECEIVED_KEY && is_same != (first_word == word::REPEAT_KEY) {
            return Err(AuthError::InvalidPacket);
        }
        if !matches!(next, word::REPEAT_HELLO | RECEIVED_KEY..) {
            return Err(AuthError::StrayKey);
        }
        if !is_same {
            let temp = self.round.temp.as_ref().ok_or(AuthError::StrayKey)?;
            let secret =
                boxkey(&temp.private, &temp_key).ok_or(AuthError::HandshakeDecryptFailed)?;
            self.round.secret = Some(secret);
            self.round.her_temp = Some(HerTempKey {
                public: temp_key,
                shared_with_us: None,
            });
        }
        self.round.next = match next {
            word::REPEAT_HELLO | RECEIVED_KEY => RECEIVED_KEY,
            counter => counter.saturating_add(1),
        };
        self.round.window = ReplayWindow::default();
        Ok(())
    }

    /// Returns whether the HELLO was taken; if not, ours goes first (docs/protocol/01 "Both sides start").
    fn accept_hello(&mut self, first_word: u32, temp_key: PublicKey) -> Result<bool, AuthError> {
        let next = self.round.next;
        if self.round.has_her_temp(&temp_key) {
            if first_word == word::HELLO || !matches!(next, word::KEY | word::REPEAT_KEY) {
                return Err(AuthError::InvalidPacket);
            }
            self.round.window = ReplayWindow::default();
            return Ok(true);
        }
        if self.is_hardened() && self.finished.knows(&temp_key) {
            return Err(AuthError::InvalidPacket);
        }
        let shared = shared_secret(self.local.private(), &temp_key)
            .ok_or(AuthError::HandshakeDecryptFailed)?;
        if next == word::REPEAT_HELLO && self.her_key >= *self.local.public() {
            return Ok(false);
        }
        if next != 0 {
            self.replace_round(true);
        }
        self.round.her_temp = Some(HerTempKey {
            public: temp_key,
            shared_with_us: Some(shared),
        });
        self.round.next = word::KEY;
        self.round.window = ReplayWindow::default();
        Ok(true)
    }
}
