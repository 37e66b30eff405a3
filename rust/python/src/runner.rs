//! The engine with threads, sockets and the TUN.
//!
//! Place     src/dexmesh/host -> here -> rust/hostio
//! Keeps     descriptors stay Python's: the runner works with duplicates and closes only those

use std::sync::Arc;

use dexmesh_engine::{EngineOptions, Sink};
use dexmesh_hostio::environment::{crypto_kernel, udp_rungs};
use dexmesh_hostio::plane::PacketEngine;
use dexmesh_hostio::sys::duplicate;
use dexmesh_hostio::tun::TunMode;
use dexmesh_hostio::{Fault, Runner as HostRunner};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::convert::{Error, array, dictionary};
use crate::plane::{DataPlane, Outlet};

impl Outlet for HostRunner {
    fn with_sink(&self, act: &mut dyn FnMut(&mut dyn Sink)) {
        HostRunner::with_sink(self, |sink| act(sink));
    }
}

/// The engine with threads, sockets and the TUN.
#[pyclass(extends = DataPlane, frozen, module = "dexmesh.engine._native")]
pub struct Runner {
    host: Arc<HostRunner>,
}

#[pymethods]
impl Runner {
    #[new]
    #[pyo3(signature = (private_key, seed, *, max_sessions=4096))]
    fn new(
        private_key: &[u8],
        seed: &[u8],
        max_sessions: usize,
    ) -> PyResult<PyClassInitializer<Self>> {
        let options = EngineOptions {
            max_sessions,
            kernel: crypto_kernel(),
        };
        let private_key = array(private_key, "a private key")?;
        let seed = array(seed, "a seed")?;
        let engine =
            dexmesh_engine::Engine::new(private_key, seed, options).map_err(Error::from)?;
        let engine = Arc::new(engine);
        let packets: Arc<dyn PacketEngine> = engine.clone();
        let host = Arc::new(HostRunner::new(packets, udp_rungs()).map_err(Error::from)?);
        let plane = DataPlane {
            engine,
            outlet: host.clone(),
        };
        Ok(PyClassInitializer::from(plane).add_subclass(Self { host }))
    }

    fn attach_udp(&self, py: Python<'_>, interface: u32, fd: i32) -> PyResult<()> {
        py.detach(|| self.host.attach_udp(interface, duplicate(fd)?))
            .map_err(Error::from)?;
        Ok(())
    }

    fn detach_udp(&self, py: Python<'_>, interface: u32) -> bool {
        py.detach(|| self.host.detach_udp(interface))
    }

    fn attach_tun(&self, py: Python<'_>, fd: i32, mode: u8) -> PyResult<()> {
        let mode = match mode {
            0 => TunMode::Plain,
            1 => TunMode::Tso,
            2 => TunMode::Uso,
            _ => return Err(Error::Argument(format!("no such TUN mode: {mode}")).into()),
        };
        py.detach(|| self.host.attach_tun(duplicate(fd)?, mode))
            .map_err(Error::from)?;
        Ok(())
    }

    fn detach_tun(&self, py: Python<'_>) -> bool {
        py.detach(|| self.host.detach_tun())
    }

    fn give_up_rights(&self, py: Python<'_>) {
        py.detach(|| self.host.give_up_rights());
    }

    fn event_fd(&self) -> i32 {
        self.host.event_fd()
    }

    fn clear_event_fd(&self) {
        self.host.clear_event_fd();
    }

    /// What broke since the last call: kind, interface if there is one, reason.
    fn take_faults(&self, py: Python<'_>) -> Vec<(&'static str, Option<u32>, String)> {
        let faults = py.detach(|| self.host.take_faults());
        faults
            .into_iter()
            .map(|fault| match fault {
                Fault::TunGone(why) => ("tun gone", None, why),
                Fault::SocketBroken(interface, why) => ("socket broken", Some(interface), why),
                Fault::ThreadEnded(name) => ("thread ended", None, name.to_owned()),
            })
            .collect()
    }

    /// Rungs in use: `tun` is off, tso, uso or None; `sockets` maps interfaces to (gso, gro).
    fn capabilities<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let now = self.host.capabilities();
        let sockets = PyDict::new(py);
        for (interface, rungs) in now.sockets {
            sockets.set_item(interface, (rungs.gso, rungs.gro))?;
        }
        let all = PyDict::new(py);
        all.set_item("tun", now.tun.map(TunMode::name))?;
        all.set_item("sockets", sockets)?;
        Ok(all)
    }

    fn io_stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        dictionary(py, self.host.io_stats().entries())
    }

    fn stop(&self, py: Python<'_>) {
        py.detach(|| self.host.stop());
    }
}
