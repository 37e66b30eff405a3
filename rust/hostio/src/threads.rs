//! The bodies of the two threads.
//!
//! Place     runner.rs starts them; tun.rs and udp.rs -> here -> rust/engine
//! Keeps     packets of one batch come from one endpoint, or from the TUN; nothing is allocated for a packet

use std::io;
use std::ops::Range;
use std::sync::Arc;

use dexmesh_engine::BATCH;
use dexmesh_engine::drop::DropReason;
use dexmesh_engine::message::InterfaceNumber;

use crate::attachments::Attachments;
use crate::offload::Coalescer;
use crate::runner::{RunnerSink, Shared, Thread};
use crate::stats::add;
use crate::sys::{self, BROKEN, READABLE, now_ms, poll_entry};
use crate::tun::{TunPort, TunReader};
use crate::udp::{ReceiveBuffers, Received, UdpPort};

const TICK_MS: u64 = 1000;
/// Turns one descriptor gets before the others are looked at.
const MOST_TURNS: usize = 8;
/// Datagrams handed to the engine at once, unless a single message holds more.
const MOST_DATAGRAMS: usize = BATCH;
/// Errors in a row after which a socket counts as broken.
const MOST_ERRORS: u32 = 100;

/// TUN to sockets; and the engine's clock.
pub(crate) fn transmit_loop(shared: &Shared) {
    let mut reader = TunReader::default();
    let mut coalescer = Coalescer::default();
    let mut next_tick = now_ms() + TICK_MS;
    let waker = &shared.wakers[Thread::Transmit as usize];
    loop {
        let attachments = shared.current();
        shared.note_seen(Thread::Transmit, attachments.generation);
        if shared.is_stopping() {
            return;
        }
        let timeout = next_tick.saturating_sub(now_ms()).min(TICK_MS) as i32;
        let tun_fd = attachments.tun.as_ref().map_or(-1, |port| port.raw_fd());
        let mut entries = [
            poll_entry(waker.raw_fd(), READABLE),
            poll_entry(tun_fd, READABLE),
        ];
        if sys::poll(&mut entries, timeout).is_err() {
            continue;
        }
        if entries[0].revents != 0 {
            waker.clear();
        }
        if let Some(port) = &attachments.tun
            && entries[1].revents != 0
        {
            let is_broken = entries[1].revents & BROKEN != 0;
            let outcome = drain_tun(shared, &attachments, port, &mut reader, &mut coalescer);
            match outcome {
                Err(error) => shared.lose_tun(port, &error),
                Ok(()) if is_broken => {
                    shared.lose_tun(port, &io::Error::from_raw_os_error(libc::EBADFD));
                }
                Ok(()) => {}
            }
        }
        if now_ms() >= next_tick {
            next_tick = now_ms() + TICK_MS;
            let mut sink = RunnerSink::new(shared, &attachments, &mut coalescer);
            shared.engine.tick(now_ms(), &mut sink);
        }
    }
}

fn drain_tun(
    shared: &Shared,
    attachments: &Attachments,
    port: &TunPort,
    reader: &mut TunReader,
    coalescer: &mut Coalescer,
) -> io::Result<()> {
    for _ in 0..MOST_TURNS {
        let turn = reader.turn(port, |arena, packets| {
            add(&shared.stats.tun_packets_in, packets.len() as u64);
            let mut sink = RunnerSink::new(shared, attachments, coalescer);
            shared
                .engine
                .handle_tun(now_ms(), arena, packets, &mut sink);
        })?;
        add(&shared.stats.tun_read_calls, turn.calls);
        add(&shared.stats.tun_superframes_in, turn.superframes);
        if turn.refused > 0 {
            shared
                .engine
                .count_drops(DropReason::TunBadOffload, turn.refused);
        }
        if !turn.is_more {
            break;
        }
    }
    Ok(())
}

/// Sockets to TUN or sockets.
pub(crate) fn receive_loop(shared: &Shared) {
    let mut receiver = Receiver {
        buffers: ReceiveBuffers::new(shared.rungs.gro),
        ranges: Vec::with_capacity(2 * MOST_DATAGRAMS),
        coalescer: Coalescer::default(),
        errors_in_a_row: 0,
    };
    let waker = &shared.wakers[Thread::Receive as usize];
    let mut entries = Vec::new();
    loop {
        let attachments = shared.current();
        shared.note_seen(Thread::Receive, attachments.generation);
        if shared.is_stopping() {
            return;
        }
        entries.clear();
        entries.push(poll_entry(waker.raw_fd(), READABLE));
        for (_, port) in &attachments.sockets {
            entries.push(poll_entry(port.raw_fd(), READABLE));
        }
        if sys::poll(&mut entries, -1).is_err() {
            continue;
        }
        if entries.first().is_some_and(|entry| entry.revents != 0) {
            waker.clear();
        }
        let ready = entries.iter().skip(1).zip(&attachments.sockets);
        for (_, (interface, port)) in ready.filter(|(entry, _)| entry.revents != 0) {
            if let Err(error) = receiver.drain_socket(shared, &attachments, *interface, port) {
                shared.lose_socket(*interface, port, &error);
            }
        }
    }
}

struct Receiver {
    buffers: ReceiveBuffers,
    ranges: Vec<Range<usize>>,
    coalescer: Coalescer,
    errors_in_a_row: u32,
}

impl Receiver {
    /// Take what the socket has, for a few turns. An error means that the socket is broken for good.
    fn drain_socket(
        &mut self,
        shared: &Shared,
        attachments: &Attachments,
        interface: InterfaceNumber,
        port: &Arc<UdpPort>,
    ) -> io::Result<()> {
        for _ in 0..MOST_TURNS {
            add(&shared.stats.udp_receive_calls, 1);
            match port.receive(&mut self.buffers) {
                Ok(()) => self.errors_in_a_row = 0,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => {
                    add(&shared.stats.udp_receive_errors, 1);
                    self.errors_in_a_row += 1;
                    let is_broken = self.errors_in_a_row > MOST_ERRORS || is_fatal(&error);
                    return if is_broken { Err(error) } else { Ok(()) };
                }
            }
            self.hand_over(shared, attachments, interface);
            if !self.buffers.is_full() {
                break;
            }
        }
        Ok(())
    }

    /// Give the newest batch to the engine, one call for each run of messages from one endpoint.
    fn hand_over(
        &mut self,
        shared: &Shared,
        attachments: &Attachments,
        interface: InterfaceNumber,
    ) {
        let ReceiveBuffers {
            arena,
            messages,
            misfits,
            ..
        } = &mut self.buffers;
        if *misfits > 0 {
            add(&shared.stats.udp_misfits, *misfits);
            shared
                .engine
                .count_drops(DropReason::LinkOversize, *misfits);
            *misfits = 0;
        }
        let mut rest: &[Received] = messages;
        while let Some(first) = rest.first() {
            self.ranges.clear();
            let mut taken = 0;
            for message in rest.iter().take_while(|message| message.from == first.from) {
                if taken > 0 && self.ranges.len() >= MOST_DATAGRAMS {
                    break;
                }
                self.ranges.extend(message.datagrams());
                taken += 1;
            }
            add(&shared.stats.udp_packets_in, self.ranges.len() as u64);
            let mut sink = RunnerSink::new(shared, attachments, &mut self.coalescer);
            shared.engine.handle_datagrams(
                now_ms(),
                interface,
                &first.from,
                arena,
                &self.ranges,
                &mut sink,
            );
            rest = rest.get(taken..).unwrap_or_default();
        }
    }
}

/// Errors that no waiting mends. All others (unreachable, refused, no memory) pass.
fn is_fatal(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EBADF | libc::ENOTSOCK | libc::EFAULT | libc::EINVAL)
    )
}
