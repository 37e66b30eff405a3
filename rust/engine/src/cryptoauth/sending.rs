//! Decide what is sent next: a handshake packet, or data with the next counter.
//!
//! Place     link.rs and session.rs of the engine -> here -> handshake.rs, ticket.rs
//! Spec      docs/protocol/01, "Sending"
//! Keeps     a counter is given out once; a handshake packet is only built when there is something to send
//! Not here  whether the payload may travel in a handshake packet (the callers)

use super::handshake::{self, Outgoing, word};
use super::session::{CryptoAuth, TempKeys};
use super::{COUNTER_LIMIT, DATA_HEADER_BYTES, FIRST_COUNTER, SealTicket};
use crate::crypto::{Key, Random, Secret, public_key};

impl CryptoAuth {
    /// Whether the next payload has to travel in a handshake packet. Looks at the timeouts first.
    pub fn must_handshake(&mut self, now_ms: u64) -> bool {
        self.must_handshake_for(1, now_ms)
    }

    /// A handshake packet with `payload` inside. `None` when data may be sent instead (take `begin_seal`), or when her
    /// permanent key is a point of low order, with which nothing can be sealed.
    pub fn seal_handshake(
        &mut self,
        now_ms: u64,
        random: &mut dyn Random,
        payload: &[u8],
    ) -> Option<Vec<u8>> {
        if !self.must_handshake(now_ms) {
            return None;
        }
        let key = self.outgoing_key()?;
        let first_word = self.round.next;
        if matches!(first_word, word::HELLO | word::KEY) || self.round.temp.is_none() {
            self.round.temp = Some(TempKeys::draw(random));
        }
        if first_word < word::KEY {
            self.round.is_initiator = true;
            self.round.next = word::REPEAT_HELLO;
            self.forbid_return();
        } else {
            self.round.next = word::REPEAT_KEY;
        }
        let packet = Outgoing {
            word: first_word,
            credential: self.credential.as_ref(),
            permanent_key: self.local.public(),
            temp_key: &self.round.temp.as_ref()?.public,
            key: &key,
            payload,
        };
        Some(packet.encode(self.kernel(), random))
    }

    /// Reserve `count` counters for data packets. `None` when a handshake packet is due instead.
    pub fn begin_seal(&mut self, count: usize, now_ms: u64) -> Option<SealTicket> {
        let wanted = u32::try_from(count).ok()?;
        if self.must_handshake_for(wanted, now_ms) {
            return None;
        }
        let key = self.round.session_secret()?.clone();
        let first_counter = self.round.next;
        self.round.next = first_counter.saturating_add(wanted);
        Some(SealTicket {
            key,
            is_initiator: self.round.is_initiator,
            first_counter,
            count,
            epoch: self.round.epoch,
            kernel: self.kernel(),
        })
    }

    /// One packet, whatever is due: the slow and simple way, for tests and for Python. `None` as in `seal_handshake`.
    pub fn seal(
        &mut self,
        now_ms: u64,
        random: &mut dyn Random,
        payload: &[u8],
    ) -> Option<Vec<u8>> {
        if self.must_handshake(now_ms) {
            return self.seal_handshake(now_ms, random, payload);
        }
        let ticket = self.begin_seal(1, now_ms)?;
        let mut packet = vec![0; DATA_HEADER_BYTES];
        packet.extend_from_slice(payload);
        let mut range = DATA_HEADER_BYTES..packet.len();
        ticket.seal(&mut packet, core::slice::from_mut(&mut range));
        Some(packet)
    }

    /// Whether `count` more data packets may not be sent: for lack of a session, or of counters.
    fn must_handshake_for(&mut self, count: u32, now_ms: u64) -> bool {
        self.check_timeouts(now_ms / 1000);
        let first_unused = u64::from(self.round.next) + u64::from(count);
        if first_unused > u64::from(COUNTER_LIMIT) {
            self.replace_round(false);
        }
        self.round.next < FIRST_COUNTER
    }

    fn outgoing_key(&mut self) -> Option<Key> {
        if self.round.next < word::KEY {
            self.static_shared()?;
        }
        let shared: &Secret = if self.round.next < word::KEY {
            self.static_shared.as_ref()?
        } else {
            self.round.her_temp.as_ref()?.shared_with_us.as_ref()?
        };
        let password_hash = self.credential.as_ref().map(|credential| credential.hash());
        Some(handshake::key_of(shared, password_hash))
    }

    /// Once she may have our HELLO, the old session is over for her, too.
    fn forbid_return(&mut self) {
        if let Some(earlier) = &mut self.earlier {
            earlier.may_return = false;
        }
    }
}

impl TempKeys {
    fn draw(random: &mut dyn Random) -> Self {
        let mut bytes = zeroize::Zeroizing::new([0; 32]);
        random.fill(bytes.as_mut_slice());
        let private = Secret::new(*bytes);
        Self {
            public: public_key(&private),
            private,
            shared_with_her: None,
        }
    }
}
