//! What goes with a message of the kernel: a socket address, and a number for segmentation.
//!
//! Place     send.rs, receive.rs, call_socket.rs -> here

use std::mem;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::ptr;

/// Option and control message: cut a send into datagrams of this length.
pub(super) const UDP_SEGMENT: i32 = 103;
/// Option and control message: what was received is datagrams of this length.
pub(super) const UDP_GRO: i32 = 104;

/// A socket address as the kernel wants it.
pub(crate) struct Name {
    pub storage: libc::sockaddr_in6,
    pub length: libc::socklen_t,
}

impl Name {
    pub fn encode(endpoint: &SocketAddr) -> Name {
        // SAFETY: all zero bytes are a valid sockaddr_in6.
        let mut storage: libc::sockaddr_in6 = unsafe { mem::zeroed() };
        let length = match endpoint {
            SocketAddr::V6(v6) => {
                storage.sin6_family = libc::AF_INET6 as libc::sa_family_t;
                storage.sin6_port = v6.port().to_be();
                storage.sin6_addr.s6_addr = v6.ip().octets();
                storage.sin6_scope_id = v6.scope_id();
                mem::size_of::<libc::sockaddr_in6>()
            }
            SocketAddr::V4(v4) => {
                let name = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: v4.port().to_be(),
                    sin_addr: libc::in_addr {
                        s_addr: u32::from_ne_bytes(v4.ip().octets()),
                    },
                    sin_zero: [0; 8],
                };
                // SAFETY: a sockaddr_in is smaller than a sockaddr_in6 and needs no stricter alignment.
                unsafe { ptr::write((&raw mut storage).cast::<libc::sockaddr_in>(), name) };
                mem::size_of::<libc::sockaddr_in>()
            }
        };
        Name {
            storage,
            length: length as libc::socklen_t,
        }
    }

    pub fn decode(storage: &libc::sockaddr_in6) -> Option<SocketAddr> {
        match i32::from(storage.sin6_family) {
            libc::AF_INET6 => {
                let ip = Ipv6Addr::from(storage.sin6_addr.s6_addr);
                let port = u16::from_be(storage.sin6_port);
                Some(SocketAddrV6::new(ip, port, 0, storage.sin6_scope_id).into())
            }
            libc::AF_INET => {
                // SAFETY: the kernel wrote a sockaddr_in (the family says so), which is smaller than the storage.
                let v4 = unsafe { ptr::read(ptr::from_ref(storage).cast::<libc::sockaddr_in>()) };
                let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
                Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
            }
            _ => None,
        }
    }
}

/// Room for one control message with a number in it.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Control {
    pub header: libc::cmsghdr,
    pub number: [u8; 8],
}

impl Control {
    pub fn empty() -> Control {
        // SAFETY: all zero bytes are a valid cmsghdr and a valid number.
        unsafe { mem::zeroed() }
    }
}

/// Points nowhere.
pub(crate) const NO_VECTOR: libc::iovec = libc::iovec {
    iov_base: ptr::null_mut(),
    iov_len: 0,
};
