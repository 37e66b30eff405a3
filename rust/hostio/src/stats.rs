//! Count what crosses into the operating system and back: calls, packets, superframes.
//!
//! Place     runner.rs counts -> `Runner::io_stats` -> metrics

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! io_counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Totals since the runner was made.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct IoStats { $($(#[doc = $doc])+ pub $name: u64,)+ }

        impl IoStats {
            /// Every counter with its name.
            #[must_use]
            pub fn entries(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)+]
            }
        }

        #[derive(Debug, Default)]
        pub(crate) struct IoCounters { $(pub $name: AtomicU64,)+ }

        impl IoCounters {
            pub fn snapshot(&self) -> IoStats {
                IoStats { $($name: self.$name.load(Relaxed),)+ }
            }
        }
    };
}

io_counters! {
    /// Reads from the TUN.
    tun_read_calls,
    /// Packets read from the TUN, after splitting.
    tun_packets_in,
    /// Superframes among what was read.
    tun_superframes_in,
    /// Writes to the TUN.
    tun_write_calls,
    /// Packets written to the TUN, before joining.
    tun_packets_out,
    /// Receive calls on sockets.
    udp_receive_calls,
    /// Datagrams received.
    udp_packets_in,
    /// Datagrams that were too long or had no sender.
    udp_misfits,
    /// Errors that sockets reported instead of datagrams.
    udp_receive_errors,
    /// Send calls on sockets.
    udp_send_calls,
    /// Datagrams sent.
    udp_packets_out,
}

pub(crate) fn add(counter: &AtomicU64, count: u64) {
    if count > 0 {
        counter.fetch_add(count, Relaxed);
    }
}
