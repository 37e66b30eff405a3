//! One crypto session with scripted randomness, for the Python mirror and the vectors.
//!
//! Place     tests/mirror -> here -> rust/engine/src/cryptoauth
//! Keeps     by default it behaves as the reference does, weak points included

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dexmesh_engine::crypto::{LocalKeys, ScriptedRandom};
use dexmesh_engine::cryptoauth::{self, Credential, Layer, Settings, Strictness, Users};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::convert::{array, bytes, milliseconds};

type UserFields = (Option<Vec<u8>>, Vec<u8>, Option<Vec<u8>>);

/// The encrypted session with one key.
#[pyclass(frozen, module = "dexmesh.engine._native")]
pub struct CryptoAuth(Mutex<Inner>);

struct Inner {
    session: cryptoauth::CryptoAuth,
    users: Users,
    random_left: isize,
}

impl CryptoAuth {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl CryptoAuth {
    #[new]
    #[pyo3(signature = (private_key, her_key, require_auth, now, *, is_end_to_end=false, is_hardened=false))]
    fn new(
        private_key: &[u8],
        her_key: &[u8],
        require_auth: bool,
        now: f64,
        is_end_to_end: bool,
        is_hardened: bool,
    ) -> PyResult<Self> {
        let local = Arc::new(LocalKeys::new(array(private_key, "a private key")?));
        let settings = Settings {
            require_auth,
            layer: if is_end_to_end {
                Layer::EndToEnd
            } else {
                Layer::Link
            },
            strictness: if is_hardened {
                Strictness::Hardened
            } else {
                Strictness::Reference
            },
            ..Settings::default()
        };
        let her_key = array(her_key, "a public key")?;
        let session = cryptoauth::CryptoAuth::new(&local, her_key, settings, milliseconds(now));
        Ok(Self(Mutex::new(Inner {
            session,
            users: Users::new(),
            random_left: 0,
        })))
    }

    /// Whom we accept: login, password and the only address of each, in order.
    fn set_users(&self, users: Vec<UserFields>) -> PyResult<()> {
        let mut all = Users::new();
        for (login, password, only_address) in users {
            let only = only_address
                .map(|bytes| array(&bytes, "an address"))
                .transpose()?;
            let _ = all.add(login.as_deref(), &password, only);
        }
        self.inner().users = all;
        Ok(())
    }

    /// What we present; no password means nothing.
    #[pyo3(signature = (login, password))]
    fn set_credential(&self, login: Option<&[u8]>, password: Option<&[u8]>) {
        let credential = match (login, password) {
            (_, None) => None,
            (None, Some(password)) => Some(Credential::password(password)),
            (Some(login), Some(password)) => Some(Credential::login(login, password)),
        };
        self.inner().session.set_credential(credential);
    }

    /// The next packet with this payload, drawing from `random`; None when nothing can be sealed.
    fn seal<'py>(
        &self,
        py: Python<'py>,
        now: f64,
        payload: &[u8],
        random: &[u8],
    ) -> Option<Bound<'py, PyBytes>> {
        let mut script = ScriptedRandom::new(random);
        let mut inner = self.inner();
        let packet = inner.session.seal(milliseconds(now), &mut script, payload);
        inner.random_left = script.remaining().cast_signed() - script.missing().cast_signed();
        packet.map(|packet| bytes(py, &packet))
    }

    /// Open a packet: (0, payload), or (error number, None).
    fn open<'py>(
        &self,
        py: Python<'py>,
        now: f64,
        message: &[u8],
    ) -> (u32, Option<Bound<'py, PyBytes>>) {
        let mut packet = message.to_vec();
        let mut inner = self.inner();
        let Inner { session, users, .. } = &mut *inner;
        match session.open(milliseconds(now), users, &mut packet) {
            Ok(opened) => {
                let payload = packet.get(opened.range).unwrap_or_default();
                (0, Some(bytes(py, payload)))
            }
            Err(error) => (error.number(), None),
        }
    }

    /// Forget the handshake.
    fn reset(&self) {
        self.inner().session.reset();
    }

    /// State as cjdns reports it: 0 to 4, 100.
    #[getter]
    fn state(&self) -> u32 {
        self.inner().session.state().number()
    }

    /// State and next counter in one number.
    #[getter]
    fn next(&self) -> u32 {
        self.inner().session.next()
    }

    /// How many bytes of its `random` the last `seal` left; below zero: how many it lacked.
    #[getter]
    fn random_left(&self) -> isize {
        self.inner().random_left
    }

    /// Base and bits of the replay window.
    #[getter]
    fn replay_window(&self) -> (u32, u64) {
        let window = self.inner().session.replay_window();
        (window.base(), window.bits())
    }

    /// Login of whoever authenticated last.
    #[getter]
    fn user<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        let inner = self.inner();
        inner.session.user().map(|user| bytes(py, user.login()))
    }
}
