"""Name the protocol versions, and say which of them can talk to us.

Place     control frames and inter-router messages carry one -> here -> mesh/
Spec      docs/protocol/03 §10.2 and §11; docs/protocol/06 §3
Keeps     a version above ours counts as compatible and is spoken to as ours
"""

from __future__ import annotations

PROTOCOL_VERSION = 20  # 03 §11: the version we speak and announce
MINIMUM_VERSION = 16  # 03 §10.2: v20.7 answers nobody below
MINIMUM_ROUTED_VERSION = 20  # 06 §11.5: below it a node is not put into `n`


def is_compatible(version: int) -> bool:
    """Whether a node of this protocol version can be spoken to (03 §10.2)."""
    return version >= MINIMUM_VERSION


def spoken_version(version: int) -> int:
    """The version to use with a node that announces `version`: never above ours (06 §3)."""
    return min(version, PROTOCOL_VERSION)
