//! Build and open HELLO and KEY packets.
//!
//! Place     session.rs decides that one is due or came -> here -> crypto/
//! Spec      docs/protocol/01, "Handshake packet" and "Keys of each packet"
//! Keeps     knows no state: the same input gives the same packet
//! Not here  what a packet does to the session (session.rs)

use super::users::Lookup;
use super::{AuthError, Credential, HANDSHAKE_HEADER_BYTES};
use crate::crypto::keys::{boxkey_of, pwkey_of};
use crate::crypto::{
    Kernel, Key, Nonce, PublicKey, Random, Secret, Tag, open_in_place, seal_in_place,
};

/// First word of each handshake packet.
pub(super) mod word {
    pub(in super::super) const HELLO: u32 = 0;
    pub(in super::super) const REPEAT_HELLO: u32 = 1;
    pub(in super::super) const KEY: u32 = 2;
    pub(in super::super) const REPEAT_KEY: u32 = 3;
}

const LOOKUP_AT: usize = 4;
const NONCE_AT: usize = 16;
const KEY_AT: usize = 40;
const TAG_AT: usize = 72;
const TEMP_KEY_AT: usize = 88;

/// The clear part of a handshake packet that came.
pub(super) struct Header {
    pub(super) lookup: Lookup,
    pub(super) nonce: Nonce,
    pub(super) permanent_key: PublicKey,
    pub(super) tag: Tag,
}

impl Header {
    /// Read the clear part. RUNT when there is not all of it.
    pub(super) fn decode(packet: &[u8]) -> Result<Self, AuthError> {
        let header: &[u8; HANDSHAKE_HEADER_BYTES] = packet.first_chunk().ok_or(AuthError::Runt)?;
        let mut decoded = Self {
            lookup: Lookup::default(),
            nonce: Nonce::default(),
            permanent_key: PublicKey::default(),
            tag: Tag::default(),
        };
        decoded
            .lookup
            .copy_from_slice(&header[LOOKUP_AT..LOOKUP_AT + 8]);
        decoded.nonce.copy_from_slice(&header[NONCE_AT..KEY_AT]);
        decoded
            .permanent_key
            .copy_from_slice(&header[KEY_AT..TAG_AT]);
        decoded.tag.copy_from_slice(&header[TAG_AT..TEMP_KEY_AT]);
        Ok(decoded)
    }

    /// Decrypt the sealed part in place and return the temporary key; the payload follows the header.
    pub(super) fn open(
        &self,
        kernel: Kernel,
        key: &Key,
        packet: &mut [u8],
    ) -> Result<PublicKey, AuthError> {
        let sealed = packet.get_mut(TEMP_KEY_AT..).ok_or(AuthError::Runt)?;
        if !open_in_place(kernel, key, &self.nonce, &self.tag, sealed) {
            return Err(AuthError::HandshakeDecryptFailed);
        }
        sealed.first_chunk().copied().ok_or(AuthError::Runt)
    }
}

/// The key of a handshake packet: with the password hash if one takes part.
pub(super) fn key_of(shared: &Secret, password_hash: Option<&Secret>) -> Key {
    password_hash.map_or_else(|| boxkey_of(shared), |hash| pwkey_of(shared, hash))
}

/// What goes into a handshake packet besides randomness.
pub(super) struct Outgoing<'a> {
    pub(super) word: u32,
    pub(super) credential: Option<&'a Credential>,
    pub(super) permanent_key: &'a PublicKey,
    pub(super) temp_key: &'a PublicKey,
    pub(super) key: &'a Key,
    pub(super) payload: &'a [u8],
}

impl Outgoing<'_> {
    /// The packet. Draws the nonce, then 9 lookup bytes if there is no credential.
    pub(super) fn encode(&self, kernel: Kernel, random: &mut dyn Random) -> Vec<u8> {
        let mut nonce = Nonce::default();
        random.fill(&mut nonce);
        let mut lookup = [0; NONCE_AT - LOOKUP_AT];
        match self.credential {
            Some(credential) => lookup[..8].copy_from_slice(credential.lookup()),
            None => random.fill(&mut lookup[1..10]),
        }
        let mut packet = Vec::with_capacity(HANDSHAKE_HEADER_BYTES + self.payload.len());
        packet.extend_from_slice(&self.word.to_be_bytes());
        packet.extend_from_slice(&lookup);
        packet.extend_from_slice(&nonce);
        packet.extend_from_slice(self.permanent_key);
        packet.extend_from_slice(&[0; TEMP_KEY_AT - TAG_AT]);
        packet.extend_from_slice(self.temp_key);
        packet.extend_from_slice(self.payload);
        let tag = seal_in_place(kernel, self.key, &nonce, &mut packet[TEMP_KEY_AT..]);
        packet[TAG_AT..TEMP_KEY_AT].copy_from_slice(&tag);
        packet
    }
}
