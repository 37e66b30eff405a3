//! Replay what was captured from cjdns v20.7, in the part of either side (tests/vectors/README.md, "cryptoauth.json").
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{address, array, bytes, credential, keys_of, list, number, text, users, vectors};
use dexmesh_engine::crypto::keys::{boxkey, pwkey, shared_secret};
use dexmesh_engine::crypto::{
    Kernel, PublicKey, ScriptedRandom, Secret, address_of, public_key, seal_in_place,
};
use dexmesh_engine::cryptoauth::{
    AuthError, CryptoAuth, Layer, ReplayStats, ReplayWindow, Settings, Strictness, User, Users,
};
use serde_json::Value;

const REFERENCE: Settings = Settings {
    require_auth: false,
    layer: Layer::Link,
    strictness: Strictness::Reference,
    kernel: Kernel::Auto,
};

fn secret(value: &Value) -> Secret {
    Secret::new(array(value))
}

#[test]
fn every_identity_has_the_recorded_public_key_and_address() {
    for (name, identity) in vectors()["identities"].as_object().unwrap() {
        let public = public_key(&secret(&identity["private"]));
        assert_eq!(public, array(&identity["public"]), "{name}");
        assert_eq!(
            address_of(&public),
            address(text(identity, "ipv6")),
            "{name}"
        );
    }
}

#[test]
fn every_credential_has_the_recorded_lookup_and_secret() {
    for entry in list(&vectors()["primitives"], "password_challenge") {
        let credential = credential(entry).unwrap();
        let mut challenge = credential.lookup().to_vec();
        challenge.extend([0; 4]);
        assert_eq!(challenge, bytes(&entry["challenge"]));
        assert_eq!(*credential.hash(), secret(&entry["secret"]));
    }
}

#[test]
fn shared_secrets_and_boxes_are_the_recorded_ones() {
    let vectors = vectors();
    for entry in list(&vectors["primitives"], "shared_secret") {
        let (private, public) = (secret(&entry["private"]), array(&entry["public"]));
        let hash = credential(entry).unwrap().hash().clone();
        assert_eq!(
            shared_secret(&private, &public),
            Some(secret(&entry["x25519"]))
        );
        assert_eq!(
            boxkey(&private, &public),
            Some(secret(&entry["without_password"]))
        );
        assert_eq!(
            pwkey(&private, &public, &hash),
            Some(secret(&entry["with_password"]))
        );
    }
    for entry in list(&vectors["primitives"], "box") {
        let mut message = bytes(&entry["plain"]);
        let tag = seal_in_place(
            Kernel::Auto,
            &secret(&entry["secret"]),
            &array(&entry["nonce"]),
            &mut message,
        );
        assert_eq!([tag.to_vec(), message].concat(), bytes(&entry["boxed"]));
    }
}

#[test]
fn the_replay_window_gives_the_verdicts_of_the_reference() {
    let vectors = vectors();
    let record = &vectors["replay_window"];
    let mut window = ReplayWindow::at(number(&record["first_data_nonce"]) + 1);
    let mut stats = ReplayStats::default();
    let (counters, verdicts) = (list(record, "nonces"), list(record, "accepted"));
    assert_eq!((counters.len(), verdicts.len()), (801, 801));
    for (counter, verdict) in counters.iter().zip(verdicts) {
        assert_eq!(
            window.accept(number(counter), &mut stats),
            number(verdict) == 1,
            "{counter}"
        );
    }
    let last = &record["final"];
    assert_eq!(window.base(), number(&last["base"]));
    assert_eq!(
        window.bits(),
        u64::from_str_radix(text(last, "bits"), 16).unwrap()
    );
    assert_eq!(stats.duplicates, u64::from(number(&last["duplicates"])));
    assert_eq!(stats.out_of_range, u64::from(number(&last["out_of_range"])));
}

/// Randomness that makes a session build the packet of a step.
fn script(fields: &Value) -> ScriptedRandom {
    let mut script = ScriptedRandom::default();
    let kind = text(fields, "kind");
    if kind == "DATA" {
        return script;
    }
    if !kind.starts_with("REPEAT") {
        script.push(&bytes(&fields["sender_temp_private"]));
    }
    script.push(&bytes(&fields["handshake_nonce"]));
    let auth = bytes(&fields["auth"]);
    if auth[0] == 0 {
        script.push(&auth[1..10]);
    }
    script
}

/// A scenario, and the session of one side in it.
struct Play<'a> {
    name: &'a str,
    steps: &'a [Value],
    session: CryptoAuth,
    users: Users,
    now_ms: u64,
    has_credential: bool,
}

impl Play<'_> {
    fn wait(&mut self, step: &Value) -> bool {
        let seconds = step["wait_seconds"].as_f64();
        self.now_ms += (seconds.unwrap_or(0.0) * 1000.0) as u64;
        seconds.is_some()
    }

    fn open(&mut self, step: &Value) -> Result<Vec<u8>, AuthError> {
        let mut packet = bytes(&step["hex"]);
        let opened = self.session.open(self.now_ms, &self.users, &mut packet)?;
        Ok(packet[opened.range].to_vec())
    }

    fn try_seal(&mut self, fields: &Value) -> (Vec<u8>, ScriptedRandom) {
        let mut script = script(fields);
        let payload = bytes(&fields["payload"]);
        let packet = self.session.seal(self.now_ms, &mut script, &payload);
        (packet.unwrap(), script)
    }

    fn seal(&mut self, fields: &Value) -> Vec<u8> {
        let (packet, script) = self.try_seal(fields);
        assert_eq!(
            (script.missing(), script.remaining()),
            (0, 0),
            "{}",
            self.name
        );
        packet
    }

    /// The payload of a step; replays have that of the packet they repeat.
    fn payload(&self, step: &Value) -> Vec<u8> {
        let original = step["same_as_step"]
            .as_u64()
            .map_or(step, |index| &self.steps[index as usize]);
        bytes(&original["fields"]["payload"])
    }
}

fn name_of(result: &Result<Vec<u8>, AuthError>) -> &'static str {
    result
        .as_ref()
        .map_or_else(|error| error.name(), |_| "ACCEPT")
}

/// The session of the reference; an incoming one is for the key in the first packet.
fn reference<'a>(vectors: &'a Value, scenario: &'a Value, strictness: Strictness) -> Play<'a> {
    let steps = list(scenario, "steps");
    let is_responder = text(scenario, "reference_role") == "responder";
    let her_key: PublicKey = if is_responder {
        bytes(&steps[0]["hex"])[40..72].try_into().unwrap()
    } else {
        array(&vectors["identities"][text(scenario, "peer_identity")]["public"])
    };
    let settings = Settings {
        require_auth: is_responder,
        strictness,
        ..REFERENCE
    };
    let mut session = CryptoAuth::new(
        &keys_of(vectors, text(scenario, "reference_identity")),
        her_key,
        settings,
        0,
    );
    session.set_credential(credential(&scenario["reference_credentials"]));
    Play {
        name: text(scenario, "name"),
        steps,
        session,
        users: users(vectors, text(scenario, "reference_users")),
        now_ms: 0,
        has_credential: !scenario["reference_credentials"].is_null(),
    }
}

fn play_reference(play: &mut Play) -> usize {
    for (index, step) in play.steps.iter().enumerate() {
        let context = format!("{} step {index}", play.name);
        if play.wait(step) {
            continue;
        }
        if text(step, "from") == "reference" {
            assert_eq!(play.seal(&step["fields"]), bytes(&step["hex"]), "{context}");
            continue;
        }
        if let Some(before) = step["reference_state_before"].as_u64() {
            send_what_was_left_out(play, before as u32);
            assert_eq!(u64::from(play.session.next()), before, "{context}");
        }
        let result = play.open(step);
        match text(step, "result") {
            // v20.7 looks at the length before CryptoAuth does
            "IGNORED" => assert_eq!(result, Err(AuthError::Runt), "{context}"),
            expected => assert_eq!(name_of(&result), expected, "{context}"),
        }
        if let Ok(payload) = result {
            assert_eq!(payload, play.payload(step), "{context}");
        }
    }
    play.steps.len()
}

/// Where the recording says that data packets in between were left out, send as many.
fn send_what_was_left_out(play: &mut Play, next: u32) {
    while play.session.is_established() && play.session.next() < next {
        play.session
            .seal(play.now_ms, &mut ScriptedRandom::default(), b"left out")
            .unwrap();
    }
}

#[test]
fn the_reference_is_played_bit_for_bit() {
    let vectors = vectors();
    let scenarios = list(&vectors, "scenarios");
    let steps: usize = scenarios
        .iter()
        .map(|scenario| play_reference(&mut reference(&vectors, scenario, Strictness::Reference)))
        .sum();
    assert_eq!((scenarios.len(), steps), (61, 333));
}

/// The first step of a scenario at which a hardened session does otherwise.
fn first_difference(vectors: &Value, scenario: &Value) -> Option<(String, usize)> {
    let mut play = reference(vectors, scenario, Strictness::Hardened);
    let differs = play.steps.iter().position(|step| {
        if play.wait(step) {
            return false;
        }
        if text(step, "from") == "reference" {
            return play.try_seal(&step["fields"]).0 != bytes(&step["hex"]);
        }
        if let Some(before) = step["reference_state_before"].as_u64() {
            send_what_was_left_out(&mut play, before as u32);
        }
        let result = play.open(step);
        name_of(&result) != text(step, "result") && text(step, "result") != "IGNORED"
    });
    differs.map(|step| (play.name.to_owned(), step))
}

#[test]
fn a_hardened_session_does_otherwise_only_where_the_notes_say_so() {
    let vectors = vectors();
    let differences: Vec<_> = list(&vectors, "scenarios")
        .iter()
        .filter_map(|scenario| first_difference(&vectors, scenario))
        .collect();
    let expected = [
        // data of the old session is read, and brings it back
        ("responder_rehandshake", 7),
        // what came before the first data packet is accepted
        ("responder_first_data_nonce", 5),
        // forged data does not cost the next packet
        ("responder_bad_first_data", 4),
    ];
    let expected: Vec<_> = expected
        .map(|(name, step)| (name.to_owned(), step))
        .to_vec();
    assert_eq!(differences, expected);
}

#[test]
fn every_recorded_packet_can_be_rebuilt_from_its_secrets() {
    let vectors = vectors();
    let mut rebuilt = 0;
    for scenario in list(&vectors, "scenarios") {
        for step in list(scenario, "steps") {
            let fields = &step["fields"];
            if fields.is_null() || step["altered"] == true {
                continue;
            }
            assert_eq!(
                rebuild(&vectors, scenario, step),
                bytes(&step["hex"]),
                "{}",
                text(scenario, "name")
            );
            rebuilt += 1;
        }
    }
    assert_eq!(rebuilt, 287);
}

/// Build the packet of a step from nothing but its fields (docs/protocol/01 "Keys of each packet").
fn rebuild(vectors: &Value, scenario: &Value, step: &Value) -> Vec<u8> {
    let fields = &step["fields"];
    let mut packet = number(&fields["nonce"]).to_be_bytes().to_vec();
    let mut message = bytes(&fields["payload"]);
    let identities = ["peer_identity", "reference_identity"]
        .map(|side| &vectors["identities"][text(scenario, side)]);
    let [sender, receiver] = if text(step, "from") == "peer" {
        identities
    } else {
        [identities[1], identities[0]]
    };
    if text(fields, "kind") == "DATA" {
        let receiver_temp = public_key(&secret(&fields["receiver_temp_private"]));
        let key = boxkey(&secret(&fields["sender_temp_private"]), &receiver_temp).unwrap();
        assert_eq!(key, secret(&fields["session_secret"]));
        let mut nonce = [0; 24];
        let slot = if fields["sender_is_initiator"] == true {
            4
        } else {
            0
        };
        nonce[slot..slot + 4].copy_from_slice(&number(&fields["nonce"]).to_le_bytes());
        packet.extend(seal_in_place(Kernel::Portable, &key, &nonce, &mut message));
        packet.extend(message);
        return packet;
    }
    let her_key: PublicKey = if text(fields, "kind").ends_with("HELLO") {
        array(&receiver["public"])
    } else {
        array(&fields["receiver_temp_public"])
    };
    let private = secret(&sender["private"]);
    let key = match fields["password_hash_mixed_in"].as_str() {
        Some(_) => pwkey(
            &private,
            &her_key,
            &secret(&fields["password_hash_mixed_in"]),
        ),
        None => boxkey(&private, &her_key),
    }
    .unwrap();
    assert_eq!(key, secret(&fields["box_secret"]));
    let nonce = array(&fields["handshake_nonce"]);
    let mut sealed = public_key(&secret(&fields["sender_temp_private"])).to_vec();
    sealed.append(&mut message);
    let tag = seal_in_place(Kernel::Portable, &key, &nonce, &mut sealed);
    for part in [
        &bytes(&fields["auth"])[..],
        &nonce,
        &array::<32>(&sender["public"]),
        &tag,
        &sealed,
    ] {
        packet.extend(part);
    }
    packet
}

/// What came of playing the peer, whose packets were partly made by hand.
#[derive(Debug, Default, PartialEq, Eq)]
struct PeerPlay {
    opened: usize,
    sealed: usize,
    by_hand: usize,
    left: usize,
}

fn play_peer(vectors: &Value, scenario: &Value, sum: &mut PeerPlay) {
    let her_key = array(&vectors["identities"][text(scenario, "reference_identity")]["public"]);
    let mut session = CryptoAuth::new(
        &keys_of(vectors, text(scenario, "peer_identity")),
        her_key,
        REFERENCE,
        0,
    );
    session.set_credential(credential(&scenario["peer_credentials"]));
    let steps = list(scenario, "steps");
    let mut users = Users::new();
    if let Some(password) = scenario["reference_credentials"]["password"].as_str() {
        let login = scenario["reference_credentials"]["login"]
            .as_str()
            .map(str::as_bytes);
        users.add(login, password.as_bytes(), None).unwrap();
    }
    let name = text(scenario, "name");
    let mut play = Play {
        name,
        steps,
        session,
        users,
        now_ms: 0,
        has_credential: !scenario["peer_credentials"].is_null(),
    };
    for (index, step) in steps.iter().enumerate() {
        if play.wait(step) {
            continue;
        }
        let fields = &step["fields"];
        if text(step, "from") == "reference" {
            let result = play.open(step);
            if result.is_err() {
                // the peer's last handshake was made by hand: here the ways part
                sum.left += steps.len() - index;
                return;
            }
            assert_eq!(result, Ok(bytes(&fields["payload"])), "{name} step {index}");
            sum.opened += 1;
        } else if is_by_hand(&mut play, step) {
            sum.by_hand += 1;
        } else if as_sent(play.try_seal(fields).0, step) == as_sent(bytes(&step["hex"]), step) {
            sum.sealed += 1;
        } else {
            // no node would have sent that; here, too
            sum.left += steps.len() - index;
            return;
        }
    }
}

/// Without the bits that nobody authenticates, if they were altered under way.
fn as_sent(mut packet: Vec<u8>, step: &Value) -> Vec<u8> {
    if step["altered"] == true {
        packet[12..16].fill(0);
    }
    packet
}

/// Whether this packet of the peer is not what a node in its place would send next.
fn is_by_hand(play: &mut Play, step: &Value) -> bool {
    let fields = &step["fields"];
    if fields.is_null() || (step["altered"] == true && step["result"] != "ACCEPT") {
        return true;
    }
    if fields["kind"] == "REPEAT_HELLO" && play.session.next() == 0 {
        // the recording begins after a HELLO was lost
        let mut random = ScriptedRandom::new(&bytes(&fields["sender_temp_private"]));
        play.session.seal(play.now_ms, &mut random, b"").unwrap();
    }
    if fields["kind"] == "HELLO" && play.session.next() != 0 {
        play.session.reset(); // the peer restarts
    }
    let lacks_credential = text(fields, "kind") != "DATA"
        && play.has_credential
        && text(fields, "auth").starts_with("00");
    number(&fields["nonce"]) != play.session.next() || lacks_credential
}

#[test]
fn the_peer_is_played_as_far_as_a_node_would_go() {
    let vectors = vectors();
    let mut sum = PeerPlay::default();
    for scenario in list(&vectors, "scenarios") {
        play_peer(&vectors, scenario, &mut sum);
    }
    let expected = PeerPlay {
        opened: 135,
        sealed: 78,
        by_hand: 63,
        left: 52,
    };
    assert_eq!(sum, expected);
}

#[test]
fn the_right_user_is_named() {
    let vectors = vectors();
    for scenario in list(&vectors, "scenarios") {
        let mut play = reference(&vectors, scenario, Strictness::Reference);
        play_reference(&mut play);
        let login = play
            .session
            .user()
            .map(|user| String::from_utf8(User::login(user).to_vec()).unwrap());
        let expected = match text(scenario, "name") {
            "responder_login_auth" => "bob",
            "responder_unnamed_user_login" | "responder_password_unnamed_user" => "Anon #4",
            "responder_ip_restricted_good" => "carol",
            "users_same_login_first_ok" => "u1",
            "users_second_login" => "u2",
            _ => continue,
        };
        assert_eq!(login.as_deref(), Some(expected), "{}", play.name);
    }
}

const SWITCH_HEADER_BYTES: usize = 12;

#[test]
fn the_session_layer_is_played_bit_for_bit() {
    let vectors = vectors();
    let layer = &vectors["session_layer"];
    let her_key = array(&vectors["identities"][text(layer, "identity_peer")]["public"]);
    let settings = Settings {
        layer: Layer::EndToEnd,
        ..REFERENCE
    };
    let mut session = CryptoAuth::new(
        &keys_of(&vectors, text(layer, "identity_reference")),
        her_key,
        settings,
        0,
    );
    let users = users(&vectors, "responder_users");
    let steps = list(layer, "steps");
    for (index, step) in steps.iter().enumerate() {
        let mut frame = bytes(&step["link_plaintext"]).split_off(SWITCH_HEADER_BYTES);
        let is_data = text(step, "kind") == "DATA";
        if is_data {
            frame.drain(..4);
        }
        match (text(step, "from"), text(step, "kind")) {
            ("reference", "CONTROL_ERROR") => {
                let (error, state) = error_frame(&frame);
                let mut refused =
                    bytes(&steps[index - 1]["link_plaintext"]).split_off(SWITCH_HEADER_BYTES);
                if text(&steps[index - 1], "kind") == "DATA" {
                    refused.drain(..4);
                }
                let result = session.open(0, &users, &mut refused);
                assert_eq!(
                    result.map_err(AuthError::number),
                    Err(error),
                    "step {index}"
                );
                assert_eq!(session.state().number(), state, "step {index}");
            }
            ("reference", _) => {
                let mut script = session_script(step);
                let packet = session
                    .seal(0, &mut script, &bytes(&step["inner_payload"]))
                    .unwrap();
                assert_eq!((packet, script.missing()), (frame, 0), "step {index}");
            }
            _ if is_refused(steps, index) => {}
            _ => {
                let opened = session.open(0, &users, &mut frame).unwrap();
                assert_eq!(
                    frame[opened.range],
                    bytes(&step["inner_payload"]),
                    "step {index}"
                );
            }
        }
    }
}

fn error_frame(frame: &[u8]) -> (u32, u32) {
    let word = |at: usize| u32::from_be_bytes(frame[at..at + 4].try_into().unwrap());
    (word(frame.len() - 8), word(frame.len() - 4))
}

/// Dropped before CryptoAuth, or answered with an error frame next.
fn is_refused(steps: &[Value], index: usize) -> bool {
    let step = &steps[index];
    let never_arrives = step["handle_on_wire"] == 0x7777_7777 || step["nonce"] == 3;
    never_arrives
        || steps
            .get(index + 1)
            .is_some_and(|next| next["kind"] == "CONTROL_ERROR")
}

fn session_script(step: &Value) -> ScriptedRandom {
    if text(step, "kind") == "DATA" {
        ScriptedRandom::default()
    } else {
        script(step)
    }
}
