//! Read packets and superframes from the TUN descriptor into an arena, and write delivered packets to it.
//!
//! Place     runner.rs -> here -> offload; Python opens and configures the device (src/dexmesh/host/tun.py)
//! Spec      Linux tun(4) with IFF_NO_PI, and IFF_VNET_HDR except in plain mode
//! Keeps     each packet has [`HEADROOM`] free bytes before it; a kernel that refuses a superframe is asked no more
//! Not here  which packets may pass (rust/engine/src/ip.rs)

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use dexmesh_engine::drop::DropReason;
use dexmesh_engine::{BATCH, HEADROOM};

use crate::offload::{Coalescer, Joining, Superframe, VNET_HEADER_BYTES, VnetHeader, split};
use crate::sys;

const MOST_PACKETS: usize = BATCH;
const MOST_READ_BYTES: usize = 65_536 + VNET_HEADER_BYTES;
const ARENA_BYTES: usize = MOST_PACKETS * 2048;

/// How the TUN descriptor was opened; the higher rungs contain the lower ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TunMode {
    /// Packets only.
    Plain,
    /// With vnet header, TCP superframes both ways.
    Tso,
    /// With vnet header, TCP and UDP superframes both ways.
    Uso,
}

impl TunMode {
    /// The name it has in `DEXMESH_TUN_OFFLOAD`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            TunMode::Plain => "off",
            TunMode::Tso => "tso",
            TunMode::Uso => "uso",
        }
    }

    /// The mode Python calls by this number (src/dexmesh/host/tun.py).
    #[must_use]
    pub fn numbered(number: i64) -> Option<TunMode> {
        match number {
            0 => Some(TunMode::Plain),
            1 => Some(TunMode::Tso),
            2 => Some(TunMode::Uso),
            _ => None,
        }
    }

    /// The mode of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<TunMode> {
        [TunMode::Plain, TunMode::Tso, TunMode::Uso]
            .into_iter()
            .find(|mode| mode.name() == name)
    }
}

/// One TUN device.
#[derive(Debug)]
pub struct TunPort {
    fd: OwnedFd,
    mode: TunMode,
    takes_udp_superframes: AtomicBool,
}

/// What became of the packets of one [`TunPort::write`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// System calls made.
    pub calls: u64,
    /// Packets the kernel took.
    pub packets: u64,
    /// Packets it refused.
    pub failed: u64,
}

impl TunPort {
    /// Take over an opened and configured descriptor.
    pub fn new(fd: OwnedFd, mode: TunMode) -> io::Result<TunPort> {
        sys::set_nonblocking(fd.as_fd())?;
        Ok(TunPort {
            fd,
            mode,
            takes_udp_superframes: AtomicBool::new(mode == TunMode::Uso),
        })
    }

    /// Which rung it is on now.
    #[must_use]
    pub fn mode(&self) -> TunMode {
        if self.mode == TunMode::Uso && !self.takes_udp_superframes.load(Relaxed) {
            return TunMode::Tso;
        }
        self.mode
    }

    /// The descriptor, for poll.
    #[must_use]
    pub fn raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Write whole IPv6 packets, joined where the kernel takes superframes.
    pub fn write(
        &self,
        arena: &mut [u8],
        packets: &[Range<usize>],
        coalescer: &mut Coalescer,
    ) -> Written {
        let mut written = Written::default();
        let joining = match self.mode() {
            TunMode::Plain => {
                for packet in packets {
                    let bytes = arena.get(packet.clone()).unwrap_or_default();
                    written.note(1, &sys::write_pieces(self.fd.as_fd(), [bytes].into_iter()));
                }
                return written;
            }
            TunMode::Tso => Joining::Tcp,
            TunMode::Uso => Joining::TcpAndUdp,
        };
        let joined = coalescer.join(arena, packets, joining);
        for frame in joined {
            let (header, count) = (frame.header, frame.packets as u64);
            let encoded = header.encode();
            let pieces = frame.map(|piece| arena.get(piece).unwrap_or_default());
            let all = std::iter::once(&encoded[..]).chain(pieces);
            let outcome = sys::write_pieces(self.fd.as_fd(), all);
            written.note(count, &outcome);
            if header.is_udp_superframe() && is_invalid(&outcome) {
                self.takes_udp_superframes.store(false, Relaxed);
            }
        }
        written
    }
}

fn is_invalid(outcome: &io::Result<usize>) -> bool {
    outcome.as_ref().err().and_then(io::Error::raw_os_error) == Some(libc::EINVAL)
}

impl Written {
    fn note(&mut self, packets: u64, outcome: &io::Result<usize>) {
        self.calls += 1;
        match outcome {
            Ok(_) => self.packets += packets,
            Err(_) => self.failed += packets,
        }
    }
}

/// Packets laid out for the engine. Lives as long as the reading thread.
#[derive(Debug)]
pub struct TunBatch {
    /// The bytes.
    pub arena: Vec<u8>,
    /// Where the packets are.
    pub packets: Vec<Range<usize>>,
    /// Next free byte.
    end: usize,
}

impl Default for TunBatch {
    fn default() -> Self {
        TunBatch {
            arena: vec![0; ARENA_BYTES],
            packets: Vec::with_capacity(MOST_PACKETS),
            end: 0,
        }
    }
}

impl TunBatch {
    /// Begin anew.
    pub fn clear(&mut self) {
        self.packets.clear();
        self.end = 0;
    }

    /// Append packet `index` of a superframe. False when there is no room: hand the batch on, clear it, come again.
    pub fn place(&mut self, frame: &Superframe<'_>, index: usize) -> bool {
        let start = self.end + HEADROOM;
        let range = start..start + frame.length_of(index);
        if self.packets.len() >= MOST_PACKETS {
            return false;
        }
        let Some(slot) = self.arena.get_mut(range.clone()) else {
            return false;
        };
        if frame.write_segment(index, slot) {
            self.end = range.end;
            self.packets.push(range);
        }
        true
    }
}

/// What one turn of reading gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadTurn {
    /// System calls made.
    pub calls: u64,
    /// Superframes among what was read.
    pub superframes: u64,
    /// Reads that could not be understood.
    pub refused: u64,
    /// Whether more may be waiting.
    pub is_more: bool,
}

/// Reads the TUN. One for each reading thread.
#[derive(Debug)]
pub struct TunReader {
    scratch: Vec<u8>,
    batch: TunBatch,
}

impl Default for TunReader {
    fn default() -> Self {
        TunReader {
            scratch: vec![0; MOST_READ_BYTES],
            batch: TunBatch::default(),
        }
    }
}

impl TunReader {
    /// Read up to 64 packets, or up to a superframe, and give them to `take` in batches of at most 64; never waits to
    /// fill a batch. An error other than WouldBlock means that the device is gone.
    pub fn turn(
        &mut self,
        port: &TunPort,
        mut take: impl FnMut(&mut [u8], &[Range<usize>]),
    ) -> io::Result<ReadTurn> {
        let mut turn = ReadTurn {
            is_more: true,
            ..ReadTurn::default()
        };
        self.batch.clear();
        let outcome = loop {
            if turn.calls as usize >= MOST_PACKETS {
                break Ok(());
            }
            turn.calls += 1;
            let length = match sys::read(port.fd.as_fd(), &mut self.scratch) {
                Ok(0) => break Err(io::Error::from_raw_os_error(libc::EBADFD)),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    turn.is_more = false;
                    break Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => break Err(error),
            };
            let bytes = self.scratch.get_mut(..length).unwrap_or_default();
            let Ok(frame) = understand(port.mode, bytes) else {
                turn.refused += 1;
                continue;
            };
            let segments = frame.segments();
            for index in 0..segments {
                if !self.batch.place(&frame, index) {
                    take(&mut self.batch.arena, &self.batch.packets);
                    self.batch.clear();
                    self.batch.place(&frame, index);
                }
            }
            if segments > 1 {
                turn.superframes += 1;
                break Ok(());
            }
        };
        if !self.batch.packets.is_empty() {
            take(&mut self.batch.arena, &self.batch.packets);
        }
        outcome.map(|()| turn)
    }
}

fn understand(mode: TunMode, bytes: &mut [u8]) -> Result<Superframe<'_>, DropReason> {
    if mode == TunMode::Plain {
        return split(VnetHeader::default(), bytes);
    }
    let (header, packet) = VnetHeader::decode(bytes).ok_or(DropReason::TunRunt)?;
    split(header, packet)
}
