//! Measure what the engine itself costs for each packet, crypto included, without sockets: out of the TUN, through a
//! relay, into the TUN.
//!
//! Run with `cargo run --release --example engine_bench`.
#![allow(missing_docs, clippy::disallowed_methods)] // a benchmark reads the clock

#[path = "../tests/net/mod.rs"]
mod net;

use std::ops::Range;
use std::time::{Duration, Instant};

use dexmesh_engine::HEADROOM;
use dexmesh_engine::Sink;
use dexmesh_engine::message::{Endpoint, InterfaceNumber};
use net::{Net, endpoint, ip_packet};

/// Keeps where the packets of the last run are and copies nothing.
#[derive(Default)]
struct Places(Vec<Range<usize>>);

impl Sink for Places {
    fn send(&mut self, _: InterfaceNumber, _: &Endpoint, _: &mut [u8], packets: &[Range<usize>]) {
        self.0.extend_from_slice(packets);
    }

    fn deliver(&mut self, _: &mut [u8], packets: &[Range<usize>]) {
        self.0.extend_from_slice(packets);
    }
}

fn main() {
    for (payload, burst) in [(1264, 49), (1264, 8), (1264, 1), (64, 64), (64, 1)] {
        measure(payload, burst);
    }
}

fn measure(payload: usize, burst: usize) {
    let mut net = Net::line(3);
    net.open_session(&[0, 1, 2]);
    let packet = ip_packet(&net.nodes[0], net.nodes[2].address(), &vec![7; payload]);
    let stride = HEADROOM + packet.len();
    let ranges: Vec<_> = (0..burst)
        .map(|number| number * stride + HEADROOM..(number + 1) * stride)
        .collect();
    let mut arena = vec![0; stride * burst];
    let mut spent = [Duration::ZERO; 3];
    let rounds = 20_000 / burst + 1;
    for _ in 0..rounds {
        for range in &ranges {
            arena[range.clone()].copy_from_slice(&packet);
        }
        let (mut sent, mut relayed, mut delivered) = Default::default();
        spent[0] += timed(|| {
            net.nodes[0]
                .engine
                .handle_tun(net.now_ms, &mut arena, &ranges, &mut sent)
        });
        let Places(sent) = sent;
        spent[1] += timed(|| {
            let engine = &net.nodes[1].engine;
            engine.handle_datagrams(net.now_ms, 0, &endpoint(0), &mut arena, &sent, &mut relayed);
        });
        let Places(relayed) = relayed;
        spent[2] += timed(|| {
            let engine = &net.nodes[2].engine;
            engine.handle_datagrams(
                net.now_ms,
                0,
                &endpoint(1),
                &mut arena,
                &relayed,
                &mut delivered,
            );
        });
        let Places(delivered) = delivered;
        assert_eq!(delivered.len(), burst);
    }
    let [out, relay, into] = spent.map(|time| time.as_nanos() / (rounds * burst) as u128);
    println!(
        "{payload:5} bytes, bursts of {burst:2}: out {out} ns, relay {relay} ns, in {into} ns"
    );
}

fn timed(act: impl FnOnce()) -> Duration {
    let start = Instant::now();
    act();
    start.elapsed()
}
