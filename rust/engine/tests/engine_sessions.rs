//! Sessions: set-up by routing messages, user traffic both ways, waiting, relaying, resets, bounds, errors.

mod common;
mod net;

use std::sync::Arc;

use dexmesh_engine::crypto::{LocalKeys, SeededRandom};
use dexmesh_engine::cryptoauth::{CryptoAuth, Settings, Users};
use dexmesh_engine::drop::DropReason;
use dexmesh_engine::message::Event;
use dexmesh_engine::switch::is_control_intact;
use dexmesh_engine::{Engine, EngineOptions, MOST_PARKED};
use net::{Net, Node, QUERY, RawPeer, as_delivered, endpoint, header_of_a_single_peer, ip_packet};

fn payload(number: usize) -> Vec<u8> {
    (0..100 + number)
        .map(|index| (index * 7 + number) as u8)
        .collect()
}

fn routes_needed(node: &Node) -> Vec<&'static str> {
    let wanted = |event: &Event| match event {
        Event::RouteNeeded { reason, .. } => Some(*reason),
        _ => None,
    };
    node.events.iter().filter_map(wanted).collect()
}

#[test]
fn a_query_in_the_hello_and_its_reply_in_the_key_open_a_session() {
    let mut net = Net::line(2);
    let label = net.label(&[0, 1]);
    net.send_inner(0, &[0, 1], 256, QUERY);
    assert_eq!(net.nodes[0].replies, 1);
    assert_eq!(net.nodes[0].session_state(net.nodes[1].address()), Some(4));
    assert_eq!(net.nodes[1].session_state(net.nodes[0].address()), Some(3));
    let back = net.label(&[1, 0]);
    assert!(net.nodes[1].events.iter().any(|event| matches!(
        event,
        Event::SessionAdded { label, is_incoming: true, .. } if *label == back
    )));
    net.send_inner(0, &[0, 1], 256, QUERY);
    assert_eq!(
        net.nodes[1].session_state(net.nodes[0].address()),
        Some(100)
    );
    assert_eq!(
        net.nodes[0].session_state(net.nodes[1].address()),
        Some(100)
    );
    let stats = &net.nodes[0].engine.session_stats()[0];
    let hers = &net.nodes[1].engine.session_stats()[0];
    assert_eq!(
        (stats.handle, stats.send_handle),
        (hers.send_handle, hers.handle)
    );
    assert!(stats.handle >= 4 && stats.handle < 100_000);
    assert_eq!((stats.version, stats.receive_label), (net::VERSION, label));
    assert_eq!((stats.packets_in, stats.packets_out), (2, 2));
}

#[test]
fn user_traffic_waits_for_route_and_handshake_and_then_flows_both_ways() {
    let mut net = Net::line(2);
    let (a, b) = (net.nodes[0].address(), net.nodes[1].address());
    let first = ip_packet(&net.nodes[0], b, &payload(1));
    net.send_tun(0, std::slice::from_ref(&first));
    assert_eq!(routes_needed(&net.nodes[0]), ["no session"]);
    net.set_route(&[0, 1]);
    assert!(net.nodes[1].delivered.is_empty());
    // The reply to a query completes the handshake; the packet leaves by itself.
    net.send_inner(0, &[0, 1], 256, QUERY);
    assert_eq!(net.nodes[1].delivered, [as_delivered(&first)]);

    let answer = ip_packet(&net.nodes[1], a, &payload(2));
    net.send_tun(1, std::slice::from_ref(&answer));
    assert_eq!(routes_needed(&net.nodes[1]), ["no label"]);
    net.set_route(&[1, 0]);
    assert_eq!(net.nodes[0].delivered, [as_delivered(&answer)]);
    let stats = &net.nodes[0].engine.session_stats()[0];
    assert_eq!(stats.last_user_in_ms, net.now_ms);
    assert_eq!(stats.last_user_out_ms, net.now_ms);
}

#[test]
fn a_session_without_version_does_not_carry_user_traffic() {
    let mut net = Net::line(2);
    net.mute.insert(1);
    net.send_inner(0, &[0, 1], 256, QUERY);
    let packet = ip_packet(&net.nodes[1], net.nodes[0].address(), b"hello");
    net.send_tun(1, &[packet]);
    assert_eq!(routes_needed(&net.nodes[1]), ["no version"]);
    net.set_route(&[1, 0]);
    assert!(net.nodes[0].delivered.is_empty());
    net.now_ms += 200;
    let packet = ip_packet(&net.nodes[1], net.nodes[0].address(), b"hello");
    net.send_tun(1, &[packet]);
    assert_eq!(routes_needed(&net.nodes[1])[1], "handshake unfinished");
}

#[test]
fn long_runs_pass_a_relay_in_order_and_in_batches() {
    let mut net = Net::line(3);
    net.open_session(&[0, 1, 2]);
    let to = net.nodes[2].address();
    let packets: Vec<_> = (0..150)
        .map(|number| ip_packet(&net.nodes[0], to, &payload(number)))
        .collect();
    net.runs.clear();
    let before = net.log.len();
    let now_ms = net.now_ms;
    let (mut arena, mut ranges) = (Vec::new(), Vec::new());
    for packet in &packets {
        arena.resize(arena.len() + 64, 0);
        ranges.push(arena.len()..arena.len() + packet.len());
        arena.extend_from_slice(packet);
    }
    net.with(0, |engine, sink| {
        engine.handle_tun(now_ms, &mut arena, &ranges, sink)
    });
    assert_eq!(net.runs, [64, 64, 22]);
    let datagrams: Vec<_> = net.log[before..].iter().map(|one| one.2.clone()).collect();
    net.wire.clear();
    net.runs.clear();
    net.inject(1, endpoint(0), &datagrams);
    assert_eq!(net.runs, [64, 64, 22]);
    let forwarded: Vec<_> = net.wire.drain(..).map(|one| one.2).collect();
    assert!(
        forwarded
            .iter()
            .zip(&datagrams)
            .all(|(out, data)| out.len() == data.len())
    );
    net.inject(2, endpoint(1), &forwarded);
    let expected: Vec<_> = packets.iter().map(|packet| as_delivered(packet)).collect();
    assert_eq!(net.nodes[2].delivered, expected);
    // docs/protocol/04 §1: 20 bytes more than the IPv6 packet.
    assert_eq!(datagrams[0].len(), packets[0].len() + 20);
}

#[test]
fn mixed_batches_are_taken_apart_by_destination_and_by_kind() {
    let mut net = Net::line(3);
    net.open_session(&[1, 0]);
    net.open_session(&[1, 2]);
    let (a, c, own) = (
        net.nodes[0].address(),
        net.nodes[2].address(),
        net.nodes[1].address(),
    );
    let node = &net.nodes[1];
    let mut runt = ip_packet(node, a, b"short");
    runt.truncate(30);
    let mut version_4 = ip_packet(node, a, b"v4");
    version_4[0] = 0x45;
    let mut spoofed = ip_packet(node, a, b"spoofed");
    spoofed[10] ^= 1;
    let mut outside = ip_packet(node, a, b"outside");
    outside[24] = 0x20;
    let packets = [
        ip_packet(node, a, b"1"),
        ip_packet(node, c, b"2"),
        runt,
        ip_packet(node, c, b"3"),
        version_4,
        spoofed,
        ip_packet(node, own, b"to myself"),
        outside,
        ip_packet(node, a, b"4"),
    ];
    net.send_tun(1, &packets);
    assert_eq!(
        net.nodes[0].delivered,
        [as_delivered(&packets[0]), as_delivered(&packets[8])]
    );
    assert_eq!(
        net.nodes[2].delivered,
        [as_delivered(&packets[1]), as_delivered(&packets[3])]
    );
    assert_eq!(net.nodes[1].delivered, [packets[6].clone()]);
    for reason in [
        DropReason::TunRunt,
        DropReason::TunNotIpv6,
        DropReason::TunWrongSource,
        DropReason::TunOutsideMesh,
    ] {
        assert_eq!(net.nodes[1].dropped(reason), 1, "{reason:?}");
    }
}

#[test]
fn a_packet_beyond_the_mtu_is_answered_with_packet_too_big() {
    let mut net = Net::line(2);
    let packet = ip_packet(&net.nodes[0], net.nodes[1].address(), &[0; 1265]);
    net.send_tun(0, &[packet]);
    let answer = &net.nodes[0].delivered[0];
    assert_eq!((answer[6], answer[40]), (58, 2));
    assert_eq!(answer[44..48], 1304u32.to_be_bytes());
    assert_eq!(net.nodes[0].dropped(DropReason::TunTooBig), 1);
}

#[test]
fn the_newest_packet_waits_ten_seconds_and_then_its_sender_is_told() {
    let mut net = Net::line(2);
    let to = net.nodes[1].address();
    let packets: Vec<_> = (0..3)
        .map(|n| ip_packet(&net.nodes[0], to, &payload(n)))
        .collect();
    net.send_tun(0, &packets);
    assert_eq!(net.nodes[0].dropped(DropReason::TunParkedReplaced), 2);
    assert_eq!(routes_needed(&net.nodes[0]).len(), 1);
    net.now_ms += 9_999;
    net.tick();
    assert!(net.nodes[0].delivered.is_empty());
    net.now_ms += 1;
    net.tick();
    let answer = &net.nodes[0].delivered[0];
    assert_eq!((answer[6], answer[40], answer[41]), (58, 1, 0));
    assert_eq!(answer[48..], packets[2]);
    assert_eq!(net.nodes[0].dropped(DropReason::TunNoRoute), 1);
}

#[test]
fn whoever_waits_in_vain_can_be_told_at_once() {
    let mut net = Net::line(2);
    let to = net.nodes[1].address();
    let packet = ip_packet(&net.nodes[0], to, b"anybody?");
    net.send_tun(0, &[packet]);
    let now_ms = net.now_ms;
    net.with(0, |engine, sink| engine.drop_parked(now_ms, &to, sink));
    net.with(0, |engine, sink| engine.drop_parked(now_ms, &to, sink));
    assert_eq!(net.nodes[0].delivered.len(), 1);
    assert_eq!(net.nodes[0].dropped(DropReason::TunNoRoute), 1);
}

#[test]
fn a_scan_of_many_addresses_parks_only_thirty_packets() {
    let mut net = Net::line(2);
    let packets: Vec<_> = (0..100u8)
        .map(|number| {
            ip_packet(
                &net.nodes[0],
                [0xfc, number, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
                b"x",
            )
        })
        .collect();
    net.send_tun(0, &packets);
    let displaced = 100 - MOST_PARKED as u64;
    assert_eq!(net.nodes[0].dropped(DropReason::TunParkingFull), displaced);
    net.now_ms += 10_000;
    net.tick();
    assert_eq!(
        net.nodes[0].dropped(DropReason::TunNoRoute),
        MOST_PARKED as u64
    );
    assert!(net.nodes[0].delivered.len() <= MOST_PARKED);
}

#[test]
fn a_session_reset_on_one_side_comes_back_with_the_next_query() {
    for side in 0..2 {
        let mut net = Net::line(2);
        net.open_session(&[0, 1]);
        let other = net.nodes[1 - side].address();
        net.nodes[side].engine.reset_session(&other);
        net.send_inner(side, &[side, 1 - side], 256, QUERY);
        net.send_inner(side, &[side, 1 - side], 256, QUERY);
        for (from, to) in [(0, 1), (1, 0)] {
            let packet = ip_packet(&net.nodes[from], net.nodes[to].address(), b"again");
            net.send_tun(from, std::slice::from_ref(&packet));
            assert_eq!(
                net.nodes[to].delivered,
                [as_delivered(&packet)],
                "{side}: {from} to {to}"
            );
        }
    }
}

#[test]
fn a_node_that_restarts_is_reached_again() {
    let mut net = Net::line(2);
    net.open_session(&[0, 1]);
    net.nodes[1] = Node::new(1, 99, EngineOptions::default());
    let peer = net.peer(0, 1);
    net.nodes[0].engine.reset_peer(peer);
    net.ping(0, 1);
    net.ping(0, 1);
    net.send_inner(0, &[0, 1], 256, QUERY);
    assert_eq!(net.nodes[1].dropped(DropReason::RouterUnknownHandle), 1);
    // The restarted side speaks first, or ours is reset by its silence: here it speaks.
    net.send_inner(1, &[1, 0], 256, QUERY);
    net.send_inner(1, &[1, 0], 256, QUERY);
    let packet = ip_packet(&net.nodes[0], net.nodes[1].address(), b"welcome back");
    net.send_tun(0, std::slice::from_ref(&packet));
    assert_eq!(net.nodes[1].delivered, [as_delivered(&packet)]);
}

#[test]
fn an_old_hello_played_again_does_not_cut_a_session() {
    let mut net = Net::line(3);
    net.cut.insert((1, 2));
    net.send_inner(0, &[0, 1, 2], 256, QUERY);
    // What node 1 sent on to node 2 got lost: a later HELLO with other keys completes the session.
    let lost = net
        .log
        .iter()
        .rev()
        .find(|one| one.1 == endpoint(2))
        .unwrap()
        .2
        .clone();
    net.cut.clear();
    let to = net.nodes[2].address();
    net.nodes[0].engine.reset_session(&to);
    net.open_session(&[0, 1, 2]);
    assert_eq!(
        net.nodes[2].session_state(net.nodes[0].address()),
        Some(100)
    );
    net.inject(2, endpoint(1), &[lost]);
    net.run();
    assert_eq!(net.nodes[2].session_state(net.nodes[0].address()), Some(3));
    // Data of the session that is alive at the other end brings it back, with its handle.
    let packet = ip_packet(&net.nodes[0], to, b"still here");
    net.send_tun(0, std::slice::from_ref(&packet));
    assert_eq!(
        net.nodes[2].session_state(net.nodes[0].address()),
        Some(100)
    );
    let answer = ip_packet(&net.nodes[2], net.nodes[0].address(), b"me too");
    net.send_tun(2, std::slice::from_ref(&answer));
    assert_eq!(net.nodes[2].delivered, [as_delivered(&packet)]);
    assert_eq!(net.nodes[0].delivered, [as_delivered(&answer)]);
}

#[test]
fn two_old_hellos_played_again_do_not_cost_a_session_its_handle() {
    let mut net = Net::line(3);
    let (a, c) = (net.nodes[0].address(), net.nodes[2].address());
    net.cut.insert((1, 2));
    let lost: Vec<_> = (0..2)
        .map(|_| {
            net.nodes[0].engine.reset_session(&c);
            net.send_inner(0, &[0, 1, 2], 256, QUERY);
            net.log.last().unwrap().2.clone()
        })
        .collect();
    net.cut.clear();
    net.nodes[0].engine.reset_session(&c);
    net.open_session(&[0, 1, 2]);
    for hello in lost {
        net.inject(2, endpoint(1), &[hello]);
        net.run();
        assert_eq!(net.nodes[2].session_state(a), Some(3));
    }
    let packet = ip_packet(&net.nodes[0], c, b"still here");
    net.send_tun(0, &[packet]);
    let answer = ip_packet(&net.nodes[2], a, b"me too");
    net.send_tun(2, std::slice::from_ref(&answer));
    assert_eq!(net.nodes[0].delivered, [as_delivered(&answer)]);
}

#[test]
fn only_routing_messages_travel_in_handshake_packets() {
    let mut net = Net::line(2);
    let before = net.log.len();
    net.send_inner(0, &[0, 1], 257, b"too early");
    assert_eq!(net.log.len(), before);
    assert_eq!(
        net.nodes[0].dropped(DropReason::RouterContentBeforeHandshake),
        1
    );
    net.open_session(&[0, 1]);
    net.send_inner(0, &[0, 1], 257, b"now it may, but nobody wants it");
    assert_eq!(
        net.nodes[1].dropped(DropReason::RouterUnhandledContentType),
        1
    );
    net.send_inner(0, &[0, 1], 256, &[b'x'; 3001]);
    assert_eq!(net.nodes[0].dropped(DropReason::SendOversize), 1);
}

#[test]
fn there_is_no_session_with_ourselves_or_with_a_key_outside_the_mesh() {
    let mut net = Net::line(2);
    let own = net.nodes[0].key();
    let now_ms = net.now_ms;
    for key in [own, [9; 32]] {
        net.with(0, |engine, sink| {
            engine.set_route(now_ms, &key, 20, 0x13, sink)
        });
        net.with(0, |engine, sink| {
            engine.send_inner(now_ms, &key, 20, 0x13, 256, QUERY, sink);
        });
    }
    assert!(net.nodes[0].engine.session_stats().is_empty());
    assert_eq!(net.nodes[0].dropped(DropReason::RouterBadKey), 4);
}

#[test]
fn a_label_that_leads_back_to_ourselves_carries_no_session() {
    let mut net = Net::line(2);
    let key = net.nodes[1].key();
    let now_ms = net.now_ms;
    net.with(0, |engine, sink| {
        engine.send_inner(now_ms, &key, 20, 1, 256, QUERY, sink);
        engine.send_inner(now_ms, &key, 20, 0, 256, QUERY, sink);
    });
    net.run();
    assert_eq!(net.nodes[0].dropped(DropReason::RouterUnknownHandle), 1);
    assert_eq!(net.nodes[0].dropped(DropReason::SwitchMalformedAddress), 1);
}

#[test]
fn the_session_table_gives_up_the_one_unused_for_longest_but_not_user_traffic() {
    let mut net = Net::new(5);
    let options = EngineOptions {
        max_sessions: 2,
        ..EngineOptions::default()
    };
    net.nodes[0] = Node::new(0, 0, options);
    for number in 1..5 {
        net.connect(0, number);
    }
    net.open_session(&[0, 1]);
    let packet = ip_packet(&net.nodes[0], net.nodes[1].address(), b"busy");
    net.send_tun(0, &[packet]);
    net.now_ms += 10;
    net.open_session(&[0, 2]);
    net.now_ms += 10;
    net.open_session(&[3, 0]);
    let evicted: Vec<_> = net.nodes[0]
        .events
        .iter()
        .filter_map(|event| match event {
            Event::SessionRemoved { address, reason } => Some((*address, *reason)),
            _ => None,
        })
        .collect();
    assert_eq!(evicted, [(net.nodes[2].address(), "evicted")]);
    let packet = ip_packet(&net.nodes[0], net.nodes[3].address(), b"busy, too");
    net.send_tun(0, &[packet]);
    net.send_inner(4, &[4, 0], 256, QUERY);
    assert_eq!(net.nodes[0].engine.session_stats().len(), 2);
    assert_eq!(net.nodes[0].dropped(DropReason::RouterSessionTableFull), 1);

    // A session that we begin ourselves gets room even then.
    net.open_session(&[0, 4]);
    let left: Vec<_> = net.nodes[0].engine.session_stats();
    let left: Vec<_> = left.iter().map(|one| one.address).collect();
    assert_eq!(left, [net.nodes[3].address(), net.nodes[4].address()]);
}

#[test]
fn a_removed_session_answers_nothing_more() {
    let mut net = Net::line(2);
    net.open_session(&[0, 1]);
    let (a, b) = (net.nodes[0].address(), net.nodes[1].address());
    net.nodes[1].engine.remove_session(&a);
    let before = net.log.len();
    let packet = ip_packet(&net.nodes[0], b, b"hello?");
    net.send_tun(0, &[packet]);
    assert_eq!(net.log.len(), before + 1);
    assert_eq!(net.nodes[1].dropped(DropReason::RouterUnknownHandle), 1);
    assert!(net.nodes[1].events.contains(&Event::SessionRemoved {
        address: a,
        reason: "removed"
    }));
}

#[test]
fn session_data_that_does_not_open_is_answered_with_an_authentication_error() {
    let mut net = Net::line(2);
    net.open_session(&[0, 1]);
    let mut raw = RawPeer::link(&mut net, 1);
    let handle = net.nodes[1].engine.session_stats()[0].handle;
    let mut packet = header_of_a_single_peer();
    packet.extend_from_slice(&handle.to_be_bytes());
    packet.extend_from_slice(&1000u32.to_be_bytes());
    packet.extend_from_slice(&[0xee; 40]);
    let answers = raw.send(&mut net, 1, &packet);
    assert_eq!(answers.len(), 1);
    let answer = &answers[0];
    assert_eq!(answer.len(), 60);
    assert_eq!((answer[8], &answer[12..16]), (1, &[0xff; 4][..]));
    assert!(is_control_intact(&answer[16..]));
    assert_eq!(answer[18..24], [0, 2, 0, 0, 0, 6]);
    assert_eq!(answer[36..52], packet[12..28]);
    assert_eq!(answer[52..], [0, 0, 0, 15, 0, 0, 0, 100]);
    assert_eq!(net.nodes[1].dropped(DropReason::CryptoOpenFailed), 1);

    // Everything else that is wrong meets silence.
    let mut silent = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut other = packet.clone();
        change(&mut other);
        assert!(raw.send(&mut net, 1, &other).is_empty());
    };
    silent(&|packet| packet[12..16].copy_from_slice(&(handle + 1).to_be_bytes()));
    silent(&|packet| packet[16..20].copy_from_slice(&[0, 0, 0, 3]));
    silent(&|packet| packet.truncate(35));
    silent(&|packet| packet.truncate(12));
    silent(&|packet| packet.truncate(11));
    silent(&|packet| packet[8] = 1);
    let dropped = |reason| net.nodes[1].dropped(reason);
    assert_eq!(dropped(DropReason::RouterUnknownHandle), 1);
    assert_eq!(dropped(DropReason::RouterBadCounter), 1);
    assert_eq!(dropped(DropReason::RouterRunt), 2);
    assert_eq!(dropped(DropReason::SwitchRunt), 1);
}

#[test]
fn the_error_for_repeated_data_quotes_the_packet_as_it_came_and_nothing_that_was_inside() {
    let mut net = Net::line(2);
    let mut raw = RawPeer::link(&mut net, 1);
    let local = Arc::new(LocalKeys::new(net::private_key(900)));
    let key = net.nodes[1].key();
    let mut inner = CryptoAuth::new(&local, key, Settings::default(), net.now_ms);
    let mut random = SeededRandom::new([5; 32]);
    let mut hello = vec![0, 0, 0x47, 0x11, 0x10, 0, 1, 0];
    hello.extend_from_slice(QUERY);
    let mut packet = header_of_a_single_peer();
    packet.extend(inner.seal(net.now_ms, &mut random, &hello).unwrap());
    let mut answer = raw.send(&mut net, 1, &packet).remove(0).split_off(12);
    inner.open(net.now_ms, &Users::new(), &mut answer).unwrap();

    let mut packet = header_of_a_single_peer();
    packet.extend_from_slice(&answer[120..124]);
    let data = [&[0x10, 0, 0, 17][..], b"secret, secret, secret"].concat();
    packet.extend(inner.seal(net.now_ms, &mut random, &data).unwrap());
    assert!(raw.send(&mut net, 1, &packet).is_empty());
    let answers = raw.send(&mut net, 1, &packet);
    assert_eq!(net.nodes[1].dropped(DropReason::CryptoReplay), 1);
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0].len(), 60);
    assert_eq!(answers[0][36..52], packet[12..28]);
    assert_eq!(answers[0][52..], [0, 0, 0, 14, 0, 0, 0, 100]);
}

#[test]
fn error_frames_are_not_an_amplifier() {
    let mut net = Net::line(2);
    net.open_session(&[0, 1]);
    let mut raw = RawPeer::link(&mut net, 1);
    let handle = net.nodes[1].engine.session_stats()[0].handle;
    let mut packet = header_of_a_single_peer();
    packet.extend_from_slice(&handle.to_be_bytes());
    packet.extend_from_slice(&[0xee; 60]);
    let flood: Vec<_> = (0..300).map(|_| raw.seal(net.now_ms, &packet)).collect();
    let before = net.log.len();
    net.inject(1, raw.place, &flood);
    assert_eq!(net.nodes[1].dropped(DropReason::CryptoOpenFailed), 300);
    assert_eq!(net.log.len() - before, 64);
}

#[test]
fn the_recorded_hellos_of_the_session_layer_open_or_are_refused_as_recorded() {
    let vectors = common::vectors();
    let private = common::array(&vectors["identities"]["A"]["private"]);
    let mut net = Net::new(1);
    net.nodes[0].engine = Engine::new(private, [1; 32], EngineOptions::default()).unwrap();
    net.nodes[0].engine.add_interface(0, false);
    net.nodes[0]
        .engine
        .add_user(Some(net::LOGIN.as_bytes()), net::PASSWORD, None);
    for users in vectors["users"].as_object().unwrap().values() {
        for user in users.as_array().unwrap() {
            let login = user["login"].as_str().map(str::as_bytes);
            let password = common::text(user, "password").as_bytes();
            net.nodes[0].engine.add_user(login, password, None);
        }
    }
    net.mute.insert(0);
    let mut raw = RawPeer::link(&mut net, 0);
    let steps = common::list(&vectors["session_layer"], "steps");
    let (mut opened, mut refused) = (0, 0);
    for (step, next) in steps.iter().zip(&steps[1..]) {
        if common::text(step, "from") != "peer" || !common::text(step, "kind").ends_with("HELLO") {
            continue;
        }
        net.nodes[0].events.clear();
        let answers = raw.send(&mut net, 0, &common::bytes(&step["link_plaintext"]));
        if common::text(next, "kind") == "CONTROL_ERROR" {
            // All but the checksum, which the reference swaps, and the state, which depends on what came before.
            let recorded = common::bytes(&next["link_plaintext"]);
            assert_eq!(answers.len(), 1);
            assert_eq!(answers[0][..16], recorded[..16]);
            assert_eq!(answers[0][18..56], recorded[18..56]);
            refused += 1;
            continue;
        }
        let expected = common::bytes(&step["inner_payload"])[8..].to_vec();
        let found = net.nodes[0].events.iter().any(
            |event| matches!(event, Event::RoutingMessage { content, .. } if *content == expected),
        );
        assert!(found, "{step}");
        let stats = &net.nodes[0].engine.session_stats()[0];
        assert_eq!(
            stats.send_handle,
            common::number(&step["handle_in_payload"])
        );
        opened += 1;
    }
    assert_eq!((opened, refused), (3, 1));
}
