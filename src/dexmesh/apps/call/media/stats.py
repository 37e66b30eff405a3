"""Say how good a call is: loss, jitter, delay, and what a listener would call it.

Place     session.py -> here -> the screen of a call, `--json`, the history
Spec      ITU-T G.107 (E-model) with G.107.1 and G.107.2 for what reaches beyond a telephone's band,
          shortened: all but codec, delay and loss at their default values; G.113 for the codecs;
          RFC 3550 §6.4 for what the figures mean
Keeps     values and arithmetic only
"""

from __future__ import annotations

import dataclasses
from typing import Final

from dexmesh.values import dataclass

_DELAY_HEARD_MS: Final = 177.3  # from here on people fall into each other's words


@dataclass(frozen=True, slots=True)
class Impairment:
    """A codec as the E-model sees it, all in points of R.

    `best`: a call without any fault, before the codec takes something away; `codec` (Ie): what it
    takes away; `at_loss`: what codec and loss together can take away; `robustness` (Bpl): the higher,
    the less a lost packet is heard.
    """

    best: float
    codec: float
    at_loss: float
    robustness: float


_G711: Final = Impairment(93.2, 0.0, 95.0, 25.1)  # G.107 §7.2, §7.5; G.113 App. I, with concealment

_IMPAIRMENTS: Final = {
    "pcmu": _G711,
    "pcma": _G711,
    # G.107.1; G.113 table IV.1 at 64 kbit/s. For its losses nothing is published: the middle of what
    # table IV.4 gives for the other codec of this band, G.722.2 (4.3 to 4.9).
    "g722": Impairment(129.0, 13.0, 95.0, 4.6),
    # G.107.2; nothing in G.113. Alahmadi, Pocta and Melvin, "An Adaptive Bitrate Switching Algorithm
    # for Speech Applications in Context of WebRTC" (ACM TOMM 17/4, 2021): super-wideband, variable
    # rate, 25 kbit/s, random loss, nothing restored by FEC.
    "opus": Impairment(148.0, 20.2, 132.0, 11.3),
}


@dataclass(frozen=True, slots=True)
class CallStatistics:
    """A call until now. Percentages are of packets; None where nobody has told yet.

    `delay_ms` is from mouth to ear, as far as we can know it: half the round trip and the waiting
    here. `recent_loss_percent` is about the last 5 to 10 s, and `mos` an estimate from it (1 to 4.5).
    `remote_...` is what the other side reports of our sound. `silent_s`: since anything was heard.
    """

    duration_s: float
    codec: str
    sent: int
    received: int
    lost: int
    too_late: int
    concealed: int
    loss_percent: float
    recent_loss_percent: float
    jitter_ms: float
    buffer_ms: float
    round_trip_ms: float | None
    delay_ms: float | None
    remote_loss_percent: float | None
    remote_jitter_ms: float | None
    mos: float
    silent_s: float
    drops: dict[str, int]

    def as_dict(self) -> dict[str, object]:
        """For JSON, rounded to what can be told."""
        values = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        return {
            name: round(value, 2) if isinstance(value, float) else value
            for name, value in values.items()
        }


def percent(part: int, whole: int) -> float:
    """0 of nothing is 0."""
    return 100 * part / whole if whole > 0 else 0.0


def mean_opinion(codec: str, loss_percent: float, delay_ms: float) -> float:
    """What listeners would say on average: 1 (bad) to 4.5, with random loss; `codec` by its name in SDP.

    All codecs stand on one scale: R of G.107.1 and G.107.2 goes on above that of G.107 and leaves G.711
    where it is, so that the wider ones begin above 100 and have more to lose. That 4.5 is the most, as
    for a telephone, is ours; so is that a codec nobody knows counts as G.711.
    """
    impairment = _IMPAIRMENTS.get(codec.lower(), _G711)
    # G.107's delay impairment in the form of Cole and Rosenbluth, "Voice over IP Performance
    # Monitoring" (2001): it follows the recommendation's own curve below 400 ms.
    delay = 0.024 * delay_ms + 0.11 * max(0.0, delay_ms - _DELAY_HEARD_MS)
    share = loss_percent / (loss_percent + impairment.robustness)
    lost = impairment.codec + (impairment.at_loss - impairment.codec) * share
    rating = min(100.0, max(0.0, impairment.best - lost - delay))
    # G.107 Annex B; below R = 6.5 the polynomial dips under 1.
    return max(1.0, 1 + 0.035 * rating + rating * (rating - 60) * (100 - rating) * 7e-6)
