//! Find the user whose credential a handshake packet carries.
//!
//! Place     admin and configuration fill the list -> here -> handshake.rs asks it
//! Spec      docs/protocol/01, "Credentials"
//! Keeps     passwords are hashed on entry and never kept or printed; the first match in order of addition wins
//! Not here  which credential we present to whom (mesh/credentials.py)

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::crypto::{Address, Secret};

/// The eight bytes by which a credential is looked up: type, then seven bytes of hash.
pub(crate) type Lookup = [u8; 8];

/// What we present to a peer: a password, or a login with its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    lookup: Lookup,
    hash: Secret,
}

impl Credential {
    /// Authentication type 1: the password alone.
    #[must_use]
    pub fn password(password: &[u8]) -> Self {
        let hash = password_hash(password);
        Self {
            lookup: password_lookup(&hash),
            hash,
        }
    }

    /// Authentication type 2: looked up by login.
    #[must_use]
    pub fn login(login: &[u8], password: &[u8]) -> Self {
        Self {
            lookup: login_lookup(login),
            hash: password_hash(password),
        }
    }

    /// The lookup value as sent.
    #[must_use]
    pub const fn lookup(&self) -> &[u8; 8] {
        &self.lookup
    }

    /// The password hash that enters the keys.
    #[must_use]
    pub const fn hash(&self) -> &Secret {
        &self.hash
    }
}

/// Somebody who may connect.
#[derive(Debug, PartialEq, Eq)]
pub struct User {
    login: Vec<u8>,
    only_from: Option<Address>,
    by_password: Lookup,
    by_login: Lookup,
    hash: Secret,
}

impl User {
    /// The login; `Anon #N` for those who were given none.
    #[must_use]
    pub fn login(&self) -> &[u8] {
        &self.login
    }

    /// The only address this user may have, if bound to one.
    #[must_use]
    pub const fn only_from(&self) -> Option<&Address> {
        self.only_from.as_ref()
    }

    pub(crate) const fn hash(&self) -> &Secret {
        &self.hash
    }
}

/// Why a user was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserError {
    /// There is a user with this login and this password.
    Duplicate,
}

impl core::fmt::Display for UserError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("there is a user with this login and this password")
    }
}

impl std::error::Error for UserError {}

/// All who may connect, in the order they were added.
#[derive(Clone, Debug, Default)]
pub struct Users {
    list: Vec<Arc<User>>,
}

impl Users {
    /// An empty list.
    #[must_use]
    pub const fn new() -> Self {
        Self { list: Vec::new() }
    }

    /// Add a user at the end. Without login it is called `Anon #N`, N the number of users before it.
    ///
    /// # Errors
    /// [`UserError::Duplicate`] when both login and password are those of one user already there.
    pub fn add(
        &mut self,
        login: Option<&[u8]>,
        password: &[u8],
        only_from: Option<Address>,
    ) -> Result<Arc<User>, UserError> {
        let login = login.map_or_else(
            || format!("Anon #{}", self.list.len()).into_bytes(),
            <[u8]>::to_vec,
        );
        let hash = password_hash(password);
        let user = Arc::new(User {
            by_password: password_lookup(&hash),
            by_login: login_lookup(&login),
            login,
            only_from,
            hash,
        });
        if self
            .list
            .iter()
            .any(|other| other.login == user.login && other.hash == user.hash)
        {
            return Err(UserError::Duplicate);
        }
        self.list.push(Arc::clone(&user));
        Ok(user)
    }

    /// Remove every user with this login; says how many there were.
    pub fn remove(&mut self, login: &[u8]) -> usize {
        let before = self.list.len();
        self.list.retain(|user| user.login != login);
        before - self.list.len()
    }

    /// All users in order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<User>> {
        self.list.iter()
    }

    /// The first user whose lookup value this is.
    #[must_use]
    pub fn find(&self, lookup: &[u8; 8]) -> Option<&Arc<User>> {
        match lookup[0] {
            1 => self.list.iter().find(|user| user.by_password == *lookup),
            2 => self.list.iter().find(|user| user.by_login == *lookup),
            _ => None,
        }
    }
}

fn password_hash(password: &[u8]) -> Secret {
    Secret::new(Sha256::digest(password).into())
}

fn password_lookup(hash: &Secret) -> Lookup {
    lookup_of(1, hash.bytes())
}

fn login_lookup(login: &[u8]) -> Lookup {
    lookup_of(2, login)
}

fn lookup_of(kind: u8, data: &[u8]) -> Lookup {
    let digest = Sha256::digest(data);
    let mut lookup = Lookup::default();
    lookup.copy_from_slice(&digest[..8]);
    lookup[0] = kind;
    lookup
}
