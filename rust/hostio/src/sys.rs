//! The few system calls of the data plane, each behind a safe function.
//!
//! Place     udp.rs, tun.rs, runner.rs -> here -> Linux
//! Keeps     every `unsafe` that is not about messages (udp, call_socket.rs) is here

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// What `poll` waits for, and what came.
pub use libc::pollfd as PollEntry;
/// Something to read.
pub const READABLE: i16 = libc::POLLIN;
/// Room to write.
pub const WRITABLE: i16 = libc::POLLOUT;
/// Broken or gone.
pub const BROKEN: i16 = libc::POLLERR | libc::POLLHUP | libc::POLLNVAL;

/// Most pieces of one write, the vnet header included.
pub const MOST_PIECES: usize = 66;

/// Monotonic milliseconds, of the clock that Python calls `time.monotonic`.
#[must_use]
pub fn now_ms() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid place for the answer; CLOCK_MONOTONIC always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000
}

/// An entry for [`poll`].
#[must_use]
pub fn poll_entry(fd: RawFd, events: i16) -> PollEntry {
    PollEntry {
        fd,
        events,
        revents: 0,
    }
}

/// Wait until something is ready or `timeout_ms` have passed. Interruptions count as nothing ready.
pub fn poll(entries: &mut [PollEntry], timeout_ms: i32) -> io::Result<usize> {
    // SAFETY: pointer and length are those of one slice.
    let ready = unsafe {
        libc::poll(
            entries.as_mut_ptr(),
            entries.len() as libc::nfds_t,
            timeout_ms,
        )
    };
    if ready >= 0 {
        return Ok(ready as usize);
    }
    match io::Error::last_os_error() {
        error if error.kind() == io::ErrorKind::Interrupted => {
            for entry in entries {
                entry.revents = 0;
            }
            Ok(0)
        }
        error => Err(error),
    }
}

/// Our own descriptor of what `fd` is open on; the caller keeps `fd`.
pub fn duplicate(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: a number is passed and a number comes back; a number that is not open gives an error.
    let copy = outcome_of(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 0) } as isize)?;
    // SAFETY: the kernel has just made this descriptor and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy as RawFd) })
}

/// Set an integer option of a socket.
pub fn set_option(fd: BorrowedFd<'_>, level: i32, name: i32, value: i32) -> io::Result<()> {
    // SAFETY: the option value is an int that lives during the call.
    let outcome = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            mem::size_of::<i32>() as libc::socklen_t,
        )
    };
    outcome_of(outcome as isize).map(drop)
}

/// Read an integer option of a socket.
pub fn option(fd: BorrowedFd<'_>, level: i32, name: i32) -> io::Result<i32> {
    let mut value = 0i32;
    let mut length = mem::size_of::<i32>() as libc::socklen_t;
    // SAFETY: the option value is an int, and `length` says so.
    let outcome = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            level,
            name,
            (&raw mut value).cast(),
            &mut length,
        )
    };
    outcome_of(outcome as isize).map(|_| value)
}

/// Make reads and writes return at once.
pub fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: F_GETFL takes no argument.
    let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
    outcome_of(flags as isize)?;
    // SAFETY: F_SETFL takes an int.
    let outcome = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) };
    outcome_of(outcome as isize).map(drop)
}

/// Read once.
pub fn read(fd: BorrowedFd<'_>, into: &mut [u8]) -> io::Result<usize> {
    // SAFETY: pointer and length are those of one slice.
    let count = unsafe { libc::read(fd.as_raw_fd(), into.as_mut_ptr().cast(), into.len()) };
    outcome_of(count)
}

/// Write pieces as one packet. Pieces beyond [`MOST_PIECES`] make it fail.
pub fn write_pieces<'a>(
    fd: BorrowedFd<'_>,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> io::Result<usize> {
    let mut vectors = [libc::iovec {
        iov_base: std::ptr::null_mut(),
        iov_len: 0,
    }; MOST_PIECES];
    let mut count = 0;
    for piece in pieces {
        let Some(vector) = vectors.get_mut(count) else {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        };
        *vector = vector_of(piece);
        count += 1;
    }
    // SAFETY: the first `count` vectors point into slices that outlive the call, and writev only reads from them.
    let written = unsafe { libc::writev(fd.as_raw_fd(), vectors.as_ptr(), count as i32) };
    outcome_of(written)
}

/// A vector to read from (never to write to) a slice.
pub(crate) fn vector_of(piece: &[u8]) -> libc::iovec {
    libc::iovec {
        iov_base: piece.as_ptr().cast_mut().cast(),
        iov_len: piece.len(),
    }
}

pub(crate) fn outcome_of(value: isize) -> io::Result<usize> {
    usize::try_from(value).map_err(|_| io::Error::last_os_error())
}

/// Take every capability from the calling thread, for ever. Descriptors that are open stay usable.
pub fn drop_capabilities() -> io::Result<()> {
    const VERSION_3: u32 = 0x2008_0522;
    let header: [u32; 2] = [VERSION_3, 0];
    let nothing = [0u32; 6];
    // SAFETY: both arguments have the layout of version 3, live during the call, and are only read.
    let outcome = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), nothing.as_ptr()) };
    outcome_of(outcome as isize).map(drop)
}

/// A counter of the kernel that wakes whoever polls it.
#[derive(Debug)]
pub struct EventFd(OwnedFd);

impl EventFd {
    /// A new one, quiet.
    pub fn new() -> io::Result<EventFd> {
        // SAFETY: takes no pointers.
        let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        outcome_of(fd as isize)?;
        // SAFETY: the call succeeded, so `fd` is open and nobody else owns it.
        Ok(EventFd(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Wake whoever polls it.
    pub fn poke(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: reads the eight bytes of `one`. A full counter (EAGAIN) wakes just as well.
        unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    /// Be quiet again.
    pub fn clear(&self) {
        let mut counter = [0u8; 8];
        // SAFETY: writes at most eight bytes to `counter`. Nothing to clear (EAGAIN) is as good.
        unsafe {
            libc::read(
                self.0.as_raw_fd(),
                counter.as_mut_ptr().cast(),
                counter.len(),
            )
        };
    }

    /// The descriptor, for poll.
    #[must_use]
    pub fn raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
