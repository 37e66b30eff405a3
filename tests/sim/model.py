"""Play the data plane without cryptography, so that mesh/ can be simulated without the Rust build.

Place     world.py drives it like the real engine: commands in, events, datagrams and packets out
Spec      docs/protocol/01 §7-11 (states), 03 §6 (switch), 04 §5, 05 §3-6; engine/messages.py
Keeps     the states and the order of events of the real thing; a message "opens" if the temporary
          keys in it are those of the session
Not here  bytes as they are on the wire: messages are pickled tuples, made and read here only
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from typing import Any

from dexmesh.engine.messages import (
    AddInterface,
    AddPeer,
    AddUser,
    Command,
    ControlFrame,
    CryptoState,
    DropParked,
    Endpoint,
    Event,
    InterfaceNumber,
    LinkHandshake,
    LinkStateChanged,
    PeerAdded,
    PeerId,
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
from dexmesh.wire.address import Address
from dexmesh.wire.control import ErrorFrame, encode_control
from dexmesh.wire.headers import SwitchHeader, decode_switch_header
from dexmesh.wire.keys import PublicKey, address_of
from dexmesh.wire.label import NO_LABEL, Label, reverse64
from dexmesh.wire.scheme import V358, encode_director, first_director, smallest_form

_CONTROL = b"\xff\xff\xff\xff"
_CJDHT = 256
_USER = 0


class Crypto:
    """One session by the rules of docs/protocol/01 §8-11, with numbers for keys."""

    def __init__(self, mine: PublicKey, hers: PublicKey, credential: bytes, now: float) -> None:
        self.mine, self.hers, self.credential = mine, hers, credential
        self.next, self.is_established, self.is_initiator = 0, False, False
        self.my_temp, self.her_temp = b"", b""
        self.last = now
        self.seen: set[int] = set()

    def state(self) -> CryptoState:
        if self.next <= 4:
            return CryptoState(self.next)
        return CryptoState.ESTABLISHED if self.is_established else CryptoState.RECEIVED_KEY

    def reset(self) -> None:
        self.next, self.is_established, self.is_initiator = 0, False, False
        self.my_temp, self.her_temp = b"", b""
        self.seen.clear()

    def check_timeout(self, now: float) -> None:
        limit = 60 if self.is_established else 10
        if self.next != 1 and self.next > 0 and now - self.last >= limit:
            self.reset()
            self.last = now

    def seal(self, payload: bytes, fresh: bytes, now: float) -> tuple[Any, ...]:
        self.check_timeout(now)
        if self.next < 4:
            word = self.next
            if self.next in (0, 2):
                self.my_temp = fresh
            if self.next < 2:
                self.is_initiator = True
            self.next = 1 if self.next < 2 else 3
            return ("H", word, self.mine, self.credential, self.my_temp, payload)
        counter = self.next
        self.next = max(self.next, 4) + 1
        return ("D", counter, sorted((self.my_temp, self.her_temp)), payload)

    def open(self, message: tuple[Any, ...], now: float) -> bytes | None:
        self.check_timeout(now)
        if message[0] == "D":
            return self._open_data(message, now)
        _, word, key, _, temp, payload = message
        if key != self.hers:
            return None
        accepted = self._take_key(temp) if word >= 2 else self._take_hello(word, temp)
        return bytes(payload) if accepted else None

    def _open_data(self, message: tuple[Any, ...], now: float) -> bytes | None:
        _, counter, temps, payload = message
        known = sorted((self.my_temp, self.her_temp))
        if self.next < 3 or temps != known or counter in self.seen:
            return None
        self.seen.add(counter)
        if not self.is_established:
            self.is_established = True
            self.next = max(self.next, 3) + 3
        self.last = now
        return bytes(payload)

    def _take_key(self, temp: bytes) -> bool:
        if self.is_established or not self.is_initiator or self.next < 1:
            return False
        if self.next == 1 or temp != self.her_temp:
            self.her_temp = temp
            self.next = max(self.next, 4)
            return True
        return self.next == 4

    def _take_hello(self, word: int, temp: bytes) -> bool:
        if temp == self.her_temp:
            return word == 1 and self.next in (2, 3)
        if self.next == 1 and self.hers > self.mine:
            return True
        self.reset()
        self.her_temp, self.next = temp, 2
        return True


@dataclass
class _Peer:
    id: PeerId
    slot: int
    interface: InterfaceNumber
    endpoint: Endpoint
    crypto: Crypto
    is_up: bool = True
    last_in: float | None = None
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("bi", "bo", "pi", "po"), 0)
    )


@dataclass
class _Session:
    crypto: Crypto
    handle: int
    version: int = 0
    send_handle: int = 0
    send_label: Label = NO_LABEL
    receive_label: Label = NO_LABEL
    last_in: float | None = None
    last_out: float | None = None
    last_user_in: float | None = None
    last_user_out: float | None = None


class ModelEngine:
    """The data plane of one node."""

    def __init__(self, key: PublicKey, random: Any) -> None:
        self.key, self.address, self._random = key, address_of(key), random
        self._interfaces: set[InterfaceNumber] = set()
        self._users: dict[bytes, str] = {}
        self._peers: dict[PeerId, _Peer] = {}
        self._sessions: dict[Address, _Session] = {}
        self._parked: dict[Address, bytes] = {}
        self._next_peer, self._next_handle = 1, 1000
        self.events: list[Event] = []
        self.sent: list[tuple[InterfaceNumber, Endpoint, bytes]] = []
        self.delivered: list[bytes] = []

    # --- What world.py calls --------------------------------------------------------------------

    def take_events(self) -> list[Event]:
        events, self.events = self.events, []
        return events

    def take_sent(self) -> list[tuple[InterfaceNumber, Endpoint, bytes]]:
        sent, self.sent = self.sent, []
        return sent

    def take_delivered(self) -> list[bytes]:
        delivered, self.delivered = self.delivered, []
        return delivered

    def tick(self, now: float) -> None:
        """The model has nothing to do about once a second."""

    def apply(self, command: Command, now: float) -> None:
        name = f"_do_{type(command).__name__}"
        getattr(self, name)(command, now)

    def handle_datagram(
        self, interface: InterfaceNumber, sender: Endpoint, data: bytes, now: float
    ) -> None:
        message = pickle.loads(data)
        peer = self._peer_at(interface, sender)
        if peer is None:
            peer = self._let_in(interface, sender, message, now)
            if peer is None:
                return
        before = peer.crypto.state()
        payload = peer.crypto.open(message, now)
        self._note_link(peer, before)
        if payload is None:
            return
        peer.counts["bi"] += len(payload)
        peer.counts["pi"] += 1
        if peer.crypto.is_established:
            peer.last_in = now
        elif payload[7] != 1:
            return
        else:
            self.events.append(LinkHandshake(peer.id))
        self._switch(payload, peer.slot, now)

    def handle_tun(self, packet: bytes, now: float) -> None:
        address = Address(packet[24:40])
        session = self._sessions.get(address)
        reason = None
        if session is None:
            reason = "no session"
        elif not session.version:
            reason = "no version"
        elif not session.send_label:
            reason = "no label"
        elif session.crypto.state() < CryptoState.RECEIVED_KEY:
            reason = "handshake unfinished"
        if reason is None and session is not None:
            session.last_user_out = now
            self._send_session(address, session, session.send_label, _USER, packet, now)
        else:
            self._parked[address] = packet
            self.events.append(RouteNeeded(address, reason or ""))

    # --- Commands ---------------------------------------------------------------------------------

    def _do_AddInterface(self, command: AddInterface, now: float) -> None:  # noqa: N802
        self._interfaces.add(command.interface)

    def _do_RemoveInterface(self, command: RemoveInterface, now: float) -> None:  # noqa: N802
        self._interfaces.discard(command.interface)
        for peer in [one for one in self._peers.values() if one.interface == command.interface]:
            del self._peers[peer.id]
            self.events.append(PeerRemoved(peer.id, "interface removed"))

    def _do_AddUser(self, command: AddUser, now: float) -> None:  # noqa: N802
        self._users[command.password] = command.login

    def _do_RemoveUser(self, command: RemoveUser, now: float) -> None:  # noqa: N802
        self._users = {p: login for p, login in self._users.items() if login != command.login}

    def _do_AddPeer(self, command: AddPeer, now: float) -> None:  # noqa: N802
        reason = None
        if command.interface not in self._interfaces:
            reason = "no such interface"
        elif command.key == self.key:
            reason = "own key"
        elif self._peer_at(command.interface, command.endpoint) is not None:
            reason = "endpoint in use"
        if reason is not None:
            self.events.append(PeerRefused(command.interface, command.endpoint, reason))
            return
        self._add_peer(
            command.interface, command.endpoint, command.key, command.password, "", False, now
        )

    def _do_RemovePeer(self, command: RemovePeer, now: float) -> None:  # noqa: N802
        if self._peers.pop(command.peer, None) is not None:
            self.events.append(PeerRemoved(command.peer, "removed"))

    def _do_ResetPeer(self, command: ResetPeer, now: float) -> None:  # noqa: N802
        peer = self._peers.get(command.peer)
        if peer is not None:
            before = peer.crypto.state()
            peer.crypto.reset()
            self._note_link(peer, before)

    def _do_SetPeerUp(self, command: SetPeerUp, now: float) -> None:  # noqa: N802
        peer = self._peers.get(command.peer)
        if peer is not None:
            peer.is_up = command.is_up

    def _do_SendControl(self, command: SendControl, now: float) -> None:  # noqa: N802
        header = SwitchHeader(command.label).encode()
        self._switch(header + _CONTROL + command.frame, 1, now)

    def _do_SendInner(self, command: SendInner, now: float) -> None:  # noqa: N802
        session = self._session_with(command.address, command.key, command.label, now)
        session.version = command.version
        label = command.label or session.send_label
        self._send_session(
            command.address, session, label, command.content_type, command.content, now
        )

    def _do_SetRoute(self, command: SetRoute, now: float) -> None:  # noqa: N802
        session = self._session_with(command.address, command.key, command.label, now)
        session.version, session.send_label = command.version, command.label
        can_carry = session.crypto.state() >= CryptoState.RECEIVED_KEY and command.label
        if can_carry and command.address in self._parked:
            self.handle_tun(self._parked.pop(command.address), now)

    def _do_ResetSession(self, command: ResetSession, now: float) -> None:  # noqa: N802
        session = self._sessions.get(command.address)
        if session is not None:
            before = session.crypto.state()
            session.crypto.reset()
            self._note_session(command.address, session, before, NO_LABEL)

    def _do_RemoveSession(self, command: RemoveSession, now: float) -> None:  # noqa: N802
        if self._sessions.pop(command.address, None) is not None:
            self.events.append(SessionRemoved(command.address, "removed"))

    def _do_DropParked(self, command: DropParked, now: float) -> None:  # noqa: N802
        self._parked.pop(command.address, None)

    def _do_ReadStats(self, command: ReadStats, now: float) -> None:  # noqa: N802
        peers = tuple(
            PeerStats(
                peer=peer.id,
                state=peer.crypto.state(),
                last_in=peer.last_in,
                bytes_in=peer.counts["bi"],
                bytes_out=peer.counts["bo"],
                packets_in=peer.counts["pi"],
                packets_out=peer.counts["po"],
                duplicates=0,
                lost=0,
                out_of_range=0,
                dropped=0,
            )
            for peer in self._peers.values()
        )
        sessions = tuple(self._stats_of(a, session) for a, session in self._sessions.items())
        self.events.append(Stats(peers, sessions))

    # --- Links ------------------------------------------------------------------------------------

    def _peer_at(self, interface: InterfaceNumber, endpoint: Endpoint) -> _Peer | None:
        for peer in self._peers.values():
            if (peer.interface, peer.endpoint) == (interface, endpoint):
                return peer
        return None

    def _let_in(
        self, interface: InterfaceNumber, sender: Endpoint, message: tuple[Any, ...], now: float
    ) -> _Peer | None:
        if message[0] != "H" or message[1] > 1 or message[3] not in self._users:
            return None
        if message[2] == self.key:
            return None
        user = self._users[message[3]]
        return self._add_peer(interface, sender, message[2], b"", user, True, now)

    def _add_peer(
        self,
        interface: InterfaceNumber,
        endpoint: Endpoint,
        key: PublicKey,
        password: bytes,
        user: str,
        is_incoming: bool,
        now: float,
    ) -> _Peer:
        taken = {peer.slot for peer in self._peers.values()}
        slot = next(number for number in (0, *range(2, 257)) if number not in taken)
        crypto = Crypto(self.key, key, password, now)
        peer = _Peer(PeerId(self._next_peer), slot, interface, endpoint, crypto)
        self._next_peer += 1
        self._peers[peer.id] = peer
        self.events.append(PeerAdded(peer.id, slot, interface, endpoint, key, is_incoming, user))
        return peer

    def _note_link(self, peer: _Peer, before: CryptoState) -> None:
        after = peer.crypto.state()
        if after != before:
            self.events.append(LinkStateChanged(peer.id, before, after))

    def _send_link(self, peer: _Peer, packet: bytes, now: float) -> None:
        before = peer.crypto.state()
        message = peer.crypto.seal(packet, self._random.randbytes(8), now)
        self._note_link(peer, before)
        peer.counts["bo"] += len(packet)
        peer.counts["po"] += 1
        self.sent.append((peer.interface, peer.endpoint, pickle.dumps(message)))

    # --- Switch -------------------------------------------------------------------------------------

    def _switch(self, packet: bytes, ingress: int, now: float) -> None:
        """Steps 1 to 10 of docs/protocol/03 §6."""
        header = decode_switch_header(packet)
        label = header.label
        director = first_director(V358, label)
        assert director is not None
        width = director.width
        back_width = V358.forms[smallest_form(V358, ingress) or 0].width
        if back_width > width:
            if director.interface != 1:
                return self._complain(packet, ingress, 1, now)
            if label >> 1 & ((1 << (back_width + 3)) - 1):
                return self._complain(packet, ingress, 10, now)
            width = back_width
        by_slot = {peer.slot: peer for peer in self._peers.values()}
        onward = by_slot.get(director.interface)
        if director.interface != 1 and onward is None:
            return self._complain(packet, ingress, 1, now)
        if onward is not None and not onward.is_up and ingress != 1:
            return self._complain(packet, ingress, 8, now)
        shift = header.label_shift + width
        if shift > 63:
            return None
        moved = Label(label >> width | reverse64(Label(_director_in_width(ingress, width))))
        new = SwitchHeader(moved, header.congestion, header.suppress_errors, 1, shift, 0xFFFF)
        packet = new.encode() + packet[12:]
        if onward is None:
            return self._route_up(packet, now)
        return self._send_link(onward, packet, now)

    def _complain(self, packet: bytes, ingress: int, number: int, now: float) -> None:
        header = decode_switch_header(packet)
        if header.suppress_errors or len(packet) < 16:
            return
        frame = encode_control(ErrorFrame(number, header, packet[12:256]))
        label = reverse64(header.label)
        error = SwitchHeader(label, 1, True, 1, 0, 0xFFFF).encode() + _CONTROL + frame
        if ingress == 1:
            self._route_up(error, now)
            return
        for peer in self._peers.values():
            if peer.slot == ingress:
                self._send_link(peer, error, now)

    # --- Router and sessions --------------------------------------------------------------------------

    def _route_up(self, packet: bytes, now: float) -> None:
        back = reverse64(decode_switch_header(packet).label)
        rest = packet[12:]
        if rest[:4] == _CONTROL:
            self.events.append(ControlFrame(back, rest[4:]))
            return
        handle, message = pickle.loads(rest[4:])
        if handle is None:
            address = address_of(message[2])
            if address == self.address:
                return
            session = self._session_with(address, message[2], back, now, is_incoming=True)
        else:
            found = [a for a, one in self._sessions.items() if one.handle == handle]
            if not found:
                return
            address = found[0]
            session = self._sessions[address]
        before = session.crypto.state()
        plain = session.crypto.open(message, now)
        self._note_session(address, session, before, back)
        if plain is None:
            return
        send_handle, content_type, content = pickle.loads(plain)
        session.send_handle = send_handle or session.send_handle
        session.receive_label, session.last_in = back, now
        if content_type == _CJDHT:
            self.events.append(RoutingMessage(address, session.crypto.hers, back, content))
        elif session.crypto.state() >= CryptoState.RECEIVED_KEY:
            session.last_user_in = now
            self.delivered.append(content)

    def _session_with(
        self, address: Address, key: PublicKey, label: Label, now: float, is_incoming: bool = False
    ) -> _Session:
        session = self._sessions.get(address)
        if session is None:
            crypto = Crypto(self.key, key, b"", now)
            session = self._sessions[address] = _Session(crypto, self._next_handle)
            self._next_handle += 1
            self.events.append(SessionAdded(address, key, session.handle, label, is_incoming))
        return session

    def _note_session(
        self, address: Address, session: _Session, before: CryptoState, label: Label
    ) -> None:
        after = session.crypto.state()
        if after != before:
            self.events.append(SessionStateChanged(address, before, after, label))

    def _send_session(
        self,
        address: Address,
        session: _Session,
        label: Label,
        content_type: int,
        content: bytes,
        now: float,
    ) -> None:
        before = session.crypto.state()
        session.crypto.check_timeout(now)
        is_handshake = session.crypto.state() < CryptoState.RECEIVED_KEY
        if is_handshake and content_type != _CJDHT:
            self._note_session(address, session, before, NO_LABEL)
            self._parked[address] = content
            self.events.append(RouteNeeded(address, "handshake unfinished"))
            return
        plain = pickle.dumps((session.handle if is_handshake else None, content_type, content))
        message = session.crypto.seal(plain, self._random.randbytes(8), now)
        self._note_session(address, session, before, NO_LABEL)
        session.last_out = now
        handle = None if is_handshake else session.send_handle
        body = bytes(4) + pickle.dumps((handle, message))
        self._switch(SwitchHeader(label).encode() + body, 1, now)

    def _stats_of(self, address: Address, session: _Session) -> SessionStats:
        return SessionStats(
            address=address,
            key=session.crypto.hers,
            state=session.crypto.state(),
            handle=session.handle,
            send_handle=session.send_handle,
            version=session.version,
            send_label=session.send_label,
            receive_label=session.receive_label,
            last_in=session.last_in,
            last_out=session.last_out,
            last_user_in=session.last_user_in,
            last_user_out=session.last_user_out,
            bytes_in=0,
            bytes_out=0,
            packets_in=0,
            packets_out=0,
            duplicates=0,
            lost=0,
            out_of_range=0,
        )


def _director_in_width(interface: int, width: int) -> int:
    for form, candidate in enumerate(V358.forms):
        if candidate.width == width:
            return 1 if interface == 1 else encode_director(V358, interface, form) or 0
    raise AssertionError(width)
