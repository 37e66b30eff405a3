//! The runner on each rung of the ladder, with real TUN devices in namespaces:
//!
//! ```text
//! namespace A: TCP -- mesh(TUN) -- runner -- UDP 127.0.0.1 -- runner -- mesh(TUN) -- TCP :namespace B
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use common::{INTERFACE, Machine, Namespace, can_make_machines, carry_tcp, pattern, two_machines};
use dexmesh_engine::drop::DropReason;
use dexmesh_engine::{Engine, EngineOptions};
use dexmesh_hostio::sys::EventFd;
use dexmesh_hostio::tun::TunMode;
use dexmesh_hostio::udp::{UdpPort, UdpRungs};
use dexmesh_hostio::{Fault, Runner, sys};

const ALL: UdpRungs = UdpRungs {
    gso: true,
    gro: true,
};
const NONE: UdpRungs = UdpRungs {
    gso: false,
    gro: false,
};

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Datagrams of 1200 bytes from a to b, each with its number in every byte; gives what arrived, in order.
fn carry_udp(a: &Machine, b: &Machine, count: u8, is_segmented: bool) -> Vec<Vec<u8>> {
    let address = b.address;
    let receiver = b
        .namespace
        .run(move || UdpSocket::bind((address, 0)).unwrap());
    let to = receiver.local_addr().unwrap();
    receiver
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    a.namespace.run(move || {
        let socket = UdpSocket::bind("[::]:0").unwrap();
        let bytes: Vec<u8> = (0..count).flat_map(|number| vec![number; 1200]).collect();
        if is_segmented {
            const UDP_SEGMENT: i32 = 103;
            sys::set_option(
                std::os::fd::AsFd::as_fd(&socket),
                libc::SOL_UDP,
                UDP_SEGMENT,
                1200,
            )
            .unwrap();
            socket.send_to(&bytes, to).unwrap();
        } else {
            for datagram in bytes.chunks(1200) {
                socket.send_to(datagram, to).unwrap();
            }
        }
    });
    let mut buffer = [0; 2000];
    (0..count)
        .map(|_| {
            receiver
                .recv(&mut buffer)
                .map(|length| buffer[..length].to_vec())
                .expect("lost")
        })
        .collect()
}

fn every_byte_arrives(mode: TunMode, rungs: UdpRungs) {
    if !can_make_machines() {
        return;
    }
    let (a, b) = two_machines(mode, rungs);
    let capabilities = a.runner.capabilities();
    assert_eq!(capabilities.tun, Some(mode));
    assert_eq!(capabilities.sockets, vec![(INTERFACE, rungs)]);

    let bytes = pattern(20_000_000);
    assert!(
        carry_tcp(&a, &b, bytes.clone()) == bytes,
        "TCP changed on the way"
    );
    let (sent, got) = (a.runner.io_stats(), b.runner.io_stats());
    assert!(sent.tun_packets_in > 15_000 && got.tun_packets_out > 15_000);
    assert_eq!(
        sent.tun_superframes_in > 0,
        mode != TunMode::Plain,
        "{sent:?}"
    );
    let is_joined = got.tun_write_calls * 2 < got.tun_packets_out;
    assert!(mode == TunMode::Plain || is_joined || !rungs.gro, "{got:?}");
    let is_batched = sent.udp_send_calls * 2 < sent.udp_packets_out;
    assert!(mode == TunMode::Plain || is_batched, "{sent:?}");

    let expected: Vec<Vec<u8>> = (0..40).map(|number| vec![number; 1200]).collect();
    for is_segmented in [true, false] {
        let superframes = a.runner.io_stats().tun_superframes_in;
        assert!(
            carry_udp(&a, &b, 40, is_segmented) == expected,
            "UDP changed on the way"
        );
        let came_joined = || a.runner.io_stats().tun_superframes_in > superframes;
        if is_segmented && mode == TunMode::Uso {
            wait_until("a UDP superframe is counted", came_joined);
        } else {
            assert!(!came_joined());
        }
    }
    assert_eq!(a.runner.capabilities(), capabilities, "a rung was lost");
    for machine in [&a, &b] {
        assert_eq!(machine.cable.drops.get(DropReason::TunBadOffload), 0);
        assert_eq!(machine.cable.drops.get(DropReason::TunWriteFailed), 0);
        assert_eq!(machine.runner.take_faults(), vec![]);
    }
}

#[test]
fn with_everything_the_kernel_has() {
    every_byte_arrives(TunMode::Uso, ALL);
}

#[test]
fn without_udp_superframes() {
    every_byte_arrives(TunMode::Tso, ALL);
}

#[test]
fn with_a_plain_tun() {
    every_byte_arrives(TunMode::Plain, ALL);
}

#[test]
fn without_segmentation_on_send() {
    every_byte_arrives(
        TunMode::Uso,
        UdpRungs {
            gso: false,
            gro: true,
        },
    );
}

#[test]
fn without_joining_on_receive() {
    every_byte_arrives(
        TunMode::Uso,
        UdpRungs {
            gso: true,
            gro: false,
        },
    );
}

#[test]
fn without_any_socket_offload() {
    every_byte_arrives(TunMode::Tso, NONE);
}

#[test]
fn on_the_lowest_rung_of_all() {
    every_byte_arrives(TunMode::Plain, NONE);
}

#[test]
fn interfaces_come_and_go_while_traffic_flows() {
    if !can_make_machines() {
        return;
    }
    let (a, b) = two_machines(TunMode::Uso, ALL);
    let underlay = b.underlay;
    let bytes = pattern(30_000_000);
    thread::scope(|scope| {
        let (a, b, sent) = (&a, &b, bytes.clone());
        let carrying = scope.spawn(move || carry_tcp(a, b, sent));
        for _ in 0..10 {
            thread::sleep(Duration::from_millis(20));
            assert!(b.runner.detach_udp(INTERFACE));
            assert!(!b.runner.detach_udp(INTERFACE));
            // The old socket is closed, or its port could not be bound again. (A program that another test is just
            // starting holds a copy of it for a moment.)
            wait_until("the detached socket is closed", || {
                UdpSocket::bind(underlay).is_ok_and(|again| {
                    b.runner.attach_udp(INTERFACE, again.into()).unwrap();
                    true
                })
            });
        }
        assert!(carrying.join().unwrap() == bytes);
    });
}

#[test]
fn a_tun_that_goes_away_is_reported_once_and_another_can_take_its_place() {
    if !can_make_machines() {
        return;
    }
    let (a, b) = two_machines(TunMode::Uso, ALL);
    let mut entries = [sys::poll_entry(a.runner.event_fd(), sys::READABLE)];
    assert_eq!(sys::poll(&mut entries, 0).unwrap(), 0);
    a.namespace.ip("link delete mesh");
    assert_eq!(sys::poll(&mut entries, 5000).unwrap(), 1, "nobody was told");
    a.runner.clear_event_fd();
    let faults = a.runner.take_faults();
    assert!(matches!(faults[..], [Fault::TunGone(_)]), "{faults:?}");
    assert_eq!(a.runner.capabilities().tun, None);
    let calls = a.runner.io_stats().tun_read_calls;
    thread::sleep(Duration::from_millis(100));
    assert_eq!(a.runner.io_stats().tun_read_calls, calls, "a thread spins");

    let (c, _) = two_machines(TunMode::Uso, ALL);
    assert!(c.runner.detach_tun());
    assert!(!c.runner.detach_tun());
    assert_eq!(b.runner.take_faults(), vec![]);
}

#[test]
fn when_a_broken_socket_is_reported_nobody_holds_it_any_more() {
    let engine = (0..=u16::MAX)
        .find_map(|attempt| {
            let mut key = [1; 32];
            key[..2].copy_from_slice(&attempt.to_be_bytes());
            Engine::new(key, [1; 32], EngineOptions::default()).ok()
        })
        .expect("a key in fc00::/8");
    let runner = Runner::new(Arc::new(engine), NONE).unwrap();
    let socket = |number: i32| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        // SAFETY: a number so high is free, and only the runner gets it.
        let fd = unsafe { libc::fcntl(socket.as_raw_fd(), libc::F_DUPFD_CLOEXEC, number) };
        assert_eq!(fd, number);
        // SAFETY: `fd` has just been made.
        unsafe { OwnedFd::from_raw_fd(fd) }
    };
    let number = 771;
    runner.attach_udp(1, socket(number)).unwrap();
    // Something that can be read but is no socket takes its place behind the runner's back.
    let no_socket = EventFd::new().unwrap();
    no_socket.poke();
    // SAFETY: both descriptors are open.
    assert_eq!(unsafe { libc::dup2(no_socket.raw_fd(), number) }, number);
    runner.attach_udp(2, socket(number + 1)).unwrap();
    let mut entries = [sys::poll_entry(runner.event_fd(), sys::READABLE)];
    assert_eq!(sys::poll(&mut entries, 5000).unwrap(), 1, "nobody was told");
    let faults = runner.take_faults();
    assert!(
        matches!(faults[..], [Fault::SocketBroken(1, _)]),
        "{faults:?}"
    );
    // SAFETY: only asks.
    assert_eq!(unsafe { libc::fcntl(number, libc::F_GETFD) }, -1);
    assert_eq!(runner.capabilities().sockets.len(), 1);
}

#[test]
fn packets_for_a_missing_tun_or_interface_are_counted() {
    if !can_make_machines() {
        return;
    }
    let (a, b) = two_machines(TunMode::Tso, ALL);
    b.runner.detach_tun();
    let to = (b.address, 9);
    let send = move || {
        UdpSocket::bind("[::]:0")
            .unwrap()
            .send_to(&[1; 10], to)
            .unwrap()
    };
    a.namespace.run(send);
    wait_until("a packet without a TUN is counted", || {
        b.cable.drops.get(DropReason::TunWriteFailed) > 0
    });
    a.runner.detach_udp(INTERFACE);
    a.namespace.run(send);
    wait_until("a packet without an interface is counted", || {
        a.cable.drops.get(DropReason::LinkInterfaceGone) > 0
    });
}

#[test]
fn the_engine_ticks_about_once_a_second_and_stopping_is_prompt() {
    if !can_make_machines() {
        return;
    }
    let (a, _b) = two_machines(TunMode::Plain, NONE);
    thread::sleep(Duration::from_millis(2500));
    let ticks = a.cable.ticks.load(Relaxed);
    assert!((1..=3).contains(&ticks), "{ticks} ticks in 2.5 s");
    let before = Instant::now();
    a.runner.stop();
    a.runner.stop();
    assert!(before.elapsed() < Duration::from_millis(500));
}

#[test]
fn after_giving_up_rights_the_threads_have_no_capabilities_and_carry_on() {
    if !can_make_machines() {
        return;
    }
    let (a, b) = two_machines(TunMode::Plain, NONE);
    a.runner.give_up_rights();
    b.runner.give_up_rights();
    assert!(carry_tcp(&a, &b, pattern(100_000)) == pattern(100_000));
    let mut without = 0;
    for task in fs::read_dir("/proc/self/task").unwrap() {
        let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap_or_default();
        let is_ours = status.contains("dexmesh-");
        // Other tests have such threads too, at this moment.
        without += usize::from(is_ours && status.contains("CapPrm:\t0000000000000000"));
    }
    assert!(without >= 4, "{without} threads without capabilities");
}

#[test]
fn a_path_with_a_small_mtu_gets_single_datagrams_and_ends_the_rung_only_when_it_keeps_on() {
    if !can_make_machines() {
        return;
    }
    let namespace = Namespace::new();
    namespace.ip("link set lo mtu 1300 up");
    let (sender, receiver) = namespace.run(|| {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        (UdpPort::new(sender.into(), ALL).unwrap(), receiver)
    });
    let to = receiver.local_addr().unwrap();
    let arena = vec![7; 4000];
    let ranges = [0..1324, 1324..2648, 2648..3000];
    let mut buffer = [0; 2000];
    for turn in 0..16 {
        assert!(sender.rungs().gso, "given up after {turn}");
        assert_eq!(sender.send(&to, &arena, &ranges).packets, 3);
        let lengths = [(); 3].map(|()| receiver.recv(&mut buffer).unwrap());
        assert_eq!(lengths, [1324, 1324, 352]);
    }
    assert!(!sender.rungs().gso);
    assert_eq!(sender.send(&to, &arena, &ranges).packets, 3);
    assert!(receiver.as_raw_fd() >= 0);
}
