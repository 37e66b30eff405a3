//! Two small machines: each a network namespace of its own with a TUN device, on a thread of its own.

#![allow(dead_code)] // each test file uses its part

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use dexmesh_engine::drop::{DropCounters, DropReason};
use dexmesh_engine::message::{Endpoint, InterfaceNumber};
use dexmesh_engine::{Sink, Waker};
use dexmesh_hostio::Runner;
use dexmesh_hostio::plane::PacketEngine;
use dexmesh_hostio::tun::TunMode;
use dexmesh_hostio::udp::UdpRungs;

const STALLED: Duration = Duration::from_secs(20);
pub const INTERFACE: InterfaceNumber = 3;

/// Whether TUN devices and namespaces can be made; says why not.
pub fn can_make_machines() -> bool {
    // SAFETY: takes no arguments and cannot fail.
    let is_root = unsafe { libc::geteuid() } == 0;
    let has_tun = Path::new("/dev/net/tun").exists();
    if !has_tun {
        eprintln!("skipped: there is no /dev/net/tun here (modprobe tun)");
    } else if !is_root {
        eprintln!("skipped: namespaces and TUN devices need root");
    }
    has_tun && is_root
}

type Job = Box<dyn FnOnce() + Send>;

/// A network namespace, entered by one thread for ever.
pub struct Namespace(Sender<Job>);

impl Namespace {
    pub fn new() -> Namespace {
        let (sender, receiver) = channel::<Job>();
        thread::spawn(move || {
            // SAFETY: takes no pointers; moves only this thread into the new namespace.
            assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0, "unshare");
            for job in receiver {
                job();
            }
        });
        Namespace(sender)
    }

    /// Run something inside; threads and programs it starts stay inside too.
    pub fn run<R: Send + 'static>(&self, job: impl FnOnce() -> R + Send + 'static) -> R {
        let (sender, receiver) = channel();
        self.0
            .send(Box::new(move || drop(sender.send(job()))))
            .unwrap();
        receiver.recv().expect("the job in the namespace failed")
    }

    pub fn ip(&self, arguments: &str) {
        let words: Vec<String> = arguments.split(' ').map(str::to_owned).collect();
        let outcome = self.run(move || Command::new("ip").args(words).status());
        assert!(outcome.expect("ip").success(), "ip {arguments}");
    }
}

/// Open a TUN device named `mesh` in the calling thread's namespace.
pub fn open_tun(mode: TunMode) -> OwnedFd {
    const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
    const TUNSETOFFLOAD: libc::c_ulong = 0x4004_54d0;
    let file = File::options()
        .read(true)
        .write(true)
        .open("/dev/net/tun")
        .unwrap();
    // SAFETY: all zero bytes are a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"mesh") {
        *to = *from as libc::c_char;
    }
    let has_header = mode != TunMode::Plain;
    let flags = libc::IFF_TUN | libc::IFF_NO_PI | if has_header { libc::IFF_VNET_HDR } else { 0 };
    request.ifr_ifru.ifru_flags = flags as libc::c_short;
    // SAFETY: the request outlives the call.
    let made = unsafe { libc::ioctl(file.as_raw_fd(), TUNSETIFF as _, &request) };
    assert_eq!(made, 0, "TUNSETIFF");
    let offloads: libc::c_ulong = match mode {
        TunMode::Plain => 0,
        TunMode::Tso => 0x01 | 0x02 | 0x04,
        TunMode::Uso => 0x01 | 0x02 | 0x04 | 0x20 | 0x40,
    };
    if has_header {
        // SAFETY: the argument is a number.
        let done = unsafe { libc::ioctl(file.as_raw_fd(), TUNSETOFFLOAD as _, offloads) };
        assert_eq!(done, 0, "TUNSETOFFLOAD");
    }
    file.into()
}

/// An engine that only carries: TUN packets to one endpoint, datagrams to the TUN.
pub struct Cable {
    peer: Mutex<SocketAddr>,
    pub drops: DropCounters,
    pub ticks: AtomicU64,
}

impl PacketEngine for Cable {
    fn handle_datagrams(
        &self,
        _now_ms: u64,
        _interface: InterfaceNumber,
        _from: &Endpoint,
        arena: &mut [u8],
        packets: &[Range<usize>],
        sink: &mut dyn Sink,
    ) {
        sink.deliver(arena, packets);
    }

    fn handle_tun(
        &self,
        _now_ms: u64,
        arena: &mut [u8],
        packets: &[Range<usize>],
        sink: &mut dyn Sink,
    ) {
        let mut end = 0;
        for packet in packets {
            assert!(packet.start >= end + 64, "no room in front of a packet");
            end = packet.end;
        }
        let peer = *self.peer.lock().unwrap();
        sink.send(INTERFACE, &peer, arena, packets);
    }

    fn tick(&self, _now_ms: u64, _sink: &mut dyn Sink) {
        self.ticks.fetch_add(1, Relaxed);
    }

    fn count_drops(&self, reason: DropReason, packets: u64) {
        self.drops.add(reason, packets);
    }

    fn set_waker(&self, waker: Waker) {
        drop(waker);
    }
}

/// A namespace, its TUN, a runner and a cable.
pub struct Machine {
    pub namespace: Namespace,
    pub runner: Runner,
    pub cable: Arc<Cable>,
    pub address: &'static str,
    pub underlay: SocketAddr,
}

impl Machine {
    fn new(address: &'static str, mode: TunMode, rungs: UdpRungs) -> Machine {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let underlay = socket.local_addr().unwrap();
        let namespace = Namespace::new();
        let tun = namespace.run(move || open_tun(mode));
        namespace.ip("link set lo up");
        namespace.ip(&format!("address add {address}/8 dev mesh nodad"));
        namespace.ip("link set mesh mtu 1304 up");
        let cable = Arc::new(Cable {
            peer: Mutex::new(underlay),
            drops: DropCounters::default(),
            ticks: AtomicU64::new(0),
        });
        let runner = Runner::new(Arc::clone(&cable) as Arc<dyn PacketEngine>, rungs).unwrap();
        runner.attach_tun(tun, mode).unwrap();
        runner.attach_udp(INTERFACE, socket.into()).unwrap();
        Machine {
            namespace,
            runner,
            cable,
            address,
            underlay,
        }
    }
}

/// Two machines joined by their cables over loopback.
pub fn two_machines(mode: TunMode, rungs: UdpRungs) -> (Machine, Machine) {
    let a = Machine::new("fc00::a", mode, rungs);
    let b = Machine::new("fc00::b", mode, rungs);
    *a.cable.peer.lock().unwrap() = b.underlay;
    *b.cable.peer.lock().unwrap() = a.underlay;
    (a, b)
}

/// Bytes that no two places share.
pub fn pattern(length: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Carry bytes from a to b by one TCP connection; gives what arrived.
pub fn carry_tcp(a: &Machine, b: &Machine, bytes: Vec<u8>) -> Vec<u8> {
    let address = b.address.parse().unwrap();
    carry_tcp_between(&a.namespace, &b.namespace, address, bytes)
}

/// The same, to an address in another namespace.
pub fn carry_tcp_between(a: &Namespace, b: &Namespace, to: Ipv6Addr, bytes: Vec<u8>) -> Vec<u8> {
    let listener = b.run(move || TcpListener::bind((to, 0)).unwrap());
    let to = listener.local_addr().unwrap();
    let reading = b.run(move || {
        thread::spawn(move || {
            let mut got = Vec::new();
            let mut stream = listener.accept().unwrap().0;
            stream.set_read_timeout(Some(STALLED)).unwrap();
            stream.read_to_end(&mut got).expect("TCP stalled");
            got
        })
    });
    a.run(move || {
        let mut stream = TcpStream::connect(to).unwrap();
        stream.set_write_timeout(Some(STALLED)).unwrap();
        stream.write_all(&bytes).expect("TCP stalled");
    });
    reading.join().unwrap()
}
