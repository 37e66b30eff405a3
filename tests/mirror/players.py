"""Play one side of a session: the mirror, the engine, or several that must agree.

Place     schedules.py and the scenarios of tests/vectors/cryptoauth_plays.py make and drive them
Spec      docs/protocol/01
Keeps     every player of a side is handed the same things; times are milliseconds
Not here  what is played (schedules.py), the mirror itself (cryptoauth.py)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from dexmesh.engine._native import CryptoAuth
from tests.mirror.cryptoauth import Randomness, Session
from tests.mirror.toolbox import Credential, User

_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Setting:
    """How one side is created. The caller is the side that begins."""

    is_caller: bool
    private_key: bytes
    her_public: bytes
    users: tuple[User, ...] = ()
    credential: Credential | None = None
    require_auth: bool = False
    is_link: bool = True


@dataclass(frozen=True)
class Snapshot:
    """What a session shows of itself."""

    next: int
    state: int
    window_base: int
    window_bits: int


class Tape(Randomness, Protocol):
    """Randomness of one packet. What one player drew, the others find in `drawn`."""

    @property
    def drawn(self) -> bytes:
        """All that this packet is made with, in the order it is drawn."""


class Player(Protocol):
    """One implementation of one side."""

    def seal(self, payload: bytes, now_ms: int, tape: Tape) -> bytes: ...
    def open(self, packet: bytes, now_ms: int) -> tuple[int, bytes]: ...
    def set_credential(self, credential: Credential | None) -> None: ...
    def reset(self) -> None: ...
    def snapshot(self) -> Snapshot: ...


MakePlayer = Callable[[Setting, int], Player]


class MirrorPlayer:
    """The mirror as a player."""

    def __init__(self, setting: Setting, now_ms: int) -> None:
        self._session = Session(
            setting.private_key,
            setting.her_public,
            now=now_ms / 1000,
            users=list(setting.users),
            credential=setting.credential,
            require_auth=setting.require_auth,
            is_link=setting.is_link,
        )

    def seal(self, payload: bytes, now_ms: int, tape: Tape) -> bytes:
        return self._session.send(payload, now_ms / 1000, tape)

    def open(self, packet: bytes, now_ms: int) -> tuple[int, bytes]:
        verdict, payload = self._session.receive(packet, now_ms / 1000)
        return int(verdict), payload

    def set_credential(self, credential: Credential | None) -> None:
        self._session.set_credential(credential)

    def reset(self) -> None:
        self._session.reset()

    def snapshot(self) -> Snapshot:
        window = self._session.window
        return Snapshot(self._session.next, self._session.state, window.base, window.bits)


class EnginePlayer:
    """The engine as a player. Like the reference it draws exactly what is on the tape."""

    def __init__(self, setting: Setting, now_ms: int, *, is_hardened: bool = False) -> None:
        self._session = CryptoAuth(
            setting.private_key,
            setting.her_public,
            setting.require_auth,
            now_ms / 1000,
            is_end_to_end=not setting.is_link,
            is_hardened=is_hardened,
        )
        self._session.set_users(
            [(user.login, user.password, user.only_address) for user in setting.users]
        )
        self.set_credential(setting.credential)

    def seal(self, payload: bytes, now_ms: int, tape: Tape) -> bytes:
        packet = self.seal_with(payload, now_ms, tape.drawn)
        assert self._session.random_left == 0
        return packet

    def seal_with(self, payload: bytes, now_ms: int, randomness: bytes) -> bytes:
        """The next packet, whether or not it takes all of the randomness."""
        packet = self._session.seal(now_ms / 1000, payload, randomness)
        assert packet is not None
        return packet

    def open(self, packet: bytes, now_ms: int) -> tuple[int, bytes]:
        error, payload = self._session.open(now_ms / 1000, packet)
        assert (payload is None) == (error != 0)
        return error, payload or b""

    def set_credential(self, credential: Credential | None) -> None:
        if credential is None:
            self._session.set_credential(None, None)
        else:
            self._session.set_credential(credential.login, credential.password)

    def reset(self) -> None:
        self._session.reset()

    def snapshot(self) -> Snapshot:
        return Snapshot(self._session.next, self._session.state, *self._session.replay_window)

    @property
    def user(self) -> bytes | None:
        """Login of whoever authenticated last."""
        return self._session.user


class HardenedPlayer(EnginePlayer):
    """The engine as the daemon runs it: it takes of the tape what it wants."""

    def __init__(self, setting: Setting, now_ms: int) -> None:
        super().__init__(setting, now_ms, is_hardened=True)

    def seal(self, payload: bytes, now_ms: int, tape: Tape) -> bytes:
        randomness = tape.temp_private() + tape.handshake_nonce() + tape.lookup()
        return self.seal_with(payload, now_ms, randomness)


class Together:
    """Several players of one side: each must answer what the first one answers."""

    def __init__(self, *players: Player) -> None:
        self._players = players

    def seal(self, payload: bytes, now_ms: int, tape: Tape) -> bytes:
        return _agreed([player.seal(payload, now_ms, tape) for player in self._players])

    def open(self, packet: bytes, now_ms: int) -> tuple[int, bytes]:
        return _agreed([player.open(packet, now_ms) for player in self._players])

    def set_credential(self, credential: Credential | None) -> None:
        for player in self._players:
            player.set_credential(credential)

    def reset(self) -> None:
        for player in self._players:
            player.reset()

    def snapshot(self) -> Snapshot:
        return _agreed([player.snapshot() for player in self._players])


def _agreed(answers: list[_Answer]) -> _Answer:
    first, *others = answers
    for answer in others:
        assert answer == first
    return first
