"""Apply commands to the data plane and make dataclasses of what it tells.

Place     host/pump.py and the simulated world -> here -> dexmesh.engine._native
Spec      messages.py: one native method a command; docs/architecture.md §2
Keeps     the only place in Python that knows how commands and events cross the border
Not here  what is decided (mesh/), when events are taken (host/pump.py)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from dexmesh.engine._native import DataPlane
from dexmesh.engine.drops import DropReason
from dexmesh.engine.messages import (
    AddInterface,
    AddPeer,
    AddUser,
    Command,
    ControlFrame,
    CryptoState,
    DropParked,
    Event,
    LinkHandshake,
    LinkStateChanged,
    PeerAdded,
    PeerRefused,
    PeerRemoved,
    PeerStats,
    ReadStats,
    RemoveInterface,
    RemovePeer,
    RemoveSession,
    RemoveUser,
    ResetPeer,
    ResetSession,
    RouteNeeded,
    RoutingMessage,
    SendControl,
    SendInner,
    SessionAdded,
    SessionRemoved,
    SessionStateChanged,
    SessionStats,
    SetPeerUp,
    SetRoute,
    Stats,
)

MOST_EVENTS = 1024


class EngineDoor:
    """The door to one data plane, with or without threads."""

    def __init__(self, native: DataPlane) -> None:
        self._native = native
        self._answers: deque[Stats] = deque()

    def apply(self, command: Command, now: float) -> None:
        """Carry out a command. Raises ValueError for bytes or text of a wrong form."""
        if isinstance(command, ReadStats):
            self._answers.append(self.read_stats())
        else:
            _APPLY[type(command)](self._native, command, now)

    def tick(self, now: float) -> None:
        """Do what time asks for; call about once a second."""
        self._native.tick(now)

    def take_events(self, most: int = MOST_EVENTS) -> list[Event]:
        """The oldest events, at most `most`; answers to ReadStats come first."""
        events: list[Event] = []
        while self._answers and len(events) < most:
            events.append(self._answers.popleft())
        for name, *fields in self._native.take_events(most - len(events)):
            events.append(_EVENTS[name](*fields))
        return events

    def read_stats(self) -> Stats:
        """Every peer and every session, at once."""
        return Stats(
            tuple(_peer_stats(*fields) for fields in self._native.peer_stats()),
            tuple(_session_stats(*fields) for fields in self._native.session_stats()),
        )

    def drop_counts(self) -> dict[DropReason, int]:
        """How many packets were dropped for each reason, where any were."""
        return {_REASONS[name]: count for name, count in self._native.drop_counts().items()}


# --- Commands -------------------------------------------------------------------------------


def _add_peer(native: DataPlane, command: AddPeer, now: float) -> None:
    native.add_peer(
        now, command.interface, command.endpoint, command.key, command.password, command.login
    )


def _send_inner(native: DataPlane, command: SendInner, now: float) -> None:
    native.send_inner(
        now,
        command.key,
        command.version,
        command.label,
        command.content_type,
        command.content,
    )


def _set_route(native: DataPlane, command: SetRoute, now: float) -> None:
    native.set_route(now, command.key, command.version, command.label)


_APPLY: dict[type[Command], Callable[[DataPlane, Any, float], None]] = {
    AddInterface: lambda native, one, _: native.add_interface(one.interface, one.is_ipv6),
    RemoveInterface: lambda native, one, _: native.remove_interface(one.interface),
    AddUser: lambda native, one, _: native.add_user(one.login, one.password, one.only_address),
    RemoveUser: lambda native, one, _: native.remove_user(one.login),
    AddPeer: _add_peer,
    RemovePeer: lambda native, one, _: native.remove_peer(one.peer),
    ResetPeer: lambda native, one, _: native.reset_peer(one.peer),
    SetPeerUp: lambda native, one, _: native.set_peer_up(one.peer, one.is_up),
    SendControl: lambda native, one, now: native.send_control(now, one.label, one.frame),
    SendInner: _send_inner,
    SetRoute: _set_route,
    ResetSession: lambda native, one, _: native.reset_session(one.address),
    RemoveSession: lambda native, one, _: native.remove_session(one.address),
    DropParked: lambda native, one, now: native.drop_parked(now, one.address),
}


# --- Events ---------------------------------------------------------------------------------


def _link_state_changed(peer: Any, old_state: int, state: int) -> LinkStateChanged:
    return LinkStateChanged(peer, CryptoState(old_state), CryptoState(state))


def _session_state_changed(
    address: Any, old_state: int, state: int, label: Any
) -> SessionStateChanged:
    return SessionStateChanged(address, CryptoState(old_state), CryptoState(state), label)


_EVENTS: dict[str, Callable[..., Event]] = {
    "PeerAdded": PeerAdded,
    "PeerRefused": PeerRefused,
    "PeerRemoved": PeerRemoved,
    "LinkStateChanged": _link_state_changed,
    "LinkHandshake": LinkHandshake,
    "ControlFrame": ControlFrame,
    "RouteNeeded": RouteNeeded,
    "RoutingMessage": RoutingMessage,
    "SessionAdded": SessionAdded,
    "SessionStateChanged": _session_state_changed,
    "SessionRemoved": SessionRemoved,
}


def _peer_stats(peer: Any, state: int, *counters: Any) -> PeerStats:
    return PeerStats(peer, CryptoState(state), *counters)


def _session_stats(address: Any, key: Any, state: int, *counters: Any) -> SessionStats:
    return SessionStats(address, key, CryptoState(state), *counters)


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


_REASONS = {_camel(reason.name): reason for reason in DropReason}
