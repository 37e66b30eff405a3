//! Whatever comes in: no panic, no growth, one and the same answer for one and the same input, from any thread.

mod net;

use std::sync::atomic::{AtomicBool, Ordering};

use dexmesh_engine::{BATCH, EngineOptions, RING};
use net::{Net, Node, Outputs, QUERY, RawPeer, endpoint, header_of_a_single_peer, ip_packet};
use proptest::prelude::*;

/// A change to a datagram.
#[derive(Clone, Debug)]
enum Damage {
    Cut(usize),
    Flip(usize, u8),
    Grow(Vec<u8>),
    Whole(Vec<u8>),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (0usize..300).prop_map(Damage::Cut),
        (0usize..300, 1u8..).prop_map(|(at, by)| Damage::Flip(at, by)),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Damage::Grow),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(Damage::Whole),
    ]
}

fn apply(damage: &Damage, data: &mut Vec<u8>) {
    match damage {
        Damage::Cut(length) => data.truncate(*length),
        Damage::Flip(at, by) => {
            let at = *at % data.len().max(1);
            if let Some(byte) = data.get_mut(at) {
                *byte ^= by;
            }
        }
        Damage::Grow(more) => data.extend_from_slice(more),
        Damage::Whole(other) => data.clone_from(other),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn damaged_datagrams_from_known_and_unknown_endpoints_do_no_harm(
        changes in prop::collection::vec((any::<prop::sample::Index>(), damage(), any::<bool>()), 1..60)
    ) {
        let mut net = Net::line(2);
        net.open_session(&[0, 1]);
        let seen: Vec<_> = net.log.iter().filter(|one| one.1 == endpoint(1)).map(|one| one.2.clone()).collect();
        for (which, damage, is_known) in changes {
            let mut data = which.get(&seen).clone();
            apply(&damage, &mut data);
            let from = if is_known { endpoint(0) } else { "198.51.100.1:9".parse().unwrap() };
            net.inject(1, from, &[data]);
            net.run();
        }
        let packet = ip_packet(&net.nodes[0], net.nodes[1].address(), b"still works");
        net.ping(0, 1);
        net.ping(0, 1);
        net.open_session(&[0, 1]);
        net.send_tun(0, &[packet]);
        prop_assert!(net.nodes[1].delivered.iter().any(|one| one.ends_with(b"still works")));
    }

    #[test]
    fn any_switch_packet_from_a_peer_does_no_harm(
        packets in prop::collection::vec(
            (prop::collection::vec(any::<u8>(), 0..200), any::<bool>(), any::<bool>()), 1..80
        )
    ) {
        let mut net = Net::line(3);
        net.open_session(&[0, 1, 2]);
        let mut raw = RawPeer::link(&mut net, 1);
        let handle = net.nodes[1].engine.session_stats().first().map_or(4, |one| one.handle);
        let mut sealed = Vec::new();
        for (bytes, is_for_us, has_handle) in packets {
            let mut packet = if is_for_us { header_of_a_single_peer() } else { Vec::new() };
            if has_handle {
                packet.extend_from_slice(&handle.to_be_bytes());
            }
            packet.extend_from_slice(&bytes);
            sealed.push(raw.seal(net.now_ms, &packet));
        }
        net.inject(1, raw.place, &sealed);
        net.run();
        net.ping(0, 1);
        prop_assert_eq!(net.state_of_link(0, 1), Some(100));
    }

    #[test]
    fn anything_from_the_tun_does_no_harm(
        packets in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..120), 0u8..4), 1..100)
    ) {
        let mut net = Net::line(2);
        net.open_session(&[0, 1]);
        let packets: Vec<_> = packets
            .into_iter()
            .map(|(bytes, kind)| match kind {
                0 => bytes,
                1 => ip_packet(&net.nodes[0], net.nodes[1].address(), &bytes),
                2 => ip_packet(&net.nodes[0], net.nodes[0].address(), &bytes),
                _ => ip_packet(&net.nodes[0], [0xfc; 16], &bytes),
            })
            .collect();
        net.send_tun(0, &packets);
        net.tick();
    }

    #[test]
    fn ranges_that_lie_are_no_way_out_of_the_arena(
        ranges in prop::collection::vec((0usize..400, 0usize..400), 0..20), word in any::<[u8; 16]>()
    ) {
        let net = Net::line(2);
        let ranges: Vec<_> = ranges.into_iter().map(|(start, end)| start..end).collect();
        let mut arena: Vec<u8> = word.iter().copied().cycle().take(300).collect();
        let mut outputs = Outputs::default();
        let engine = &net.nodes[0].engine;
        engine.handle_datagrams(0, 0, &endpoint(1), &mut arena, &ranges, &mut outputs);
        engine.handle_tun(0, &mut arena, &ranges, &mut outputs);
    }

    #[test]
    fn any_command_does_no_harm(
        label in any::<u64>(), key in any::<[u8; 32]>(), content in prop::collection::vec(any::<u8>(), 0..3600),
        content_type in any::<u16>(), version in any::<u32>(), number in any::<u64>()
    ) {
        let mut net = Net::line(2);
        let her = net.nodes[1].key();
        for key in [key, her] {
            net.with(0, |engine, sink| {
                engine.send_control(0, label, &content, sink);
                engine.send_inner(0, &key, version, label, content_type, &content, sink);
                engine.set_route(u64::MAX, &key, version, label, sink);
                engine.drop_parked(0, &[0xfc; 16], sink);
                engine.tick(u64::MAX, sink);
            });
        }
        let engine = &net.nodes[0].engine;
        engine.remove_peer(number);
        engine.reset_peer(number);
        engine.set_peer_up(number, false);
        engine.remove_interface(number as u32 | 1);
        engine.remove_user(&content);
        engine.reset_session(&[0xfc; 16]);
        engine.remove_session(&[0xfc; 16]);
        net.run();
    }
}

#[test]
fn the_same_inputs_and_seeds_give_the_same_bytes() {
    let run = || {
        let mut net = Net::line(4);
        net.open_session(&[0, 1, 2, 3]);
        net.open_session(&[3, 2, 1]);
        for number in 0..5u8 {
            let packet = ip_packet(&net.nodes[0], net.nodes[3].address(), &[number; 50]);
            net.send_tun(0, &[packet]);
        }
        let events: Vec<_> = net.nodes.iter().map(|node| node.events.clone()).collect();
        (net.log, events)
    };
    assert_eq!(run(), run());
}

#[test]
fn sessions_from_strangers_stay_within_the_table_and_their_rate() {
    let mut net = Net::new(2);
    let options = EngineOptions {
        max_sessions: 8,
        ..EngineOptions::default()
    };
    net.nodes[1] = Node::new(1, 1, options);
    net.connect(0, 1);
    // One peer plays thirty nodes behind it, each of which calls twenty times.
    let mut raw = RawPeer::link(&mut net, 1);
    let hellos: Vec<_> = (0..30)
        .map(|number| net::hello_of_a_stranger(&net.nodes[1], 1000 + number))
        .collect();
    let mut sealed = Vec::new();
    for hello in hellos.iter().cycle().take(600) {
        let mut packet = header_of_a_single_peer();
        packet.extend_from_slice(hello);
        sealed.push(raw.seal(net.now_ms, &packet));
    }
    for batch in sealed.chunks(BATCH) {
        net.inject(1, raw.place, batch);
    }
    let sessions = net.nodes[1].engine.session_stats();
    assert_eq!(sessions.len(), 8);
    let limited =
        net.nodes[1].dropped(dexmesh_engine::drop::DropReason::RouterHandshakeRateLimited);
    assert_eq!(limited, 600 - 512);
    assert!(net.nodes[1].engine.take_events(usize::MAX).len() <= RING);
}

#[test]
fn threads_may_do_everything_at_the_same_time() {
    let mut net = Net::line(2);
    net.open_session(&[0, 1]);
    let (a, b) = (&net.nodes[0], &net.nodes[1]);
    let packet = ip_packet(a, b.address(), &[7; 600]);
    let label = net.label(&[0, 1]);
    let is_done = AtomicBool::new(false);
    let now_ms = net.now_ms;
    let sent = std::thread::scope(|threads| {
        let sender = threads.spawn(|| {
            let mut sent = Vec::new();
            for _ in 0..300 {
                let mut arena = vec![0; 64];
                arena.extend_from_slice(&packet);
                let whole = 64..arena.len();
                let mut outputs = Outputs::default();
                a.engine
                    .handle_tun(now_ms, &mut arena, &[whole], &mut outputs);
                sent.extend(outputs.sends);
            }
            is_done.store(true, Ordering::Relaxed);
            sent
        });
        threads.spawn(|| {
            let mut number = 0u32;
            while !is_done.load(Ordering::Relaxed) {
                let mut outputs = Outputs::default();
                number += 1;
                a.engine
                    .send_control(now_ms, label, &number.to_be_bytes(), &mut outputs);
                a.engine
                    .set_route(now_ms, b.engine.public_key(), 20, label, &mut outputs);
                a.engine.send_inner(
                    now_ms,
                    b.engine.public_key(),
                    20,
                    label,
                    256,
                    QUERY,
                    &mut outputs,
                );
                a.engine.tick(now_ms, &mut outputs);
                let _ = (
                    a.engine.peer_stats(),
                    a.engine.session_stats(),
                    a.engine.take_events(9),
                );
                a.engine.add_interface(9, true);
                a.engine.remove_interface(9);
            }
        });
        sender.join().unwrap()
    });
    // Every packet left once, and those of the TUN in order.
    assert_eq!(sent.len(), 300);
    let counters: Vec<_> = sent
        .iter()
        .map(|(_, _, data)| u32::from_be_bytes(*data.first_chunk().unwrap()))
        .collect();
    assert!(counters.is_sorted());
}
