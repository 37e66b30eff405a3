"""Play admin.json against our server: the same requests, in order, must get the same answers.

The fake node is set to what the captured node was at that moment, so replies are compared whole;
what differs on purpose is listed with its reason. Functions we do not offer must be refused.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from typing import Any

from dexmesh.admin.assembly import admin_server
from dexmesh.admin.auth import COOKIE_UNIT_MS, datagram_hash, password_hash
from dexmesh.admin.exchange import Reading, decode_reply
from dexmesh.admin.log_stream import LogStream
from dexmesh.admin.server import UNKNOWN_FUNCTION, AdminServer, Pending, Reply, answer_of
from dexmesh.admin.services import (
    AccountView,
    InterfaceView,
    NodeAnswer,
    NodeView,
    Query,
    QueryTarget,
    SwitchPingResult,
)
from dexmesh.engine.messages import Endpoint, InterfaceNumber
from dexmesh.errors import AdminError, DexmeshError
from dexmesh.wire.bencode import decode_bencode
from dexmesh.wire.keys import address_of
from dexmesh.wire.label import SELF_LABEL, Label, parse_label
from dexmesh.wire.node_address import NodeAddress, parse_node_address
from dexmesh.wire.scheme import V358
from tests.unit.admin.fake import (
    KEY_A,
    KEY_B,
    LABEL_TO_PEER,
    FakeBeacons,
    FakeNode,
    link_between,
    peer_of,
    route_to,
    session_with,
    udp_interface,
)
from tests.vectors.loading import load

ADMIN = load("admin.json")
TABLE = ADMIN["function_table_v20_7"]
OPEN_CALLS = ADMIN["open_core_calls"]
PASSWORD = ADMIN["node_b"]["admin_password"].encode()
SOURCE = ("127.0.0.1", 40000)
OUR_FUNCTIONS = {"Dexmesh_dropCounts"}

Entry = dict[str, Any]

SELF_A = NodeAddress(KEY_A, SELF_LABEL, 20)
A_TO_B = NodeAddress(KEY_B, LABEL_TO_PEER, 20)


class Player:
    """A server with a clock that shows what the captured cookies say."""

    def __init__(self, node: FakeNode, password: bytes, stream: LogStream | None = None) -> None:
        self.server: AdminServer = admin_server(node, password, stream)
        self.unix_ms = 1753272009 * COOKIE_UNIT_MS + 500

    def set_clock(self, cookie: str) -> None:
        self.unix_ms = int(cookie) * COOKIE_UNIT_MS + 500

    def ask(self, request: bytes) -> bytes | None:
        """The first answer of the server; the others of a call that goes on are not taken."""
        now = self.unix_ms / 1000
        outcome = self.server.handle_datagram(request, SOURCE, self.unix_ms, now)
        if isinstance(outcome, Pending):
            outcome = asyncio.run(self._late(outcome))
        return outcome.data if isinstance(outcome, Reply) else None

    async def _late(self, pending: Pending) -> Reply | None:
        answers = pending.answers
        try:
            answer = await (anext(answers) if isinstance(answers, AsyncGenerator) else answers)
        except DexmeshError as error:
            answer = answer_of(error)
        self.server.finish(pending)
        return self.server.late_reply(pending, answer, self.unix_ms / 1000)


def decoded(data: bytes | None) -> tuple[bytes, Reading] | None:
    if data is None:
        return None
    reply = decode_reply(data)
    assert reply is not None
    return reply


def captured(entry: Entry) -> tuple[bytes, Reading] | None:
    hexes = entry["response_hex"]
    return None if hexes is None else decoded(bytes.fromhex(hexes))


def is_offered(entry: Entry, offered: set[str]) -> bool:
    call = entry.get("call")  # the malformed ones have none
    return call not in TABLE or call in offered


def offered_functions(server: AdminServer) -> dict[str, Any]:
    """Every function, read page by page as clients do."""
    functions: dict[str, Any] = {}
    page = 0
    while True:
        request = b"d4:argsd4:pagei%dee1:q24:Admin_availableFunctionse" % page
        reply = server.handle_datagram(request, SOURCE, 0, 0.0)
        assert isinstance(reply, Reply)
        message = decoded(reply.data)
        assert message is not None
        content = message[1]
        functions.update(content["availableFunctions"])
        if "more" not in content:
            return functions
        page += 1


# --- The node that was captured -----------------------------------------------------------------


def node_a() -> FakeNode:
    """The node with the open admin port."""
    node = FakeNode(pid=28792, devices=["ad_va"])
    node.passwords.append((b"outerpass", "outer"))
    node.attachments = [udp_interface(0, "10.98.0.1:5000", beacon_state=2)]
    node.beacons = FakeBeacons({0: 2}, {0: ["ad_va"]}, ["10.98.0.255:64512"])
    node.links_up = [
        peer_of(
            KEY_B,
            endpoint=Endpoint("10.98.0.2:5000"),
            is_incoming=True,
            bytes_in=12520,
            bytes_out=12088,
            lost=3,
            received=54,
            receive_kbps=2,
            send_kbps=2,
            last_in_unix_ms=1795350537372,
        )
    ]
    node.open_sessions = [
        session_with(
            KEY_B,
            96416,
            send_handle=66760,
            metric=4279238656,
            is_maintained=True,
            last_in_unix_ms=1795350514818,
            last_out_unix_ms=1795350514818,
        )
    ]
    node.accounts = {
        "root": AccountView("root", 0, 0),
        "nobody": AccountView("nobody", 65534, 65534),
    }
    give_tables(node)
    node.pings, node.queries = answer_ping, answer_query
    return node


def give_tables(node: FakeNode) -> None:
    own = route_to(KEY_A, SELF_LABEL, cost=0, last_seen_ms_ago=25485, bucket=127, is_peer=False)
    to_b = route_to(KEY_B)
    node.table = [own, to_b]
    node.link_table = [link_between(SELF_A, A_TO_B)]
    a, b = address_of(KEY_A), address_of(KEY_B)
    node.nodes = {
        a: NodeView(own, V358, 3, a, SELF_LABEL, is_one_hop=False),
        b: NodeView(to_b, V358, 1, a, LABEL_TO_PEER, is_one_hop=True),
    }


def answer_ping(
    label: Label, _timeout_s: float, data: bytes, is_key_ping: bool
) -> SwitchPingResult:
    if label == SELF_LABEL:
        return SwitchPingResult("pong", 1, label, 20)
    if label == LABEL_TO_PEER:
        return SwitchPingResult("pong", 0, label, 20, data, KEY_B if is_key_ping else None)
    return SwitchPingResult("timeout", 501, label, 20)


def answer_query(
    target: QueryTarget, query: Query, _argument: bytes, _timeout_s: float
) -> NodeAnswer:
    if target not in (SELF_LABEL, LABEL_TO_PEER, address_of(KEY_B)):
        raise AdminError("not_found")
    if query == "pn":
        return NodeAnswer(3 if target == LABEL_TO_PEER else 5, A_TO_B, scheme=V358)
    if query in ("fn", "nh"):
        back = NodeAddress(KEY_A, parse_label("0000.0000.0000.0133"), 20)
        return NodeAnswer(4 if query == "fn" else 5, A_TO_B, (back,), V358)
    if target == SELF_LABEL:
        return NodeAnswer(1, SELF_A, (SELF_A, A_TO_B), V358)
    seen_by_b = (NodeAddress(KEY_B, SELF_LABEL, 20), NodeAddress(KEY_A, LABEL_TO_PEER, 20))
    return NodeAnswer(3, A_TO_B, seen_by_b, V358)


# --- The comparisons ----------------------------------------------------------------------------

_OWN_WORDS = {
    # their error names a source file and line; only the end is the message
    ("UDPInterface_new", "[::]:5002"): "UDP broadcast only supported by ipv4.",
    # theirs ends with an errno text that says [Success]
    ("Security_getUser", "nosuchuser"): "Could not find user [no such user]",
}


def follow_the_original(entry: Entry, node: FakeNode) -> None:
    """Do to the fake what a call that we do not offer did to the captured node."""
    call = entry.get("call")
    if call == "ETHInterface_new" and entry["args"]["bindDevice"] == "ad_va":
        node.attachments.append(InterfaceView(InterfaceNumber(3), "ETH/ad_va", "ad_va", False, 0))
    if call == "Security_nofiles":
        node.may_open_files = False
    if call == "Security_setUser":
        node.user_id = 65534


def expected(entry: Entry, offered: set[str]) -> tuple[bytes, Reading] | None:
    reply = captured(entry)
    if reply is None:
        return None
    if not is_offered(entry, offered):
        return reply[0], {"error": UNKNOWN_FUNCTION}
    for (call, argument), text in _OWN_WORDS.items():
        if entry.get("call") == call and argument in entry.get("args", {}).values():
            assert text.split("[")[0] in reply[1]["error"]
            return reply[0], {"error": text}
    return reply


def play(entries: list[Entry], player: Player, node: FakeNode) -> int:
    """Replay; returns how many replies were of functions we offer."""
    offered = set(offered_functions(player.server))
    compared = 0
    for entry in entries:
        follow_the_original(entry, node)
        reply = captured(entry)
        if reply is not None and "cookie" in reply[1]:
            player.set_clock(reply[1]["cookie"])
        if "cookie" in entry and entry is entries[0]:
            player.set_clock(entry["cookie"])
        answer = decoded(player.ask(bytes.fromhex(entry["request_hex"])))
        assert answer == expected(entry, offered), entry["note"]
        compared += is_offered(entry, offered)
    return compared


def test_an_open_node_answers_as_the_original_did() -> None:
    node = node_a()
    compared = play(OPEN_CALLS, Player(node, b"NONE", LogStream(logging.getLogger("none"))), node)
    assert compared >= 74
    assert node.calls  # pings and queries reached the node


def test_a_node_with_a_password_answers_as_the_original_did() -> None:
    node = FakeNode(key=KEY_B, pid=26024, devices=["adtunb", "ad_vb"])
    node.passwords.append((b"t9jf88n5cl9ptb7d27nnv38sh5mlycs", "default-login"))
    node.links_up = [
        peer_of(
            KEY_A,
            endpoint=Endpoint("10.98.0.1:5000"),
            user="node-a",
            bytes_in=91110,
            bytes_out=98186,
            received=711,
            receive_kbps=1,
            send_kbps=1,
            last_in_unix_ms=1795350589358,
        )
    ]
    compared = play(ADMIN["password_core_calls"], Player(node, PASSWORD), node)
    assert compared == len(ADMIN["password_core_calls"])


def test_a_long_password_counts_only_up_to_its_63rd_byte_with_the_cookie() -> None:
    node = FakeNode()
    entries = ADMIN["long_password"]
    password = next(entry["password"] for entry in entries if "password" in entry).encode()
    assert play(entries, Player(node, password), node) == len(entries)


def test_eight_peers_come_in_pages_as_the_original_sends_them() -> None:
    node = FakeNode()
    first, second, _ = (captured(entry) for entry in ADMIN["paging_8_peers"])
    assert first is not None
    assert second is not None
    entries = [*reversed(first[1]["peers"]), *reversed(second[1]["peers"])]
    for entry in entries:
        name = parse_node_address(entry["addr"])
        node.links_up.append(
            peer_of(
                name.key,
                label=name.label,
                version=name.version,
                endpoint=Endpoint(entry["lladdr"]),
                state=entry["state"],
                user=entry["user"],
                bytes_out=entry["bytesOut"],
                last_in_unix_ms=entry["last"],
            )
        )
    assert play(ADMIN["paging_8_peers"], Player(node, b"NONE"), node) == 3


def test_a_node_lives_and_ends_as_the_original_did() -> None:
    node = FakeNode()
    compared = play(ADMIN["core_lifecycle"], Player(node, b"NONE"), node)
    assert compared >= 8
    assert ("start_tun", "adtunc") in node.calls
    assert node.has_exited


def test_what_cjdroute_says_to_its_core_configures_ours() -> None:
    node = FakeNode(key=KEY_B, has_tun=False, attachments=[])
    node.accounts["nobody"] = AccountView("nobody", 65534, 65534)
    player = Player(node, PASSWORD)
    offered = set(offered_functions(player.server))
    datagrams = ADMIN["cjdroute_startup_conversation"]["datagrams"][1:]  # the first found no core
    refused = []
    for sent, received in zip(datagrams[::2], datagrams[1::2], strict=True):
        assert (sent["dir"], received["dir"]) == ("client->core", "core->client")
        wanted = decoded(bytes.fromhex(received["hex"]))
        assert wanted is not None
        if "cookie" in wanted[1]:
            player.set_clock(wanted[1]["cookie"])
        request = decode_bencode(bytes.fromhex(sent["hex"]))
        assert isinstance(request, dict)
        function = str(request.get(b"aq", b"cookie"), "ascii")
        if function not in {*offered, "cookie"}:
            refused.append(function)
            wanted = wanted[0], {"error": UNKNOWN_FUNCTION}
        assert decoded(player.ask(bytes.fromhex(sent["hex"]))) == wanted, function
    assert refused == ["RouteGen_addException", "IpTunnel_connectTo"]  # of modules to come
    assert node.users() == ["Local Peers", "default-login"]
    assert [name for name, *_ in node.calls] == ["add_udp_interface", "add_peer", "start_tun"]
    assert node.calls[1][2:] == ("10.98.0.1:5000", KEY_A, b"outerpass", "outer", "node-a")


def test_log_subscriptions_answer_and_push_as_the_original_did() -> None:
    calls = ADMIN["log_subscription"]["calls"]
    replies = [captured(entry) for entry in calls]
    ids = [bytes.fromhex(one[1]["streamId"]) for one in replies if one and "streamId" in one[1]]
    logger = logging.Logger("captured")
    stream = LogStream(logger, random_bytes=lambda _count: ids.pop(0))
    node = FakeNode(key=KEY_B)
    player = Player(node, PASSWORD, stream)
    assert play(calls[:2], player, node) == 2
    for message in ADMIN["log_subscription"]["pushed_messages_hex"]:
        pushed = decoded(bytes.fromhex(message))
        assert pushed is not None
        logger.handle(record_of(pushed[1]))
        ((source, data),) = stream.take_messages(lambda _source: True)
        assert source == SOURCE
        assert decoded(data) == pushed
    assert play(calls[2:], player, node) == len(calls) - 2
    assert not ids


def record_of(pushed: Reading) -> logging.LogRecord:
    created = pushed["time"] * COOKIE_UNIT_MS / 1000
    return logging.makeLogRecord(
        {
            "filename": pushed["file"],
            "levelno": logging.getLevelNamesMapping()[pushed["level"]],
            "lineno": pushed["line"],
            "msg": pushed["message"] + "\n",
            "created": created + 0.5,
        }
    )


# --- Hashes and the table of functions ----------------------------------------------------------


def authenticated_entries() -> list[Entry]:
    groups = ("open_core_calls", "password_core_calls", "long_password")
    return [entry for group in groups for entry in ADMIN[group] if "prehash_message_hex" in entry]


def test_hashes_are_made_as_every_client_makes_them() -> None:
    entries = authenticated_entries()
    assert len(entries) >= 20
    for entry in entries:
        before = bytes.fromhex(entry["prehash_message_hex"])
        if "full password" not in entry["note"]:  # a client that hashes too much, and is refused
            first = password_hash(entry["password"].encode(), int(entry["cookie"]))
            assert first.decode() == entry["hash1"], entry["note"]
        assert before.count(entry["hash1"].encode()) == 1
        assert datagram_hash(before).decode() == entry["hash2"].lower(), entry["note"]


def test_every_function_takes_exactly_what_the_original_takes() -> None:
    server = admin_server(FakeNode(), b"NONE", LogStream(logging.getLogger("none")))
    functions = offered_functions(server)
    assert functions.keys() - TABLE.keys() == OUR_FUNCTIONS
    for name in functions.keys() & TABLE.keys():
        assert functions[name] == TABLE[name], name
    assert len(functions) >= 46


def test_pages_of_functions_look_like_the_originals() -> None:
    for entry in ADMIN["available_functions_pages"]:
        reply = captured(entry)
        assert reply is not None
        for name, arguments in reply[1]["availableFunctions"].items():
            assert arguments == TABLE[name]
        assert ("more" in reply[1]) == (len(reply[1]["availableFunctions"]) == 8)


def test_log_functions_are_absent_without_a_stream() -> None:
    functions = offered_functions(admin_server(FakeNode(), b"NONE"))
    assert not [name for name in functions if name.startswith("AdminLog_")]
