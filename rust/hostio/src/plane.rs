//! What the runner asks of an engine.
//!
//! Place     runner.rs, threads.rs -> here -> rust/engine; tests put a simpler engine in its place

use std::ops::Range;

use dexmesh_engine::drop::DropReason;
use dexmesh_engine::message::{Endpoint, InterfaceNumber};
use dexmesh_engine::{Engine, Sink, Waker};

/// The part of the engine that packets pass. Times are monotonic milliseconds.
pub trait PacketEngine: Send + Sync {
    /// Datagrams from one endpoint.
    fn handle_datagrams(
        &self,
        now_ms: u64,
        interface: InterfaceNumber,
        from: &Endpoint,
        arena: &mut [u8],
        packets: &[Range<usize>],
        sink: &mut dyn Sink,
    );
    /// Packets from the TUN.
    fn handle_tun(
        &self,
        now_ms: u64,
        arena: &mut [u8],
        packets: &[Range<usize>],
        sink: &mut dyn Sink,
    );
    /// About once a second.
    fn tick(&self, now_ms: u64, sink: &mut dyn Sink);
    /// Count packets that the operating system did not take.
    fn count_drops(&self, reason: DropReason, packets: u64);
    /// Have `waker` called when there is an event to take.
    fn set_waker(&self, waker: Waker);
}

impl PacketEngine for Engine {
    fn handle_datagrams(
        &self,
        now_ms: u64,
        interface: InterfaceNumber,
        from: &Endpoint,
        arena: &mut [u8],
        packets: &[Range<usize>],
        sink: &mut dyn Sink,
    ) {
        Engine::handle_datagrams(self, now_ms, interface, from, arena, packets, sink);
    }

    fn handle_tun(
        &self,
        now_ms: u64,
        arena: &mut [u8],
        packets: &[Range<usize>],
        sink: &mut dyn Sink,
    ) {
        Engine::handle_tun(self, now_ms, arena, packets, sink);
    }

    fn tick(&self, now_ms: u64, sink: &mut dyn Sink) {
        Engine::tick(self, now_ms, sink);
    }

    fn count_drops(&self, reason: DropReason, packets: u64) {
        Engine::count_drops(self, reason, packets);
    }

    fn set_waker(&self, waker: Waker) {
        Engine::set_waker(self, waker);
    }
}
