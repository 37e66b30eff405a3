"""Say how loud 20 ms are, for the meters that a person looks at while talking."""

from __future__ import annotations

import math
from typing import Final

from dexmesh.apps.call.codec.samples import samples_of

SILENT_DB: Final = -96.0  # below the smallest sample
_LOOKED_AT = 160  # samples: enough for a meter, whatever the rate


def peak_db(pcm: bytes) -> float:
    """The loudest sample against full scale: 0 at most, SILENT_DB for silence."""
    samples = samples_of(pcm)
    samples = samples[:: max(1, len(samples) // _LOOKED_AT)]
    if not samples:
        return SILENT_DB
    peak = max(map(abs, samples))
    return 20 * math.log10(peak / 32768) if peak else SILENT_DB
