//! Whole engines: two nodes with a link and a session, and somebody who sends what he likes.

use dexmesh_engine::RING;
use dexmesh_engine::crypto::{LocalKeys, SeededRandom};
use dexmesh_engine::cryptoauth::{CryptoAuth, Settings};

use super::net::{Net, Node, RawPeer, endpoint, header_of_a_single_peer, ip_packet, private_key};
use super::{damaged, records};

const STRANGER: &str = "198.51.100.1:9";
/// After so long every unfinished handshake and every silent session is over.
const ALL_OVER_MS: u64 = 61_000;
const MOST_PEERS: usize = 256;

fn two_nodes() -> Net {
    let mut net = Net::line(2);
    net.open_session(&[0, 1]);
    net
}

fn is_bounded(node: &Node) {
    assert!(node.engine.peer_stats().len() <= MOST_PEERS);
    assert!(node.engine.take_events(usize::MAX).len() <= RING);
}

/// Datagrams at a UDP port: any bytes, and packets of the real peer again, damaged or not; from him or a stranger.
pub fn link_datagrams(data: &[u8]) {
    let mut net = two_nodes();
    let hers: Vec<_> = net
        .log
        .iter()
        .filter(|one| one.1 == endpoint(1))
        .cloned()
        .collect();
    let stranger = STRANGER.parse().unwrap();
    for record in records(data) {
        let from = if record.kind & 1 == 0 {
            endpoint(0)
        } else {
            stranger
        };
        let offset = usize::from(record.kind >> 4) * 8;
        let datagram = if record.kind & 2 == 0 {
            record.body.to_vec()
        } else {
            let (_, _, packet) = &hers[record.number % hers.len()];
            damaged(packet, &record, offset, record.kind & 4 != 0)
        };
        if record.kind & 8 != 0 {
            net.now_ms += 1000 * record.number as u64;
        }
        net.inject(1, from, &[datagram]);
        net.run();
    }
    is_bounded(&net.nodes[1]);
    net.now_ms += ALL_OVER_MS;
    for (one, other) in [(0, 1), (1, 0), (0, 1)] {
        net.ping(one, other);
    }
    assert_eq!(
        net.state_of_link(0, 1),
        Some(100),
        "the real peer is locked out"
    );
}

/// Switch packets from a peer: for our router, to another peer, along labels that lead nowhere.
pub fn switch_packets(data: &[u8]) {
    let mut net = Net::line(2);
    let mut raw = RawPeer::link(&mut net, 1);
    net.open_session(&[0, 1]);
    let handle = net.nodes[1].engine.session_stats()[0].handle;
    for record in records(data) {
        let mut packet = Vec::new();
        if record.kind & 1 != 0 {
            packet.extend_from_slice(&header_of_a_single_peer());
        }
        if record.kind & 2 != 0 {
            packet.extend_from_slice(&handle.to_be_bytes());
        }
        packet.extend_from_slice(record.body);
        let sealed = raw.seal(net.now_ms, &packet);
        net.inject(1, raw.place, &[sealed]);
        net.run();
    }
    is_bounded(&net.nodes[1]);
    net.ping(0, 1);
    assert_eq!(net.state_of_link(0, 1), Some(100));
}

/// What comes out of a session: of a node with one, and of one that begins it.
pub fn session_packets(data: &[u8]) {
    let mut net = two_nodes();
    let mut raw = RawPeer::link(&mut net, 1);
    let local = std::sync::Arc::new(LocalKeys::new(private_key(901)));
    let mut crypto = CryptoAuth::new(&local, net.nodes[1].key(), Settings::default(), net.now_ms);
    let mut random = SeededRandom::new([3; 32]);
    for record in records(data) {
        if record.kind & 1 == 0 {
            let content_type = u16::from(record.kind >> 1) << 8 | record.number as u16;
            net.send_inner(0, &[0, 1], content_type, record.body);
        } else if let Some(hello) = crypto.seal(net.now_ms, &mut random, record.body) {
            let mut packet = header_of_a_single_peer();
            packet.extend_from_slice(&hello);
            raw.send(&mut net, 1, &packet);
        }
    }
    is_bounded(&net.nodes[1]);
    let packet = ip_packet(&net.nodes[0], net.nodes[1].address(), b"still works");
    net.send_tun(0, &[packet]);
    assert!(
        net.nodes[1]
            .delivered
            .iter()
            .any(|one| one.ends_with(b"still works"))
    );
}

/// Packets of local programs: any bytes, or IPv6 from us to somebody near, far, or ourselves.
pub fn tun_packets(data: &[u8]) {
    let mut net = two_nodes();
    let (ours, hers) = (net.nodes[0].address(), net.nodes[1].address());
    for record in records(data) {
        let packet = match record.kind % 4 {
            0 => record.body.to_vec(),
            1 => ip_packet(&net.nodes[0], hers, record.body),
            2 => ip_packet(&net.nodes[0], ours, record.body),
            _ => {
                let mut somebody = [0xfc; 16];
                somebody[15] = record.number as u8;
                ip_packet(&net.nodes[0], somebody, record.body)
            }
        };
        net.send_tun(0, &[packet]);
        if record.kind & 8 != 0 {
            net.now_ms += 1000 * record.number as u64;
            net.tick();
        }
    }
    is_bounded(&net.nodes[0]);
    assert!(
        net.nodes[1]
            .delivered
            .iter()
            .all(|one| one.len() >= 40 && one[0] == 0x60)
    );
}
