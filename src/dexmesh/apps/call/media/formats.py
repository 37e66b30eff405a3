"""Name the codecs as SDP and RTP know them: encoding name, clock, payload type.

Place     offer.py, session.py and call/codec name a codec by one of these values
Spec      docs/apps/sip.md §3 Media (which, and in which order); RFC 3551 §6, RFC 7587 §7, RFC 4733 §2
Not here  encoding and decoding sound (call/codec)
"""

from __future__ import annotations

from typing import Final

from dexmesh.values import dataclass


@dataclass(frozen=True, slots=True)
class Format:
    """What may stand behind a payload type.

    `name` is compared without case, `clock` is the RTP clock in Hz (not the rate of sampling: G.722
    has 8000), `channels` is what rtpmap says (Opus always 2), `payload_type` is the one we offer,
    `parameters` is our fmtp value, "" for none.
    """

    name: str
    clock: int
    payload_type: int
    channels: int = 1
    parameters: str = ""

    @property
    def rtpmap(self) -> str:
        """`PCMU/8000`, `opus/48000/2`."""
        base = f"{self.name}/{self.clock}"
        return base if self.channels == 1 else f"{base}/{self.channels}"


OPUS: Final = Format("opus", 48_000, 96, 2, "useinbandfec=1")
G722: Final = Format(
    "G722", 8_000, 9
)  # RFC 3551 §4.5.2: 8000, by an old mistake that is now the rule
PCMU: Final = Format("PCMU", 8_000, 0)
PCMA: Final = Format("PCMA", 8_000, 8)
EVENTS_8000: Final = Format("telephone-event", 8_000, 101, 1, "0-15")
EVENTS_48000: Final = Format("telephone-event", 48_000, 100, 1, "0-15")

SOUND_FORMATS: Final = (OPUS, G722, PCMU, PCMA)
"""Every codec we know, the best first."""

EVENT_FORMATS: Final = (EVENTS_48000, EVENTS_8000)

STATIC_FORMATS: Final = {one.payload_type: one for one in (PCMU, PCMA, G722)}
"""Payload types that need no rtpmap (RFC 3551 §6)."""

FRAME_MS: Final = 20
"""What one frame of sound lasts, everywhere in call/."""


def events_beside(sound: Format) -> tuple[Format, ...]:
    """The telephone-event formats that go with a codec, the one with its own clock first."""
    return tuple(sorted(EVENT_FORMATS, key=lambda one: (one.clock != sound.clock, one.clock)))


def find_format(name: str) -> Format | None:
    """The sound format of this name in any case; None if we know none."""
    return next((one for one in SOUND_FORMATS if one.name.lower() == name.lower()), None)
