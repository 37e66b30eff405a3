"""Code sound as G.711 does: one byte a sample, 8000 a second; PCMU (mu-law) and PCMA (A-law).

Place     call/media -> here -> rust/media (g711.rs, concealment.rs)
Spec      ITU-T G.711
Keeps     no library is needed; an object is all Rust but for what it says of itself
"""

from __future__ import annotations

from dexmesh.apps.call import native
from dexmesh.apps.call.codec.interface import FRAME_MS

SAMPLE_RATE = 8000
FRAME_SAMPLES = SAMPLE_RATE * FRAME_MS // 1000

MU_LAW = native.Law("PCMU")
A_LAW = native.Law("PCMA")


class _Pcmu(native.G711):
    name = "PCMU"
    rtp_clock = SAMPLE_RATE
    sample_rate = SAMPLE_RATE
    frame_samples = FRAME_SAMPLES


class _Pcma(_Pcmu):
    name = "PCMA"


def make_pcmu() -> _Pcmu:
    """Mu-law: what every SIP phone speaks."""
    return _Pcmu("PCMU")


def make_pcma() -> _Pcma:
    """A-law."""
    return _Pcma("PCMA")
