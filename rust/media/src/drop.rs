//! Name every reason why a packet of sound goes no further.
//!
//! Place     rtp.rs, reception.rs, jitter.rs, incoming.rs -> here -> src/dexmesh/apps/call/media/drops.py
//! Keeps     the names are those of Python's `DropReason`, which also has those that only Python finds

/// One for each packet that is not played or believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// Too short for its header.
    TooShort,
    /// Longer than any packet of sound.
    TooLong,
    /// Not version 2.
    BadVersion,
    /// Padding longer than the packet.
    BadPadding,
    /// Header extension longer than the packet.
    BadExtension,
    /// No payload.
    Empty,
    /// A payload type nobody agreed on.
    UnknownPayloadType,
    /// We hold the call.
    NotListening,
    /// A sequence number far from the last.
    SequenceJump,
    /// Came twice.
    Duplicate,
    /// After its time to be played.
    Late,
    /// Too much sound waits already.
    Overflow,
}

impl DropReason {
    /// Every one, in order.
    pub const ALL: [DropReason; 12] = [
        Self::TooShort,
        Self::TooLong,
        Self::BadVersion,
        Self::BadPadding,
        Self::BadExtension,
        Self::Empty,
        Self::UnknownPayloadType,
        Self::NotListening,
        Self::SequenceJump,
        Self::Duplicate,
        Self::Late,
        Self::Overflow,
    ];

    /// As Python names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TooShort => "TOO_SHORT",
            Self::TooLong => "TOO_LONG",
            Self::BadVersion => "BAD_VERSION",
            Self::BadPadding => "BAD_PADDING",
            Self::BadExtension => "BAD_EXTENSION",
            Self::Empty => "EMPTY",
            Self::UnknownPayloadType => "UNKNOWN_PAYLOAD_TYPE",
            Self::NotListening => "NOT_LISTENING",
            Self::SequenceJump => "SEQUENCE_JUMP",
            Self::Duplicate => "DUPLICATE",
            Self::Late => "LATE",
            Self::Overflow => "OVERFLOW",
        }
    }
}
