"""Play either side of the recorded scenarios of cryptoauth.json, with whoever can play.

Place     test_cryptoauth_vectors.py (the engine), tests/mirror (the mirror; both side by side)
Spec      tests/vectors/README.md, "cryptoauth.json"; docs/protocol/01
Keeps     a step takes no time but the recorded waits; randomness is that of the recording
Not here  the players (tests/mirror/players.py)
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from dexmesh.wire.address import parse_address
from dexmesh.wire.control import AuthenticationFailure, ErrorFrame, decode_control
from dexmesh.wire.headers import SWITCH_HEADER_BYTES
from tests.mirror.cryptoauth import ESTABLISHED, Verdict
from tests.mirror.players import MakePlayer, Player, Setting
from tests.mirror.toolbox import Credential, User
from tests.vectors.loading import load

VECTORS = load("cryptoauth.json")
SCENARIOS: list[dict[str, Any]] = VECTORS["scenarios"]

# What `play_peer` gives over all scenarios, whoever plays.
AS_A_PEER = Counter({"opened": 135, "sealed": 78, "by hand": 63, "left": 52})


@dataclass
class ScriptedTape:
    """The randomness one recorded packet was made with; zeros where it had none."""

    fields: dict[str, Any]

    def temp_private(self) -> bytes:
        return self._recorded("sender_temp_private", 32)

    def handshake_nonce(self) -> bytes:
        return self._recorded("handshake_nonce", 24)

    def lookup(self) -> bytes:
        return self._recorded("auth", 12)[1:10]

    @property
    def drawn(self) -> bytes:
        """Repeats draw no temporary key, packets with a credential no lookup value, data nothing."""
        if self.fields.get("kind", "DATA") == "DATA":
            return b""
        temp = b"" if self.fields["kind"].startswith("REPEAT") else self.temp_private()
        lookup = self.lookup() if self.fields["auth"].startswith("00") else b""
        return temp + self.handshake_nonce() + lookup

    def _recorded(self, name: str, length: int) -> bytes:
        return bytes.fromhex(self.fields.get(name, "00" * length))


def private_of(identity: str) -> bytes:
    return bytes.fromhex(VECTORS["identities"][identity]["private"])


def public_of(identity: str) -> bytes:
    return bytes.fromhex(VECTORS["identities"][identity]["public"])


def credential_of(entry: dict[str, Any] | None) -> Credential | None:
    if entry is None:
        return None
    login = entry["login"]
    return Credential(entry["password"].encode(), None if login is None else login.encode())


def users_of(name: str) -> tuple[User, ...]:
    """The configured users after the one every node has by itself (01 §3)."""
    users = [User(b"Local Peers", b"random, unknown to the peer")]
    for entry in VECTORS["users"][name]:
        login = entry.get("login") or f"Anon #{len(users)}"
        only = entry.get("only_ipv6")
        address = None if only is None else parse_address(only)
        users.append(User(login.encode(), entry["password"].encode(), address))
    return tuple(users)


# --- The reference's side


def setting_of_reference(scenario: dict[str, Any]) -> Setting:
    """Only sessions that others begin require a credential (README)."""
    is_called = scenario["reference_role"] == "responder"
    return Setting(
        is_caller=not is_called,
        private_key=private_of(scenario["reference_identity"]),
        her_public=key_in_first_packet(scenario)
        if is_called
        else public_of(scenario["peer_identity"]),
        users=users_of(scenario["reference_users"]),
        credential=credential_of(scenario["reference_credentials"]),
        require_auth=is_called,
    )


def key_in_first_packet(scenario: dict[str, Any]) -> bytes:
    """Whom a link from an unknown endpoint is made for (01 §14)."""
    return bytes.fromhex(scenario["steps"][0]["hex"])[40:72]


def play_reference(scenario: dict[str, Any], make_player: MakePlayer) -> Player:
    """Every packet, verdict, payload and counter must be as recorded."""
    player, now_ms = make_player(setting_of_reference(scenario), 0), 0
    for number, step in enumerate(scenario["steps"]):
        now_ms += milliseconds_of(step)
        if step.get("from") == "peer":
            hear(player, scenario["steps"], number, now_ms)
        elif step.get("from") == "reference":
            assert say(player, step, now_ms).hex() == step["hex"], number
        player.snapshot()
    return player


def milliseconds_of(step: dict[str, Any]) -> int:
    """How long this step takes."""
    return round(float(step.get("wait_seconds", 0)) * 1000)


def say(player: Player, step: dict[str, Any], now_ms: int) -> bytes:
    payload = bytes.fromhex(step["fields"]["payload"])
    return player.seal(payload, now_ms, ScriptedTape(step["fields"]))


def hear(player: Player, steps: list[dict[str, Any]], number: int, now_ms: int) -> None:
    step = steps[number]
    before = step.get("reference_state_before")
    if before is not None:
        send_what_was_left_out(player, before, now_ms)
        assert player.snapshot().next == before, number
    error, payload = player.open(bytes.fromhex(step["hex"]), now_ms)
    # a v20.7 node looks at the length before CryptoAuth does
    expected = "RUNT" if step["result"] == "IGNORED" else step["result"]
    assert Verdict(error).name == expected, (number, step.get("note"))
    if expected == "ACCEPT":
        original = steps[step.get("same_as_step", number)]
        assert payload.hex() == original["fields"]["payload"], number


def send_what_was_left_out(player: Player, counter: int, now_ms: int) -> None:
    """Data the reference sent without being recorded: its counter shows how many packets."""
    while player.snapshot().state == ESTABLISHED and player.snapshot().next < counter:
        player.seal(b"left out", now_ms, ScriptedTape({}))


# --- The peer's side


def setting_of_peer(scenario: dict[str, Any]) -> Setting:
    presented = credential_of(scenario["reference_credentials"])
    users = [] if presented is None else [User(presented.login or b"Anon #0", presented.password)]
    return Setting(
        is_caller=scenario["reference_role"] == "responder",
        private_key=private_of(scenario["peer_identity"]),
        her_public=public_of(scenario["reference_identity"]),
        users=tuple(users),
        credential=credential_of(scenario["peer_credentials"]),
    )


def play_peer(scenario: dict[str, Any], make_player: MakePlayer) -> Counter[str]:
    """How many steps came out as recorded (`opened`, `sealed`), and how many could not.

    The recorded peers were driven by hand. `by hand`: no node would have sent this packet now.
    `left`: what follows after the recorded peer went a way of its own.
    """
    setting = setting_of_peer(scenario)
    player, now_ms = make_player(setting, 0), 0
    steps, outcome = scenario["steps"], Counter[str]()
    for number, step in enumerate(steps):
        if "wait_seconds" in step:
            now_ms += milliseconds_of(step)
            continue
        if step["from"] == "reference":
            error, payload = player.open(bytes.fromhex(step["hex"]), now_ms)
            kind = "opened" if error == 0 else "left"
            assert error or payload.hex() == step["fields"]["payload"], number
        elif is_by_hand(player, step, setting, now_ms):
            kind = "by hand"
        else:
            sent = say(player, step, now_ms)
            is_same = as_sent(sent, step) == as_sent(bytes.fromhex(step["hex"]), step)
            kind = "sealed" if is_same else "left"
        if kind == "left":
            outcome["left"] += len(steps) - number
            break
        outcome[kind] += 1
    return outcome


def is_by_hand(player: Player, step: dict[str, Any], setting: Setting, now_ms: int) -> bool:
    """Whether this packet of the peer is not what a node in its place would send next."""
    fields = step.get("fields")
    if fields is None or (step.get("altered") and step["result"] != "ACCEPT"):
        return True
    if fields["kind"] == "REPEAT_HELLO" and player.snapshot().next == 0:
        # the recording begins after a HELLO was lost
        player.seal(b"", now_ms, ScriptedTape({**fields, "kind": "HELLO"}))
    if fields["kind"] == "HELLO" and player.snapshot().next != 0:
        player.reset()  # the peer restarts
    is_handshake = fields["kind"] != "DATA"
    lacks_credential = (
        is_handshake and setting.credential is not None and fields["auth"].startswith("00")
    )
    return fields["nonce"] != player.snapshot().next or lacks_credential


def as_sent(packet: bytes, step: dict[str, Any]) -> bytes:
    """The packet without the bits that nobody authenticates, if they were altered under way."""
    return packet[:12] + bytes(4) + packet[16:] if step.get("altered") else packet


# --- The end of a path


def play_session_layer(make_player: MakePlayer) -> None:
    """`session_layer`: handles around CryptoAuth, error frames with verdict and state (01 §15)."""
    layer = VECTORS["session_layer"]
    setting = Setting(
        is_caller=False,
        private_key=private_of(layer["identity_reference"]),
        her_public=public_of(layer["identity_peer"]),
        users=users_of("responder_users"),
        is_link=False,
    )
    player = make_player(setting, 0)
    own_handle = next(s["handle_in_payload"] for s in layer["steps"] if s["from"] == "reference")
    error = 0
    for number, step in enumerate(layer["steps"]):
        packet = bytes.fromhex(step["link_plaintext"])[SWITCH_HEADER_BYTES:]
        if step["from"] == "peer":
            error = hear_at_end_of_path(player, step, packet, own_handle)
        elif step["kind"] == "CONTROL_ERROR":
            frame = decode_control(packet[4:])
            assert isinstance(frame, ErrorFrame)
            told = frame.authentication_failure()
            assert told == AuthenticationFailure(error, player.snapshot().state), number
        else:
            sent = player.seal(bytes.fromhex(step["inner_payload"]), 0, ScriptedTape(step))
            is_data = step["kind"] == "DATA"
            assert sent == (packet[4:] if is_data else packet), number


def hear_at_end_of_path(
    player: Player, step: dict[str, Any], packet: bytes, own_handle: int
) -> int:
    """The error number; data for nobody, or with a counter of the handshake, is not opened."""
    if step["kind"] == "DATA":
        handle, packet = int.from_bytes(packet[:4], "big"), packet[4:]
        if handle != own_handle or int.from_bytes(packet[:4], "big") < 4:
            return Verdict.NO_SESSION
    error, payload = player.open(packet, 0)
    if error == 0:
        assert payload.hex() == step["inner_payload"]
    return error
