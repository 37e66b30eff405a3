"""Types of the native data plane, built from rust/python (docs/architecture.md §2).

Endpoints are text, addresses are 16 bytes, keys 32 bytes, times monotonic seconds. A wrong length or
text raises ValueError. Everybody but the tests goes through `door.py` and `keys.py`, calls through
`apps/call/native.py`.
"""

from typing import Any, Literal, Self, final

from typing_extensions import disjoint_base

__all__ = [
    "G711",
    "CallPort",
    "Concealment",
    "CryptoAuth",
    "DataPlane",
    "Engine",
    "Incoming",
    "Law",
    "Outgoing",
    "Runner",
    "build_info",
    "decode_rtp",
    "drop_reasons",
    "encode_rtp",
    "public_key_of",
]

def public_key_of(private_key: bytes) -> bytes: ...
def drop_reasons() -> dict[str, int]: ...
def build_info() -> dict[str, str]: ...

@disjoint_base
class DataPlane:
    """Commands and questions; base of `Engine` and `Runner`, not made by itself."""

    def add_interface(self, interface: int, is_ipv6: bool) -> None: ...
    def remove_interface(self, interface: int) -> None: ...
    def add_user(
        self, login: str | None, password: bytes, only_address: bytes | None = None
    ) -> None: ...
    def remove_user(self, login: str) -> None: ...
    def add_peer(
        self,
        now: float,
        interface: int,
        endpoint: str,
        key: bytes,
        password: bytes,
        login: str | None = None,
    ) -> None: ...
    def remove_peer(self, peer: int) -> None: ...
    def reset_peer(self, peer: int) -> None: ...
    def set_peer_up(self, peer: int, is_up: bool) -> None: ...
    def send_control(self, now: float, label: int, frame: bytes) -> None: ...
    def send_inner(
        self, now: float, key: bytes, version: int, label: int, content_type: int, content: bytes
    ) -> None: ...
    def set_route(self, now: float, key: bytes, version: int, label: int) -> None: ...
    def reset_session(self, address: bytes) -> None: ...
    def remove_session(self, address: bytes) -> None: ...
    def drop_parked(self, now: float, address: bytes) -> None: ...
    def tick(self, now: float) -> None: ...
    def take_events(self, most: int) -> list[tuple[Any, ...]]:
        """The oldest events: name of the dataclass, then its fields."""

    def peer_stats(self) -> list[tuple[Any, ...]]:
        """Fields of PeerStats, one tuple a peer, in the order of slots."""

    def session_stats(self) -> list[tuple[Any, ...]]:
        """Fields of SessionStats, one tuple a session, in the order of handles."""

    def drop_counts(self) -> dict[str, int]:
        """Packets by the Rust name of the reason, where there were any."""

@final
class Engine(DataPlane):
    """The data plane without sockets and threads: for simulations, vectors and tests."""

    def __new__(cls, private_key: bytes, seed: bytes, *, max_sessions: int = 4096) -> Engine: ...
    def handle_datagram(self, now: float, interface: int, endpoint: str, data: bytes) -> None: ...
    def handle_tun(self, now: float, packets: list[bytes]) -> None: ...
    def take_outputs(self) -> list[tuple[Any, ...]]:
        """What left since the last call: ("send", interface, endpoint, bytes), ("deliver", bytes)."""

@final
class Runner(DataPlane):
    """The data plane with two threads, sockets and the TUN."""

    def __new__(cls, private_key: bytes, seed: bytes, *, max_sessions: int = 4096) -> Runner: ...
    def attach_udp(self, interface: int, fd: int) -> None:
        """Work with a duplicate of a bound UDP socket. OSError when that fails."""

    def detach_udp(self, interface: int) -> bool: ...
    def attach_tun(self, fd: int, mode: int) -> None:
        """Work with a duplicate of a TUN descriptor. `mode`: 0 plain, 1 vnet header and TSO, 2 and USO."""

    def detach_tun(self) -> bool: ...
    def give_up_rights(self) -> None:
        """Take every capability from both threads; after the process has changed its user."""

    def event_fd(self) -> int:
        """An eventfd, readable when there are events or faults to take."""

    def clear_event_fd(self) -> None: ...
    def take_faults(self) -> list[tuple[str, int | None, str]]:
        """What broke: "tun gone", "socket broken", "thread ended"; interface; reason."""

    def capabilities(self) -> dict[str, Any]:
        """Rungs in use: `tun` "off", "tso", "uso" or None; `sockets` interface -> (gso, gro)."""

    def io_stats(self) -> dict[str, int]: ...
    def stop(self) -> None:
        """End the threads and close their descriptors."""

@final
class CryptoAuth:
    """One crypto session with scripted randomness, behaving as the reference unless told otherwise."""

    def __new__(
        cls,
        private_key: bytes,
        her_key: bytes,
        require_auth: bool,
        now: float,
        *,
        is_end_to_end: bool = False,
        is_hardened: bool = False,
    ) -> CryptoAuth: ...
    def set_users(self, users: list[tuple[bytes | None, bytes, bytes | None]]) -> None:
        """Whom we accept: login, password and only address of each, in order."""

    def set_credential(self, login: bytes | None, password: bytes | None) -> None: ...
    def seal(self, now: float, payload: bytes, random: bytes) -> bytes | None: ...
    def open(self, now: float, message: bytes) -> tuple[int, bytes | None]:
        """(0, payload), or (error number of docs/protocol/01 §13, None)."""

    def reset(self) -> None: ...
    @property
    def state(self) -> int: ...
    @property
    def next(self) -> int: ...
    @property
    def random_left(self) -> int:
        """How many bytes of its `random` the last `seal` left; below zero: how many it lacked."""

    @property
    def replay_window(self) -> tuple[int, int]:
        """Where the window begins, and its 64 bits."""

    @property
    def user(self) -> bytes | None: ...

@final
class Incoming:
    """What a call receives: packets, statistics and jitter buffer of the source that is believed."""

    def __new__(cls, clock: int, now: float) -> Incoming: ...
    def agree(self, clock: int, sound: bytes, events: bytes, is_listening: bool) -> None:
        """What was agreed from now on: clock in Hz, payload types. No source is believed."""

    def begin(self, ssrc: int) -> None:
        """Believe in this source from now on; what was counted stays counted."""

    def handle(
        self, data: bytes, now: float
    ) -> tuple[int, bool, int, int, int, bytes] | str | None:
        """Take in a datagram: None if it waits to be played; the name of a DropReason; or the packet, as
        `decode_rtp` gives it: of another source (nothing was counted), or with a digit (counted)."""

    def adjust(self, now: float) -> int:
        """Once for every 20 ms: -1 to play two frames as one, +1 to play one made up, else 0."""

    def take(self) -> bytes | Literal["before start", "empty", "lost", "pause"]:
        """The payload that is due, or why there is none; then `advance` is called."""

    def advance(self, units: int) -> None:
        """So much sound was played or made up, in units of the clock."""

    def successor(self) -> bytes | None:
        """The packet right behind a lost frame, if it is here."""

    def handle_sender_report(self, ntp: int, now: float) -> None: ...
    def report_block(self, now: float) -> tuple[int, int, int, int, int, int, int] | None:
        """Fields of ReportBlock; None where no source is believed."""

    def drops(self) -> dict[str, int]:
        """What `CallPort.receive` dropped, by the name of every DropReason there is in Rust."""

    @property
    def ssrc(self) -> int | None: ...
    @property
    def heard_at(self) -> float:
        """When the last packet came, of any source; when the call began, before."""

    @property
    def source_heard_at(self) -> float | None:
        """When the last packet of the believed source came."""

    @property
    def known(self) -> int:
        """How many packets of believed sources came, whatever became of them."""

    @property
    def received(self) -> int: ...
    @property
    def lost(self) -> int: ...
    @property
    def too_late(self) -> int: ...
    @property
    def thrown_away(self) -> int:
        """Packets that would have been played, had the delay not been shortened."""

    @property
    def delay_ms(self) -> float: ...
    @property
    def jitter_ms(self) -> float: ...

@final
class Outgoing:
    """One source of ours."""

    def __new__(cls, ssrc: int, sequence: int, timestamp: int) -> Outgoing: ...
    def advance(self, units: int) -> int:
        """Time goes on, whether something is sent or not; the timestamp before."""

    def packet(self, payload_type: int, is_marked: bool, timestamp: int, payload: bytes) -> bytes:
        """The next packet."""

    @property
    def ssrc(self) -> int: ...
    @property
    def timestamp(self) -> int:
        """Of the next frame."""

    @property
    def packets(self) -> int: ...
    @property
    def octets(self) -> int: ...

@final
class CallPort:
    """The two ports of a call: duplicates of two bound sockets that do not block. OSError without them."""

    def __new__(cls, rtp: int, rtcp: int) -> CallPort: ...
    def connect(self, remote: bytes, rtp_port: int, rtcp_port: int) -> None:
        """Send to this peer from now on, and hear nobody else. Port 0: nothing is sent there."""

    def receive(
        self, incoming: Incoming, now: float, has_reports: bool
    ) -> list[tuple[bool, bytes, float]]:
        """Let the sound that waits in. Given back, in order: what needs a decision, and all that came behind
        it. Whether it is RTCP (taken if `has_reports`), its bytes, and when it came (as `now`)."""

    def send_rtp(self, packet: bytes) -> None: ...
    def send_rtcp(self, packet: bytes) -> None: ...
    def drain(self) -> None:
        """Forget what waits."""

    def close(self) -> None:
        """Give the ports back; the counts stay."""

    @property
    def strangers(self) -> int:
        """Packets refused: of others, or longer than any of sound."""

    @property
    def unsent(self) -> int: ...

def decode_rtp(data: bytes) -> tuple[int, bool, int, int, int, bytes] | str:
    """Payload type, marker, sequence, timestamp, SSRC, payload; or the name of a DropReason."""

def encode_rtp(
    payload_type: int, is_marked: bool, sequence: int, timestamp: int, ssrc: int, payload: bytes
) -> bytes: ...

@final
class Law:
    """G.711: `PCMU` or `PCMA`. Sound is signed 16 bit, little endian, mono."""

    def __new__(cls, name: str) -> Law: ...
    def encode(self, pcm: bytes) -> bytes: ...
    def decode(self, payload: bytes) -> bytes: ...

@disjoint_base
class G711:
    """One stream of `PCMU` or `PCMA`: most of a `Codec` (apps/call/codec/interface.py)."""

    damaged: int
    def __new__(cls, name: str) -> Self: ...
    def encode(self, pcm: bytes) -> bytes:
        """160 bytes. Raises UsageError for another length than 160 samples."""

    def decode(self, payload: bytes) -> bytes: ...
    def conceal(self) -> bytes: ...
    def decode_fec(self, next_payload: bytes) -> bytes: ...

@final
class Concealment:
    """The memory of one decoder, for the gaps in its sound."""

    def __new__(cls, sample_rate: int) -> Concealment: ...
    def heard(self, pcm: bytes) -> bytes:
        """Remember a decoded frame; after a loss its beginning is blended with the filling."""

    def lost(self) -> bytes:
        """20 ms of filling."""
