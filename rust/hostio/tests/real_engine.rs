//! Two real engines with runners and TUN devices: handshakes, then TCP through both layers of encryption.
//!
//! ```text
//! namespace A: TCP -- mesh(TUN) -- runner+engine -- UDP 127.0.0.1 -- runner+engine -- mesh(TUN) -- TCP :namespace B
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use common::{INTERFACE, Namespace, can_make_machines, carry_tcp_between, open_tun, pattern};
use dexmesh_engine::cryptoauth::Credential;
use dexmesh_engine::label::one_hop_label;
use dexmesh_engine::message::Event;
use dexmesh_engine::switch::control_checksum;
use dexmesh_engine::{Engine, EngineOptions};
use dexmesh_hostio::Runner;
use dexmesh_hostio::sys::now_ms;
use dexmesh_hostio::tun::TunMode;
use dexmesh_hostio::udp::UdpRungs;

const VERSION: u32 = 20;
const RECEIVED_KEY: u8 = 4;

struct Node {
    namespace: Namespace,
    engine: Arc<Engine>,
    runner: Runner,
    underlay: SocketAddr,
}

impl Node {
    fn new(number: u8, mode: TunMode, rungs: UdpRungs) -> Node {
        let engine = (0..=u16::MAX)
            .find_map(|attempt| {
                let mut key = [number; 32];
                key[..2].copy_from_slice(&attempt.to_be_bytes());
                Engine::new(key, [number; 32], EngineOptions::default()).ok()
            })
            .map(Arc::new)
            .expect("a key in fc00::/8");
        let namespace = Namespace::new();
        let tun = namespace.run(move || open_tun(mode));
        let address = Ipv6Addr::from(*engine.address());
        namespace.ip(&format!("address add {address}/8 dev mesh nodad"));
        namespace.ip("link set mesh mtu 1304 gso_max_segs 48 up");
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let underlay = socket.local_addr().unwrap();
        let runner = Runner::new(Arc::clone(&engine) as _, rungs).unwrap();
        runner.attach_tun(tun, mode).unwrap();
        runner.attach_udp(INTERFACE, socket.into()).unwrap();
        engine.add_interface(INTERFACE, false);
        engine.add_user(Some(b"test"), b"a password of the test", None);
        Node {
            namespace,
            engine,
            runner,
            underlay,
        }
    }

    fn call(&self, other: &Node) {
        let credential = Some(Credential::login(b"test", b"a password of the test"));
        let key = *other.engine.public_key();
        self.engine
            .add_peer(now_ms(), INTERFACE, &other.underlay, key, credential);
    }

    /// A ping to the peer at slot 0, and an inter-router message by the session with it.
    fn speak_to(&self, other: &Node) {
        let label = one_hop_label(0).unwrap();
        let mut ping = vec![0, 0, 0, 3, 0x09, 0xf9, 0x11, 0x02, 0, 0, 0, 20];
        let checksum = control_checksum(&ping);
        ping[..2].copy_from_slice(&checksum);
        let key = other.engine.public_key();
        self.runner.with_sink(|sink| {
            self.engine.send_control(now_ms(), label, &ping, sink);
            self.engine
                .send_inner(now_ms(), key, VERSION, label, 256, b"d1:q2:pne", sink);
            self.engine.set_route(now_ms(), key, VERSION, label, sink);
        });
    }

    fn is_ready(&self) -> bool {
        let stats = self.engine.session_stats();
        stats
            .first()
            .is_some_and(|session| session.state >= RECEIVED_KEY)
    }
}

fn connect(a: &Node, b: &Node) {
    a.call(b);
    let deadline = Instant::now() + Duration::from_secs(10);
    while !(a.is_ready() && b.is_ready()) {
        assert!(
            Instant::now() < deadline,
            "{:?} {:?}",
            a.engine.drop_counts(),
            b.engine.drop_counts()
        );
        a.speak_to(b);
        if !b.engine.peer_stats().is_empty() {
            b.speak_to(a);
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn carry(mode: TunMode, rungs: UdpRungs) {
    if !can_make_machines() {
        return;
    }
    let (a, b) = (Node::new(1, mode, rungs), Node::new(2, mode, rungs));
    connect(&a, &b);
    let bytes = pattern(20_000_000);
    for (from, to) in [(&a, &b), (&b, &a)] {
        let address = Ipv6Addr::from(*to.engine.address());
        let got = carry_tcp_between(&from.namespace, &to.namespace, address, bytes.clone());
        assert!(got == bytes, "TCP changed on the way");
    }
    let has_message = |node: &Node| {
        let events = node.engine.take_events(1024);
        events
            .iter()
            .any(|event| matches!(event, Event::RoutingMessage { .. }))
    };
    assert!(has_message(&a) && has_message(&b));
    assert_eq!(a.runner.take_faults(), vec![]);
}

#[test]
fn tcp_crosses_both_layers_with_every_offload() {
    let all = UdpRungs {
        gso: true,
        gro: true,
    };
    carry(TunMode::Uso, all);
}

#[test]
fn tcp_crosses_both_layers_with_none() {
    let none = UdpRungs {
        gso: false,
        gro: false,
    };
    carry(TunMode::Plain, none);
}
