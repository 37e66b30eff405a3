//! Send and receive runs of datagrams with as few system calls as the kernel allows.
//!
//! Place     runner.rs -> here -> Linux; one [`UdpPort`] for each interface of the node
//! Spec      Linux UDP_SEGMENT (udp(7)), UDP_GRO, sendmmsg(2), recvmmsg(2)
//! Keeps     an unreachable peer never ends a port, nor does it cost the others their segmentation; a card that refuses
//!           segmentation is asked no more
//! Not here  what is in the datagrams (rust/engine)

pub(crate) mod control;
mod receive;
mod send;

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use crate::sys;
use control::{Name, UDP_GRO, UDP_SEGMENT};
pub use receive::{ReceiveBuffers, Received};
use send::{BURST_PACKETS, SendBatch};

/// How often in a row a segmented send may be invalid (a path with a small MTU) before we stop trying for a while.
const MOST_INVALID: u32 = 16;
/// How many bursts that while lasts.
const BURSTS_WITHOUT: u32 = 1024;
/// How long a full socket may take to drain before packets are dropped.
const DRAIN_MS: i32 = 2;
const SOCKET_BUFFER_BYTES: i32 = 4 << 20;

/// Which offloads a socket may use; [`UdpPort::new`] finds out which it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpRungs {
    /// Segment on send.
    pub gso: bool,
    /// Join on receive.
    pub gro: bool,
}

/// One UDP socket.
#[derive(Debug)]
pub struct UdpPort {
    fd: OwnedFd,
    has_gso: AtomicBool,
    has_gro: bool,
    invalid_in_a_row: AtomicU32,
    bursts_without: AtomicU32,
}

/// What became of the packets of one [`UdpPort::send`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// System calls made.
    pub calls: u64,
    /// Packets the kernel took.
    pub packets: u64,
    /// Packets it had no room for.
    pub would_block: u64,
    /// Packets longer than the socket can send.
    pub oversize: u64,
    /// Packets it refused otherwise.
    pub failed: u64,
}

impl UdpPort {
    /// Take over a bound socket: make it non-blocking, give it large buffers, switch on what `wanted` and kernel allow.
    pub fn new(fd: OwnedFd, wanted: UdpRungs) -> io::Result<UdpPort> {
        let socket = fd.as_fd();
        sys::set_nonblocking(socket)?;
        for (force, plain) in [
            (libc::SO_RCVBUFFORCE, libc::SO_RCVBUF),
            (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF),
        ] {
            // Without CAP_NET_ADMIN the kernel gives what net.core.rmem_max allows.
            if sys::set_option(socket, libc::SOL_SOCKET, force, SOCKET_BUFFER_BYTES).is_err() {
                sys::set_option(socket, libc::SOL_SOCKET, plain, SOCKET_BUFFER_BYTES)?;
            }
        }
        let has_gso = wanted.gso && sys::option(socket, libc::SOL_UDP, UDP_SEGMENT).is_ok();
        let switch = i32::from(wanted.gro);
        let has_gro = sys::set_option(socket, libc::SOL_UDP, UDP_GRO, switch).is_ok() && wanted.gro;
        Ok(UdpPort {
            fd,
            has_gso: AtomicBool::new(has_gso),
            has_gro,
            invalid_in_a_row: AtomicU32::new(0),
            bursts_without: AtomicU32::new(0),
        })
    }

    /// Which rungs it is on now.
    #[must_use]
    pub fn rungs(&self) -> UdpRungs {
        UdpRungs {
            gso: self.has_gso.load(Relaxed) && self.bursts_without.load(Relaxed) == 0,
            gro: self.has_gro,
        }
    }

    /// The descriptor, for poll.
    #[must_use]
    pub fn raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Send every packet to one endpoint, in order. Empty ranges are skipped.
    pub fn send(&self, to: &SocketAddr, arena: &[u8], packets: &[Range<usize>]) -> Sent {
        let mut sent = Sent::default();
        let name = Name::encode(to);
        let mut burst = [const { 0..0 }; BURST_PACKETS];
        let mut rest = packets.iter().filter(|packet| !packet.is_empty());
        loop {
            let mut count = 0;
            for (place, packet) in burst.iter_mut().zip(rest.by_ref()) {
                place.clone_from(packet);
                count += 1;
            }
            if count == 0 {
                return sent;
            }
            let may_segment = self.has_gso.load(Relaxed) && !self.is_without();
            self.send_burst(&name, arena, &burst[..count], may_segment, &mut sent);
        }
    }

    fn send_burst(
        &self,
        name: &Name,
        arena: &[u8],
        packets: &[Range<usize>],
        may_segment: bool,
        sent: &mut Sent,
    ) {
        let mut batch = SendBatch::new();
        batch.fill(name, arena, packets, may_segment);
        let mut may_wait = true;
        let mut done = 0;
        while done < batch.count {
            let outcome = batch.submit(self.fd.as_raw_fd(), done);
            sent.calls += 1;
            let run = batch.runs[done].clone();
            let error = match outcome {
                Ok(count) => {
                    for run in &batch.runs[done..done + count] {
                        sent.packets += run.len() as u64;
                    }
                    if may_segment {
                        self.invalid_in_a_row.store(0, Relaxed);
                    }
                    done += count;
                    continue;
                }
                Err(error) => error.raw_os_error().unwrap_or(libc::EIO),
            };
            match error {
                libc::EINTR => continue,
                libc::EAGAIN | libc::ENOBUFS if may_wait => {
                    may_wait = false;
                    let mut entry = [sys::poll_entry(self.raw_fd(), sys::WRITABLE)];
                    let _ = sys::poll(&mut entry, DRAIN_MS);
                    continue;
                }
                libc::EAGAIN | libc::ENOBUFS => {
                    let rest = batch.runs[done..batch.count].iter();
                    sent.would_block += rest.map(|run| run.len() as u64).sum::<u64>();
                    return;
                }
                libc::EIO | libc::EINVAL | libc::EMSGSIZE if run.len() > 1 => {
                    let alone = packets.get(run).unwrap_or_default();
                    let before = sent.packets;
                    self.send_burst(name, arena, alone, false, sent);
                    if sent.packets > before {
                        self.note_refused_segmentation(error);
                    }
                }
                libc::EMSGSIZE => sent.oversize += run.len() as u64,
                _ => sent.failed += run.len() as u64,
            }
            done += 1;
        }
    }

    /// Packets went one by one that did not go together. EIO says that the card cannot, for ever; the others may be a
    /// matter of one path.
    fn note_refused_segmentation(&self, error: i32) {
        if error == libc::EIO {
            self.has_gso.store(false, Relaxed);
        } else if self.invalid_in_a_row.fetch_add(1, Relaxed) + 1 >= MOST_INVALID {
            self.bursts_without.store(BURSTS_WITHOUT, Relaxed);
        }
    }

    /// Whether this burst goes one by one because so many were invalid.
    fn is_without(&self) -> bool {
        self.bursts_without.load(Relaxed) > 0
            && self
                .bursts_without
                .fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1))
                .is_ok()
    }

    /// Receive what is there, at most `buffers.most()` messages, without waiting. WouldBlock when there is nothing.
    pub fn receive(&self, buffers: &mut ReceiveBuffers) -> io::Result<()> {
        buffers.receive(self.fd.as_raw_fd())
    }
}

impl AsFd for UdpPort {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
