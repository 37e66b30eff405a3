//! The commands and questions that the sans-IO engine and the runner share.
//!
//! Place     src/dexmesh/engine/door.py -> here -> rust/engine; what a command sends leaves by the [`Outlet`]
//! Spec      src/dexmesh/engine/messages.py: one method a command, the same fields in the same order

use std::sync::Arc;

use dexmesh_engine::cryptoauth::Credential;
use dexmesh_engine::{Engine, Sink};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::convert::{array, dictionary, milliseconds, parse_endpoint};
use crate::events::{event_tuple, peer_tuple, session_tuple};

/// Where packets go that a command sends.
pub trait Outlet: Send + Sync {
    /// Do something that sends.
    fn with_sink(&self, act: &mut dyn FnMut(&mut dyn Sink));
}

/// Commands and questions; base of `Engine` and `Runner`.
#[pyclass(subclass, frozen, module = "dexmesh.engine._native")]
pub struct DataPlane {
    pub engine: Arc<Engine>,
    pub outlet: Arc<dyn Outlet>,
}

impl DataPlane {
    fn send(&self, py: Python<'_>, act: impl Fn(&Engine, &mut dyn Sink) + Sync) {
        py.detach(|| self.outlet.with_sink(&mut |sink| act(&self.engine, sink)));
    }
}

#[pymethods]
impl DataPlane {
    fn add_interface(&self, interface: u32, is_ipv6: bool) {
        self.engine.add_interface(interface, is_ipv6);
    }

    fn remove_interface(&self, interface: u32) {
        self.engine.remove_interface(interface);
    }

    #[pyo3(signature = (login, password, only_address=None))]
    fn add_user(
        &self,
        login: Option<&str>,
        password: &[u8],
        only_address: Option<&[u8]>,
    ) -> PyResult<()> {
        let only = only_address
            .map(|bytes| array(bytes, "an address"))
            .transpose()?;
        self.engine
            .add_user(login.map(str::as_bytes), password, only);
        Ok(())
    }

    fn remove_user(&self, login: &str) {
        self.engine.remove_user(login.as_bytes());
    }

    #[pyo3(signature = (now, interface, endpoint, key, password, login=None))]
    fn add_peer(
        &self,
        now: f64,
        interface: u32,
        endpoint: &str,
        key: &[u8],
        password: &[u8],
        login: Option<&str>,
    ) -> PyResult<()> {
        let place = parse_endpoint(endpoint)?;
        let key = array(key, "a public key")?;
        let credential = match login {
            Some(login) => Some(Credential::login(login.as_bytes(), password)),
            None if password.is_empty() => None,
            None => Some(Credential::password(password)),
        };
        self.engine
            .add_peer(milliseconds(now), interface, &place, key, credential);
        Ok(())
    }

    fn remove_peer(&self, peer: u64) {
        self.engine.remove_peer(peer);
    }

    fn reset_peer(&self, peer: u64) {
        self.engine.reset_peer(peer);
    }

    fn set_peer_up(&self, peer: u64, is_up: bool) {
        self.engine.set_peer_up(peer, is_up);
    }

    fn send_control(&self, py: Python<'_>, now: f64, label: u64, frame: &[u8]) {
        let now_ms = milliseconds(now);
        self.send(py, |engine, sink| {
            engine.send_control(now_ms, label, frame, sink);
        });
    }

    #[allow(clippy::too_many_arguments)] // the fields of the command
    fn send_inner(
        &self,
        py: Python<'_>,
        now: f64,
        key: &[u8],
        version: u32,
        label: u64,
        content_type: u16,
        content: &[u8],
    ) -> PyResult<()> {
        let (now_ms, key) = (milliseconds(now), array(key, "a public key")?);
        self.send(py, |engine, sink| {
            engine.send_inner(now_ms, &key, version, label, content_type, content, sink);
        });
        Ok(())
    }

    fn set_route(
        &self,
        py: Python<'_>,
        now: f64,
        key: &[u8],
        version: u32,
        label: u64,
    ) -> PyResult<()> {
        let (now_ms, key) = (milliseconds(now), array(key, "a public key")?);
        self.send(py, |engine, sink| {
            engine.set_route(now_ms, &key, version, label, sink);
        });
        Ok(())
    }

    fn reset_session(&self, address: &[u8]) -> PyResult<()> {
        self.engine.reset_session(&array(address, "an address")?);
        Ok(())
    }

    fn remove_session(&self, address: &[u8]) -> PyResult<()> {
        self.engine.remove_session(&array(address, "an address")?);
        Ok(())
    }

    fn drop_parked(&self, py: Python<'_>, now: f64, address: &[u8]) -> PyResult<()> {
        let (now_ms, address) = (milliseconds(now), array(address, "an address")?);
        self.send(py, |engine, sink| {
            engine.drop_parked(now_ms, &address, sink);
        });
        Ok(())
    }

    fn tick(&self, py: Python<'_>, now: f64) {
        let now_ms = milliseconds(now);
        self.send(py, |engine, sink| engine.tick(now_ms, sink));
    }

    fn take_events<'py>(&self, py: Python<'py>, most: usize) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        let events = self.engine.take_events(most);
        events
            .into_iter()
            .map(|event| event_tuple(py, event))
            .collect()
    }

    fn peer_stats<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        let stats = self.engine.peer_stats();
        stats.iter().map(|stats| peer_tuple(py, stats)).collect()
    }

    fn session_stats<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        let stats = self.engine.session_stats();
        stats.iter().map(|stats| session_tuple(py, stats)).collect()
    }

    fn drop_counts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counts = self.engine.drop_counts().into_iter();
        dictionary(py, counts.map(|(reason, packets)| (reason.name(), packets)))
    }
}
