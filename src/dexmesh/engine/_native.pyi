"""Types of the native data plane, built from rust/python (docs/architecture.md §2).

Endpoints are text, addresses are 16 bytes, keys 32 bytes, times monotonic seconds. A wrong length or
text raises ValueError. Everybody but the tests goes through `door.py` and `keys.py`.
"""

from typing import Any, final

from typing_extensions import disjoint_base

__all__ = [
    "CryptoAuth",
    "DataPlane",
    "Engine",
    "Runner",
    "build_info",
    "drop_reasons",
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
