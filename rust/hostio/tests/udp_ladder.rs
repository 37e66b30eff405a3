//! Every rung of the UDP ladder carries the same datagrams, on loopback sockets.

#![allow(clippy::unwrap_used)]

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::ops::Range;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use dexmesh_hostio::sys;
use dexmesh_hostio::udp::{ReceiveBuffers, UdpPort, UdpRungs};

const ALL: UdpRungs = UdpRungs {
    gso: true,
    gro: true,
};
const NONE: UdpRungs = UdpRungs {
    gso: false,
    gro: false,
};

fn port(rungs: UdpRungs, is_ipv6: bool) -> (UdpPort, SocketAddr) {
    let host: std::net::IpAddr = if is_ipv6 {
        Ipv6Addr::LOCALHOST.into()
    } else {
        Ipv4Addr::LOCALHOST.into()
    };
    let socket = UdpSocket::bind((host, 0)).unwrap();
    let address = socket.local_addr().unwrap();
    (UdpPort::new(socket.into(), rungs).unwrap(), address)
}

/// Datagrams of these lengths, each with its number in every byte, with `gap` bytes between them.
fn lay_out(lengths: &[usize], gap: usize) -> (Vec<u8>, Vec<Range<usize>>) {
    let mut arena = Vec::new();
    let mut ranges = Vec::new();
    for (number, length) in lengths.iter().enumerate() {
        arena.extend(vec![0xee; gap]);
        ranges.push(arena.len()..arena.len() + length);
        arena.extend(vec![number as u8; *length]);
    }
    (arena, ranges)
}

fn receive(
    port: &UdpPort,
    buffers: &mut ReceiveBuffers,
    count: usize,
) -> Vec<(SocketAddr, Vec<u8>)> {
    let mut got = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(5);
    while got.len() < count && Instant::now() < deadline {
        match port.receive(buffers) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let mut entries = [sys::poll_entry(port.raw_fd(), sys::READABLE)];
                sys::poll(&mut entries, 100).unwrap();
            }
            outcome => outcome.unwrap(),
        }
        for message in &buffers.messages {
            for datagram in message.datagrams() {
                got.push((message.from, buffers.arena[datagram].to_vec()));
            }
        }
        buffers.messages.clear();
    }
    got
}

/// Send and receive; gives the number of send calls.
fn carry(
    sending: UdpRungs,
    receiving: UdpRungs,
    is_ipv6: bool,
    lengths: &[usize],
    gap: usize,
) -> u64 {
    let (sender, from) = port(sending, is_ipv6);
    let (receiver, to) = port(receiving, is_ipv6);
    assert_eq!(receiver.rungs(), receiving, "this kernel lacks a rung");
    let (arena, ranges) = lay_out(lengths, gap);
    let sent = sender.send(&to, &arena, &ranges);
    assert_eq!(sent.packets, lengths.len() as u64, "{sent:?}");
    assert_eq!(sent.would_block + sent.failed + sent.oversize, 0);
    let mut buffers = ReceiveBuffers::new(receiving.gro);
    let got = receive(&receiver, &mut buffers, lengths.len());
    let expected: Vec<(SocketAddr, Vec<u8>)> = ranges
        .iter()
        .map(|range| (from, arena[range.clone()].to_vec()))
        .collect();
    assert_eq!(got.len(), expected.len());
    assert!(got == expected, "datagrams differ");
    sent.calls
}

#[test]
fn every_rung_carries_the_same_datagrams_in_order() {
    let mut mixed = vec![1324; 40];
    mixed.extend([700, 1324, 1324, 80, 80, 80, 1, 1400, 1324]);
    for is_ipv6 in [false, true] {
        for sending in [ALL, NONE] {
            for receiving in [ALL, NONE] {
                for lengths in [&mixed[..], &[1324; 150], &[64; 130], &[5], &[1324, 20]] {
                    for gap in [0, 56] {
                        carry(sending, receiving, is_ipv6, lengths, gap);
                    }
                }
            }
        }
    }
}

#[test]
fn a_burst_of_equal_datagrams_is_one_call_on_either_rung() {
    assert_eq!(carry(ALL, ALL, false, &[1324; 48], 56), 1);
    assert_eq!(carry(NONE, ALL, false, &[1324; 48], 56), 1);
    assert_eq!(carry(ALL, ALL, true, &[1324; 49], 56), 2);
}

#[test]
fn segmented_sends_arrive_joined() {
    let (sender, _) = port(ALL, false);
    let (receiver, to) = port(ALL, false);
    let (arena, ranges) = lay_out(&[1324; 40], 56);
    sender.send(&to, &arena, &ranges);
    let mut buffers = ReceiveBuffers::new(true);
    receiver.receive(&mut buffers).unwrap();
    assert_eq!(buffers.messages.len(), 1);
    assert_eq!(buffers.messages[0].segment_length, 1324);
    assert_eq!(buffers.messages[0].datagrams().count(), 40);
}

#[test]
fn empty_ranges_are_no_datagrams() {
    let (sender, _) = port(ALL, false);
    let (receiver, to) = port(ALL, false);
    let ranges = [0..0, 0..10, 10..10, 10..20, 20..25, 30..30];
    assert_eq!(sender.send(&to, &[3; 40], &ranges).packets, 3);
    assert_eq!(sender.send(&to, &[3; 40], &[5..5, 7..7]).calls, 0);
    let got = receive(&receiver, &mut ReceiveBuffers::new(true), 3);
    let lengths: Vec<usize> = got.iter().map(|(_, datagram)| datagram.len()).collect();
    assert_eq!(lengths, [10, 10, 5]);
}

#[test]
fn a_datagram_too_long_to_send_costs_itself_only() {
    let (sender, _) = port(ALL, false);
    let (_receiver, to) = port(NONE, false);
    let (arena, ranges) = lay_out(&[65_530, 1], 0);
    let sent = sender.send(&to, &arena, &ranges);
    assert_eq!((sent.oversize, sent.packets), (1, 1));
    assert!(sender.rungs().gso);
}

#[test]
fn an_unreachable_endpoint_costs_its_packets_and_nothing_else() {
    let (sender, _) = port(ALL, false);
    let (arena, ranges) = lay_out(&[100; 5], 0);
    let nowhere: SocketAddr = "[2001:db8::1]:9".parse().unwrap();
    let sent = sender.send(&nowhere, &arena, &ranges);
    assert_eq!((sent.packets, sent.failed), (0, 5));
    let (receiver, to) = port(ALL, false);
    assert_eq!(sender.send(&to, &arena, &ranges).packets, 5);
    assert_eq!(
        receive(&receiver, &mut ReceiveBuffers::new(true), 5).len(),
        5
    );
}

#[test]
fn a_path_that_takes_no_segments_costs_the_others_their_segmentation_for_a_while_only() {
    let (sender, _) = port(ALL, false);
    let (_receiver, to) = port(NONE, false);
    let (arena, ranges) = lay_out(&[10; 3], 0);
    let send = || {
        let sent = sender.send(&to, &arena, &ranges);
        assert_eq!(sent.packets, 3, "{sent:?}");
        sent.calls
    };
    assert_eq!(send(), 1);
    // Linux refuses to segment without checksums, as it does beyond the MTU of a path.
    let no_checksums = |is_on| {
        sys::set_option(sender.as_fd(), libc::SOL_SOCKET, libc::SO_NO_CHECK, is_on).unwrap();
    };
    no_checksums(1);
    for _ in 0..16 {
        assert!(sender.rungs().gso);
        assert_eq!(send(), 2);
    }
    assert!(!sender.rungs().gso);
    no_checksums(0);
    assert_eq!((0..1024).map(|_| send()).max(), Some(1));
    assert!(sender.rungs().gso);
    no_checksums(1);
    assert_eq!(send(), 2);
}

#[test]
fn an_endpoint_that_takes_nothing_costs_nobody_his_segmentation() {
    let (sender, _) = port(ALL, false);
    let (arena, ranges) = lay_out(&[10; 3], 0);
    for _ in 0..100 {
        let sent = sender.send(&"127.0.0.1:0".parse().unwrap(), &arena, &ranges);
        assert_eq!((sent.packets, sent.failed), (0, 3));
    }
    assert!(sender.rungs().gso);
}

#[test]
fn a_datagram_longer_than_a_link_message_may_be_is_counted_and_dropped() {
    let (sender, _) = port(NONE, false);
    let (receiver, to) = port(NONE, false);
    let (arena, ranges) = lay_out(&[9000, 10], 0);
    sender.send(&to, &arena, &ranges);
    let mut buffers = ReceiveBuffers::new(false);
    let got = receive(&receiver, &mut buffers, 1);
    assert_eq!(got[0].1.len(), 10);
    assert_eq!(buffers.misfits, 1);
}

#[test]
fn a_socket_gets_the_large_buffer_where_the_process_may_have_it() {
    let (port, _) = port(ALL, true);
    let size = sys::option(port.as_fd(), libc::SOL_SOCKET, libc::SO_RCVBUF).unwrap();
    // SAFETY: takes no arguments and cannot fail.
    let is_root = unsafe { libc::geteuid() } == 0;
    assert!(size >= if is_root { 8 << 20 } else { 212_992 }, "{size}");
}
