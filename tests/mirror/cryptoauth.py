"""A second CryptoAuth in plain Python, to hold against the engine's.

Place     tests/mirror only; `Session` plays one side of a link or of an end-to-end session
Spec      docs/protocol/01 §7-11 and §13, followed to the letter: none of the hardenings of §18
Keeps     no clock and no randomness of its own: time is an argument, `Randomness` is handed in
Not here  what links add around it (01 §14): unknown endpoints, payloads before establishment
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

from tests.mirror.toolbox import (
    Credential,
    LowOrderKeyError,
    ReplayWindow,
    User,
    box_key,
    data_nonce,
    find_user,
    handshake_key,
    open_sealed,
    public_of,
    seal,
)

HANDSHAKE_BYTES = 120  # 01 §4.1
DATA_OVERHEAD_BYTES = 20  # 01 §4.2
SETUP_TIMEOUT_S = 10  # 01 §11
SILENCE_TIMEOUT_S = 60  # 01 §11
LAST_COUNTER = 0xFFFFFFF0  # 01 §8: senders stop here

HELLO, REPEAT_HELLO, KEY, REPEAT_KEY = range(4)
INIT, SENT_HELLO, RECEIVED_HELLO, SENT_KEY, RECEIVED_KEY = range(5)
ESTABLISHED = 100

NO_TEMP_KEY = bytes(32)


class Verdict(IntEnum):
    """What became of a packet: 0 or an error number (01 §13)."""

    ACCEPT = 0
    RUNT = 1
    NO_SESSION = 2
    KEY_PKT_ESTABLISHED_SESSION = 5
    WRONG_PERM_PUBKEY = 6
    IP_RESTRICTED = 7
    AUTH_REQUIRED = 8
    UNRECOGNIZED_AUTH = 9
    STRAY_KEY = 10
    HANDSHAKE_DECRYPT_FAILED = 11
    WISEGUY = 12
    INVALID_PACKET = 13
    REPLAY = 14
    DECRYPT = 15


class Randomness(Protocol):
    """Where a session takes what it may not choose itself."""

    def temp_private(self) -> bytes:
        """32 bytes: a temporary private key."""

    def handshake_nonce(self) -> bytes:
        """24 bytes: the nonce of one handshake packet."""

    def lookup(self) -> bytes:
        """9 bytes: lookup value and derivations of a packet without credential."""


@dataclass
class _Handshake:
    """Everything a reset forgets."""

    next: int = INIT
    is_initiator: bool = False
    temp_private: bytes | None = None
    her_temp_public: bytes = NO_TEMP_KEY
    secret: bytes | None = None
    is_established: bool = False
    window: ReplayWindow = field(default_factory=ReplayWindow)


class Session:
    """One side of a CryptoAuth session. `now` is seconds; only whole seconds count."""

    def __init__(
        self,
        private_key: bytes,
        her_public: bytes,
        now: float,
        *,
        users: list[User] | None = None,
        credential: Credential | None = None,
        require_auth: bool = False,
        is_link: bool = True,
    ) -> None:
        self._private = private_key
        self._public = public_of(private_key)
        self._her_public = her_public
        self._her_address = hashlib.sha512(hashlib.sha512(her_public).digest()).digest()[:16]
        self._users = users or []
        self._credential = credential
        self._require_auth = require_auth
        self._is_link = is_link
        self._last = int(now)
        self._hs = _Handshake()

    @property
    def next(self) -> int:
        """State and next counter in one number (01 §7)."""
        return self._hs.next

    @property
    def state(self) -> int:
        """The reported state: 0 to 4, or 100."""
        if self._hs.next <= RECEIVED_KEY:
            return self._hs.next
        return ESTABLISHED if self._hs.is_established else RECEIVED_KEY

    @property
    def window(self) -> ReplayWindow:
        return self._hs.window

    def reset(self) -> None:
        """Forget the handshake, not who she is."""
        self._hs = _Handshake()

    def set_credential(self, credential: Credential | None) -> None:
        """Present this from now on; a different one begins the session anew."""
        if credential != self._credential:
            self._credential = credential
            self.reset()

    def send(self, payload: bytes, now: float, randomness: Randomness) -> bytes:
        """The packet that carries `payload` (01 §8)."""
        self._check_timeout(now)
        if self._hs.next >= LAST_COUNTER:
            self.reset()
        if self._hs.next < RECEIVED_KEY:
            return self._send_handshake(payload, randomness)
        hs = self._hs
        if hs.next == RECEIVED_KEY:
            hs.secret = self._data_key()
        assert hs.secret is not None
        counter = hs.next
        hs.next += 1
        nonce = data_nonce(counter, hs.is_initiator)
        return counter.to_bytes(4, "big") + seal(hs.secret, nonce, payload)

    def receive(self, packet: bytes, now: float) -> tuple[Verdict, bytes]:
        """The verdict on a packet, and its payload if it was accepted (01 §9)."""
        is_handshake = packet[:4] < b"\0\0\0\4"
        if self._is_link or is_handshake:
            self._check_timeout(now)
        if len(packet) < DATA_OVERHEAD_BYTES:
            return Verdict.RUNT, b""
        word = int.from_bytes(packet[:4], "big")
        if not self._hs.is_established:
            if is_handshake:
                return self._receive_handshake(word, packet)
            return self._receive_first_data(word, packet, now)
        if word in (KEY, REPEAT_KEY):
            return Verdict.KEY_PKT_ESTABLISHED_SESSION, b""
        if is_handshake:
            return self._receive_handshake(word, packet)
        return self._receive_data(word, packet, now)

    # --- Sending

    def _send_handshake(self, payload: bytes, randomness: Randomness) -> bytes:
        hs = self._hs
        word = hs.next
        if word in (INIT, RECEIVED_HELLO):
            hs.temp_private = randomness.temp_private()
        assert hs.temp_private is not None
        nonce = randomness.handshake_nonce()
        if self._credential is None:
            auth, secret = b"\0" + randomness.lookup() + bytes(2), None
        else:
            auth, secret = self._credential.lookup + bytes(4), self._credential.secret
        if word < RECEIVED_HELLO:
            key = handshake_key(self._private, self._her_public, secret)
            hs.is_initiator = True
            hs.next = SENT_HELLO
        else:
            key = handshake_key(self._private, hs.her_temp_public, secret)
            hs.next = SENT_KEY
        sealed = seal(key, nonce, public_of(hs.temp_private) + payload)
        return word.to_bytes(4, "big") + auth + nonce + self._public + sealed

    def _data_key(self) -> bytes:
        assert self._hs.temp_private is not None
        return box_key(self._hs.temp_private, self._hs.her_temp_public)

    # --- Data

    def _receive_first_data(self, word: int, packet: bytes, now: float) -> tuple[Verdict, bytes]:
        hs = self._hs
        if hs.next < SENT_KEY:
            return Verdict.NO_SESSION, b""
        try:
            secret = self._data_key()
        except LowOrderKeyError:
            verdict, payload = Verdict.DECRYPT, b""
        else:
            verdict, payload = self._open_data(secret, word, packet)
        hs.window.base, hs.window.bits = (word + 1) & 0xFFFFFFFF, 0
        if verdict is Verdict.ACCEPT:
            hs.secret = secret
            hs.is_established = True
            hs.next += 3
            self._last = int(now)
        return verdict, payload

    def _receive_data(self, word: int, packet: bytes, now: float) -> tuple[Verdict, bytes]:
        assert self._hs.secret is not None
        verdict, payload = self._open_data(self._hs.secret, word, packet)
        if verdict is Verdict.ACCEPT:
            self._last = int(now)
        return verdict, payload

    def _open_data(self, secret: bytes, counter: int, packet: bytes) -> tuple[Verdict, bytes]:
        nonce = data_nonce(counter, sender_is_initiator=not self._hs.is_initiator)
        payload = open_sealed(secret, nonce, packet[4:])
        if payload is None:
            return Verdict.DECRYPT, b""
        if not self._hs.window.accepts(counter):
            return Verdict.REPLAY, b""
        return Verdict.ACCEPT, payload

    # --- Handshake

    def _receive_handshake(self, word: int, packet: bytes) -> tuple[Verdict, bytes]:
        if len(packet) < HANDSHAKE_BYTES:
            return Verdict.RUNT, b""
        if packet[40:72] != self._her_public:
            return Verdict.WRONG_PERM_PUBKEY, b""
        user = find_user(self._users, packet[4:12])
        refusal = self._judge_credential(user, auth_type=packet[4])
        if refusal is not Verdict.ACCEPT:
            return refusal, b""
        if word in (KEY, REPEAT_KEY) and not self._hs.is_initiator:
            return Verdict.STRAY_KEY, b""
        opened = self._open_handshake(word, packet, user)
        if opened is None:
            return Verdict.HANDSHAKE_DECRYPT_FAILED, b""
        temp_key, payload = opened[:32], opened[32:]
        verdict = self._judge_temp_key(word, temp_key)
        if verdict is Verdict.ACCEPT:
            take = self._take_hello if word in (HELLO, REPEAT_HELLO) else self._take_key
            verdict = take(word, temp_key)
        return verdict, payload if verdict is Verdict.ACCEPT else b""

    def _judge_credential(self, user: User | None, auth_type: int) -> Verdict:
        if user is not None and user.only_address not in (None, self._her_address):
            return Verdict.IP_RESTRICTED
        if user is None and self._require_auth:
            return Verdict.AUTH_REQUIRED
        if user is None and auth_type != 0:
            return Verdict.UNRECOGNIZED_AUTH
        return Verdict.ACCEPT

    def _open_handshake(self, word: int, packet: bytes, user: User | None) -> bytes | None:
        secret = None if user is None else hashlib.sha256(user.password).digest()
        private = self._private if word in (HELLO, REPEAT_HELLO) else self._hs.temp_private
        assert private is not None
        try:
            key = handshake_key(private, self._her_public, secret)
        except LowOrderKeyError:
            return None
        return open_sealed(key, packet[16:40], packet[72:])

    def _judge_temp_key(self, word: int, temp_key: bytes) -> Verdict:
        hs = self._hs
        is_same = temp_key == hs.her_temp_public
        if temp_key == NO_TEMP_KEY:
            return Verdict.WISEGUY
        if word == HELLO and is_same:
            return Verdict.INVALID_PACKET
        if word == KEY and hs.next >= RECEIVED_KEY and is_same:
            return Verdict.INVALID_PACKET
        if word == REPEAT_KEY and hs.next >= RECEIVED_KEY and not is_same:
            return Verdict.INVALID_PACKET
        return Verdict.ACCEPT

    def _take_key(self, word: int, temp_key: bytes) -> Verdict:
        hs = self._hs
        if hs.next in (INIT, RECEIVED_HELLO, SENT_KEY):
            return Verdict.STRAY_KEY
        is_answer = hs.next == SENT_HELLO
        has_sent_data = hs.next > RECEIVED_KEY
        if is_answer or word == KEY:
            hs.her_temp_public = temp_key
        if has_sent_data and word == KEY:
            hs.secret = self._data_key()
        if is_answer:
            hs.next = RECEIVED_KEY
        elif has_sent_data:
            hs.next += 1
        hs.window = ReplayWindow()
        return Verdict.ACCEPT

    def _take_hello(self, word: int, temp_key: bytes) -> Verdict:
        if temp_key == self._hs.her_temp_public:
            if self._hs.next not in (RECEIVED_HELLO, SENT_KEY):
                return Verdict.INVALID_PACKET
            self._hs.window = ReplayWindow()
            return Verdict.ACCEPT
        if self._hs.next == SENT_HELLO and self._her_public > self._public:
            return Verdict.ACCEPT
        self.reset()
        self._hs.her_temp_public = temp_key
        self._hs.next = RECEIVED_HELLO
        return Verdict.ACCEPT

    def _check_timeout(self, now: float) -> None:
        """Begin anew after too long a silence (01 §11)."""
        if self._hs.next == SENT_HELLO:
            return
        limit = SILENCE_TIMEOUT_S if self._hs.is_established else SETUP_TIMEOUT_S
        if int(now) - self._last >= limit:
            self.reset()
            self._last = int(now)
