//! Describe a burst of datagrams to one endpoint for one sendmmsg.
//!
//! Place     mod.rs fills and submits -> Linux

use std::io;
use std::mem;
use std::ops::Range;
use std::os::fd::RawFd;
use std::ptr;

use super::control::{Control, NO_VECTOR, Name, UDP_SEGMENT};
use crate::sys;

/// Most datagrams the kernel cuts out of one send; older kernels take 64.
const MOST_SEGMENTS: usize = 64;
/// Most bytes of one segmented send.
const MOST_SEND_BYTES: usize = 65_000;
/// Most datagrams handed over in one go. An original cjdns node has a small socket buffer: 92 full datagrams.
pub(super) const BURST_PACKETS: usize = 48;

/// Messages for one sendmmsg: every message is one datagram, or a run that the kernel cuts.
pub(super) struct SendBatch {
    vectors: [libc::iovec; BURST_PACKETS],
    controls: [Control; BURST_PACKETS],
    messages: [libc::mmsghdr; BURST_PACKETS],
    pub runs: [Range<usize>; BURST_PACKETS],
    pub count: usize,
}

impl SendBatch {
    pub fn new() -> SendBatch {
        SendBatch {
            vectors: [NO_VECTOR; BURST_PACKETS],
            controls: [Control::empty(); BURST_PACKETS],
            // SAFETY: all zero bytes are a valid mmsghdr.
            messages: [unsafe { mem::zeroed() }; BURST_PACKETS],
            runs: [const { 0..0 }; BURST_PACKETS],
            count: 0,
        }
    }

    /// Describe at most [`BURST_PACKETS`] packets. The batch must not move afterwards, and `name` and `arena` must
    /// outlive it: it points into itself and them.
    pub fn fill(&mut self, name: &Name, arena: &[u8], packets: &[Range<usize>], may_segment: bool) {
        let mut next_vector = 0;
        let mut at = 0;
        while at < packets.len().min(BURST_PACKETS) {
            let end = if may_segment {
                run_end(packets, at)
            } else {
                at + 1
            };
            let first_vector = next_vector;
            let mut previous_end = None;
            for range in packets.get(at..end).unwrap_or_default() {
                let piece = arena.get(range.clone()).unwrap_or_default();
                if previous_end == Some(range.start) && next_vector > first_vector {
                    self.vectors[next_vector - 1].iov_len += piece.len();
                } else {
                    self.vectors[next_vector] = sys::vector_of(piece);
                    next_vector += 1;
                }
                previous_end = Some(range.end);
            }
            let segment = packets[at].len();
            self.describe(name, first_vector..next_vector, at..end, segment);
            at = end;
        }
    }

    fn describe(
        &mut self,
        name: &Name,
        vectors: Range<usize>,
        run: Range<usize>,
        segment_length: usize,
    ) {
        let message = &mut self.messages[self.count].msg_hdr;
        message.msg_name = ptr::from_ref(&name.storage).cast_mut().cast();
        message.msg_namelen = name.length;
        message.msg_iovlen = vectors.len() as _;
        message.msg_iov = self.vectors[vectors].as_mut_ptr();
        if run.len() > 1 {
            let control = &mut self.controls[self.count];
            // SAFETY: CMSG_LEN and CMSG_SPACE only calculate.
            let (length, space) = unsafe { (libc::CMSG_LEN(2), libc::CMSG_SPACE(2)) };
            control.header.cmsg_len = length as _;
            control.header.cmsg_level = libc::SOL_UDP;
            control.header.cmsg_type = UDP_SEGMENT;
            control.number[..2].copy_from_slice(&(segment_length as u16).to_ne_bytes());
            message.msg_control = ptr::from_mut(control).cast();
            message.msg_controllen = space as _;
        }
        self.runs[self.count] = run;
        self.count += 1;
    }

    pub fn submit(&mut self, fd: RawFd, done: usize) -> io::Result<usize> {
        let rest = &mut self.messages[done..self.count];
        // SAFETY: each message points to a name, vectors and control bytes that are alive (see `fill`), and the kernel
        // only reads them.
        let count =
            unsafe { libc::sendmmsg(fd, rest.as_mut_ptr(), rest.len() as u32, libc::MSG_NOSIGNAL) };
        sys::outcome_of(count as isize)
    }
}

/// Where the run of equal packets that begins at `start` ends. The last packet of a run may be shorter.
fn run_end(packets: &[Range<usize>], start: usize) -> usize {
    let length = packets[start].len();
    let mut bytes = length;
    let mut end = start + 1;
    while let Some(packet) = packets.get(end) {
        bytes += packet.len();
        if packet.is_empty()
            || packet.len() > length
            || bytes > MOST_SEND_BYTES
            || end - start >= MOST_SEGMENTS
        {
            break;
        }
        end += 1;
        if packet.len() < length {
            break;
        }
    }
    end
}
