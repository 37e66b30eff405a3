//! The engine without sockets and threads: packets in and out are bytes.
//!
//! Place     simulations, vectors and tests -> here -> rust/engine
//! Keeps     outputs come in the order they were made

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use dexmesh_engine::message::{Endpoint, InterfaceNumber};
use dexmesh_engine::{EngineOptions, HEADROOM, Sink};
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::convert::{Error, array, bytes, milliseconds, parse_endpoint};
use crate::plane::{DataPlane, Outlet};

/// A packet that left.
enum Output {
    Send(InterfaceNumber, Endpoint, Vec<u8>),
    Deliver(Vec<u8>),
}

/// Everything that left and was not taken yet.
#[derive(Default)]
struct Collector(Mutex<Vec<Output>>);

impl Outlet for Collector {
    fn with_sink(&self, act: &mut dyn FnMut(&mut dyn Sink)) {
        let mut outputs = Outputs(Vec::new());
        act(&mut outputs);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.append(&mut outputs.0);
    }
}

struct Outputs(Vec<Output>);

impl Sink for Outputs {
    fn send(
        &mut self,
        interface: InterfaceNumber,
        to: &Endpoint,
        arena: &mut [u8],
        packets: &[Range<usize>],
    ) {
        for packet in packets.iter().filter(|packet| !packet.is_empty()) {
            if let Some(data) = arena.get(packet.clone()) {
                self.0.push(Output::Send(interface, *to, data.to_vec()));
            }
        }
    }

    fn deliver(&mut self, arena: &mut [u8], packets: &[Range<usize>]) {
        for packet in packets {
            if let Some(data) = arena.get(packet.clone()) {
                self.0.push(Output::Deliver(data.to_vec()));
            }
        }
    }
}

/// The engine without sockets and threads.
#[pyclass(extends = DataPlane, frozen, module = "dexmesh.engine._native")]
pub struct Engine {
    collector: Arc<Collector>,
}

#[pymethods]
impl Engine {
    #[new]
    #[pyo3(signature = (private_key, seed, *, max_sessions=4096))]
    fn new(
        private_key: &[u8],
        seed: &[u8],
        max_sessions: usize,
    ) -> PyResult<PyClassInitializer<Self>> {
        let options = EngineOptions {
            max_sessions,
            ..EngineOptions::default()
        };
        let private_key = array(private_key, "a private key")?;
        let seed = array(seed, "a seed")?;
        let engine =
            dexmesh_engine::Engine::new(private_key, seed, options).map_err(Error::from)?;
        let collector = Arc::new(Collector::default());
        let plane = DataPlane {
            engine: Arc::new(engine),
            outlet: collector.clone(),
        };
        Ok(PyClassInitializer::from(plane).add_subclass(Self { collector }))
    }

    fn handle_datagram(
        slf: PyRef<'_, Self>,
        now: f64,
        interface: u32,
        endpoint: &str,
        data: &[u8],
    ) -> PyResult<()> {
        let from = parse_endpoint(endpoint)?;
        let mut arena = data.to_vec();
        let whole = 0..arena.len();
        let plane: &DataPlane = slf.as_super();
        slf.py().detach(|| {
            plane.outlet.with_sink(&mut |sink| {
                let engine = &plane.engine;
                engine.handle_datagrams(
                    milliseconds(now),
                    interface,
                    &from,
                    &mut arena,
                    std::slice::from_ref(&whole),
                    sink,
                );
            });
        });
        Ok(())
    }

    fn handle_tun(slf: PyRef<'_, Self>, now: f64, packets: Vec<Vec<u8>>) {
        let mut arena = Vec::new();
        let mut ranges = Vec::new();
        for packet in packets {
            arena.resize(arena.len() + HEADROOM, 0);
            ranges.push(arena.len()..arena.len() + packet.len());
            arena.extend_from_slice(&packet);
        }
        let plane: &DataPlane = slf.as_super();
        slf.py().detach(|| {
            plane.outlet.with_sink(&mut |sink| {
                plane
                    .engine
                    .handle_tun(milliseconds(now), &mut arena, &ranges, sink);
            });
        });
    }

    fn take_outputs<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        let mut all = self
            .collector
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.drain(..)
            .map(|output| match output {
                Output::Send(interface, to, data) => PyTuple::new(
                    py,
                    [
                        "send".into_bound_py_any(py)?,
                        interface.into_bound_py_any(py)?,
                        to.to_string().into_bound_py_any(py)?,
                        bytes(py, &data).into_any(),
                    ],
                ),
                Output::Deliver(data) => PyTuple::new(
                    py,
                    [
                        "deliver".into_bound_py_any(py)?,
                        bytes(py, &data).into_any(),
                    ],
                ),
            })
            .collect()
    }
}
