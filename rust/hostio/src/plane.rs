//! What the runner asks of an engine, and what an engine asks of the runner.
//!
//! Place     runner.rs -> here -> rust/engine

use std::ops::Range;

use dexmesh_engine::drop::DropReason;
use dexmesh_engine::message::{Endpoint, InterfaceNumber};

/// Temporary.
pub trait Sink {
    /// s
    fn send(
        &mut self,
        interface: InterfaceNumber,
        to: &Endpoint,
        arena: &mut [u8],
        packets: &[Range<usize>],
    );
    /// d
    fn deliver(&mut self, arena: &mut [u8], packets: &[Range<usize>]);
}

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
    fn set_waker(&self, waker: Box<dyn Fn() + Send + Sync>);
}
