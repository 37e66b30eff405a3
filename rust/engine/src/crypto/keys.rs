//! Make Curve25519 keys, addresses and the shared secrets of two keys.
//!
//! Place     cryptoauth/handshake.rs -> here
//! Spec      docs/protocol/01, "Identity" and "Toolbox"
//! Keeps     secrets are wiped when dropped and never printed; a low-order point gives no secret
//! Not here  base32 key strings (Python, wire/keys.py)

use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;
use x25519_dalek::x25519;
use zeroize::Zeroize;

/// A permanent or temporary public key.
pub type PublicKey = [u8; 32];

/// An IPv6 address of the mesh; valid identities begin with `0xfc`.
pub type Address = [u8; 16];

/// 32 secret bytes: a private key, a password hash or a cipher key. Wiped when dropped, printed as `<secret>`.
#[derive(Clone)]
pub struct Secret([u8; 32]);

/// A secret used as cipher key of `seal_in_place` and the batch forms.
pub type Key = Secret;

impl Secret {
    /// Take over 32 secret bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, to compute with. Do not copy them anywhere that outlives the secret.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl core::fmt::Debug for Secret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("<secret>")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Secret {}

/// The permanent key pair of this node and what follows from it; one per node, shared by all its sessions.
#[derive(Debug)]
pub struct LocalKeys {
    private: Secret,
    public: PublicKey,
    address: Address,
}

impl LocalKeys {
    /// Derive public key and address from 32 private bytes (stored unclamped).
    #[must_use]
    pub fn new(private: [u8; 32]) -> Self {
        let private = Secret::new(private);
        let public = public_key(&private);
        let address = address_of(&public);
        Self {
            private,
            public,
            address,
        }
    }

    /// The private key.
    #[must_use]
    pub const fn private(&self) -> &Secret {
        &self.private
    }

    /// The public key.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The mesh address of the public key. Not checked to begin with `0xfc`.
    #[must_use]
    pub const fn address(&self) -> &Address {
        &self.address
    }
}

/// X25519 of a private key and the base point.
#[must_use]
pub fn public_key(private: &Secret) -> PublicKey {
    x25519(*private.bytes(), x25519_dalek::X25519_BASEPOINT_BYTES)
}

/// X25519 of a private and a public key; `None` when the public key is a point of low order.
#[must_use]
pub fn shared_secret(private: &Secret, public: &PublicKey) -> Option<Secret> {
    let shared = Secret::new(x25519(*private.bytes(), *public));
    if shared == Secret::new([0; 32]) {
        return None;
    }
    Some(shared)
}

/// The address of a public key: SHA-512 of SHA-512, first 16 bytes (docs/protocol/01 "Identity").
#[must_use]
pub fn address_of(public: &PublicKey) -> Address {
    let digest = Sha512::digest(Sha512::digest(public));
    let mut address = Address::default();
    address.copy_from_slice(&digest[..16]);
    address
}

/// NaCl's "beforenm": HSalsa20 of the shared secret and zeros. `None` on a low-order point.
#[must_use]
pub fn boxkey(private: &Secret, public: &PublicKey) -> Option<Key> {
    Some(boxkey_of(&shared_secret(private, public)?))
}

/// `boxkey` when the shared secret is known already.
#[must_use]
pub fn boxkey_of(shared: &Secret) -> Key {
    super::secretbox::hsalsa20(shared, &[0; 16])
}

/// SHA-256 of the shared secret followed by the password hash. `None` on a low-order point.
#[must_use]
pub fn pwkey(private: &Secret, public: &PublicKey, password_hash: &Secret) -> Option<Key> {
    Some(pwkey_of(&shared_secret(private, public)?, password_hash))
}

/// `pwkey` when the shared secret is known already.
#[must_use]
pub fn pwkey_of(shared: &Secret, password_hash: &Secret) -> Key {
    let mut hash = Sha256::new();
    hash.update(shared.bytes());
    hash.update(password_hash.bytes());
    Secret::new(hash.finalize().into())
}
