//! Why a packet goes no further: one enum, the same numbers in Rust and Python, each counted.
//!
//! Place     every stage of the data plane -> [`DropCounters`] -> `Engine.drop_counts()` -> metrics
//! Spec      numbers 1–16 are the CryptoAuth errors of docs/protocol/01 §13; the rest are ours
//! Keeps     numbers never change meaning; `src/dexmesh/engine/drops.py` has the same list (tests/qa)

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! drop_reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal,)+) => {
        /// A reason for which a packet goes no further.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum DropReason { $($(#[doc = $doc])+ $name = $number,)+ }

        impl DropReason {
            /// Every reason, in the order of its number.
            pub const ALL: &'static [DropReason] = &[$(DropReason::$name,)+];

            /// The name used in Python, metrics and the trace.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(DropReason::$name => stringify!($name),)+ }
            }
        }
    };
}

drop_reasons! {
    /// A crypto message shorter than its header.
    CryptoRunt = 1,
    /// Data for a crypto session that has no keys yet.
    CryptoNoSession = 2,
    /// A KEY packet in an established session.
    CryptoKeyPacketEstablished = 5,
    /// The permanent key in a handshake is not the session's.
    CryptoWrongPermanentKey = 6,
    /// The credential may only be used from another address.
    CryptoAddressRestricted = 7,
    /// A credential is required and none was recognised.
    CryptoAuthRequired = 8,
    /// A credential was given and is unknown.
    CryptoUnrecognizedAuth = 9,
    /// A KEY packet although we sent no HELLO.
    CryptoStrayKey = 10,
    /// A handshake packet that does not open.
    CryptoHandshakeOpenFailed = 11,
    /// A temporary key of zeros.
    CryptoZeroTempKey = 12,
    /// A handshake packet that repeats or contradicts an earlier one.
    CryptoInvalidPacket = 13,
    /// A counter seen before, or too old.
    CryptoReplay = 14,
    /// A data packet that does not open.
    CryptoOpenFailed = 15,
    /// The session was reset while the packet was being opened.
    CryptoStaleSession = 16,

    /// A datagram from an unknown endpoint that cannot begin a link.
    LinkUnknownEndpoint = 20,
    /// Too many handshakes from one source prefix.
    LinkHandshakeRateLimited = 21,
    /// A handshake with our own key.
    LinkOwnKey = 22,
    /// A handshake with a key whose address is not in fc00::/8.
    LinkKeyNotMesh = 23,
    /// Not for our router, on a link that is not established (docs/protocol/04 §5.3).
    LinkNotEstablished = 24,
    /// The switch has no free interface number for another peer.
    LinkSwitchFull = 25,
    /// The interface the datagram belongs to is gone.
    LinkInterfaceGone = 26,
    /// A datagram longer than a link message may be.
    LinkOversize = 27,

    /// A switch packet shorter than its header.
    SwitchRunt = 40,
    /// A label whose next director cannot be followed (error 1).
    SwitchMalformedAddress = 41,
    /// A way back that does not fit (error 10).
    SwitchReturnPathInvalid = 42,
    /// More than 63 bits of label consumed.
    SwitchLabelShiftOverflow = 43,
    /// No peer at the interface the label names (error 1).
    SwitchNoPeer = 44,
    /// The peer the label names is unresponsive (error 8).
    SwitchPeerDown = 45,

    /// A packet for our router that is too short to say what it is.
    RouterRunt = 50,
    /// A session handle we did not hand out.
    RouterUnknownHandle = 51,
    /// A handle followed by a counter below 4.
    RouterBadCounter = 52,
    /// A session plaintext shorter than its data header (and handle).
    RouterPlaintextRunt = 53,
    /// The session table is full of busier sessions.
    RouterSessionTableFull = 54,
    /// A content type nobody here handles.
    RouterUnhandledContentType = 55,
    /// A session handshake with our own key, or a key whose address is not in fc00::/8.
    RouterBadKey = 56,
    /// Too many session handshakes in a short time.
    RouterHandshakeRateLimited = 57,
    /// Content that may not be carried before the handshake is done.
    RouterContentBeforeHandshake = 58,

    /// A TUN packet shorter than its header says.
    TunRunt = 60,
    /// A TUN packet that is not IPv6.
    TunNotIpv6 = 61,
    /// A TUN packet whose source is not our address.
    TunWrongSource = 62,
    /// A TUN packet whose destination is outside fc00::/8.
    TunOutsideMesh = 63,
    /// A TUN packet longer than the MTU (answered with packet-too-big).
    TunTooBig = 64,
    /// A superframe from the TUN that cannot be segmented.
    TunBadOffload = 65,
    /// No route was found while the packet was parked.
    TunNoRoute = 66,
    /// A newer packet to the same address took its parking place.
    TunParkedReplaced = 67,
    /// No parking place was left.
    TunParkingFull = 68,
    /// There is no TUN, or it refused the packet.
    TunWriteFailed = 69,

    /// The socket would have blocked.
    SendWouldBlock = 70,
    /// The socket refused the packet.
    SendFailed = 71,
    /// A packet longer than a link can carry.
    SendOversize = 72,

    /// The ring of events to Python was full.
    EventRingFull = 80,
}

/// How many reasons fit the table of counters.
pub const REASON_SLOTS: usize = 96;

/// One counter per reason; shared by every thread of the data plane.
#[derive(Debug)]
pub struct DropCounters([AtomicU64; REASON_SLOTS]);

impl Default for DropCounters {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; REASON_SLOTS])
    }
}

impl DropCounters {
    /// Count `packets` packets dropped for `reason`.
    pub fn add(&self, reason: DropReason, packets: u64) {
        if let Some(counter) = self.0.get(reason as usize) {
            counter.fetch_add(packets, Ordering::Relaxed);
        }
    }

    /// How many packets were dropped for `reason` since the start.
    #[must_use]
    pub fn get(&self, reason: DropReason) -> u64 {
        self.0
            .get(reason as usize)
            .map_or(0, |counter| counter.load(Ordering::Relaxed))
    }
}
