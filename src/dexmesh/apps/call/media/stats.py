"""Say how good a call is: loss, jitter, delay, and what a listener would call it.

Place     session.py -> here -> the screen of a call, `--json`, the history
Spec      ITU-T G.107 (E-model), shortened: all but delay and loss at their default values;
          RFC 3550 §6.4 for what the figures mean
Keeps     values and arithmetic only
"""

from __future__ import annotations

import dataclasses
from typing import Final

from dexmesh.values import dataclass

_R_DEFAULT: Final = 93.2  # G.107 §7.2: nothing is wrong
_R_AT_LOSS: Final = 95.0  # G.107 §7.5: what loss can take away
_LOSS_ROBUSTNESS: Final = (
    25.1  # G.113 table I.4, Bpl of G.711 with concealment; taken for all codecs
)
_DELAY_HEARD_MS: Final = 177.3  # from here on people fall into each other's words


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


def mean_opinion(loss_percent: float, delay_ms: float) -> float:
    """What listeners would say on average: 1 (bad) to 4.5, after G.107 with random loss."""
    # G.107's delay impairment in the form of Cole and Rosenbluth, "Voice over IP Performance
    # Monitoring" (2001): it follows the recommendation's own curve below 400 ms.
    impairment = 0.024 * delay_ms + 0.11 * max(0.0, delay_ms - _DELAY_HEARD_MS)
    loss = _R_AT_LOSS * loss_percent / (loss_percent + _LOSS_ROBUSTNESS)
    rating = min(100.0, max(0.0, _R_DEFAULT - impairment - loss))
    # G.107 Annex B; below R = 6.5 the polynomial dips under 1.
    return max(1.0, 1 + 0.035 * rating + rating * (rating - 60) * (100 - rating) * 7e-6)
