//! Let two sessions talk: the tables of docs/protocol/01, timeouts, and what the hardened mode adds.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use dexmesh_engine::crypto::keys::boxkey;
use dexmesh_engine::crypto::{
    Kernel, LocalKeys, PublicKey, Random, Secret, SeededRandom, seal_in_place,
};
use dexmesh_engine::cryptoauth::{
    AuthError, COUNTER_LIMIT, Credential, CryptoAuth, Kind, Layer, REKEY_COUNTER, Settings, State,
    Strictness, UserError, Users, Verdict,
};
use proptest::prelude::*;

const REFERENCE: Settings = Settings {
    require_auth: false,
    layer: Layer::Link,
    strictness: Strictness::Reference,
    kernel: Kernel::Auto,
};
const HARDENED: Settings = Settings {
    strictness: Strictness::Hardened,
    ..REFERENCE
};
const HEADER_BYTES: usize = 20;

/// Two nodes that know each other's key. `low` has the lower key.
struct Pair {
    low: Node,
    high: Node,
    now_ms: u64,
}

struct Node {
    keys: Arc<LocalKeys>,
    session: CryptoAuth,
    users: Users,
    random: SeededRandom,
}

type Received = Result<(Kind, Vec<u8>), AuthError>;

impl Node {
    fn new(private: u8, her_private: u8, settings: Settings) -> Self {
        let keys = Arc::new(LocalKeys::new([private; 32]));
        let hers = LocalKeys::new([her_private; 32]);
        Self {
            session: CryptoAuth::new(&keys, *hers.public(), settings, 0),
            keys,
            users: Users::new(),
            random: SeededRandom::new([private; 32]),
        }
    }

    fn send_at(&mut self, now_ms: u64, payload: &[u8]) -> Vec<u8> {
        self.session
            .seal(now_ms, &mut self.random, payload)
            .unwrap()
    }

    fn receive_at(&mut self, now_ms: u64, packet: &[u8]) -> Received {
        let mut packet = packet.to_vec();
        let opened = self.session.open(now_ms, &self.users, &mut packet)?;
        Ok((opened.kind, packet[opened.range].to_vec()))
    }

    /// Forget everything, as after a crash.
    fn restart(&mut self, settings: Settings, now_ms: u64) {
        self.session = CryptoAuth::new(&self.keys, *self.session.her_key(), settings, now_ms);
    }
}

impl Pair {
    fn new(settings: Settings) -> Self {
        let (mut low, mut high) = (Node::new(1, 2, settings), Node::new(2, 1, settings));
        if low.keys.public() > high.keys.public() {
            core::mem::swap(&mut low, &mut high);
        }
        Self {
            low,
            high,
            now_ms: 5000,
        }
    }

    fn low_sends(&mut self, payload: &[u8]) -> Vec<u8> {
        self.low.send_at(self.now_ms, payload)
    }

    fn high_sends(&mut self, payload: &[u8]) -> Vec<u8> {
        self.high.send_at(self.now_ms, payload)
    }

    fn low_gets(&mut self, packet: &[u8]) -> Received {
        self.low.receive_at(self.now_ms, packet)
    }

    fn high_gets(&mut self, packet: &[u8]) -> Received {
        self.high.receive_at(self.now_ms, packet)
    }

    /// `low` calls; HELLO, KEY, data both ways. Returns the HELLO.
    fn establish(&mut self) -> Vec<u8> {
        let hello = self.low_sends(b"hello");
        assert_eq!(self.high_gets(&hello), Ok((Kind::Hello, b"hello".to_vec())));
        let key = self.high_sends(b"key");
        assert_eq!(self.low_gets(&key), Ok((Kind::Key, b"key".to_vec())));
        self.data_passes();
        hello
    }

    fn data_passes(&mut self) {
        for _ in 0..2 {
            let there = self.low_sends(b"there");
            assert_eq!(self.high_gets(&there), Ok((Kind::Data, b"there".to_vec())));
            let back = self.high_sends(b"back");
            assert_eq!(self.low_gets(&back), Ok((Kind::Data, b"back".to_vec())));
        }
        assert_eq!(
            [self.low.session.state(), self.high.session.state()],
            [State::Established; 2]
        );
    }
}

fn word(packet: &[u8]) -> u32 {
    u32::from_be_bytes(packet[..4].try_into().unwrap())
}

fn both(test: impl Fn(Settings)) {
    test(REFERENCE);
    test(HARDENED);
}

// --- the course of a handshake -----------------------------------------------------------------------------------

#[test]
fn a_handshake_goes_through_all_states() {
    both(|settings| {
        let mut pair = Pair::new(settings);
        assert_eq!(
            [pair.low.session.state(), pair.high.session.state()],
            [State::Init; 2]
        );
        let hello = pair.low_sends(b"1");
        assert_eq!(
            (word(&hello), pair.low.session.state()),
            (0, State::SentHello)
        );
        pair.high_gets(&hello).unwrap();
        assert_eq!(pair.high.session.state(), State::ReceivedHello);
        let key = pair.high_sends(b"2");
        assert_eq!((word(&key), pair.high.session.state()), (2, State::SentKey));
        pair.low_gets(&key).unwrap();
        assert_eq!(pair.low.session.state(), State::ReceivedKey);
        let data = pair.low_sends(b"3");
        assert_eq!(
            (word(&data), pair.low.session.state()),
            (4, State::ReceivedKey)
        );
        pair.high_gets(&data).unwrap();
        assert_eq!(
            (pair.high.session.next(), pair.high.session.state()),
            (6, State::Established)
        );
        let back = pair.high_sends(b"4");
        assert_eq!(word(&back), 6);
        pair.low_gets(&back).unwrap();
        assert_eq!(
            (pair.low.session.next(), pair.low.session.state()),
            (8, State::Established)
        );
    });
}

#[test]
fn without_an_answer_every_payload_travels_in_a_repeat() {
    both(|settings| {
        let mut pair = Pair::new(settings);
        let hellos = [b"1", b"2", b"3"].map(|payload| pair.low_sends(payload));
        assert_eq!([0, 1, 2].map(|i: usize| word(&hellos[i])), [0, 1, 1]);
        for hello in &hellos[1..] {
            pair.high_gets(hello).unwrap();
        }
        let keys = [b"1", b"2", b"3"].map(|payload| pair.high_sends(payload));
        assert_eq!([0, 1, 2].map(|i: usize| word(&keys[i])), [2, 3, 3]);
        assert_eq!(pair.low_gets(&keys[2]), Ok((Kind::Key, b"3".to_vec())));
        pair.data_passes();
    });
}

#[test]
fn a_key_is_dropped_after_it_was_used() {
    both(|settings| {
        let mut pair = Pair::new(settings);
        let hello = pair.low_sends(b"");
        pair.high_gets(&hello).unwrap();
        let key = pair.high_sends(b"");
        pair.low_gets(&key).unwrap();
        assert_eq!(pair.low_gets(&key), Err(AuthError::InvalidPacket));
        let data = pair.low_sends(b"");
        assert_eq!(pair.low_gets(&key), Err(AuthError::InvalidPacket));
        pair.high_gets(&data).unwrap();
        pair.data_passes();
        assert_eq!(
            pair.low_gets(&key),
            Err(AuthError::KeyPacketInEstablishedSession)
        );
    });
}

#[test]
fn a_repeated_key_costs_the_initiator_one_counter() {
    both(|settings| {
        let mut pair = Pair::new(settings);
        let hello = pair.low_sends(b"");
        pair.high_gets(&hello).unwrap();
        let keys = [pair.high_sends(b"1"), pair.high_sends(b"2")];
        pair.low_gets(&keys[0]).unwrap();
        assert_eq!(word(&pair.low_sends(b"")), 4);
        pair.low_gets(&keys[1]).unwrap();
        assert_eq!(word(&pair.low_sends(b"")), 6);
    });
}

#[test]
fn when_hellos_cross_the_lower_key_becomes_initiator() {
    both(|settings| {
        let mut pair = Pair::new(settings);
        let (from_low, from_high) = (pair.low_sends(b"low"), pair.high_sends(b"high"));
        assert_eq!(
            pair.low_gets(&from_high),
            Ok((Kind::Hello, b"high".to_vec()))
        );
        assert_eq!(pair.low.session.state(), State::SentHello);
        assert_eq!(
            pair.high_gets(&from_low),
            Ok((Kind::Hello, b"low".to_vec()))
        );
        assert_eq!(pair.high.session.state(), State::ReceivedHello);
        assert_eq!(word(&pair.low_sends(b"")), 1);
        let key = pair.high_sends(b"");
        assert_eq!(word(&key), 2);
        pair.low_gets(&key).unwrap();
        pair.data_passes();
    });
}

#[test]
fn a_restarted_peer_is_accepted_at_once() {
    both(|settings| {
        let mut pair = Pair::new(settings);
        pair.establish();
        pair.low.restart(settings, pair.now_ms);
        let lost = pair.high_sends(b"lost");
        assert_eq!(pair.low_gets(&lost), Err(AuthError::NoSession));
        pair.establish();
        pair.high.restart(settings, pair.now_ms);
        let hello = pair.high_sends(b"");
        pair.low_gets(&hello).unwrap();
        let key = pair.low_sends(b"");
        pair.high_gets(&key).unwrap();
        let data = pair.high_sends(b"");
        pair.low_gets(&data).unwrap();
        pair.data_passes();
    });
}

// --- what is refused ---------------------------------------------------------------------------------------------

#[test]
fn short_packets_are_runts() {
    both(|settings| {
        let mut pair = Pair::new(settings);
        let hello = pair.low_sends(b"");
        for length in 0..hello.len() {
            assert_eq!(
                pair.high_gets(&hello[..length]),
                Err(AuthError::Runt),
                "{length}"
            );
        }
        pair.establish();
        let data = pair.low_sends(b"");
        for length in 0..data.len() {
            assert_eq!(
                pair.high_gets(&data[..length]),
                Err(AuthError::Runt),
                "{length}"
            );
        }
    });
}

#[test]
fn each_state_refuses_what_does_not_fit() {
    both(|settings| {
        let mut pair = Pair::new(settings);
        let data = [0, 0, 0, 9].repeat(10);
        assert_eq!(pair.high_gets(&data), Err(AuthError::NoSession));
        let hello = pair.low_sends(b"");
        assert_eq!(pair.low_gets(&data), Err(AuthError::NoSession));
        pair.high_gets(&hello).unwrap();
        assert_eq!(pair.high_gets(&data), Err(AuthError::NoSession));
        assert_eq!(pair.high_gets(&hello), Err(AuthError::InvalidPacket));
        let key = pair.high_sends(b"");
        assert_eq!(pair.high_gets(&key), Err(AuthError::WrongPermanentKey));
        let mut stray = key.clone();
        stray[40..72].copy_from_slice(pair.low.keys.public());
        assert_eq!(pair.high_gets(&stray), Err(AuthError::StrayKey));
        pair.low_gets(&key).unwrap();
        pair.establish_with_data();
        let mut repeat = hello;
        repeat[3] = 1;
        assert_eq!(pair.high_gets(&repeat), Err(AuthError::InvalidPacket));
        assert_eq!(
            pair.low_gets(&key),
            Err(AuthError::KeyPacketInEstablishedSession)
        );
    });
}

impl Pair {
    fn establish_with_data(&mut self) {
        let data = self.low_sends(b"");
        self.high_gets(&data).unwrap();
        self.data_passes();
    }
}

#[test]
fn flipped_bits_are_noticed_or_change_nothing() {
    both(|settings| {
        let mut pair = Pair::new(settings);
        let hello = pair.low_sends(b"payload");
        for bit in 16 * 8..hello.len() * 8 {
            let mut damaged = hello.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let expected = if bit / 8 < 40 || bit / 8 >= 72 {
                AuthError::HandshakeDecryptFailed
            } else {
                AuthError::WrongPermanentKey
            };
            assert_eq!(pair.high_gets(&damaged), Err(expected));
            assert_eq!(pair.high.session.state(), State::Init);
        }
        pair.establish();
        let data = pair.low_sends(b"payload");
        for bit in 0..data.len() * 8 {
            let mut damaged = data.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(pair.high_gets(&damaged).is_err());
        }
        assert_eq!(pair.high_gets(&data), Ok((Kind::Data, b"payload".to_vec())));
    });
}

#[test]
fn credentials_decide_who_comes_in() {
    both(|settings| {
        let settings = Settings {
            require_auth: true,
            ..settings
        };
        let try_with = |credential: Option<Credential>| {
            let mut pair = Pair::new(settings);
            pair.high.users.add(Some(b"ann"), b"secret", None).unwrap();
            pair.high
                .users
                .add(None, b"other", Some([0xfc; 16]))
                .unwrap();
            pair.low.session.set_credential(credential);
            let hello = pair.low_sends(b"");
            let result = pair
                .high_gets(&hello)
                .map(|_| pair.high.session.user().unwrap().login().to_vec());
            assert_eq!(result.is_err(), pair.high.session.user().is_none());
            result
        };
        assert_eq!(
            try_with(Some(Credential::password(b"secret"))),
            Ok(b"ann".to_vec())
        );
        assert_eq!(
            try_with(Some(Credential::login(b"ann", b"secret"))),
            Ok(b"ann".to_vec())
        );
        assert_eq!(
            try_with(Some(Credential::login(b"ann", b"wrong"))),
            Err(AuthError::HandshakeDecryptFailed)
        );
        assert_eq!(
            try_with(Some(Credential::login(b"bob", b"secret"))),
            Err(AuthError::AuthRequired)
        );
        assert_eq!(
            try_with(Some(Credential::password(b"wrong"))),
            Err(AuthError::AuthRequired)
        );
        assert_eq!(
            try_with(Some(Credential::password(b"other"))),
            Err(AuthError::IpRestricted)
        );
        assert_eq!(try_with(None), Err(AuthError::AuthRequired));
    });
}

#[test]
fn an_unknown_credential_is_refused_even_where_none_is_needed() {
    let mut pair = Pair::new(HARDENED);
    pair.low
        .session
        .set_credential(Some(Credential::password(b"unknown")));
    let hello = pair.low_sends(b"");
    assert_eq!(pair.high_gets(&hello), Err(AuthError::UnrecognizedAuth));
}

#[test]
fn the_credential_is_in_every_handshake_packet_also_in_a_key() {
    let mut pair = Pair::new(Settings {
        require_auth: true,
        ..HARDENED
    });
    for node in [&mut pair.low, &mut pair.high] {
        node.users.add(Some(b"peer"), b"secret", None).unwrap();
        node.session
            .set_credential(Some(Credential::password(b"secret")));
    }
    pair.establish();
}

#[test]
fn another_credential_resets_and_the_same_does_not() {
    let mut pair = Pair::new(HARDENED);
    pair.establish();
    pair.low.session.set_credential(None);
    assert!(pair.low.session.is_established());
    pair.low
        .session
        .set_credential(Some(Credential::password(b"new")));
    assert_eq!(pair.low.session.state(), State::Init);
    pair.low
        .session
        .set_credential(Some(Credential::password(b"new")));
    assert_eq!(word(&pair.low_sends(b"")), 0);
    pair.low
        .session
        .set_credential(Some(Credential::password(b"new")));
    assert_eq!(pair.low.session.state(), State::SentHello);
}

/// A HELLO of `low`, sealed as it should be, with any temporary key inside.
fn hello_with(pair: &Pair, temp_key: PublicKey) -> Vec<u8> {
    let key = boxkey(pair.low.keys.private(), pair.high.keys.public()).unwrap();
    let mut packet = vec![0; 16];
    packet.extend([7; 24]);
    packet.extend(pair.low.keys.public());
    let mut sealed = temp_key.to_vec();
    packet.extend(seal_in_place(Kernel::Auto, &key, &[7; 24], &mut sealed));
    packet.extend(sealed);
    packet
}

#[test]
fn temporary_keys_of_low_order_fail_like_a_wrong_tag() {
    both(|settings| {
        let mut pair = Pair::new(settings);
        let mut one = [0; 32];
        one[0] = 1;
        let high_bit = core::array::from_fn(|i| if i == 31 { 0x80 } else { 0 });
        for point in [one, high_bit] {
            let hello = hello_with(&pair, point);
            assert_eq!(
                pair.high_gets(&hello),
                Err(AuthError::HandshakeDecryptFailed)
            );
            assert_eq!(pair.high.session.state(), State::Init);
        }
        let zero = hello_with(&pair, [0; 32]);
        assert_eq!(pair.high_gets(&zero), Err(AuthError::Wiseguy));
        pair.establish();
    });
}

#[test]
fn with_a_permanent_key_of_low_order_nothing_is_sealed_and_nothing_opened() {
    let keys = Arc::new(LocalKeys::new([1; 32]));
    let mut session = CryptoAuth::new(&keys, [0; 32], HARDENED, 0);
    assert_eq!(session.seal(0, &mut SeededRandom::new([1; 32]), b"x"), None);
    let mut hello = vec![0; 130];
    assert_eq!(
        session.open(0, &Users::new(), &mut hello),
        Err(AuthError::HandshakeDecryptFailed)
    );
}

// --- time --------------------------------------------------------------------------------------------------------

#[test]
fn an_unfinished_session_is_forgotten_after_10_seconds() {
    both(|settings| {
        let mut pair = Pair::new(settings);
        let hello = pair.low_sends(b"");
        pair.high_gets(&hello).unwrap();
        pair.now_ms = 9999;
        assert_eq!(word(&pair.high_sends(b"")), 2);
        pair.now_ms = 10_000; // the session was made at 0
        assert_eq!(word(&pair.high_sends(b"")), 0);
        assert_eq!(pair.high.session.state(), State::SentHello);
        pair.now_ms = 1_000_000;
        assert_eq!(word(&pair.high_sends(b"")), 1);
    });
}

#[test]
fn an_established_session_ends_after_60_seconds_of_silence() {
    both(|settings| {
        let mut pair = Pair::new(settings);
        pair.establish();
        pair.now_ms = 64_999;
        assert!(word(&pair.low_sends(b"")) > 4);
        let data = pair.high_sends(b"");
        pair.now_ms = 65_000;
        assert_eq!(pair.low_gets(&data), Err(AuthError::NoSession));
        assert_eq!(word(&pair.low_sends(b"")), 0);
    });
}

#[test]
fn between_the_ends_of_a_route_data_does_not_look_at_the_clock() {
    let mut pair = Pair::new(Settings {
        layer: Layer::EndToEnd,
        ..HARDENED
    });
    pair.establish();
    let data = pair.high_sends(b"late");
    pair.now_ms = 66_000;
    assert!(pair.low.session.begin_open(pair.now_ms).is_some());
    assert_eq!(pair.low_gets(&data), Ok((Kind::Data, b"late".to_vec())));
}

#[test]
fn a_late_key_is_accepted_and_the_second_round_works() {
    both(|settings| {
        let mut pair = Pair::new(settings);
        let hello = pair.low_sends(b"");
        pair.now_ms = 12_000;
        pair.high_gets(&hello).unwrap();
        let key = pair.high.send_at(5000, b"");
        pair.low_gets(&key).unwrap();
        assert_eq!(pair.low.session.state(), State::ReceivedKey);
        let hello = pair.low_sends(b"");
        assert_eq!(word(&hello), 0);
        pair.high_gets(&hello).unwrap();
        let key = pair.high_sends(b"");
        pair.low_gets(&key).unwrap();
        let data = pair.low_sends(b"");
        pair.high_gets(&data).unwrap();
        pair.data_passes();
    });
}

// --- hardening ---------------------------------------------------------------------------------------------------

#[test]
fn the_hello_of_an_earlier_handshake_is_dropped() {
    let play = |settings| {
        let mut pair = Pair::new(settings);
        let old = pair.establish();
        pair.low.restart(settings, pair.now_ms);
        pair.establish();
        let result = pair.high_gets(&old).map(|(kind, _)| kind);
        (result, pair.high.session.state())
    };
    assert_eq!(play(REFERENCE), (Ok(Kind::Hello), State::ReceivedHello));
    assert_eq!(
        play(HARDENED),
        (Err(AuthError::InvalidPacket), State::Established)
    );
}

#[test]
fn sixty_four_handshakes_are_remembered() {
    let mut pair = Pair::new(HARDENED);
    let hellos: Vec<_> = (0..66)
        .map(|_| {
            pair.low.restart(HARDENED, pair.now_ms);
            pair.low.random = SeededRandom::new(core::array::from_fn(|_| {
                let mut byte = [0];
                pair.high.random.fill(&mut byte);
                byte[0]
            }));
            pair.establish()
        })
        .collect();
    for hello in &hellos[2..] {
        assert_eq!(pair.high_gets(hello), Err(AuthError::InvalidPacket));
    }
    assert!(pair.high_gets(&hellos[0]).is_ok());
}

#[test]
fn when_old_data_still_comes_the_peer_never_restarted() {
    let mut pair = Pair::new(HARDENED);
    let unused = pair.low_sends(b"recorded, never used");
    pair.low.session.reset();
    pair.establish();
    let (low_next, high_next) = (pair.low.session.next(), pair.high.session.next());
    assert!(pair.high_gets(&unused).is_ok());
    assert_eq!(pair.high.session.state(), State::ReceivedHello);
    let ignored = pair.high_sends(b"");
    assert_eq!(
        pair.low_gets(&ignored),
        Err(AuthError::KeyPacketInEstablishedSession)
    );
    let data = pair.low_sends(b"still here");
    assert_eq!(
        pair.high_gets(&data),
        Ok((Kind::Data, b"still here".to_vec()))
    );
    assert_eq!(pair.high_gets(&data), Err(AuthError::Replay));
    assert_eq!(
        (pair.low.session.next(), pair.high.session.next()),
        (low_next + 1, high_next)
    );
    pair.data_passes();
}

#[test]
fn replayed_data_does_not_bring_the_old_session_back() {
    let mut pair = Pair::new(HARDENED);
    pair.establish();
    let seen = pair.low_sends(b"seen");
    pair.high_gets(&seen).unwrap();
    pair.low.restart(HARDENED, pair.now_ms);
    pair.low.random = SeededRandom::new([77; 32]);
    let hello = pair.low_sends(b"");
    pair.high_gets(&hello).unwrap();
    assert_eq!(pair.high_gets(&seen), Err(AuthError::Replay));
    assert_eq!(pair.high.session.state(), State::ReceivedHello);
    let key = pair.high_sends(b"");
    pair.low_gets(&key).unwrap();
    pair.establish_with_data();
    assert_eq!(pair.high_gets(&seen), Err(AuthError::Decrypt));
}

#[test]
fn forged_data_costs_nobody_a_packet() {
    let play = |settings| {
        let mut pair = Pair::new(settings);
        let hello = pair.low_sends(b"");
        pair.high_gets(&hello).unwrap();
        let key = pair.high_sends(b"");
        pair.low_gets(&key).unwrap();
        let mut forged = pair.low_sends(b"forged");
        forged[0] ^= 0x80;
        assert_eq!(pair.high_gets(&forged), Err(AuthError::Decrypt));
        let data = pair.low_sends(b"good");
        pair.high_gets(&data)
    };
    assert_eq!(play(REFERENCE), Err(AuthError::Replay));
    assert_eq!(play(HARDENED), Ok((Kind::Data, b"good".to_vec())));
}

#[test]
fn packets_that_overtook_each_other_at_the_start_are_all_accepted() {
    let mut pair = Pair::new(HARDENED);
    let hello = pair.low_sends(b"");
    pair.high_gets(&hello).unwrap();
    let key = pair.high_sends(b"");
    pair.low_gets(&key).unwrap();
    let packets: Vec<_> = (0..40).map(|i| pair.low_sends(&[i])).collect();
    for packet in packets.iter().rev() {
        assert!(pair.high_gets(packet).is_ok());
    }
    for packet in &packets {
        assert_eq!(pair.high_gets(packet), Err(AuthError::Replay));
    }
}

#[test]
fn while_rekeying_what_she_still_sends_is_read() {
    let mut pair = Pair::new(HARDENED);
    pair.establish();
    let under_way = [b"a", b"b", b"c", b"d"].map(|payload| pair.high_sends(payload));
    pair.low.session.rekey(pair.now_ms);
    assert_eq!(pair.low.session.state(), State::Init);
    assert!(pair.low_gets(&under_way[0]).is_ok());
    assert_eq!(pair.low.session.state(), State::Init);
    let hello = pair.low_sends(b"");
    assert_eq!(word(&hello), 0);
    assert!(pair.low_gets(&under_way[1]).is_ok());
    assert_eq!(pair.low.session.state(), State::SentHello);
    pair.high_gets(&hello).unwrap();
    let key = pair.high_sends(b"");
    pair.low_gets(&key).unwrap();
    assert!(pair.low_gets(&under_way[2]).is_ok());
    assert_eq!(pair.low_gets(&under_way[2]), Err(AuthError::Replay));
    pair.establish_with_data();
    assert_eq!(pair.low_gets(&under_way[3]), Err(AuthError::Decrypt));
}

#[test]
fn counters_end_before_they_wrap() {
    both(|settings| {
        let mut pair = Pair::new(settings);
        pair.establish();
        assert!(!pair.low.session.wants_rekey());
        let used = pair.low.session.next();
        let ticket = pair
            .low
            .session
            .begin_seal((REKEY_COUNTER - used) as usize, pair.now_ms)
            .unwrap();
        assert_eq!(
            (ticket.first_counter, pair.low.session.next()),
            (used, REKEY_COUNTER)
        );
        assert!(pair.low.session.wants_rekey());
        pair.data_passes();
        let left = COUNTER_LIMIT - pair.low.session.next();
        assert!(
            pair.low
                .session
                .begin_seal(left as usize - 3, pair.now_ms)
                .is_some()
        );
        let last = [b"1", b"2", b"3"].map(|payload| pair.low_sends(payload));
        assert_eq!(word(&last[2]), COUNTER_LIMIT - 1);
        for packet in &last {
            pair.high_gets(packet).unwrap();
        }
        let hello = pair.low_sends(b"again");
        assert_eq!(word(&hello), 0);
        pair.high_gets(&hello).unwrap();
        let key = pair.high_sends(b"");
        pair.low_gets(&key).unwrap();
        pair.establish_with_data();
    });
}

#[test]
fn a_batch_that_would_pass_the_limit_is_not_begun() {
    let mut pair = Pair::new(HARDENED);
    pair.establish();
    let left = COUNTER_LIMIT - pair.low.session.next();
    pair.low
        .session
        .begin_seal(left as usize - 10, pair.now_ms)
        .unwrap();
    assert!(pair.low.session.begin_seal(11, pair.now_ms).is_none());
    assert!(pair.low.session.must_handshake(pair.now_ms));
    let mut pair = Pair::new(HARDENED);
    pair.establish();
    assert!(
        pair.low
            .session
            .begin_seal(usize::MAX, pair.now_ms)
            .is_none()
    );
}

// --- batches -----------------------------------------------------------------------------------------------------

#[test]
fn a_batch_is_sealed_outside_and_opened_outside_the_session() {
    let mut pair = Pair::new(HARDENED);
    pair.establish();
    const PACKET: usize = HEADER_BYTES + 100;
    let mut arena: Vec<u8> = (0..40).flat_map(|i| [i; PACKET]).collect();
    let plain = |i: usize| i * PACKET + HEADER_BYTES..(i + 1) * PACKET;
    let mut ranges: Vec<_> = (0..40).map(plain).collect();
    let ticket = pair.low.session.begin_seal(39, pair.now_ms).unwrap();
    ticket.seal(&mut arena, &mut ranges);
    assert_eq!(ranges[38], 38 * PACKET..39 * PACKET);
    assert_eq!(
        (ranges[39].clone(), &arena[39 * PACKET..]),
        (0..0, &[39; PACKET][..])
    );

    arena[5 * PACKET + 50] ^= 1;
    arena[6 * PACKET..6 * PACKET + 4].fill(0);
    ranges[39] = 0..PACKET; // the first one again
    ranges[7] = 7 * PACKET..7 * PACKET + 19;
    ranges[8] = 100_000..100_200;
    let first = arena[..PACKET].to_vec();
    arena[39 * PACKET..].copy_from_slice(&first);
    ranges[39] = 39 * PACKET..40 * PACKET;
    let mut verdicts = [Verdict::Refused(AuthError::Runt); 40];
    let ticket = pair.high.session.begin_open(pair.now_ms).unwrap();
    ticket.open(&mut arena, &mut ranges, &mut verdicts);
    pair.high
        .session
        .finish_open(&ticket, &mut verdicts, pair.now_ms);
    for i in 0..40 {
        match i {
            5 => assert_eq!(verdicts[i], Verdict::Refused(AuthError::Decrypt)),
            6 => assert_eq!(verdicts[i], Verdict::Handshake),
            7 | 8 => assert_eq!(verdicts[i], Verdict::Refused(AuthError::Runt)),
            39 => assert_eq!(verdicts[i], Verdict::Refused(AuthError::Replay)),
            _ => {
                assert!(matches!(verdicts[i], Verdict::Opened { .. }));
                assert_eq!(
                    (ranges[i].clone(), &arena[ranges[i].clone()]),
                    (plain(i), &[i as u8; 100][..])
                );
            }
        }
    }
    assert_eq!(pair.high.session.replay_stats().duplicates, 1);
    pair.data_passes();
}

#[test]
fn what_was_opened_for_a_session_that_ended_meanwhile_is_refused() {
    let mut pair = Pair::new(HARDENED);
    pair.establish();
    let mut packet = pair.low_sends(b"data");
    let mut ranges = [0..packet.len(), 0..packet.len()];
    let mut verdicts = [Verdict::Handshake; 2];
    let ticket = pair.high.session.begin_open(pair.now_ms).unwrap();
    ticket.open(&mut packet, &mut ranges[..1], &mut verdicts[..1]);
    assert!(matches!(verdicts[0], Verdict::Opened { .. }));
    pair.high.session.reset();
    assert_ne!(pair.high.session.epoch(), ticket.epoch);
    pair.high
        .session
        .finish_open(&ticket, &mut verdicts, pair.now_ms);
    assert_eq!(
        verdicts,
        [Verdict::Refused(AuthError::NoSession), Verdict::Handshake]
    );
    assert!(pair.high.session.begin_open(pair.now_ms).is_none());
}

// --- users -------------------------------------------------------------------------------------------------------

#[test]
fn users_are_found_in_the_order_they_were_added() {
    let mut users = Users::new();
    users.add(Some(b"u1"), b"shared", None).unwrap();
    users.add(Some(b"u2"), b"shared", None).unwrap();
    users.add(Some(b"u1"), b"other", None).unwrap();
    assert_eq!(users.add(None, b"x", None).unwrap().login(), b"Anon #3");
    assert_eq!(
        users.add(Some(b"u1"), b"shared", None).unwrap_err(),
        UserError::Duplicate
    );
    let found = |credential: &Credential| {
        users
            .find(credential.lookup())
            .map(|user| user.login().to_vec())
    };
    assert_eq!(
        found(&Credential::password(b"shared")),
        Some(b"u1".to_vec())
    );
    assert_eq!(
        found(&Credential::login(b"Anon #3", b"whatever")),
        Some(b"Anon #3".to_vec())
    );
    assert_eq!(found(&Credential::password(b"nobody's")), None);
    let mut lookup = *Credential::password(b"shared").lookup();
    for kind in (0..=255).filter(|kind| *kind != 1) {
        lookup[0] = kind;
        assert!(users.find(&lookup).is_none());
    }
    assert_eq!((users.remove(b"u1"), users.iter().count()), (2, 2));
    assert_eq!(users.remove(b"u1"), 0);
}

#[test]
fn no_secret_is_printed() {
    let mut pair = Pair::new(HARDENED);
    pair.low
        .session
        .set_credential(Some(Credential::password(b"hunter2")));
    let _ = pair.low_sends(b"");
    let printed = format!("{:?}", pair.low.session);
    assert!(printed.contains("<secret>"));
    assert!(!printed.contains(&format!("{:?}", [1_u8; 32])));
    assert_eq!(Secret::new([9; 32]), Secret::new([9; 32]));
}

// --- anything at all ---------------------------------------------------------------------------------------------

/// What may happen next in the world of two nodes.
#[derive(Clone, Debug)]
enum Event {
    Send { from_low: bool },
    Deliver { index: usize },
    Damage { index: usize, bit: usize },
    Wait { ms: u64 },
    Restart { low: bool },
    Rekey { low: bool },
    Reset { low: bool },
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        8 => any::<bool>().prop_map(|from_low| Event::Send { from_low }),
        10 => any::<usize>().prop_map(|index| Event::Deliver { index }),
        1 => any::<(usize, usize)>().prop_map(|(index, bit)| Event::Damage { index, bit }),
        2 => (0..4000_u64).prop_map(|ms| Event::Wait { ms }),
        1 => prop_oneof![Just(11_000), Just(61_000)].prop_map(|ms| Event::Wait { ms }),
        1 => any::<bool>().prop_map(|low| Event::Restart { low }),
        1 => any::<bool>().prop_map(|low| Event::Rekey { low }),
        1 => any::<bool>().prop_map(|low| Event::Reset { low }),
    ];
    prop::collection::vec(event, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_data_comes_at_most_once_and_the_link_heals(
        events in events(), low_is_reference: bool, high_is_reference: bool,
    ) {
        let mut pair = Pair::new(HARDENED);
        let settings = |is_reference| if is_reference { REFERENCE } else { HARDENED };
        let (low, high) = (settings(low_is_reference), settings(high_is_reference));
        pair.low.restart(low, 0);
        pair.high.restart(high, 0);
        let mut sent: Vec<(bool, Vec<u8>)> = Vec::new();
        let mut received = std::collections::HashSet::new();
        let mut serial = 0_u32;
        for event in events {
            match event {
                Event::Send { from_low } => {
                    serial += 1;
                    let payload = serial.to_be_bytes();
                    let packet = if from_low { pair.low_sends(&payload) } else { pair.high_sends(&payload) };
                    sent.push((from_low, packet));
                }
                Event::Deliver { index } if !sent.is_empty() => {
                    // mostly the newest, else any old one
                    let index = if index % 3 == 0 { index % sent.len() } else { sent.len() - 1 };
                    let (from_low, packet) = sent[index].clone();
                    let result = if from_low { pair.high_gets(&packet) } else { pair.low_gets(&packet) };
                    if let Ok((Kind::Data, payload)) = result {
                        prop_assert!(received.insert(payload), "twice");
                    }
                }
                Event::Damage { index, bit } if !sent.is_empty() => {
                    let (from_low, mut packet) = sent[index % sent.len()].clone();
                    let bit = bit % (packet.len() * 8);
                    packet[bit / 8] ^= 1 << (bit % 8);
                    let result = if from_low { pair.high_gets(&packet) } else { pair.low_gets(&packet) };
                    prop_assert!(!matches!(result, Ok((Kind::Data, _))));
                }
                Event::Wait { ms } => pair.now_ms += ms,
                Event::Restart { low: true } => pair.low.restart(low, pair.now_ms),
                Event::Restart { low: false } => pair.high.restart(high, pair.now_ms),
                Event::Rekey { low: true } => pair.low.session.rekey(pair.now_ms),
                Event::Rekey { low: false } => pair.high.session.rekey(pair.now_ms),
                Event::Reset { low: true } => pair.low.session.reset(),
                Event::Reset { low: false } => pair.high.session.reset(),
                Event::Deliver { .. } | Event::Damage { .. } => {}
            }
        }
        let mut quiet = 0;
        for _ in 0..150 {
            pair.now_ms += 1000;
            let there = pair.low_sends(b"ping");
            let heard = pair.high_gets(&there);
            let back = pair.high_sends(b"pong");
            let answered = pair.low_gets(&back);
            let is_data = |result: &Received| matches!(result, Ok((Kind::Data, _)));
            quiet = if is_data(&heard) && is_data(&answered) { quiet + 1 } else { 0 };
        }
        prop_assert!(quiet > 10, "{:?} {:?}", pair.low.session, pair.high.session);
    }

    #[test]
    fn any_bytes_are_refused_or_ignored_and_never_panic(
        packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20), step in 0..5_usize, first_word in 0..8_u32,
    ) {
        let mut pair = Pair::new(HARDENED);
        let mut progress = vec![pair.low_sends(b"")];
        if step > 1 { pair.high_gets(&progress[0]).unwrap(); }
        if step > 2 { progress.push(pair.high_sends(b"")); }
        if step > 3 { pair.low_gets(&progress[1]).unwrap(); }
        for mut packet in packets {
            if packet.len() >= 72 {
                packet[..4].copy_from_slice(&first_word.to_be_bytes());
                packet[40..72].copy_from_slice(pair.low.keys.public());
            }
            prop_assert!(pair.high_gets(&packet).is_err());
            prop_assert!(pair.low_gets(&packet).is_err());
        }
    }
}
