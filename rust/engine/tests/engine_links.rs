//! Links: who gets in, what passes before a link is established, how it restarts, where its packets go.

mod net;

use dexmesh_engine::RING;
use dexmesh_engine::cryptoauth::Credential;
use dexmesh_engine::drop::DropReason;
use dexmesh_engine::message::Event;
use net::{
    LOGIN, Net, Node, PASSWORD, RawPeer, control_frame, endpoint, header_of_a_single_peer, is_type,
};

fn has(events: &[Event], wanted: impl Fn(&Event) -> bool) -> bool {
    events.iter().any(wanted)
}

#[test]
fn a_ping_in_the_first_handshake_brings_the_link_up_on_both_sides() {
    let mut net = Net::new(2);
    net.connect(0, 1);
    assert_eq!(net.nodes[0].pongs, 2);
    assert_eq!(net.nodes[1].pongs, 1);
    let key = net.nodes[0].key();
    assert!(has(&net.nodes[1].events, |event| matches!(
        event,
        Event::PeerAdded { slot: 0, is_incoming: true, user, key: k, .. } if user == LOGIN && *k == key
    )));
    let peer = net.peer(1, 0);
    let changes: Vec<_> = net.nodes[1]
        .events
        .iter()
        .filter_map(|event| match event {
            Event::LinkStateChanged {
                old_state, state, ..
            } => Some((*old_state, *state)),
            _ => None,
        })
        .collect();
    assert_eq!(changes, [(0, 2), (2, 3), (3, 100)]);
    assert!(has(&net.nodes[1].events, |event| *event
        == Event::LinkHandshake { peer }));
    let stats = &net.nodes[1].engine.peer_stats()[0];
    assert_eq!(stats.last_in_ms, net.now_ms);
    assert_eq!((stats.packets_in, stats.packets_out), (3, 3));
    assert_eq!(stats.bytes_in, 3 * 32);
}

#[test]
fn whoever_has_no_valid_credential_meets_silence() {
    for credential in [
        None,
        Some(Credential::password(b"a wrong password")),
        Some(Credential::login(LOGIN.as_bytes(), b"a wrong password")),
        Some(Credential::login(b"somebody else", PASSWORD)),
    ] {
        let mut net = Net::new(2);
        let key = net.nodes[1].key();
        net.nodes[0]
            .engine
            .add_peer(net.now_ms, 0, &endpoint(1), key, credential);
        net.run();
        net.ping(0, 1);
        assert_eq!(net.log.len(), 1);
        assert!(net.nodes[1].events.is_empty());
        assert!(net.nodes[1].engine.peer_stats().is_empty());
        let counts = net.nodes[1].engine.drop_counts();
        assert_eq!(counts.iter().map(|(_, packets)| packets).sum::<u64>(), 1);
    }
}

#[test]
fn a_removed_user_gets_in_no_more() {
    let mut net = Net::new(2);
    net.nodes[1].engine.remove_user(LOGIN.as_bytes());
    net.add_peer(0, 1);
    net.ping(0, 1);
    assert!(net.nodes[1].engine.peer_stats().is_empty());
    assert_eq!(net.nodes[1].dropped(DropReason::CryptoAuthRequired), 1);
}

#[test]
fn whoever_python_would_not_hear_of_gets_no_slot() {
    let mut net = Net::new(2);
    net.add_peer(0, 1);
    let (label, now_ms, own) = (net.label(&[0, 1]), net.now_ms, net.nodes[1].key());
    net.with(0, |engine, sink| {
        engine.send_control(now_ms, label, &control_frame(3, b""), sink);
    });
    let (from, _, hello) = net.wire.pop_front().unwrap();
    for _ in 0..RING {
        let engine = &net.nodes[1].engine;
        engine.add_peer(now_ms, 0, &endpoint(0), own, None); // refused, which is an event
    }
    net.inject(1, from, std::slice::from_ref(&hello));
    assert!(net.nodes[1].engine.peer_stats().is_empty());
    net.run();
    net.inject(1, from, &[hello]);
    assert_eq!(net.nodes[1].engine.peer_stats().len(), 1);
}

#[test]
fn handshakes_of_one_source_prefix_are_limited_and_others_still_get_in() {
    let mut net = Net::new(3);
    net.add_peer(0, 1);
    net.ping(0, 1);
    let hello = net.log[0].2.clone();
    let flood: Vec<_> = (0..200)
        .map(|index| {
            let mut forged = hello.clone();
            forged[80] = index;
            forged
        })
        .collect();
    let far = "203.0.113.9:77".parse().unwrap();
    net.inject(1, far, &flood);
    net.run();
    assert_eq!(
        net.nodes[1].dropped(DropReason::CryptoHandshakeOpenFailed),
        64
    );
    assert_eq!(
        net.nodes[1].dropped(DropReason::LinkHandshakeRateLimited),
        136
    );
    net.connect(2, 1);
}

#[test]
fn a_recorded_hello_of_a_peer_makes_no_second_peer_elsewhere() {
    let mut net = Net::new(2);
    net.connect(0, 1);
    let recorded: Vec<_> = net.log.iter().filter(|one| one.1 == endpoint(1)).collect();
    let hello = recorded[0].2.clone();
    net.inject(1, "203.0.113.9:77".parse().unwrap(), &[hello]);
    net.run();
    assert_eq!(net.nodes[1].engine.peer_stats().len(), 1);
    assert_eq!(net.nodes[1].dropped(DropReason::CryptoInvalidPacket), 1);
    assert_eq!(net.state_of_link(1, 0), Some(100));
}

#[test]
fn a_hello_that_its_sender_never_finished_takes_a_few_slots_and_does_not_lock_her_out() {
    let mut net = Net::new(2);
    net.add_peer(0, 1);
    net.ping(0, 1);
    let hello = net.log[0].2.clone();
    let mut net = Net::new(2);
    for number in 0..300u16 {
        net.now_ms += 100;
        let [high, low] = number.to_be_bytes();
        let from = std::net::SocketAddr::from(([203, 0, high, low], 77));
        net.inject(1, from, std::slice::from_ref(&hello));
        net.run();
    }
    assert_eq!(net.nodes[1].engine.peer_stats().len(), 8);
    net.connect(0, 1);
}

#[test]
fn a_hello_of_our_own_or_of_no_mesh_key_is_refused() {
    let mut net = Net::new(2);
    net.add_peer(0, 1);
    net.ping(0, 1);
    let hello = net.log[0].2.clone();
    let stranger = "203.0.113.9:77".parse().unwrap();
    let mut own = hello.clone();
    own[40..72].copy_from_slice(&net.nodes[1].key());
    net.inject(1, stranger, &[own]);
    assert_eq!(net.nodes[1].dropped(DropReason::LinkOwnKey), 1);
    let mut other = hello;
    other[40..72].copy_from_slice(&[9; 32]);
    net.inject(1, stranger, &[other, vec![0; 119], vec![7; 200]]);
    assert_eq!(net.nodes[1].dropped(DropReason::LinkKeyNotMesh), 1);
    assert_eq!(net.nodes[1].dropped(DropReason::LinkUnknownEndpoint), 2);
}

#[test]
fn peers_that_make_no_sense_are_refused_with_the_reason() {
    let mut net = Net::new(2);
    let (own, key) = (net.nodes[0].key(), net.nodes[1].key());
    let engine = &net.nodes[0].engine;
    let v6 = "[2001:db8::1]:5".parse().unwrap();
    engine.add_peer(0, 7, &endpoint(1), key, None);
    engine.add_peer(0, 0, &v6, key, None);
    engine.add_peer(0, 0, &endpoint(1), own, None);
    engine.add_peer(0, 0, &endpoint(1), [9; 32], None);
    engine.add_peer(0, 0, &endpoint(1), key, None);
    engine.add_peer(0, 0, &endpoint(1), key, None);
    net.run();
    let reasons: Vec<_> = net.nodes[0]
        .events
        .iter()
        .filter_map(|event| match event {
            Event::PeerRefused { reason, .. } => Some(*reason),
            _ => None,
        })
        .collect();
    let expected = [
        "no such interface",
        "wrong family",
        "own key",
        "not a mesh key",
        "endpoint in use",
    ];
    assert_eq!(reasons, expected);
}

#[test]
fn slots_are_the_lowest_free_ones_and_there_are_256() {
    let mut net = Net::new(2);
    let key = net.nodes[1].key();
    let engine = &net.nodes[0].engine;
    for port in 1..=257 {
        engine.add_peer(
            0,
            0,
            &format!("192.0.2.1:{port}").parse().unwrap(),
            key,
            None,
        );
    }
    engine.remove_peer(3);
    engine.add_peer(0, 0, &"192.0.2.9:1".parse().unwrap(), key, None);
    net.run();
    let slots: Vec<_> = net.nodes[0]
        .events
        .iter()
        .filter_map(|event| match event {
            Event::PeerAdded { slot, .. } => Some(*slot),
            Event::PeerRefused { reason, .. } => {
                assert_eq!(*reason, "switch full");
                Some(999)
            }
            _ => None,
        })
        .collect();
    let expected: Vec<u16> = [0].into_iter().chain(2..=256).chain([999, 3]).collect();
    assert_eq!(slots, expected);
    assert_eq!(net.nodes[0].engine.peer_stats().len(), 256);
}

#[test]
fn a_handshake_packet_reaches_no_further_than_our_router() {
    // A third node calls with a first packet that wants to be forwarded.
    let mut net = Net::new(3);
    net.connect(0, 1);
    net.add_peer(2, 1);
    let through = net.label(&[1, 0]);
    let first = net.label(&[2, 1]);
    let label = ((through ^ 1) << first.ilog2()) ^ first;
    net.send_control(2, label, &control_frame(3, b"forward me"));
    assert_eq!(net.nodes[1].dropped(DropReason::LinkNotEstablished), 1);
    assert_eq!(net.nodes[1].engine.peer_stats()[1].dropped, 1);
    assert!(!has(&net.nodes[0].events, |event| matches!(
        event,
        Event::ControlFrame { frame, .. } if frame.ends_with(b"forward me")
    )));
    // The handshake itself counted: a ping now brings the link up, and then the way is open.
    net.ping(2, 1);
    net.ping(2, 1);
    net.send_control(2, label, &control_frame(3, b"forward me"));
    assert!(has(&net.nodes[0].events, |event| matches!(
        event,
        Event::ControlFrame { frame, .. } if frame.ends_with(b"forward me")
    )));
}

#[test]
fn control_frames_pass_a_relay_and_their_answers_come_back() {
    let mut net = Net::line(3);
    let before = net.nodes[0].pongs;
    let label = net.label(&[0, 1, 2]);
    net.send_control(0, label, &control_frame(3, b"over the hill"));
    assert_eq!(net.nodes[0].pongs, before + 1);
    assert!(has(&net.nodes[0].events, |event| matches!(
        event,
        Event::ControlFrame { label: back, frame } if *back == label && frame.ends_with(b"over the hill")
    )));
}

#[test]
fn a_ping_to_ourselves_comes_back_by_label_1() {
    let mut net = Net::new(1);
    net.send_control(0, 1, &control_frame(3, b"me"));
    assert_eq!(net.nodes[0].pongs, 1);
    assert!(net.log.is_empty());
    net.send_control(0, 0, &control_frame(3, b"nowhere"));
    assert_eq!(net.nodes[0].dropped(DropReason::SwitchMalformedAddress), 1);
}

#[test]
fn a_label_to_nobody_is_answered_with_error_1_and_to_a_silent_peer_with_error_8() {
    let mut net = Net::line(3);
    let label = net.label(&[0, 1, 2]);
    let error_of = |net: &Net| {
        net.nodes[0]
            .events
            .iter()
            .rev()
            .find_map(|event| match event {
                Event::ControlFrame { label, frame } if is_type(frame, 2) => Some((
                    *label,
                    frame[7],
                    dexmesh_engine::switch::is_control_intact(frame),
                )),
                _ => None,
            })
    };
    let down = net.peer(1, 2);
    net.nodes[1].engine.set_peer_up(down, false);
    net.send_control(0, label, &control_frame(3, b"x"));
    assert_eq!(error_of(&net), Some((label, 8, true)));
    assert_eq!(net.nodes[1].dropped(DropReason::SwitchPeerDown), 1);
    net.nodes[1].engine.set_peer_up(down, true);
    net.nodes[1].engine.remove_peer(down);
    net.send_control(0, label, &control_frame(3, b"x"));
    assert_eq!(error_of(&net), Some((label, 1, true)));
    // Our own switch tells us the same way.
    let peer = net.peer(0, 1);
    net.nodes[0].engine.remove_peer(peer);
    net.send_control(0, label, &control_frame(3, b"x"));
    assert_eq!(error_of(&net), Some((label, 1, true)));
}

#[test]
fn a_peer_that_restarts_is_back_with_its_next_handshake() {
    let mut net = Net::line(2);
    let (peer, slot) = net.nodes[1].peer_with(net.nodes[0].key()).unwrap();
    net.nodes[0] = Node::new(0, 99, dexmesh_engine::EngineOptions::default());
    net.connect(0, 1);
    assert_eq!(
        net.nodes[1].peer_with(net.nodes[0].key()).unwrap(),
        (peer, slot)
    );
    assert_eq!(net.nodes[1].engine.peer_stats().len(), 1);
}

#[test]
fn a_called_peer_that_restarts_is_back_after_its_silence_was_noticed() {
    let mut net = Net::line(2);
    net.nodes[1] = Node::new(1, 99, dexmesh_engine::EngineOptions::default());
    net.ping(0, 1);
    assert_eq!(net.nodes[1].dropped(DropReason::LinkUnknownEndpoint), 1);
    let peer = net.peer(0, 1);
    net.nodes[0].engine.reset_peer(peer);
    net.ping(0, 1);
    net.ping(0, 1);
    assert_eq!(net.state_of_link(0, 1), Some(100));
    assert_eq!(net.state_of_link(1, 0), Some(100));
}

#[test]
fn another_key_takes_over_an_endpoint_only_when_the_old_one_is_silent() {
    let mut net = Net::line(2);
    let old = net.peer(1, 0);
    // A new node with another key at the same place.
    net.nodes[0] = Node::new(5, 50, dexmesh_engine::EngineOptions::default());
    net.add_peer(0, 1);
    net.now_ms += 20_479;
    net.ping(0, 1);
    assert_eq!(net.nodes[1].dropped(DropReason::CryptoWrongPermanentKey), 1);
    assert_eq!(net.nodes[1].peer_with(net.nodes[0].key()), None);
    net.now_ms += 1;
    net.ping(0, 1);
    net.ping(0, 1);
    assert_eq!(net.state_of_link(1, 0), Some(100));
    let events = &net.nodes[1].events;
    let removed = Event::PeerRemoved {
        peer: old,
        reason: "replaced",
    };
    let gone = events.iter().position(|event| *event == removed).unwrap();
    let came = events
        .iter()
        .position(
            |event| matches!(event, Event::PeerAdded { key, .. } if *key == net.nodes[0].key()),
        )
        .unwrap();
    assert!(gone < came);
    assert_eq!(net.nodes[1].engine.peer_stats().len(), 1);
}

#[test]
fn nobody_takes_the_endpoint_of_a_peer_that_we_call() {
    for is_up in [false, true] {
        let mut net = Net::new(2);
        if is_up {
            net.connect(1, 0);
        } else {
            net.add_peer(1, 0);
        }
        // Whoever has a credential can forge the source address of somebody else.
        net.nodes[0] = Node::new(5, 50, dexmesh_engine::EngineOptions::default());
        net.add_peer(0, 1);
        net.now_ms += 300_000;
        net.ping(0, 1);
        assert_eq!(net.nodes[1].peer_with(net.nodes[0].key()), None);
        assert_eq!(net.nodes[1].dropped(DropReason::CryptoWrongPermanentKey), 1);
        assert_eq!(net.nodes[1].engine.peer_stats().len(), 1);
    }
}

#[test]
fn several_links_to_one_node_stay_side_by_side() {
    let mut net = Net::line(2);
    let hello = {
        let mut other = Node::new(0, 77, dexmesh_engine::EngineOptions::default());
        std::mem::swap(&mut net.nodes[0], &mut other);
        net.add_peer(0, 1);
        net.cut.insert((0, 1));
        let before = net.log.len();
        net.ping(0, 1);
        net.log[before].2.clone()
    };
    net.inject(1, "192.0.2.77:9".parse().unwrap(), &[hello]);
    net.run();
    let stats = net.nodes[1].engine.peer_stats();
    assert_eq!(stats.len(), 2);
    assert_eq!(stats[0].state, 100);
}

#[test]
fn a_datagram_seen_before_is_dropped() {
    let mut net = Net::line(2);
    net.ping(0, 1);
    let data = net
        .log
        .iter()
        .rev()
        .find(|one| one.1 == endpoint(1))
        .unwrap()
        .2
        .clone();
    let pongs = net.log.len();
    net.inject(1, endpoint(0), &[data.clone(), data]);
    net.run();
    assert_eq!(net.log.len(), pongs);
    assert_eq!(net.nodes[1].dropped(DropReason::CryptoReplay), 2);
    let stats = &net.nodes[1].engine.peer_stats()[0];
    assert_eq!((stats.duplicates, stats.dropped), (2, 2));
}

#[test]
fn a_datagram_longer_than_a_link_message_is_not_looked_at() {
    let mut net = Net::line(2);
    let mut raw = RawPeer::link(&mut net, 1);
    let packet = |length| {
        let mut packet = header_of_a_single_peer();
        packet.resize(length, 0xff);
        packet
    };
    let sealed: Vec<_> = [100, 3477, 100, 3476]
        .into_iter()
        .map(|length| raw.seal(net.now_ms, &packet(length)))
        .collect();
    net.inject(1, raw.place, &sealed);
    net.run();
    assert_eq!(net.nodes[1].dropped(DropReason::LinkOversize), 1);
    let frames = net.nodes[1].events.iter().filter_map(|event| match event {
        Event::ControlFrame { frame, .. } if frame[0] == 0xff => Some(frame.len()),
        _ => None,
    });
    assert_eq!(frames.collect::<Vec<_>>(), [84, 84, 3460]);
}

#[test]
fn an_interface_goes_with_its_peers() {
    let mut net = Net::line(2);
    let peer = net.peer(1, 0);
    net.nodes[1].engine.remove_interface(0);
    net.ping(0, 1);
    assert!(net.nodes[1].events.contains(&Event::PeerRemoved {
        peer,
        reason: "interface removed"
    }));
    assert_eq!(net.nodes[1].dropped(DropReason::LinkInterfaceGone), 1);
}

#[test]
fn links_recover_after_a_minute_of_silence() {
    let mut net = Net::line(2);
    net.now_ms += 61_000;
    net.ping(0, 1);
    net.ping(1, 0);
    net.ping(0, 1);
    assert_eq!(net.state_of_link(0, 1), Some(100));
    assert_eq!(net.state_of_link(1, 0), Some(100));
}
