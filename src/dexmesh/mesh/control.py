"""Answer the control frames of others, and hand answers and errors to whom they concern.

Place     engine ControlFrame -> here -> SendControl; pongs -> pings.py, errors -> ErrorListener
Spec      docs/protocol/03 §9-10
Keeps     one answer at most for a query, none for an answer; the opaque data comes back unchanged;
          what comes over one peer is answered at most ANSWERS_PER_S times a second
Not here  errors of our own switch (rust/engine), the checksum and layout (wire/control.py)
"""

from __future__ import annotations

from typing import Protocol

from dexmesh.engine.messages import ControlFrame, SendControl
from dexmesh.errors import DecodeError
from dexmesh.mesh.identity import Identity
from dexmesh.mesh.limits import Limiter
from dexmesh.mesh.notices import Emit, MessageRefused
from dexmesh.mesh.peering import Peering
from dexmesh.mesh.pings import SwitchPings
from dexmesh.wire.control import (
    ControlMessage,
    ErrorFrame,
    KeyPing,
    KeyPong,
    Ping,
    Pong,
    SnodeQuery,
    SnodeReply,
    decode_control,
    encode_control,
)
from dexmesh.wire.label import Label
from dexmesh.wire.scheme import MAX_INTERFACE, V358, first_director
from dexmesh.wire.versions import is_compatible

ANSWERS_PER_S = 100.0  # ours
ANSWERS_AT_ONCE = 200.0  # ours
SMALLEST_ERROR_BYTES = 40  # 03 §9.4: shorter errors are ignored

_UNLIMITED_KBPS = 0xFFFFFFFF  # 03 §10.5: what a node without a supernode says


class ErrorListener(Protocol):
    """Who wants to know that a packet of ours went no further."""

    def handle_switch_error(self, label: Label, error: ErrorFrame, now: float) -> None:
        """`label` is the full path label that the packet was sent along (03 §9.4)."""
        ...


class Control:
    """One per node. Performs no I/O."""

    def __init__(
        self,
        identity: Identity,
        peering: Peering,
        pings: SwitchPings,
        errors: ErrorListener,
        emit: Emit,
    ) -> None:
        self._identity, self._peering, self._pings = identity, peering, pings
        self._errors, self._emit = errors, emit
        self._limiter: Limiter[int] = Limiter(ANSWERS_PER_S, ANSWERS_AT_ONCE, MAX_INTERFACE + 1)

    def handle_control_frame(self, event: ControlFrame, now: float) -> None:
        """Act on one frame; a bad one is dropped without an answer (03 §10)."""
        try:
            message = decode_control(event.frame)
        except DecodeError as error:
            self._emit(MessageRefused("control", error.reason))
            return
        if isinstance(message, ErrorFrame):
            if len(event.frame) >= SMALLEST_ERROR_BYTES:
                self._errors.handle_switch_error(event.label, message, now)
        else:
            self._handle_message(event.label, message, now)

    def _handle_message(self, label: Label, message: ControlMessage, now: float) -> None:
        if isinstance(message, ErrorFrame) or not is_compatible(message.version):
            return
        if isinstance(message, Ping | Pong):
            self._peering.handle_frame_from(label, message.version, now)
        if isinstance(message, Pong | KeyPong):
            self._pings.handle_pong(label, message, now)
            return
        answer = self._answer_to(message)
        if answer is not None and self._may_answer(label, now):
            self._emit(SendControl(label, encode_control(answer)))

    def _answer_to(self, message: ControlMessage) -> ControlMessage | None:
        version = self._identity.version
        match message:
            case Ping():
                return Pong(version, message.data)
            case KeyPing():
                return KeyPong(version, self._identity.key, message.data)
            case SnodeQuery():
                return SnodeReply(version, kbps=_UNLIMITED_KBPS, data=message.data)
            case _:
                return None

    def _may_answer(self, label: Label, now: float) -> bool:
        """One budget for each peer of ours, so that one cannot use up the others' answers."""
        director = first_director(V358, label)
        return director is not None and self._limiter.allows(director.interface, now)
