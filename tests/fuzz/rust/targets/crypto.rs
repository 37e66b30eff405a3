//! One crypto session, and somebody who owns the other end, replays, damages and invents.

use std::sync::Arc;

use dexmesh_engine::crypto::{LocalKeys, SeededRandom};
use dexmesh_engine::cryptoauth::{Credential, CryptoAuth, Layer, Settings, Strictness, Users};

use super::{Record, damaged, records};

const PASSWORD: &[u8] = b"a password";
const ALL_OVER_MS: u64 = 61_000;
const MOST_TURNS: usize = 8;

struct Play {
    victim: CryptoAuth,
    other: CryptoAuth,
    users: Users,
    nobody: Users,
    random: SeededRandom,
    now_ms: u64,
    sent: Vec<Vec<u8>>,
}

/// The first byte sets strictness, layer and whether a credential is needed; steps follow.
pub fn cryptoauth_packets(data: &[u8]) {
    let Some((&settings, steps)) = data.split_first() else {
        return;
    };
    let mut play = Play::new(settings);
    for record in records(steps) {
        play.step(&record);
    }
    if settings & 1 == 0 {
        play.still_works();
    }
}

impl Play {
    fn new(settings: u8) -> Self {
        let keys = |byte| Arc::new(LocalKeys::new([byte; 32]));
        let (ours, hers) = (keys(1 + (settings >> 4 & 1)), keys(2 - (settings >> 4 & 1)));
        let mut users = Users::new();
        let _ = users.add(Some(b"login"), PASSWORD, None);
        let layer = if settings & 2 == 0 {
            Layer::Link
        } else {
            Layer::EndToEnd
        };
        let of_victim = Settings {
            strictness: if settings & 1 == 0 {
                Strictness::Hardened
            } else {
                Strictness::Reference
            },
            layer,
            require_auth: settings & 4 != 0,
            ..Settings::default()
        };
        let of_other = Settings {
            layer,
            ..Settings::default()
        };
        let mut other = CryptoAuth::new(&hers, *ours.public(), of_other, 0);
        if settings & 8 != 0 || of_victim.require_auth {
            other.set_credential(Some(Credential::login(b"login", PASSWORD)));
        }
        Self {
            victim: CryptoAuth::new(&ours, *hers.public(), of_victim, 0),
            other,
            users,
            nobody: Users::new(),
            random: SeededRandom::new([7; 32]),
            now_ms: 0,
            sent: Vec::new(),
        }
    }

    fn step(&mut self, record: &Record<'_>) {
        let offset = usize::from(record.kind >> 4) * 8;
        match record.kind & 7 {
            0 => self.open_at_victim(record.body.to_vec()),
            1 | 2 => {
                if let Some(packet) = self.other.seal(self.now_ms, &mut self.random, record.body) {
                    self.sent.push(packet.clone());
                    if record.kind & 7 == 1 {
                        self.open_at_victim(packet);
                    }
                }
            }
            3 | 4 if !self.sent.is_empty() => {
                let packet = &self.sent[record.number % self.sent.len()];
                let packet = damaged(packet, record, offset, record.kind & 8 != 0);
                self.open_at_victim(packet);
            }
            5 | 6 => {
                if let Some(mut packet) =
                    self.victim.seal(self.now_ms, &mut self.random, record.body)
                    && record.kind & 7 == 5
                {
                    let _ = self.other.open(self.now_ms, &self.nobody, &mut packet);
                }
            }
            7 => self.now_ms += 1000 * record.number as u64,
            _ => {}
        }
    }

    fn open_at_victim(&mut self, mut packet: Vec<u8>) {
        let _ = self.victim.must_handshake(self.now_ms); // looks at the timeouts
        let before = (self.victim.state(), self.victim.next(), self.victim.epoch());
        match self.victim.open(self.now_ms, &self.users, &mut packet) {
            Ok(opened) => assert!(opened.range.end == packet.len()),
            Err(_) => {
                let after = (self.victim.state(), self.victim.next(), self.victim.epoch());
                assert_eq!(before, after, "a refused packet changed the session");
            }
        }
    }

    /// Whatever was done: once all timeouts are over, the two find each other.
    fn still_works(&mut self) {
        self.now_ms += ALL_OVER_MS;
        for _ in 0..MOST_TURNS {
            if let Some(mut packet) = self.other.seal(self.now_ms, &mut self.random, b"") {
                let _ = self.victim.open(self.now_ms, &self.users, &mut packet);
            }
            if let Some(mut packet) = self.victim.seal(self.now_ms, &mut self.random, b"") {
                let _ = self.other.open(self.now_ms, &self.nobody, &mut packet);
            }
        }
        assert!(self.victim.is_established() && self.other.is_established());
        let mut packet = self
            .other
            .seal(self.now_ms, &mut self.random, b"at last")
            .unwrap();
        let opened = self
            .victim
            .open(self.now_ms, &self.users, &mut packet)
            .unwrap();
        assert_eq!(&packet[opened.range], b"at last");
    }
}
