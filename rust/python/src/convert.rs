//! Turn Python's numbers, texts and bytes into ours and back, and our errors into Python's.
//!
//! Place     every other file of this module -> here
//! Keeps     an endpoint is text like `192.0.2.1:5000` or `[2001:db8::1]:5000`; times are seconds

use dexmesh_engine::EngineError;
use dexmesh_engine::message::Endpoint;
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

/// The one error of this module.
pub enum Error {
    /// There is no engine with this key.
    Engine(EngineError),
    /// The operating system refused.
    Io(std::io::Error),
    /// An argument is not what it should be.
    Argument(String),
}

impl From<EngineError> for Error {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        match error {
            Error::Engine(error) => PyValueError::new_err(error.to_string()),
            Error::Io(error) => match error.raw_os_error() {
                Some(number) => PyOSError::new_err((number, error.to_string())),
                None => PyOSError::new_err(error.to_string()),
            },
            Error::Argument(text) => PyValueError::new_err(text),
        }
    }
}

/// Monotonic seconds as milliseconds.
pub fn milliseconds(now: f64) -> u64 {
    (now * 1000.0).max(0.0) as u64
}

/// Milliseconds as seconds; None for "never".
pub fn seconds(time_ms: u64) -> Option<f64> {
    (time_ms != 0).then_some(time_ms as f64 / 1000.0)
}

/// An endpoint from its text.
pub fn parse_endpoint(text: &str) -> Result<Endpoint, Error> {
    text.parse()
        .map_err(|_| Error::Argument(format!("not an endpoint: {text:?}")))
}

/// Exactly N bytes.
pub fn array<const N: usize>(bytes: &[u8], what: &str) -> Result<[u8; N], Error> {
    bytes
        .try_into()
        .map_err(|_| Error::Argument(format!("{what} must have {N} bytes, not {}", bytes.len())))
}

/// Bytes for Python.
pub fn bytes<'py>(py: Python<'py>, value: &[u8]) -> Bound<'py, PyBytes> {
    PyBytes::new(py, value)
}

/// A dictionary with text keys.
pub fn dictionary<'py, V: IntoPyObject<'py>>(
    py: Python<'py>,
    entries: impl IntoIterator<Item = (&'static str, V)>,
) -> PyResult<Bound<'py, PyDict>> {
    let dictionary = PyDict::new(py);
    for (name, value) in entries {
        dictionary.set_item(name, value)?;
    }
    Ok(dictionary)
}
