"""What the functions do beyond what the vectors show (tests/vectors/test_admin_vectors.py)."""

from __future__ import annotations

import pytest

from dexmesh.admin.assembly import admin_server
from dexmesh.admin.functions.forms import LONGEST_TIMEOUT_MS, describe_scheme, read_timeout_s
from dexmesh.admin.functions.search import MOST_REQUESTS
from dexmesh.admin.services import (
    ActiveSearch,
    InterfaceView,
    NodeAnswer,
    Query,
    QueryTarget,
    SearchStep,
    SwitchPingResult,
)
from dexmesh.errors import BindError
from dexmesh.wire.address import format_padded, parse_address
from dexmesh.wire.keys import address_of, encode_key
from dexmesh.wire.label import SELF_LABEL, Label, parse_label
from dexmesh.wire.node_address import NodeAddress, format_node_address
from dexmesh.wire.scheme import V358, EncodingScheme, Form
from tests.unit.admin.calling import Caller
from tests.unit.admin.fake import (
    KEY_A,
    KEY_B,
    LABEL_TO_PEER,
    FakeNode,
    peer_of,
    route_to,
    session_with,
    udp_interface,
)

B = NodeAddress(KEY_B, LABEL_TO_PEER, 20)
ADDRESS_B = format_padded(address_of(KEY_B))


def calling(node: FakeNode) -> Caller:
    return Caller(admin_server(node, b"NONE"))


# --- Peers and interfaces -----------------------------------------------------------------------


def begin(node: FakeNode, **changes: str | int | bytes) -> object:
    arguments = {"publicKey": encode_key(KEY_B), "address": "192.0.2.7:5000", **changes}
    return calling(node).error("UDPInterface_beginConnection", **arguments)


def test_a_peer_is_called_with_everything_that_was_given() -> None:
    node = FakeNode()
    assert begin(node, password=b"\xffpw", login="me", peerName="home", junk="x") == "none"
    assert node.calls == [("add_peer", 0, "192.0.2.7:5000", KEY_B, b"\xffpw", "me", "home")]


def test_a_peer_without_a_password_does_not_end_the_node() -> None:
    node = FakeNode()
    assert begin(node) == "none"
    assert node.calls[0][4] is None


@pytest.mark.parametrize(
    ("written", "called"),
    [
        ("0.0.0.0:5", "127.0.0.1:5"),
        ("peer.example.org:5000", "peer.example.org:5000"),
        ("localhost:65535", "localhost:65535"),
    ],
)
def test_endpoints_are_read_as_the_original_reads_them_and_names_too(
    written: str, called: str
) -> None:
    node = FakeNode()
    assert begin(node, address=written) == "none"
    assert node.calls[0][2] == called


def test_a_peer_is_called_over_the_family_of_its_interface() -> None:
    node = FakeNode(attachments=[udp_interface(0), udp_interface(1, "[::]:5000")])
    wrong = "different address type than this socket is bound to."
    assert begin(node, address="[2001:db8::1]:5") == wrong
    assert begin(node, interfaceNumber=1) == wrong
    assert begin(node, interfaceNumber=1, address="[::]:5") == "none"
    assert node.calls == [("add_peer", 1, "[::1]:5", KEY_B, None, None, None)]


@pytest.mark.parametrize(
    "address",
    [
        "",
        "bogus",
        "192.0.2.1",
        "192.0.2.1:0",
        "192.0.2.1:65536",
        "192.0.2.1:x",
        "300.1.2.3:5",
        "[::1]",
        "::1:5",
        "[nonsense]:5",
        "[192.0.2.1:5",
        "fe80::1%eth0:5",
        "a b:5",
        "x" * 300 + ":5",
        "peer\x00:5",
        "192.0.2.1:٥",
    ],
)
def test_what_is_no_endpoint_is_refused(address: str) -> None:
    node = FakeNode()
    assert begin(node, address=address) == "unable to parse ip address and port."
    assert not node.calls


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"interfaceNumber": 7}, "no such interface for interfaceNumber"),
        ({"interfaceNumber": -1}, "no such interface for interfaceNumber"),
        ({"publicKey": "k" * 54}, "key must end in .k"),
        ({"publicKey": encode_key(KEY_B).replace("z", "o", 1)}, "failed to base-32 decode key"),
        ({"publicKey": encode_key(KEY_A)}, "invalid cjdns public key."),
    ],
)
def test_peers_that_cannot_be_are_refused_in_the_originals_words(
    changes: dict[str, str | int], text: str
) -> None:
    assert begin(FakeNode(), **changes) == text


@pytest.mark.parametrize("bind", ["0.0.0.0", "127.0.0.1:0", "[::1]:5000", "::1", "[::]:65535"])
def test_an_interface_is_opened_where_it_is_asked_for(bind: str) -> None:
    node = FakeNode()
    answer = calling(node).call("UDPInterface_new", bindAddress=bind, dscp=46)
    assert answer == {"error": "none", "interfaceNumber": 1, "bindAddress": bind}
    assert node.calls == [("add_udp_interface", bind, 46, None)]


def test_an_interface_is_opened_on_all_addresses_if_none_is_named() -> None:
    node = FakeNode()
    calling(node).call("UDPInterface_new")
    assert node.calls == [("add_udp_interface", "0.0.0.0", 0, None)]


def test_an_address_the_system_does_not_give_is_refused_with_its_reason() -> None:
    class TakenNode(FakeNode):
        async def add_udp_interface(self, *_: object) -> InterfaceView:
            raise BindError("cannot bind UDP 0.0.0.0:1: Permission denied")

    text = calling(TakenNode()).error("UDPInterface_new", bindAddress="0.0.0.0:1")
    assert text == "cannot bind UDP 0.0.0.0:1: Permission denied"


@pytest.mark.parametrize("bind", ["bogus", "localhost:5", "0.0.0.0:65536", "1.2.3.4:-5", "[1.2"])
def test_what_is_no_local_address_is_refused(bind: str) -> None:
    assert calling(FakeNode()).error("UDPInterface_new", bindAddress=bind) == (
        "Failed to parse address"
    )


@pytest.mark.parametrize("dscp", [-1, 64, 2**62, -(2**63)])
def test_a_traffic_class_that_cannot_be_is_refused(dscp: int) -> None:
    node = FakeNode()
    assert calling(node).error("UDPInterface_new", dscp=dscp) == "invalid dscp"
    assert node.calls == []


def test_a_peer_without_a_name_is_shown_as_the_original_shows_it() -> None:
    node = FakeNode(links_up=[peer_of(KEY_B), peer_of(KEY_A, user="home", state="UNRESPONSIVE")])
    peers = calling(node).call("InterfaceController_peerStats")["peers"]
    assert [peer["user"] for peer in peers] == ["home", "outer"]
    assert [peer["state"] for peer in peers] == ["UNRESPONSIVE", "ESTABLISHED"]


def test_peers_are_dropped_and_renewed_by_key() -> None:
    node = FakeNode(links_up=[peer_of(KEY_B)])
    caller = calling(node)
    key = encode_key(KEY_B)
    assert caller.call("InterfaceController_disconnectPeer", pubkey=key) == {"success": 1}
    assert caller.error("InterfaceController_disconnectPeer", pubkey=key) == (
        "no peer found for that key"
    )
    assert caller.call("InterfaceController_resetPeering", pubkey=key) == {"success": 1}
    assert caller.call("InterfaceController_resetPeering") == {"success": 1}
    assert node.calls == [("reset_peering", KEY_B), ("reset_peering", None)]


# --- Passwords ----------------------------------------------------------------------------------


def test_a_password_may_be_for_one_address_only() -> None:
    node = FakeNode()
    caller = calling(node)
    caller.call("AuthorizedPasswords_add", password=b"\xff\x00", user="joe", ipv6=ADDRESS_B)
    assert node.passwords[-1] == (b"\xff\x00", "joe")
    assert node.only_addresses == [address_of(KEY_B)]


def test_users_come_in_pages_of_16() -> None:
    node = FakeNode()
    caller = calling(node)
    for number in range(16):
        caller.call("AuthorizedPasswords_add", password="pw", user=f"u{number}")
    first = caller.call("AuthorizedPasswords_list")
    second = caller.call("AuthorizedPasswords_list", page=1)
    assert (len(first["users"]), second["users"]) == (16, ["u15"])
    assert first["total"] == second["total"] == 17


# --- Questions to the network -------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["", "x", "0000.0000.0000.001", "0000.0000.0000.00zz", "\x00" * 19]
)
def test_a_malformed_label_does_not_end_the_node(path: str) -> None:
    assert calling(FakeNode()).error("SwitchPinger_ping", path=path) == "path was not parsable."


def test_a_ping_is_sent_as_asked_and_waits_no_longer_than_its_caller_is_tracked() -> None:
    node = FakeNode()
    caller = calling(node)
    caller.call("SwitchPinger_ping", path="0000.0000.0000.0013", timeout=10**9, keyPing=1)
    caller.call("SwitchPinger_ping", path="0000.0000.0000.0013", timeout=-1, data=b"\x00\xff")
    assert node.calls == [
        ("switch_ping", LABEL_TO_PEER, LONGEST_TIMEOUT_MS / 1000, b"", True),
        ("switch_ping", LABEL_TO_PEER, 2.0, b"\x00\xff", False),
    ]


def test_more_than_256_bytes_of_ping_data_are_refused() -> None:
    caller = calling(FakeNode())
    path = "0000.0000.0000.0013"
    assert caller.call("SwitchPinger_ping", path=path, data="x" * 256)["result"] == "timeout"
    assert "256" in str(caller.error("SwitchPinger_ping", path=path, data="x" * 257))


def test_a_ping_that_came_another_way_shows_the_label_it_saw() -> None:
    node = FakeNode()
    seen = parse_label("0000.0000.0000.0015")
    results = iter(["diff_label", "pong"])
    node.pings = lambda label, *_: SwitchPingResult(
        next(results), 3, label, 20, response_label=seen
    )
    caller = calling(node)
    answer = caller.call("SwitchPinger_ping", path="0000.0000.0000.0013")
    assert (answer["result"], answer["rpath"]) == ("diff_label", "0000.0000.0000.0015")
    assert "rpath" not in caller.call("SwitchPinger_ping", path="0000.0000.0000.0013")


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("0000.0000.0000.0013", LABEL_TO_PEER),
        (ADDRESS_B, address_of(KEY_B)),
        ("fc00::1", parse_address("fc00::1")),
        (format_node_address(B), B),
    ],
)
def test_a_node_is_named_by_label_address_or_both_with_its_key(
    written: str, asked: QueryTarget
) -> None:
    node = FakeNode()
    answer = calling(node).call("RouterModule_pingNode", path=written, timeout=500)
    assert node.calls == [("query_node", asked, "pn", b"", 0.5)]
    assert answer == {
        "result": "timeout",
        "ms": 3000,
        "version": "unknown",
        "deprecation": "from,protocol,version will soon be removed",
    }


def test_peers_of_a_node_are_asked_for_near_a_label() -> None:
    node = FakeNode()
    caller = calling(node)
    path = "0000.0000.0000.0013"
    caller.call("RouterModule_getPeers", path=path, nearbyPath="0000.0000.0000.0015")
    assert caller.error("RouterModule_getPeers", path=path, nearbyPath="x") == "parse_nearbyLabel"
    answer = caller.call("RouterModule_getPeers", path=path, nearbyPath="")
    assert [call[3] for call in node.calls] == [bytes(7) + b"\x15", bytes(8)]
    assert answer == {"result": "timeout", "ms": 3000, "error": "none"}


@pytest.mark.parametrize(("function", "query"), [("findNode", "fn"), ("nextHop", "nh")])
def test_a_node_is_asked_about_another(function: str, query: Query) -> None:
    node = FakeNode()
    node.queries = lambda *_: NodeAnswer(7, B, (B,), V358)
    caller = calling(node)
    name = f"RouterModule_{function}"
    answer = caller.call(name, nodeToQuery=format_node_address(B), target="fc00::1")
    assert node.calls[0][1:4] == (B, query, parse_address("fc00::1"))
    assert answer["nodes"] == [format_node_address(B)]
    assert caller.error(name, nodeToQuery="x", target="fc00::1") == "parse_path"
    assert caller.error(name, nodeToQuery=ADDRESS_B, target="x") == "parse_target"


def test_a_look_up_says_the_label_the_next_hop_or_that_nobody_is_known() -> None:
    node = FakeNode()
    caller = calling(node)
    unknown = "fc00:0000:0000:0000:0000:0000:0000:0001"
    assert caller.call("RouterModule_lookup", address=unknown)["result"] == "not found"
    node.table = [route_to(KEY_B)]
    label = "0000.0000.0000.0013"
    assert caller.call("RouterModule_lookup", address=ADDRESS_B)["result"] == label
    hop = f"{ADDRESS_B}@{label}"
    assert caller.call("RouterModule_lookup", address=unknown)["result"] == hop
    assert caller.error("RouterModule_lookup", address="fc00::1") == "address wrong length"
    assert caller.error("RouterModule_lookup", address="z" * 39) == "failed to parse address"


def test_a_search_tells_every_answer_and_then_that_it_is_complete() -> None:
    node = FakeNode(search_steps=[SearchStep(B, 4, ()), SearchStep(B, 5, (B,))])
    replies = calling(node).call_all("SearchRunner_search", ipv6=ADDRESS_B, maxRequests=5)
    name = format_node_address(B)
    assert replies == [
        {"from": name, "ms": 4, "nodes": []},
        {"from": name, "ms": 5, "nodes": [name]},
        {"complete": 1, "error": "none"},
    ]
    assert node.calls == [("search", address_of(KEY_B), 5)]


def test_a_search_is_bounded_whatever_is_asked_for() -> None:
    node = FakeNode()
    caller = calling(node)
    for asked in (-1, 0, 10**9):
        caller.call_all("SearchRunner_search", ipv6=ADDRESS_B, maxRequests=asked)
    assert [call[2] for call in node.calls] == [MOST_REQUESTS] * 3
    assert caller.call_all("SearchRunner_search", ipv6="x") == [{"error": "ipv6 invalid"}]


def test_running_searches_are_shown_by_number() -> None:
    target = parse_address("fc00::1")
    node = FakeNode(searches=[ActiveSearch(target, None, 0), ActiveSearch(target, B, 9)])
    caller = calling(node)
    shown = caller.call("SearchRunner_showActiveSearch", number=1)
    assert shown == {
        "activeSearches": 2,
        "target": format_padded(target),
        "lastNodeAsked": format_node_address(B),
        "totalRequests": 9,
        "error": "none",
    }
    assert "lastNodeAsked" not in caller.call("SearchRunner_showActiveSearch", number=0)
    for number in (-1, 2):
        shown = caller.call("SearchRunner_showActiveSearch", number=number)
        assert shown == {"activeSearches": 2, "error": "none"}


# --- Sessions, tables, the rest -----------------------------------------------------------------


def test_handles_come_in_pages_of_64() -> None:
    node = FakeNode(open_sessions=[session_with(KEY_B, handle) for handle in range(65)])
    caller = calling(node)
    first = caller.call("SessionManager_getHandles")
    assert (first["total"], first["more"], first["handles"][0]) == (65, 1, 63)
    assert caller.call("SessionManager_getHandles", page=1) == {"handles": [64], "total": 65}


def test_a_session_is_begun_anew_by_address() -> None:
    caller = calling(FakeNode(open_sessions=[session_with(KEY_B, 5)]))
    assert caller.call("SessionManager_resetCA", ip6=ADDRESS_B) == {"error": "none"}
    assert caller.error("SessionManager_resetCA", ip6="fc00::1") == "no such session"
    assert caller.error("SessionManager_resetCA", ip6="") == "malformed_ip"


def test_the_table_comes_in_pages_of_4_until_one_is_not_full() -> None:
    node = FakeNode(table=[route_to(KEY_B, Label(label)) for label in range(1, 9)])
    caller = calling(node)
    pages = [caller.call("NodeStore_dumpTable", page=page) for page in range(3)]
    assert [len(page["routingTable"]) for page in pages] == [4, 4, 0]
    assert ["more" in page for page in pages] == [True, True, False]
    assert pages[0]["routingTable"][0]["path"] == "0000.0000.0000.0004"


def test_links_are_counted_from_zero() -> None:
    caller = calling(FakeNode())
    for number in (-1, 0, 1 << 62):
        answer = caller.call("NodeStore_getLink", linkNum=number)
        assert answer == {"error": "not_found", "result": {}}
    assert caller.error("NodeStore_getLink", linkNum=0, parent="x") == "parse_parent"


def test_labels_are_joined_or_the_part_that_is_unknown_is_named() -> None:
    caller = calling(FakeNode())
    arguments = {"pathToParent": "0000.0000.0000.0099", "pathParentToChild": "0000.0000.0000.0013"}
    assert caller.error("NodeStore_getRouteLabel", **arguments) == (
        "NodeStore_getRouteLabel_PARENT_NOT_FOUND"
    )
    arguments["pathParentToChild"] = "x"
    assert caller.error("NodeStore_getRouteLabel", **arguments) == "parse_pathParentToChild"


def test_drops_are_shown_with_those_of_the_admin_port() -> None:
    caller = calling(FakeNode(drops={"crypto_replay": 3, "tun_runt": 0}))
    caller.send(b"junk")
    answer = caller.call("Dexmesh_dropCounts")
    assert answer == {"error": "none", "drops": {"crypto_replay": 3, "admin: not a request": 1}}


def test_only_the_user_the_node_already_is_can_be_set() -> None:
    caller = calling(FakeNode(user_id=65534))
    assert caller.error("Security_setUser", uid=65534, keepNetAdmin=1) == "none"
    assert "cjdroute.conf" in str(caller.error("Security_setUser", uid=0, keepNetAdmin=1))


def test_any_scheme_can_be_shown() -> None:
    wide = EncodingScheme((Form(0, 8, 0),))
    assert describe_scheme(wide) == [{"bitCount": 8, "prefix": "00", "prefixLen": 0}]
    long = EncodingScheme((Form(1, 3, 1), Form(9, 8, 0x102)))
    assert describe_scheme(long)[1] == {"bitCount": 8, "prefix": "0102", "prefixLen": 9}


@pytest.mark.parametrize(
    ("asked", "waits_s"), [(None, 2.0), (0, 2.0), (-5, 2.0), (100, 0.1), (1 << 62, 25.0)]
)
def test_waiting_times_are_bounded(asked: int | None, waits_s: float) -> None:
    assert read_timeout_s(asked, 2000) == waits_s


def test_our_own_label_is_one() -> None:
    info = calling(FakeNode()).call("Core_nodeInfo")
    assert info["myAddr"] == format_node_address(NodeAddress(KEY_A, SELF_LABEL, 20))
