//! Take in what the peer of a call sends to one port, and send to it.
//!
//! Place     rust/python (`CallPort`, one for RTP and RTCP) -> here -> Linux; opened by src/dexmesh/apps/call/seat/sockets.py
//! Spec      docs/apps/sip.md §3: packets from the address of the signalling peer alone, whatever its port; recvmmsg(2)
//! Keeps     never blocks; a flood costs MOST_PACKETS at a time; what others send is counted and forgotten
//! Not here  what is in a packet (rust/media)

use std::io;
use std::mem;
use std::net::{Ipv6Addr, SocketAddrV6};
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::sys;
use crate::udp::control::{NO_VECTOR, Name};

/// Ours: that are taken in at once.
pub const MOST_PACKETS: usize = 64;
/// Ours: of a packet; longer ones are not for us.
pub const MOST_BYTES: usize = 2048;

/// As a rule one packet waits, and this call finds that there is no second.
const BATCH: usize = 4;

/// One of the two ports. The socket has SO_TIMESTAMPNS, so that the kernel says when a packet came.
#[derive(Debug)]
pub struct CallSocket {
    /// Packets of others, and longer ones than any of sound.
    pub strangers: u64,
    /// Packets that did not leave.
    pub unsent: u64,
    socket: OwnedFd,
    peer: Option<SocketAddrV6>,
    room: Box<[[u8; MOST_BYTES]; BATCH]>,
}

impl CallSocket {
    /// Take over a bound IPv6 socket.
    #[must_use]
    pub fn new(socket: OwnedFd) -> CallSocket {
        CallSocket {
            strangers: 0,
            unsent: 0,
            socket,
            peer: None,
            room: Box::new([[0; MOST_BYTES]; BATCH]),
        }
    }

    /// Send to this peer from now on, and hear nobody else. Port 0: it hears nothing here.
    pub fn connect(&mut self, remote: [u8; 16], port: u16) {
        self.peer = Some(SocketAddrV6::new(Ipv6Addr::from(remote), port, 0, 0));
    }

    /// Hand over each waiting packet of the peer, and how many seconds ago it came.
    pub fn receive(&mut self, mut take: impl FnMut(&[u8], f64)) {
        for _ in 0..MOST_PACKETS / BATCH {
            let mut notes = [const { Notes::empty() }; BATCH];
            let count = self.receive_batch(&mut notes).unwrap_or(0);
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            let now_s = now.map_or(0.0, |since| since.as_secs_f64());
            for (note, room) in notes.iter().zip(self.room.iter()).take(count) {
                let is_peers = self.peer.is_some_and(|peer| note.is_from(*peer.ip()));
                match room
                    .get(..note.length)
                    .filter(|_| is_peers && note.is_whole)
                {
                    Some(packet) => take(packet, note.age_s(now_s)),
                    None => self.strangers += 1,
                }
            }
            if count < BATCH {
                return;
            }
        }
    }

    fn receive_batch(&mut self, notes: &mut [Notes; BATCH]) -> io::Result<usize> {
        // SAFETY: all zero bytes are a valid mmsghdr.
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { mem::zeroed() };
        let mut vectors = [NO_VECTOR; BATCH];
        let places = headers.iter_mut().zip(&mut vectors);
        for ((header, vector), (note, room)) in places.zip(notes.iter_mut().zip(&mut *self.room)) {
            vector.iov_base = room.as_mut_ptr().cast();
            vector.iov_len = room.len();
            let header = &mut header.msg_hdr;
            header.msg_name = (&raw mut note.from).cast();
            header.msg_namelen = mem::size_of::<libc::sockaddr_in6>() as libc::socklen_t;
            header.msg_iov = vector;
            header.msg_iovlen = 1;
            header.msg_control = (&raw mut note.control).cast();
            header.msg_controllen = mem::size_of::<Control>() as _;
        }
        // SAFETY: every header points to its own name, vector, control bytes and part of the room; all outlive the call.
        let count = unsafe {
            libc::recvmmsg(
                self.socket.as_raw_fd(),
                headers.as_mut_ptr(),
                BATCH as u32,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        let count = sys::outcome_of(count as isize)?;
        for (note, header) in notes.iter_mut().zip(&headers).take(count) {
            note.length = header.msg_len as usize;
            note.is_whole = header.msg_hdr.msg_flags & libc::MSG_TRUNC == 0;
            note.control_length = header.msg_hdr.msg_controllen as _;
        }
        Ok(count)
    }

    /// To the peer; a packet that cannot leave is counted, as a lost one would be. Nothing if it has no port for it.
    pub fn send(&mut self, packet: &[u8]) {
        let Some(peer) = self.peer.filter(|peer| peer.port() != 0) else {
            return;
        };
        let name = Name::encode(&peer.into());
        // SAFETY: pointers and lengths are those of one slice and of one name, which outlive the call.
        let sent = unsafe {
            libc::sendto(
                self.socket.as_raw_fd(),
                packet.as_ptr().cast(),
                packet.len(),
                libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
                (&raw const name.storage).cast(),
                name.length,
            )
        };
        self.unsent += u64::from(sent < 0);
    }

    /// Forget what waits: it came before there was a call.
    pub fn drain(&mut self) {
        let (peer, strangers) = (self.peer.take(), self.strangers);
        self.receive(|_, _| {});
        (self.peer, self.strangers) = (peer, strangers);
    }
}

/// What the kernel says of one packet.
struct Notes {
    from: libc::sockaddr_in6,
    control: Control,
    control_length: usize,
    length: usize,
    is_whole: bool,
}

/// Room for one control message with a time in it, and a little more.
#[repr(C)]
struct Control {
    header: libc::cmsghdr,
    stamp: libc::timespec,
    spare: [u64; 2],
}

impl Notes {
    const fn empty() -> Notes {
        // SAFETY: all zero bytes are a valid name and a valid control message.
        let (from, control) = unsafe { mem::zeroed() };
        Notes {
            from,
            control,
            control_length: 0,
            length: 0,
            is_whole: false,
        }
    }

    fn is_from(&self, peer: Ipv6Addr) -> bool {
        i32::from(self.from.sin6_family) == libc::AF_INET6
            && self.from.sin6_addr.s6_addr == peer.octets()
    }

    /// How long ago the kernel took a packet in: we look only once in 20 ms. 0 where the wall clock was set meanwhile.
    fn age_s(&self, unix_time: f64) -> f64 {
        // SAFETY: CMSG_LEN only calculates.
        let least = unsafe { libc::CMSG_LEN(mem::size_of::<libc::timespec>() as u32) } as usize;
        let Control { header, stamp, .. } = &self.control;
        let is_stamp = self.control_length >= least
            && header.cmsg_level == libc::SOL_SOCKET
            && header.cmsg_type == libc::SCM_TIMESTAMPNS;
        if !is_stamp {
            return 0.0;
        }
        let age_s = unix_time - stamp.tv_sec as f64 - stamp.tv_nsec as f64 / 1e9;
        if (0.0..1.0).contains(&age_s) {
            age_s
        } else {
            0.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    const HERE: [u8; 16] = Ipv6Addr::LOCALHOST.octets();

    /// One port, and a peer that is bound to another.
    fn pair() -> (CallSocket, UdpSocket, u16) {
        let [own, peer] = [(); 2].map(|()| UdpSocket::bind("[::1]:0").unwrap());
        sys::set_option(own.as_fd(), libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1).unwrap();
        let port = own.local_addr().unwrap().port();
        peer.connect(("::1", port)).unwrap();
        (CallSocket::new(own.into()), peer, port)
    }

    fn received(socket: &mut CallSocket) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        socket.receive(|packet, _| found.push(packet.to_vec()));
        found
    }

    #[test]
    fn packets_of_the_peer_are_taken_and_those_of_others_counted() {
        let (mut socket, peer, _) = pair();
        peer.send(b"early").unwrap();
        assert_eq!(received(&mut socket), Vec::<Vec<u8>>::new()); // all are strangers
        socket.connect(HERE, 9);
        peer.send(b"one").unwrap();
        peer.send(b"").unwrap();
        assert_eq!(received(&mut socket), [b"one".as_slice(), b""]);
        socket.connect([0xFC; 16], 9);
        peer.send(b"stranger").unwrap();
        assert_eq!(received(&mut socket), Vec::<Vec<u8>>::new());
        assert_eq!(socket.strangers, 2);
    }

    #[test]
    fn a_flood_is_taken_in_by_parts_in_order_and_may_be_forgotten() {
        let (mut socket, peer, _) = pair();
        socket.connect(HERE, 9);
        let flood = |count: usize| {
            for number in 0..count {
                peer.send(&[number as u8]).unwrap();
            }
        };
        flood(MOST_PACKETS + 7);
        let parts = [received(&mut socket), received(&mut socket)];
        assert_eq!(parts.each_ref().map(Vec::len), [MOST_PACKETS, 7]);
        let all: Vec<u8> = parts.concat().concat();
        assert!(all.into_iter().eq(0..MOST_PACKETS as u8 + 7));
        flood(5);
        socket.drain();
        assert_eq!(received(&mut socket).len(), 0);
        flood(1);
        assert_eq!((received(&mut socket).len(), socket.strangers), (1, 0));
    }

    #[test]
    fn a_packet_longer_than_any_of_sound_is_refused() {
        let (mut socket, peer, _) = pair();
        socket.connect(HERE, 9);
        peer.send(&[0; MOST_BYTES + 1]).unwrap();
        peer.send(&[1; MOST_BYTES]).unwrap();
        assert_eq!(received(&mut socket), [vec![1; MOST_BYTES]]);
        assert_eq!(socket.strangers, 1);
    }

    #[test]
    fn the_age_of_a_packet_is_that_of_the_kernel_unless_the_clock_was_set() {
        let (mut socket, peer, _) = pair();
        peer.send(b"x").unwrap();
        let mut notes = [const { Notes::empty() }; BATCH];
        assert_eq!(socket.receive_batch(&mut notes).unwrap(), 1);
        let [note, ..] = notes;
        let stamp = &note.control.stamp;
        let came_at = stamp.tv_sec as f64 + stamp.tv_nsec as f64 / 1e9;
        let [age_s, before_s, after_s] =
            [0.4, -10.0, 3600.0].map(|late_s| note.age_s(came_at + late_s));
        assert!((age_s - 0.4).abs() < 1e-3);
        assert_eq!((before_s, after_s), (0.0, 0.0));
    }

    #[test]
    fn what_is_sent_comes_from_the_own_port_and_what_cannot_leave_is_counted() {
        let (mut socket, peer, port) = pair();
        let to = peer.local_addr().unwrap().port();
        socket.send(b"nobody there yet");
        socket.connect(HERE, to);
        socket.send(b"sound");
        let mut room = [0; 100];
        let (length, from) = peer.recv_from(&mut room).unwrap();
        assert_eq!((&room[..length], from.port()), (b"sound".as_slice(), port));
        socket.send(&[0; 70_000]); // no datagram is so long
        assert_eq!(socket.unsent, 1);
        socket.connect(HERE, 0);
        socket.send(b"it has no port for this");
        assert_eq!(socket.unsent, 1);
    }
}
