"""Name every reason why a packet of media goes no further.

Place     rust/media (by name), rtcp.py, dtmf.py, receiver.py -> here; session.py counts, statistics show
Spec      shared house style, "Errors and drops"
"""

from __future__ import annotations

from enum import Enum


class DropReason(Enum):
    """One for each packet that is not played or believed."""

    TOO_SHORT = "too short for its header"
    TOO_LONG = "longer than any packet of sound"
    BAD_VERSION = "not version 2"
    BAD_PADDING = "padding longer than the packet"
    BAD_EXTENSION = "header extension longer than the packet"
    BAD_LENGTH = "RTCP packet longer than its datagram"
    BAD_REPORT = "RTCP packet shorter than its count says"
    BAD_EVENT = "telephone-event that is no event"
    EMPTY = "no payload"
    UNKNOWN_PAYLOAD_TYPE = "a payload type nobody agreed on"
    NOT_LISTENING = "we hold the call"
    NEW_SOURCE = "another source that did not prove itself yet"
    SEQUENCE_JUMP = "a sequence number far from the last"
    DUPLICATE = "came twice"
    LATE = "after its time to be played"
    OVERFLOW = "too much sound waits already"
