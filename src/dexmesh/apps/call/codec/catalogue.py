"""Say which codecs there are on this machine, the best first, and make them.

Place     call/phone offers `formats()`; a seat calls `make`; `dexmesh phone status` shows `codecs()`
Spec      docs/apps/sip.md, "Media": Opus, G.722, PCMU, PCMA
Keeps     a missing library means a codec less, never an error; G.711 is always there
Not here  SDP (call/media/offer.py)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from dexmesh.apps.call.codec import g722, opus
from dexmesh.apps.call.codec.g711 import make_pcma, make_pcmu
from dexmesh.apps.call.codec.interface import Codec
from dexmesh.apps.call.media.formats import G722, OPUS, PCMA, PCMU, Format
from dexmesh.errors import UsageError
from dexmesh.values import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """A codec we know. `load` raises OSError where the library of Debian's `package` is missing."""

    format: Format
    make: Callable[[], Codec]
    load: Callable[[], object] | None = None
    package: str = ""

    @property
    def is_available(self) -> bool:
        """Whether this machine can speak it."""
        if self.load is None:
            return True
        try:
            self.load()
        except (OSError, AttributeError):  # not installed, or without the functions we call
            return False
        return True


@dataclass(frozen=True, slots=True)
class CodecState:
    """For people: `package` is what to install where a codec is not available; "" if nothing is needed."""

    name: str
    is_available: bool
    package: str


CATALOGUE: Final = (
    Entry(OPUS, opus.Opus, opus.load, "libopus0"),
    Entry(G722, g722.G722, g722.load, "libspandsp2"),
    Entry(PCMU, make_pcmu),
    Entry(PCMA, make_pcma),
)


def formats() -> tuple[Format, ...]:
    """What can be offered here, the best first."""
    return tuple(entry.format for entry in CATALOGUE if entry.is_available)


def codecs() -> tuple[CodecState, ...]:
    """Every codec we know, the best first."""
    return tuple(
        CodecState(entry.format.name, entry.is_available, entry.package) for entry in CATALOGUE
    )


def make(wanted: Format, opus_rate: int = opus.RTP_CLOCK) -> Codec:
    """A codec for one call; Opus alone can sample at more than one rate (`opus.SAMPLE_RATES`).

    Raises UsageError if this machine has none for that format.
    """
    entry = next((one for one in CATALOGUE if one.format == wanted and one.is_available), None)
    if entry is None:
        raise UsageError(f"no codec for {wanted.rtpmap} here")
    return opus.Opus(opus_rate) if wanted == OPUS else entry.make()
