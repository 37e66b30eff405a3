//! Receive session handshakes, and make the session when a stranger begins.
//!
//! Place     router.rs -> here -> Python (the routing message inside), outgoing.rs (what waited for the handshake)
//! Spec      docs/protocol/05 §2 and §3, docs/protocol/01 §15
//! Keeps     no state until the handshake opened; so many a second from each peer; only routing messages are taken out
//! Not here  sessions that we begin (outgoing.rs)

use std::ops::Range;
use std::sync::Arc;

use crate::buffer::{bytes_of, bytes_of_mut, lock, word_at, write};
use crate::crypto::keys::address_of;
use crate::cryptoauth::{FIRST_COUNTER, HANDSHAKE_HEADER_BYTES, Layer};
use crate::drop::DropReason;
use crate::engine::{Engine, Sink};
use crate::ip::{DATA_HEADER_BYTES, content_type_of};
use crate::message::{Event, Label, PublicKey};
use crate::peers::Peer;
use crate::router::{CONTENT_ROUTING, HANDLE_BYTES, LAST_HANDLE};
use crate::session::{Session, SessionState};
use crate::sessions::Admission;
use crate::switch::HEADER_BYTES;

const KEY_AT: usize = HEADER_BYTES + 40;

impl Engine {
    /// A handshake packet that peer `from` brought.
    pub(crate) fn receive_session_handshake(
        &self,
        now_ms: u64,
        from: &Peer,
        label: Label,
        arena: &mut [u8],
        packet: &Range<usize>,
        sink: &mut dyn Sink,
    ) {
        let judged = self.judge_session_handshake(now_ms, from, bytes_of(arena, packet));
        let result =
            judged.and_then(|key| self.open_greeting(now_ms, key, label, arena, packet, sink));
        if let Err(reason) = result {
            self.drop_packets(reason, 1);
        }
    }

    /// Everything that is cheap to know: whose key it is, and whether more may be spent on it.
    fn judge_session_handshake(
        &self,
        now_ms: u64,
        from: &Peer,
        packet: &[u8],
    ) -> Result<PublicKey, DropReason> {
        let key: &PublicKey = packet
            .get(KEY_AT..)
            .and_then(<[u8]>::first_chunk)
            .filter(|_| packet.len() >= HEADER_BYTES + HANDSHAKE_HEADER_BYTES)
            .ok_or(DropReason::RouterRunt)?;
        if !lock(&self.limits.session_handshakes).take(u64::from(from.slot), now_ms) {
            return Err(DropReason::RouterHandshakeRateLimited);
        }
        if !self.is_foreign_mesh_key(key, &address_of(key)) {
            return Err(DropReason::RouterBadKey);
        }
        Ok(*key)
    }

    fn open_greeting(
        &self,
        now_ms: u64,
        key: PublicKey,
        label: Label,
        arena: &mut [u8],
        packet: &Range<usize>,
        sink: &mut dyn Sink,
    ) -> Result<(), DropReason> {
        let known = self.session_with(&address_of(&key));
        let message = packet.start + HEADER_BYTES..packet.end;
        let session = match known {
            Some(session) => {
                let opened = self.with_session(&session, label, |state| {
                    self.open_into(now_ms, state, label, bytes_of_mut(arena, &message))
                });
                self.check_opened(now_ms, opened, arena, packet, sink)?;
                session
            }
            None => {
                let mut state =
                    SessionState::new(self.crypto_with(now_ms, key, Layer::EndToEnd, false));
                let bytes = bytes_of_mut(arena, &message);
                let opened = self.open_into(now_ms, &mut state, label, bytes);
                self.check_opened(now_ms, opened, arena, packet, sink)?;
                let session = self.enter_session(now_ms, state, label, true)?;
                self.with_session(&session, label, |_| ());
                session
            }
        };
        let content = message.start + HANDSHAKE_HEADER_BYTES + HANDLE_BYTES..message.end;
        self.count_in(now_ms, &session, content.len());
        let content = bytes_of(arena, &content);
        match content_type_of(content) {
            Some(CONTENT_ROUTING) => self.tell_routing_message(&session, label, content),
            Some(_) => self.drop_packets(DropReason::RouterContentBeforeHandshake, 1),
            None => {}
        }
        self.release_parked(now_ms, &session.address, sink);
        Ok(())
    }

    /// Open a handshake packet and learn the handle inside. The plaintext must hold a handle and a data header, and the
    /// handle must be one that cannot be taken for something else.
    fn open_into(
        &self,
        now_ms: u64,
        state: &mut SessionState,
        label: Label,
        message: &mut [u8],
    ) -> Result<(), Refusal> {
        let users = self.users();
        let opened = match state.crypto.open(now_ms, &users, message) {
            Ok(opened) => opened,
            Err(error) => return Err(Refusal::Crypto(error, state.number())),
        };
        let plaintext = opened.range;
        if plaintext.len() < HANDLE_BYTES + DATA_HEADER_BYTES {
            return Err(Refusal::Content(DropReason::RouterPlaintextRunt));
        }
        match word_at(message, &plaintext, 0) {
            Some(handle @ FIRST_COUNTER..=LAST_HANDLE) => state.learn_handle(handle),
            _ => return Err(Refusal::Content(DropReason::CryptoInvalidPacket)),
        }
        state.receive_label = label;
        Ok(())
    }

    /// Turn a refusal into an error frame or a drop.
    fn check_opened(
        &self,
        now_ms: u64,
        opened: Result<(), Refusal>,
        arena: &[u8],
        packet: &Range<usize>,
        sink: &mut dyn Sink,
    ) -> Result<(), DropReason> {
        match opened {
            Ok(()) => Ok(()),
            Err(Refusal::Content(reason)) => Err(reason),
            Err(Refusal::Crypto(error, state)) => {
                self.tell_refused(now_ms, error, state, bytes_of(arena, packet), sink);
                Err(crate::engine::reason_of(error))
            }
        }
    }

    /// Enter a new session, giving up an unused one if there is no room.
    pub(crate) fn enter_session(
        &self,
        now_ms: u64,
        state: SessionState,
        label: Label,
        is_incoming: bool,
    ) -> Result<Arc<Session>, DropReason> {
        let mut sessions = write(&self.sessions);
        if let Some(session) = sessions.with(state.crypto.her_address()) {
            // Another thread was faster; its session lives, and a lost HELLO is repeated.
            return Ok(Arc::clone(session));
        }
        match sessions.admit(now_ms, is_incoming) {
            Admission::Free => {}
            Admission::Evicted(evicted) => self.tell(Event::SessionRemoved {
                address: evicted.address,
                reason: "evicted",
            }),
            Admission::Full => return Err(DropReason::RouterSessionTableFull),
        }
        let handle = sessions.next_handle();
        let session = Arc::new(Session::new(state, handle));
        sessions.insert(&session);
        self.tell(Event::SessionAdded {
            address: session.address,
            key: session.key,
            handle,
            label,
            is_incoming,
        });
        Ok(session)
    }
}

/// Why a handshake packet was refused.
enum Refusal {
    Crypto(crate::cryptoauth::AuthError, u32),
    Content(DropReason),
}
