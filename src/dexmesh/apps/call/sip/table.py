"""Run the machine: what both tables, of our requests and of the others', do with an event.

Place     client.py and server.py build on it; machine.py says what happens; transaction.py wires
Spec      RFC 3261 §17
Keeps     a record that terminates leaves the table and its timers with it
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from typing import Generic, TypeVar

from dexmesh.apps.call.sip.machine import Action, Event, State, step, timers
from dexmesh.apps.call.sip.message import Request, Response
from dexmesh.apps.call.sip.outputs import Failed, Output, Send, TransactionId, Why
from dexmesh.apps.call.sip.peer import Peer
from dexmesh.apps.call.sip.record import ClientRecord, ServerRecord
from dexmesh.apps.call.sip.schedule import Schedule
from dexmesh.values import dataclass
from dexmesh.wire.address import Address

R = TypeVar("R", ClientRecord, ServerRecord)

FAILURES = {
    Action.FAIL_TIMEOUT: Why.TIMEOUT,
    Action.FAIL_TRANSPORT: Why.TRANSPORT,
    Action.FAIL_NO_ACK: Why.NO_ACK,
}


@dataclass(frozen=True, slots=True)
class Cause:
    """What made an event happen: when, and the message (with where it came from) if it was one."""

    now: float
    message: Request | Response | None = None
    peer: Peer | None = None


class Shared:
    """What both tables write to."""

    def __init__(self) -> None:
        self.schedule = Schedule()
        self.outputs: list[Output] = []
        self.counts: Counter[str] = Counter()
        self._last_id = 0

    def new_id(self) -> TransactionId:
        """A number that was never used."""
        self._last_id += 1
        return TransactionId(self._last_id)

    def send(self, peer: Peer, data: bytes) -> None:
        """Hand bytes to the transport."""
        self.outputs.append(Send(peer, data))


def forget_one(counter: Counter[Address], address: Address) -> None:
    """One less; memory follows the addresses that have any."""
    counter[address] -= 1
    if not counter[address]:
        del counter[address]


class Table(ABC, Generic[R]):
    """The transactions of one side."""

    def __init__(self, shared: Shared) -> None:
        self.records: dict[TransactionId, R] = {}
        self._shared = shared

    def happen(self, record: R, event: Event, cause: Cause) -> bool:
        """Take the step that the machine has for an event; False if it has none."""
        found = step(record.kind, record.state, event)
        if found is None:
            return False
        record.state, actions = found
        for action in actions:
            self._act(record, action, cause)
        if record.state is State.TERMINATED:
            self._forget(record)
        else:
            self._run_timers(record, cause.now)
        return True

    def _learn(self, record: R, now: float) -> None:
        self.records[record.id] = record
        self._run_timers(record, now)

    def _run_timers(self, record: R, now: float) -> None:
        running = timers(record.kind, record.state)
        self._shared.schedule.enter(record.id, running, record.is_tcp, now)

    def _forget(self, record: R) -> None:
        self._shared.schedule.stop(record.id)
        del self.records[record.id]

    def _fail(self, record: R, action: Action) -> None:
        self._shared.outputs.append(Failed(record.id, FAILURES[action]))

    @abstractmethod
    def _act(self, record: R, action: Action, cause: Cause) -> None:
        """Do one thing on the way to the next state."""
