//! G.711, and the filling of gaps.
//!
//! Place     src/dexmesh/apps/call/codec/g711.py and g722.py -> here -> rust/media
//! Keeps     sound is signed 16 bit, little endian, mono; half a sample at the end is dropped

use dexmesh_media::concealment;
use dexmesh_media::g711;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

pyo3::import_exception!(dexmesh.errors, UsageError);

const RATE: u32 = 8_000;
const FRAME_SAMPLES: usize = 160;
const MAX_PAYLOAD_BYTES: usize = 960; // 120 ms (codec/interface.py)

/// One of the two laws.
#[pyclass(frozen, module = "dexmesh.engine._native")]
pub struct Law(g711::Law);

#[pymethods]
impl Law {
    #[new]
    fn new(name: &str) -> PyResult<Self> {
        law_of(name).map(Self)
    }

    /// One byte for each sample.
    fn encode<'py>(&self, py: Python<'py>, pcm: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        encoded(py, self.0, pcm)
    }

    /// One sample for each byte.
    fn decode<'py>(&self, py: Python<'py>, payload: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        sound(
            py,
            payload.len(),
            payload.iter().map(|&code| self.0.decode(code)),
        )
    }
}

/// One stream of PCMU or PCMA.
#[pyclass(subclass, module = "dexmesh.engine._native")]
pub struct G711 {
    law: g711::Law,
    concealment: concealment::Concealment,
    #[pyo3(get)]
    damaged: u64,
}

#[pymethods]
impl G711 {
    #[new]
    fn new(name: &str) -> PyResult<Self> {
        Ok(Self {
            law: law_of(name)?,
            concealment: concealment::Concealment::new(RATE),
            damaged: 0,
        })
    }

    /// 160 bytes.
    fn encode<'py>(&self, py: Python<'py>, pcm: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        if pcm.len() != 2 * FRAME_SAMPLES {
            let samples = pcm.len() as f64 / 2.0;
            let text = format!("a frame has {FRAME_SAMPLES} samples, not {samples}");
            return Err(UsageError::new_err(text));
        }
        encoded(py, self.law, pcm)
    }

    /// A sample for each byte.
    fn decode<'py>(&mut self, py: Python<'py>, payload: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let mut room = [0; MAX_PAYLOAD_BYTES];
        let Some(samples) = room
            .get_mut(..payload.len())
            .filter(|some| !some.is_empty())
        else {
            self.damaged += 1;
            return self.conceal(py);
        };
        for (sample, &code) in samples.iter_mut().zip(payload) {
            *sample = self.law.decode(code);
        }
        self.concealment.heard(samples);
        sound(py, samples.len(), samples.iter().copied())
    }

    /// The last pitch period again.
    fn conceal<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let filling = self.concealment.lost();
        sound(py, filling.len(), filling.into_iter())
    }

    /// As `conceal`: G.711 says nothing twice.
    fn decode_fec<'py>(
        &mut self,
        py: Python<'py>,
        next_payload: &[u8],
    ) -> PyResult<Bound<'py, PyBytes>> {
        let _ = next_payload;
        self.conceal(py)
    }
}

/// The memory of one decoder.
#[pyclass(module = "dexmesh.engine._native")]
pub struct Concealment(concealment::Concealment);

#[pymethods]
impl Concealment {
    #[new]
    fn new(sample_rate: u32) -> Self {
        Self(concealment::Concealment::new(sample_rate))
    }

    /// Remember a decoded frame; after a loss its beginning is blended with the filling.
    fn heard<'py>(&mut self, py: Python<'py>, pcm: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let mut samples: Vec<i16> = samples_of(pcm).collect();
        self.0.heard(&mut samples);
        sound(py, samples.len(), samples.into_iter())
    }

    /// 20 ms of filling.
    fn lost<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let filling = self.0.lost();
        sound(py, filling.len(), filling.into_iter())
    }
}

fn law_of(name: &str) -> PyResult<g711::Law> {
    match name {
        "PCMU" => Ok(g711::Law::Mu),
        "PCMA" => Ok(g711::Law::A),
        _ => Err(PyValueError::new_err(format!("no such law: {name:?}"))),
    }
}

fn encoded<'py>(py: Python<'py>, law: g711::Law, pcm: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    PyBytes::new_with(py, pcm.len() / 2, |into| {
        for (code, sample) in into.iter_mut().zip(samples_of(pcm)) {
            *code = law.encode(sample);
        }
        Ok(())
    })
}

fn samples_of(pcm: &[u8]) -> impl Iterator<Item = i16> {
    let (pairs, _) = pcm.as_chunks::<2>();
    pairs.iter().map(|&pair| i16::from_le_bytes(pair))
}

fn sound<'py>(
    py: Python<'py>,
    count: usize,
    samples: impl Iterator<Item = i16>,
) -> PyResult<Bound<'py, PyBytes>> {
    PyBytes::new_with(py, 2 * count, |into| {
        let (pairs, _) = into.as_chunks_mut::<2>();
        for (pair, sample) in pairs.iter_mut().zip(samples) {
            *pair = sample.to_le_bytes();
        }
        Ok(())
    })
}
