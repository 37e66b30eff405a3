//! Turn events and stats into tuples: the name of the dataclass, then its fields in order.
//!
//! Place     plane.rs -> here -> src/dexmesh/engine/door.py makes dataclasses of them
//! Spec      src/dexmesh/engine/messages.py

use dexmesh_engine::message::{Event, PeerStats, SessionStats};
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::convert::{bytes, seconds};

macro_rules! tuple {
    ($py:expr, $($field:expr),+ $(,)?) => {
        PyTuple::new($py, [$($field.into_bound_py_any($py)?,)+])
    };
}

/// An event.
pub fn event_tuple(py: Python<'_>, event: Event) -> PyResult<Bound<'_, PyTuple>> {
    match event {
        Event::PeerAdded {
            peer,
            slot,
            interface,
            endpoint,
            key,
            is_incoming,
            user,
        } => {
            let (endpoint, key) = (endpoint.to_string(), bytes(py, &key));
            tuple!(
                py,
                "PeerAdded",
                peer,
                slot,
                interface,
                endpoint,
                key,
                is_incoming,
                user
            )
        }
        Event::PeerRefused {
            interface,
            endpoint,
            reason,
        } => tuple!(py, "PeerRefused", interface, endpoint.to_string(), reason),
        Event::PeerRemoved { peer, reason } => tuple!(py, "PeerRemoved", peer, reason),
        Event::LinkStateChanged {
            peer,
            old_state,
            state,
        } => tuple!(py, "LinkStateChanged", peer, old_state, state),
        Event::LinkHandshake { peer } => tuple!(py, "LinkHandshake", peer),
        Event::ControlFrame { label, frame } => {
            tuple!(py, "ControlFrame", label, bytes(py, &frame))
        }
        Event::RouteNeeded { address, reason } => {
            tuple!(py, "RouteNeeded", bytes(py, &address), reason)
        }
        Event::RoutingMessage {
            address,
            key,
            label,
            content,
        } => {
            let (address, key, content) =
                (bytes(py, &address), bytes(py, &key), bytes(py, &content));
            tuple!(py, "RoutingMessage", address, key, label, content)
        }
        Event::SessionAdded {
            address,
            key,
            handle,
            label,
            is_incoming,
        } => {
            let (address, key) = (bytes(py, &address), bytes(py, &key));
            tuple!(py, "SessionAdded", address, key, handle, label, is_incoming)
        }
        Event::SessionStateChanged {
            address,
            old_state,
            state,
            label,
        } => {
            let address = bytes(py, &address);
            tuple!(py, "SessionStateChanged", address, old_state, state, label)
        }
        Event::SessionRemoved { address, reason } => {
            tuple!(py, "SessionRemoved", bytes(py, &address), reason)
        }
    }
}

/// The stats of a peer.
pub fn peer_tuple<'py>(py: Python<'py>, stats: &PeerStats) -> PyResult<Bound<'py, PyTuple>> {
    tuple!(
        py,
        stats.peer,
        stats.state,
        seconds(stats.last_in_ms),
        stats.bytes_in,
        stats.bytes_out,
        stats.packets_in,
        stats.packets_out,
        stats.duplicates,
        stats.lost,
        stats.out_of_range,
        stats.dropped,
    )
}

/// The stats of a session.
pub fn session_tuple<'py>(py: Python<'py>, stats: &SessionStats) -> PyResult<Bound<'py, PyTuple>> {
    tuple!(
        py,
        bytes(py, &stats.address),
        bytes(py, &stats.key),
        stats.state,
        stats.handle,
        stats.send_handle,
        stats.version,
        stats.send_label,
        stats.receive_label,
        seconds(stats.last_in_ms),
        seconds(stats.last_out_ms),
        seconds(stats.last_user_in_ms),
        seconds(stats.last_user_out_ms),
        stats.bytes_in,
        stats.bytes_out,
        stats.packets_in,
        stats.packets_out,
        stats.duplicates,
        stats.lost,
        stats.out_of_range,
    )
}
