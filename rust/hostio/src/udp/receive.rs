//! Receive a batch of messages with one recvmmsg.
//!
//! Place     mod.rs -> here -> threads.rs

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::RawFd;
use std::ptr;

use super::control::{Control, NO_VECTOR, Name, UDP_GRO};
use crate::sys;

/// Messages of one recvmmsg.
const MOST_MESSAGES: usize = 32;
/// Room for one message; a joined one may have 64 KiB.
const JOINED_BYTES: usize = 65_536;
const PLAIN_BYTES: usize = 4096;
/// Between buffers, so that their beginnings do not all fall into the same lines of the cache.
const STAGGER_BYTES: usize = 1600;

/// One message: who sent it, where it is, and how long each datagram in it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Who sent it.
    pub from: SocketAddr,
    /// In bytes of the arena.
    pub range: Range<usize>,
    /// Length of each datagram but the last, which may be shorter.
    pub segment_length: usize,
}

impl Received {
    /// The datagrams in it.
    pub fn datagrams(&self) -> impl Iterator<Item = Range<usize>> {
        let end = self.range.end;
        let step = self.segment_length.max(1);
        self.range
            .clone()
            .step_by(step)
            .map(move |start| start..(start + step).min(end))
    }
}

/// Where datagrams are received to; lives as long as the receiving thread.
#[derive(Debug)]
pub struct ReceiveBuffers {
    /// The bytes; [`Received::range`] points into it.
    pub arena: Vec<u8>,
    /// The newest batch.
    pub messages: Vec<Received>,
    /// Datagrams that did not fit or had no sender, since the start.
    pub misfits: u64,
    room: usize,
}

impl ReceiveBuffers {
    /// For sockets with joining on receive, or for sockets without.
    #[must_use]
    pub fn new(has_gro: bool) -> ReceiveBuffers {
        let room = if has_gro { JOINED_BYTES } else { PLAIN_BYTES };
        ReceiveBuffers {
            arena: vec![0; MOST_MESSAGES * (room + STAGGER_BYTES)],
            messages: Vec::with_capacity(MOST_MESSAGES),
            misfits: 0,
            room,
        }
    }

    /// Whether the newest batch was full, so that more may be waiting.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.messages.len() >= MOST_MESSAGES
    }

    pub(super) fn receive(&mut self, fd: RawFd) -> io::Result<()> {
        self.messages.clear();
        // SAFETY: all zero bytes are valid for sockaddr_in6 and mmsghdr.
        let (mut names, mut headers): (
            [libc::sockaddr_in6; MOST_MESSAGES],
            [libc::mmsghdr; MOST_MESSAGES],
        ) = unsafe { mem::zeroed() };
        let mut vectors = [NO_VECTOR; MOST_MESSAGES];
        let mut controls = [Control::empty(); MOST_MESSAGES];
        let buffers = self.arena.chunks_exact_mut(self.room + STAGGER_BYTES);
        for (index, buffer) in buffers.enumerate().take(MOST_MESSAGES) {
            vectors[index].iov_base = buffer.as_mut_ptr().cast();
            vectors[index].iov_len = self.room;
            let header = &mut headers[index].msg_hdr;
            header.msg_name = (&raw mut names[index]).cast();
            header.msg_namelen = mem::size_of::<libc::sockaddr_in6>() as libc::socklen_t;
            header.msg_iov = &raw mut vectors[index];
            header.msg_iovlen = 1;
            header.msg_control = (&raw mut controls[index]).cast();
            header.msg_controllen = mem::size_of::<Control>() as _;
        }
        // SAFETY: every header points to its own name, vector, control bytes and part of the arena; all outlive the call.
        let count = unsafe {
            libc::recvmmsg(
                fd,
                headers.as_mut_ptr(),
                MOST_MESSAGES as u32,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        let count = sys::outcome_of(count as isize)?;
        for index in 0..count.min(MOST_MESSAGES) {
            let header = &headers[index];
            let length = header.msg_len as usize;
            let start = index * (self.room + STAGGER_BYTES);
            let is_whole = header.msg_hdr.msg_flags & libc::MSG_TRUNC == 0;
            match Name::decode(&names[index]).filter(|_| is_whole && length > 0) {
                Some(from) => self.messages.push(Received {
                    from,
                    range: start..start + length,
                    segment_length: segment_length(
                        &controls[index],
                        header.msg_hdr.msg_controllen as _,
                    )
                    .unwrap_or(length),
                }),
                None => self.misfits += 1,
            }
        }
        Ok(())
    }
}

/// The number in a UDP_GRO control message.
fn segment_length(control: &Control, control_length: usize) -> Option<usize> {
    // SAFETY: CMSG_LEN only calculates.
    let least = unsafe { libc::CMSG_LEN(4) } as usize;
    let is_gro = control_length >= least
        && control.header.cmsg_level == libc::SOL_UDP
        && control.header.cmsg_type == UDP_GRO;
    let [a, b, c, d, ..] = control.number;
    let length = usize::try_from(i32::from_ne_bytes([a, b, c, d])).ok()?;
    (is_gro && length > 0).then_some(length)
}
