//! The Python module `dexmesh.engine._native`: PyO3 and nothing else.
//!
//! Place     src/dexmesh/engine/door.py and keys.py -> here -> rust/engine, rust/hostio;
//!           src/dexmesh/apps/call/native.py -> here -> rust/media, rust/hostio
//! Spec      docs/architecture.md §2; src/dexmesh/engine/_native.pyi has the same names and types
//! Keeps     the GIL is free while the node's packets are worked on; errors cross in one place (convert.rs)

mod call;
mod convert;
mod crypto_auth;
mod engine;
mod events;
mod plane;
mod runner;
mod sound;

use dexmesh_engine::crypto::{Secret, public_key};
use dexmesh_engine::drop::DropReason;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use convert::{array, bytes, dictionary};

/// The native data plane.
#[pymodule]
mod _native {
    #[pymodule_export]
    use super::call::{CallPort, Incoming, Outgoing, decode_rtp, encode_rtp};
    #[pymodule_export]
    use super::crypto_auth::CryptoAuth;
    #[pymodule_export]
    use super::engine::Engine;
    #[pymodule_export]
    use super::plane::DataPlane;
    #[pymodule_export]
    use super::runner::Runner;
    #[pymodule_export]
    use super::sound::{Concealment, G711, Law};
    #[pymodule_export]
    use super::{build_info, drop_reasons, public_key_of};
}

/// The public key of a 32-byte private key.
#[pyfunction]
fn public_key_of<'py>(py: Python<'py>, private_key: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let private = Secret::new(array(private_key, "a private key")?);
    Ok(bytes(py, &public_key(&private)))
}

/// Every drop reason and its number.
#[pyfunction]
fn drop_reasons(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let all = DropReason::ALL.iter();
    dictionary(py, all.map(|reason| (reason.name(), *reason as u8)))
}

/// Version and kind of this build.
#[pyfunction]
fn build_info(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let profile = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    dictionary(
        py,
        [
            ("version", env!("CARGO_PKG_VERSION")),
            ("profile", profile),
            ("architecture", std::env::consts::ARCH),
        ],
    )
}
