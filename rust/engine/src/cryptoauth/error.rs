//! Name the reasons why a packet was not opened.
//!
//! Place     session.rs -> here -> drop reasons, and the session layer's error frames
//! Spec      docs/protocol/01, "Errors": the numbers go over the wire

/// Why a packet was refused; the numbers are those of the error frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum AuthError {
    /// Too short.
    Runt = 1,
    /// Data, but no handshake has got far enough.
    NoSession = 2,
    /// A KEY inside an established session.
    KeyPacketInEstablishedSession = 5,
    /// The permanent key in the packet is not that of the session.
    WrongPermanentKey = 6,
    /// The user may connect from another address only.
    IpRestricted = 7,
    /// A credential of ours is needed and none was recognised.
    AuthRequired = 8,
    /// A credential was given that we do not know.
    UnrecognizedAuth = 9,
    /// A KEY nobody asked for.
    StrayKey = 10,
    /// The tag of a handshake packet is wrong: other password, other key, or damage.
    HandshakeDecryptFailed = 11,
    /// The temporary key is all zeros.
    Wiseguy = 12,
    /// A handshake packet that does not fit the state, or an old one.
    InvalidPacket = 13,
    /// This counter was seen already, or is too old.
    Replay = 14,
    /// The tag of a data packet is wrong.
    Decrypt = 15,
}

impl AuthError {
    /// The number for error frames and counters.
    #[must_use]
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// The name cjdns gives it, as in the recorded vectors.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Runt => "RUNT",
            Self::NoSession => "NO_SESSION",
            Self::KeyPacketInEstablishedSession => "KEY_PKT_ESTABLISHED_SESSION",
            Self::WrongPermanentKey => "WRONG_PERM_PUBKEY",
            Self::IpRestricted => "IP_RESTRICTED",
            Self::AuthRequired => "AUTH_REQUIRED",
            Self::UnrecognizedAuth => "UNRECOGNIZED_AUTH",
            Self::StrayKey => "STRAY_KEY",
            Self::HandshakeDecryptFailed => "HANDSHAKE_DECRYPT_FAILED",
            Self::Wiseguy => "WISEGUY",
            Self::InvalidPacket => "INVALID_PACKET",
            Self::Replay => "REPLAY",
            Self::Decrypt => "DECRYPT",
        }
    }
}

impl core::fmt::Display for AuthError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::error::Error for AuthError {}
