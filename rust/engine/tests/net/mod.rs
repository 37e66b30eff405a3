//! A network of engines without sockets: datagrams wait in one queue, time stands still until it is moved.
//!
//! Each node answers pings and queries as a control plane would, in a few lines.
#![allow(dead_code, clippy::unwrap_used)]

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use dexmesh_engine::crypto::{LocalKeys, SeededRandom};
use dexmesh_engine::cryptoauth::{Credential, CryptoAuth, Settings, Users};
use dexmesh_engine::drop::DropReason;
use dexmesh_engine::label::one_hop_label;
use dexmesh_engine::message::{Event, InterfaceNumber, PeerId};
use dexmesh_engine::switch::control_checksum;
use dexmesh_engine::{Engine, EngineOptions, HEADROOM, Sink};

pub const PASSWORD: &[u8] = b"a long random password";
pub const LOGIN: &str = "friend";
pub const QUERY: &[u8] = b"query";
pub const REPLY: &[u8] = b"reply";
pub const VERSION: u32 = 20;
const PING: u16 = 3;
const PONG: u16 = 4;

/// Private keys whose addresses begin with fc, found by counting; each once, because that takes a while.
pub fn private_key(number: usize) -> [u8; 32] {
    static FOUND: Mutex<BTreeMap<usize, [u8; 32]>> = Mutex::new(BTreeMap::new());
    *FOUND
        .lock()
        .unwrap()
        .entry(number)
        .or_insert_with(|| count_to_a_mesh_key(number))
}

fn count_to_a_mesh_key(number: usize) -> [u8; 32] {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&(number as u64 + 1).to_be_bytes());
    loop {
        if LocalKeys::new(key).address()[0] == 0xfc {
            return key;
        }
        for byte in key[8..].iter_mut().rev() {
            *byte = byte.wrapping_add(1);
            if *byte != 0 {
                break;
            }
        }
    }
}

pub fn endpoint(number: usize) -> SocketAddr {
    let [high, low] = (number as u16).to_be_bytes();
    SocketAddr::from(([10, high, low, 1], 5000))
}

/// What an engine put out in one call.
#[derive(Default)]
pub struct Outputs {
    pub sends: Vec<(InterfaceNumber, SocketAddr, Vec<u8>)>,
    pub delivered: Vec<Vec<u8>>,
    /// How many packets each call of `send` had.
    pub runs: Vec<usize>,
}

impl Sink for Outputs {
    fn send(
        &mut self,
        interface: InterfaceNumber,
        to: &SocketAddr,
        arena: &mut [u8],
        packets: &[Range<usize>],
    ) {
        self.runs.push(packets.len());
        for packet in packets {
            assert!(!packet.is_empty());
            self.sends
                .push((interface, *to, arena[packet.clone()].to_vec()));
        }
    }

    fn deliver(&mut self, arena: &mut [u8], packets: &[Range<usize>]) {
        for packet in packets {
            self.delivered.push(arena[packet.clone()].to_vec());
        }
    }
}

pub struct Node {
    pub engine: Engine,
    pub events: Vec<Event>,
    pub delivered: Vec<Vec<u8>>,
    pub pongs: usize,
    pub replies: usize,
}

impl Node {
    pub fn new(number: usize, seed: u8, options: EngineOptions) -> Self {
        let engine = Engine::new(private_key(number), [seed; 32], options).unwrap();
        engine.add_interface(0, false);
        engine.add_user(Some(LOGIN.as_bytes()), PASSWORD, None);
        Self {
            engine,
            events: Vec::new(),
            delivered: Vec::new(),
            pongs: 0,
            replies: 0,
        }
    }

    pub fn address(&self) -> [u8; 16] {
        *self.engine.address()
    }

    pub fn key(&self) -> [u8; 32] {
        *self.engine.public_key()
    }

    pub fn dropped(&self, reason: DropReason) -> u64 {
        let counts = self.engine.drop_counts();
        counts
            .iter()
            .find(|(one, _)| *one == reason)
            .map_or(0, |(_, packets)| *packets)
    }

    pub fn peer_with(&self, key: [u8; 32]) -> Option<(PeerId, u16)> {
        self.events.iter().rev().find_map(|event| match event {
            Event::PeerAdded {
                peer, slot, key: k, ..
            } if *k == key => Some((*peer, *slot)),
            _ => None,
        })
    }

    pub fn link_state(&self, peer: PeerId) -> Option<u8> {
        let stats = self.engine.peer_stats();
        stats
            .iter()
            .find(|one| one.peer == peer)
            .map(|one| one.state)
    }

    pub fn session_state(&self, address: [u8; 16]) -> Option<u8> {
        let stats = self.engine.session_stats();
        stats
            .iter()
            .find(|one| one.address == address)
            .map(|one| one.state)
    }
}

pub struct Net {
    pub nodes: Vec<Node>,
    pub now_ms: u64,
    pub wire: VecDeque<(SocketAddr, SocketAddr, Vec<u8>)>,
    /// Every datagram that ever left.
    pub log: Vec<(SocketAddr, SocketAddr, Vec<u8>)>,
    /// How many packets each run had that the engines sent.
    pub runs: Vec<usize>,
    /// Nodes whose control plane is silent.
    pub mute: HashSet<usize>,
    pub cut: HashSet<(usize, usize)>,
}

impl Net {
    pub fn new(count: usize) -> Self {
        Self {
            nodes: (0..count)
                .map(|number| Node::new(number, number as u8, EngineOptions::default()))
                .collect(),
            now_ms: 1_000_000,
            wire: VecDeque::new(),
            log: Vec::new(),
            runs: Vec::new(),
            mute: HashSet::new(),
            cut: HashSet::new(),
        }
    }

    /// Nodes in a row, every link up: 0 – 1 – 2 …
    pub fn line(count: usize) -> Self {
        let mut net = Self::new(count);
        for number in 1..count {
            net.connect(number - 1, number);
        }
        net
    }

    /// Let `caller` call `callee` and wait until the link is up.
    pub fn connect(&mut self, caller: usize, callee: usize) {
        self.add_peer(caller, callee);
        self.ping(caller, callee);
        self.ping(callee, caller);
        self.ping(caller, callee);
        for (one, other) in [(caller, callee), (callee, caller)] {
            assert_eq!(
                self.state_of_link(one, other),
                Some(100),
                "{one} to {other}"
            );
        }
    }

    pub fn add_peer(&mut self, caller: usize, callee: usize) {
        let key = self.nodes[callee].key();
        self.nodes[caller].engine.add_peer(
            self.now_ms,
            0,
            &endpoint(callee),
            key,
            Some(Credential::login(LOGIN.as_bytes(), PASSWORD)),
        );
        self.run();
    }

    pub fn state_of_link(&self, one: usize, other: usize) -> Option<u8> {
        let (peer, _) = self.nodes[one].peer_with(self.nodes[other].key())?;
        self.nodes[one].link_state(peer)
    }

    pub fn slot(&self, one: usize, other: usize) -> u16 {
        self.nodes[one]
            .peer_with(self.nodes[other].key())
            .unwrap()
            .1
    }

    pub fn peer(&self, one: usize, other: usize) -> PeerId {
        self.nodes[one]
            .peer_with(self.nodes[other].key())
            .unwrap()
            .0
    }

    /// The label along a way of nodes.
    pub fn label(&self, way: &[usize]) -> u64 {
        let mut label = 1;
        for pair in way.windows(2).rev() {
            let hop = one_hop_label(self.slot(pair[0], pair[1])).unwrap();
            label = ((label ^ 1) << hop.ilog2()) ^ hop;
        }
        label
    }

    /// Send a switch ping to a peer; wait for everything that follows.
    pub fn ping(&mut self, one: usize, other: usize) {
        if self.nodes[one].peer_with(self.nodes[other].key()).is_none() {
            return;
        }
        let label = self.label(&[one, other]);
        self.send_control(one, label, &control_frame(PING, b"data"));
    }

    pub fn send_control(&mut self, node: usize, label: u64, frame: &[u8]) {
        let now_ms = self.now_ms;
        self.with(node, |engine, sink| {
            engine.send_control(now_ms, label, frame, sink);
        });
        self.run();
    }

    pub fn send_inner(&mut self, from: usize, way: &[usize], content_type: u16, content: &[u8]) {
        let label = self.label(way);
        let key = self.nodes[*way.last().unwrap()].key();
        let now_ms = self.now_ms;
        self.with(from, |engine, sink| {
            engine.send_inner(now_ms, &key, VERSION, label, content_type, content, sink);
        });
        self.run();
    }

    pub fn set_route(&mut self, way: &[usize]) {
        let label = self.label(way);
        let key = self.nodes[*way.last().unwrap()].key();
        let now_ms = self.now_ms;
        self.with(way[0], |engine, sink| {
            engine.set_route(now_ms, &key, VERSION, label, sink);
        });
        self.run();
    }

    /// Routes both ways along a line of nodes, and a query that brings the session up.
    pub fn open_session(&mut self, way: &[usize]) {
        self.send_inner(way[0], way, 256, QUERY);
        self.set_route(way);
        let back: Vec<_> = way.iter().rev().copied().collect();
        self.set_route(&back);
        self.send_inner(way[0], way, 256, QUERY);
        self.send_inner(back[0], &back, 256, QUERY);
    }

    pub fn send_tun(&mut self, node: usize, packets: &[Vec<u8>]) {
        let (mut arena, mut ranges) = (Vec::new(), Vec::new());
        for packet in packets {
            arena.resize(arena.len() + HEADROOM, 0);
            ranges.push(arena.len()..arena.len() + packet.len());
            arena.extend_from_slice(packet);
        }
        let now_ms = self.now_ms;
        self.with(node, |engine, sink| {
            engine.handle_tun(now_ms, &mut arena, &ranges, sink);
        });
        self.run();
    }

    pub fn tick(&mut self) {
        let now_ms = self.now_ms;
        for node in 0..self.nodes.len() {
            self.with(node, |engine, sink| engine.tick(now_ms, sink));
        }
        self.run();
    }

    /// Do something with an engine and put what leaves on the wire.
    pub fn with(&mut self, node: usize, act: impl FnOnce(&Engine, &mut dyn Sink)) {
        let mut outputs = Outputs::default();
        act(&self.nodes[node].engine, &mut outputs);
        self.runs.append(&mut outputs.runs);
        self.nodes[node].delivered.append(&mut outputs.delivered);
        for (interface, to, data) in outputs.sends {
            assert_eq!(interface, 0);
            self.log.push((endpoint(node), to, data.clone()));
            self.wire.push_back((endpoint(node), to, data));
        }
    }

    /// Hand datagrams to a node as one batch, wherever they come from.
    pub fn inject(&mut self, node: usize, from: SocketAddr, datagrams: &[Vec<u8>]) {
        let (mut arena, mut ranges) = (Vec::new(), Vec::new());
        for data in datagrams {
            ranges.push(arena.len()..arena.len() + data.len());
            arena.extend_from_slice(data);
        }
        let now_ms = self.now_ms;
        self.with(node, |engine, sink| {
            engine.handle_datagrams(now_ms, 0, &from, &mut arena, &ranges, sink);
        });
    }

    /// Until nothing is on the wire and no event waits.
    pub fn run(&mut self) {
        for _ in 0..10_000 {
            while (0..self.nodes.len()).any(|node| self.control_plane(node)) {}
            let Some((from, to, data)) = self.wire.pop_front() else {
                return;
            };
            let find = |wanted| (0..self.nodes.len()).find(|node| endpoint(*node) == wanted);
            if let (Some(source), Some(node)) = (find(from), find(to))
                && !self.cut.contains(&(source, node))
            {
                self.inject(node, from, &[data]);
            }
        }
        panic!("the network does not come to rest");
    }

    /// Says whether there was anything to do.
    fn control_plane(&mut self, node: usize) -> bool {
        let events = self.nodes[node].engine.take_events(usize::MAX);
        let was_busy = !events.is_empty();
        for event in events {
            self.nodes[node].events.push(event.clone());
            let now_ms = self.now_ms;
            match event {
                Event::ControlFrame { label, frame }
                    if is_type(&frame, PING) && !self.mute.contains(&node) =>
                {
                    let answer = control_frame(PONG, &frame[12..]);
                    self.with(node, |engine, sink| {
                        engine.send_control(now_ms, label, &answer, sink);
                    });
                }
                Event::ControlFrame { frame, .. } if is_type(&frame, PONG) => {
                    self.nodes[node].pongs += 1;
                }
                Event::RoutingMessage {
                    key,
                    label,
                    content,
                    ..
                } if content == QUERY && !self.mute.contains(&node) => {
                    self.with(node, |engine, sink| {
                        engine.send_inner(now_ms, &key, VERSION, label, 256, REPLY, sink);
                    });
                }
                Event::RoutingMessage { content, .. } if content == REPLY => {
                    self.nodes[node].replies += 1;
                }
                _ => {}
            }
        }
        was_busy
    }
}

pub fn is_type(frame: &[u8], kind: u16) -> bool {
    frame.get(2..4) == Some(&kind.to_be_bytes()[..])
}

pub fn control_frame(kind: u16, data: &[u8]) -> Vec<u8> {
    let magic = if kind == PING {
        0x09f9_1102u32
    } else {
        0x9d74_e35b
    };
    let mut frame = vec![0, 0];
    frame.extend_from_slice(&kind.to_be_bytes());
    frame.extend_from_slice(&magic.to_be_bytes());
    frame.extend_from_slice(&VERSION.to_be_bytes());
    frame.extend_from_slice(data);
    let checksum = control_checksum(&frame);
    frame[..2].copy_from_slice(&checksum);
    frame
}

/// An IPv6 packet with next header 17.
pub fn ip_packet(from: &Node, to: [u8; 16], payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend_from_slice(&(payload.len() as u16).to_be_bytes());
    packet.extend_from_slice(&[17, 64]);
    packet.extend_from_slice(&from.address());
    packet.extend_from_slice(&to);
    packet.extend_from_slice(payload);
    packet
}

/// The packet as it comes out at the other end.
pub fn as_delivered(packet: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    packet[7] = 42;
    packet
}

/// A node that is nothing but a link session: it sends any bytes and sees every plaintext.
pub struct RawPeer {
    crypto: CryptoAuth,
    random: SeededRandom,
    users: Users,
    pub place: SocketAddr,
}

impl RawPeer {
    /// Bring a link up with a node.
    pub fn link(net: &mut Net, node: usize) -> Self {
        let local = Arc::new(LocalKeys::new(private_key(900)));
        let key = net.nodes[node].key();
        let mut crypto = CryptoAuth::new(&local, key, Settings::default(), net.now_ms);
        crypto.set_credential(Some(Credential::login(LOGIN.as_bytes(), PASSWORD)));
        let mut raw = Self {
            crypto,
            random: SeededRandom::new([9; 32]),
            users: Users::new(),
            place: endpoint(900),
        };
        for _ in 0..2 {
            raw.send(net, node, &ping_of_a_single_peer());
        }
        raw
    }

    /// Seal one switch packet as the link has it.
    pub fn seal(&mut self, now_ms: u64, packet: &[u8]) -> Vec<u8> {
        self.crypto.seal(now_ms, &mut self.random, packet).unwrap()
    }

    /// Send one switch packet as it is on the link, and open what comes back.
    pub fn send(&mut self, net: &mut Net, node: usize, packet: &[u8]) -> Vec<Vec<u8>> {
        let sealed = self.seal(net.now_ms, packet);
        let before = net.log.len();
        net.inject(node, self.place, &[sealed]);
        net.run();
        let mut opened = Vec::new();
        for (_, to, data) in &net.log[before..] {
            if *to == self.place {
                let mut data = data.clone();
                if let Ok(one) = self.crypto.open(net.now_ms, &self.users, &mut data) {
                    opened.push(data[one.range].to_vec());
                }
            }
        }
        opened
    }
}

/// docs/protocol/03 §6.2: what a peer without a switch puts on the link for our router.
pub fn header_of_a_single_peer() -> Vec<u8> {
    let mut header = 0x8000_0000_0000_0001u64.to_be_bytes().to_vec();
    header.extend_from_slice(&[0, 0x44, 0xff, 0xff]);
    header
}

fn ping_of_a_single_peer() -> Vec<u8> {
    let mut packet = header_of_a_single_peer();
    packet.extend_from_slice(&[0xff; 4]);
    packet.extend_from_slice(&control_frame(PING, b"raw"));
    packet
}

/// The first session packet of a node that nobody knows yet, without a switch header.
pub fn hello_of_a_stranger(to: &Node, number: usize) -> Vec<u8> {
    let local = Arc::new(LocalKeys::new(private_key(number)));
    let mut crypto = CryptoAuth::new(&local, to.key(), Settings::default(), 0);
    let mut payload = 4711u32.to_be_bytes().to_vec();
    payload.extend_from_slice(&[0x10, 0, 1, 0]);
    payload.extend_from_slice(QUERY);
    crypto
        .seal(0, &mut SeededRandom::new([1; 32]), &payload)
        .unwrap()
}
