//! The packets of a call: taken in, numbered, received and sent.
//!
//! Place     src/dexmesh/apps/call/native.py -> here -> rust/media, rust/hostio/src/call_socket.rs
//! Spec      docs/decisions/0015-media-in-rust.md
//! Keeps     the GIL is held: nothing here waits, and to get it back in a busy process may take milliseconds

use dexmesh_hostio::call_socket::CallSocket;
use dexmesh_hostio::sys::duplicate;
use dexmesh_media::jitter::{Change, Gap};
use dexmesh_media::rtp::{self, HEADER_BYTES, Packet};
use dexmesh_media::{self as media, Outcome};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};

use crate::convert::{Error, array, bytes, dictionary};

/// Payload type, marker, sequence, timestamp, SSRC, payload.
type PacketFields<'py> = (u8, bool, u16, u32, u32, Bound<'py, PyBytes>);
/// SSRC, fraction and number lost, highest sequence, jitter, last report, delay since.
type BlockFields = (u32, u8, i32, u32, u32, u32, u32);
/// Whether it is RTCP, its bytes, and when it came.
type Arrival<'py> = (bool, Bound<'py, PyBytes>, f64);

/// The incoming half of a call's RTP: statistics and jitter buffer of one source.
#[pyclass(module = "dexmesh.engine._native")]
pub struct Incoming(media::Incoming);

#[pymethods]
impl Incoming {
    #[new]
    fn new(clock: u32, now: f64) -> PyResult<Self> {
        Ok(Self(media::Incoming::new(a_clock(clock)?, now)))
    }

    /// What was agreed from now on; no source is believed.
    fn agree(
        &mut self,
        clock: u32,
        sound: &[u8],
        events: &[u8],
        is_listening: bool,
    ) -> PyResult<()> {
        self.0.agree(a_clock(clock)?, sound, events, is_listening);
        Ok(())
    }

    /// Believe in this source from now on.
    fn begin(&mut self, ssrc: u32) {
        self.0.begin(ssrc);
    }

    /// Take in a datagram: None, the name of the reason why it is dropped, or the packet to decide about.
    fn handle<'py>(
        &mut self,
        py: Python<'py>,
        data: &[u8],
        now: f64,
    ) -> PyResult<Bound<'py, PyAny>> {
        match self.0.handle(data, now) {
            Outcome::Taken => Ok(py.None().into_bound(py)),
            Outcome::Dropped(reason) => Ok(name(py, reason.name())),
            Outcome::Newcomer(packet) | Outcome::Event(packet) => {
                Ok(fields(py, &packet).into_pyobject(py)?.into_any())
            }
        }
    }

    /// -1 to play two frames as one, +1 to play one made up, else 0.
    fn adjust(&mut self, now: f64) -> i8 {
        match self.0.buffer_mut().adjust(now) {
            Change::Shorten => -1,
            Change::None => 0,
            Change::Stretch => 1,
        }
    }

    /// The payload that is due, or why there is none.
    fn take<'py>(&mut self, py: Python<'py>) -> Bound<'py, PyAny> {
        let gap = match self.0.buffer_mut().take() {
            Ok(payload) => return bytes(py, &payload).into_any(),
            Err(gap) => gap,
        };
        let text = match gap {
            Gap::BeforeStart => "before start",
            Gap::Empty => "empty",
            Gap::Lost => "lost",
            Gap::Pause => "pause",
        };
        name(py, text)
    }

    fn advance(&mut self, units: i64) {
        self.0.buffer_mut().advance(units);
    }

    fn successor<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        let payload = self.0.buffer().successor()?;
        Some(bytes(py, payload))
    }

    fn handle_sender_report(&mut self, ntp: u64, now: f64) {
        if let Some(reception) = self.0.reception_mut() {
            reception.handle_sender_report(ntp, now);
        }
    }

    /// What is to be reported of the believed source; None without one.
    fn report_block(&mut self, now: f64) -> Option<BlockFields> {
        let block = self.0.reception_mut()?.report_block(now);
        Some((
            block.ssrc,
            block.fraction_lost,
            block.cumulative_lost,
            block.highest_sequence,
            block.jitter,
            block.last_report,
            block.delay_since,
        ))
    }

    /// How many were dropped by `CallPort.receive`, by the name of the reason.
    fn drops<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let drops = self.0.drops();
        dictionary(py, drops.map(|(reason, count)| (reason.name(), count)))
    }

    #[getter]
    fn ssrc(&self) -> Option<u32> {
        self.0.ssrc()
    }

    #[getter]
    fn heard_at(&self) -> f64 {
        self.0.heard_at
    }

    #[getter]
    fn source_heard_at(&self) -> Option<f64> {
        self.0.source_heard_at
    }

    #[getter]
    fn known(&self) -> u64 {
        self.0.known
    }

    #[getter]
    fn received(&self) -> i64 {
        self.0.received()
    }

    #[getter]
    fn lost(&self) -> i64 {
        self.0.lost()
    }

    #[getter]
    fn too_late(&self) -> u64 {
        self.0.too_late
    }

    #[getter]
    fn thrown_away(&self) -> u64 {
        self.0.thrown_away()
    }

    #[getter]
    fn delay_ms(&self) -> f64 {
        self.0.buffer().delay_ms()
    }

    #[getter]
    fn jitter_ms(&self) -> f64 {
        self.0.reception().map_or(0.0, |one| one.jitter_ms())
    }
}

/// One source of ours.
#[pyclass(module = "dexmesh.engine._native")]
pub struct Outgoing(media::Outgoing);

#[pymethods]
impl Outgoing {
    #[new]
    fn new(ssrc: u32, sequence: u16, timestamp: u32) -> Self {
        Self(media::Outgoing::new(ssrc, sequence, timestamp))
    }

    /// Time goes on; the timestamp before.
    fn advance(&mut self, units: u32) -> u32 {
        self.0.advance(units)
    }

    /// The next packet.
    fn packet<'py>(
        &mut self,
        py: Python<'py>,
        payload_type: u8,
        is_marked: bool,
        timestamp: u32,
        payload: &[u8],
    ) -> PyResult<Bound<'py, PyBytes>> {
        let packet = self.0.packet(payload_type, is_marked, timestamp, payload);
        encoded(py, &packet)
    }

    #[getter]
    fn ssrc(&self) -> u32 {
        self.0.ssrc
    }

    #[getter]
    fn timestamp(&self) -> u32 {
        self.0.timestamp
    }

    #[getter]
    fn packets(&self) -> u64 {
        self.0.packets
    }

    #[getter]
    fn octets(&self) -> u64 {
        self.0.octets
    }
}

/// The two ports of a call, as duplicates of bound sockets.
#[pyclass(module = "dexmesh.engine._native")]
pub struct CallPort {
    pair: Option<Pair>,
    counts: (u64, u64),
}

struct Pair {
    rtp: CallSocket,
    rtcp: CallSocket,
}

impl CallPort {
    /// Packets of others, and that did not leave.
    fn counts(&self) -> (u64, u64) {
        self.pair
            .as_ref()
            .map_or(self.counts, |Pair { rtp, rtcp }| {
                (rtp.strangers + rtcp.strangers, rtp.unsent + rtcp.unsent)
            })
    }
}

#[pymethods]
impl CallPort {
    #[new]
    fn new(rtp: i32, rtcp: i32) -> PyResult<Self> {
        let open = |fd| duplicate(fd).map(CallSocket::new).map_err(Error::from);
        let (rtp, rtcp) = (open(rtp)?, open(rtcp)?);
        Ok(Self {
            pair: Some(Pair { rtp, rtcp }),
            counts: (0, 0),
        })
    }

    /// Send to this peer from now on, and hear nobody else; port 0: there is none.
    fn connect(&mut self, remote: &[u8], rtp_port: u16, rtcp_port: u16) -> PyResult<()> {
        let remote = array(remote, "an address")?;
        if let Some(pair) = &mut self.pair {
            pair.rtp.connect(remote, rtp_port);
            pair.rtcp.connect(remote, rtcp_port);
        }
        Ok(())
    }

    /// Let the sound that waits in; what else the peer sent is given back, and all behind it, in order.
    fn receive<'py>(
        &mut self,
        py: Python<'py>,
        incoming: &mut Incoming,
        now: f64,
        has_reports: bool,
    ) -> Vec<Arrival<'py>> {
        let mut others = Vec::new();
        let Some(pair) = &mut self.pair else {
            return others;
        };
        pair.rtp.receive(|packet, age_s| {
            let came_at = now - age_s;
            if !others.is_empty() || !incoming.0.handle_plain(packet, came_at) {
                others.push((false, bytes(py, packet), came_at));
            }
        });
        if has_reports {
            pair.rtcp
                .receive(|packet, age_s| others.push((true, bytes(py, packet), now - age_s)));
        }
        others
    }

    fn send_rtp(&mut self, packet: &[u8]) {
        if let Some(pair) = &mut self.pair {
            pair.rtp.send(packet);
        }
    }

    fn send_rtcp(&mut self, packet: &[u8]) {
        if let Some(pair) = &mut self.pair {
            pair.rtcp.send(packet);
        }
    }

    /// Forget what waits.
    fn drain(&mut self) {
        if let Some(pair) = &mut self.pair {
            pair.rtp.drain();
            pair.rtcp.drain();
        }
    }

    /// Give the ports back; the counts stay.
    fn close(&mut self) {
        self.counts = self.counts();
        self.pair = None;
    }

    #[getter]
    fn strangers(&self) -> u64 {
        self.counts().0
    }

    #[getter]
    fn unsent(&self) -> u64 {
        self.counts().1
    }
}

/// The packet in a datagram, or the name of the reason why there is none.
#[pyfunction]
pub fn decode_rtp<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    match rtp::decode(data) {
        Ok(packet) => Ok(fields(py, &packet).into_pyobject(py)?.into_any()),
        Err(reason) => Ok(name(py, reason.name())),
    }
}

/// A datagram.
#[pyfunction]
pub fn encode_rtp<'py>(
    py: Python<'py>,
    payload_type: u8,
    is_marked: bool,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    payload: &[u8],
) -> PyResult<Bound<'py, PyBytes>> {
    let packet = Packet {
        payload_type,
        is_marked,
        sequence,
        timestamp,
        ssrc,
        payload,
    };
    encoded(py, &packet)
}

fn encoded<'py>(py: Python<'py>, packet: &Packet<'_>) -> PyResult<Bound<'py, PyBytes>> {
    PyBytes::new_with(py, HEADER_BYTES + packet.payload.len(), |into| {
        rtp::encode_into(packet, into);
        Ok(())
    })
}

fn fields<'py>(py: Python<'py>, packet: &Packet<'_>) -> PacketFields<'py> {
    (
        packet.payload_type,
        packet.is_marked,
        packet.sequence,
        packet.timestamp,
        packet.ssrc,
        bytes(py, packet.payload),
    )
}

fn name<'py>(py: Python<'py>, text: &str) -> Bound<'py, PyAny> {
    PyString::intern(py, text).into_any()
}

/// Clocks of which 20 ms are whole units.
fn a_clock(clock: u32) -> PyResult<u32> {
    if clock >= 50 {
        return Ok(clock);
    }
    Err(PyValueError::new_err(format!(
        "not the clock of sound: {clock} Hz"
    )))
}
