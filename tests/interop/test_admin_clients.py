"""Admin clients that others wrote drive our admin port, unchanged.

npm `cjdnsadmin`, PyPI `cjdnsadmin` and `cjdns` are fetched (clients.py); the JavaScript tools of
the original are taken from beside CJDROUTE. Behind the port is a fake node, so every value is known.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dexmesh.admin.services import (
    NodeAnswer,
    NodeView,
    Query,
    QueryTarget,
    SearchStep,
    SwitchPingResult,
)
from dexmesh.engine.messages import Endpoint
from dexmesh.wire.address import bucket, format_padded
from dexmesh.wire.keys import address_of
from dexmesh.wire.label import SELF_LABEL, Label, format_label
from dexmesh.wire.node_address import NodeAddress, format_node_address
from dexmesh.wire.scheme import V358, one_hop_label
from tests.interop.clients import npm_folder, python_folder
from tests.unit.admin.fake import (
    KEY_A,
    KEY_B,
    LABEL_TO_PEER,
    FakeNode,
    link_between,
    peer_of,
    route_to,
    session_with,
)
from tests.unit.admin.running import RunningNode, running

pytestmark = pytest.mark.interop

LIMIT_S = 60
SELF_A = NodeAddress(KEY_A, SELF_LABEL, 20)
B = NodeAddress(KEY_B, LABEL_TO_PEER, 20)
ADDRESS_A, ADDRESS_B = address_of(KEY_A), address_of(KEY_B)
PATH = format_label(LABEL_TO_PEER)
TOOLS = Path(os.environ["CJDROUTE"]).parent / "tools" if os.environ.get("CJDROUTE") else None

needs_tools = pytest.mark.skipif(
    TOOLS is None or not TOOLS.is_dir(),
    reason="CJDROUTE is unset, or there is no folder `tools` with the original's tools beside it",
)


def fake_node() -> FakeNode:
    """A node with one real peer, 13 more, and everything the tools ask about."""
    node = FakeNode(devices=["eth0"])
    first = peer_of(
        KEY_B,
        endpoint=Endpoint("10.98.0.1:5000"),
        receive_kbps=5,
        send_kbps=4,
        lost=8,
        duplicates=2,
        out_of_range=1,
        user="node-b",
    )
    others = [peer_of(KEY_B, label=one_hop_label(slot), user=f"u{slot}") for slot in range(3, 16)]
    node.links_up = [first, *others]
    node.open_sessions = [session_with(KEY_B, 96416, send_handle=66760, lost=3)]
    own = route_to(KEY_A, SELF_LABEL, cost=0, bucket=127, is_peer=False)
    there = route_to(KEY_B, bucket=bucket(ADDRESS_A, ADDRESS_B))
    node.table = [own, there]
    node.link_table = [link_between(SELF_A, B)]
    node.nodes = {
        ADDRESS_A: NodeView(own, V358, 1, ADDRESS_A, SELF_LABEL, is_one_hop=False),
        ADDRESS_B: NodeView(there, V358, 1, ADDRESS_A, LABEL_TO_PEER, is_one_hop=True),
    }
    node.search_steps = [SearchStep(B, 4, (B,))]
    node.pings = answer_ping
    node.queries = answer_query
    return node


def answer_ping(label: Label, _timeout_s: float, data: bytes, is_key: bool) -> SwitchPingResult:
    return SwitchPingResult("pong", 7, label, 20, data, KEY_B if is_key else None)


def answer_query(
    target: QueryTarget, query: Query, _argument: bytes, _timeout_s: float
) -> NodeAnswer:
    if query == "pn":
        return NodeAnswer(4, B, scheme=V358)
    if query == "gp":
        return NodeAnswer(1, SELF_A, (SELF_A, B), V358)
    return NodeAnswer(5, B if target == B else SELF_A, (B,), V358)


@pytest.fixture(params=[b"secret", b"NONE"], ids=["password", "open"])
def node(request: pytest.FixtureRequest) -> Iterator[RunningNode]:
    with running(fake_node(), request.param) as started:
        yield started


@pytest.fixture
def home(tmp_path: Path, node: RunningNode) -> Path:
    """A home with the file every client looks for."""
    login = {"addr": node.login.host, "port": node.login.port}
    password = (node.login.password or b"").decode()
    (tmp_path / ".cjdnsadmin").write_text(json.dumps({**login, "password": password}))
    return tmp_path


def run(command: list[str], home: Path, **environment: str) -> str:
    """The standard output of a client that must succeed."""
    done = subprocess.run(
        command,
        env={**os.environ, "HOME": str(home), **environment},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# --- npm cjdnsadmin -----------------------------------------------------------------------------

_NPM = """
const admin = require(%s);
admin.connect((err, cjdns) => {
  if (err) { console.log(JSON.stringify({failed: err.code})); process.exit(0); }
  const results = [];
  const steps = %s;
  const next = () => {
    if (!steps.length) { console.log(JSON.stringify(results)); return cjdns.disconnect(); }
    const [name, args] = steps.shift();
    cjdns[name](...args, (err, ret) => {
      if (err) { throw err; }
      results.push(ret);
      next();
    });
  };
  next();
});
"""


def npm_client(home: Path, *steps: tuple[str, list[Any]]) -> Any:
    module = npm_folder() / "node_modules" / "cjdnsadmin"
    script = _NPM % (json.dumps(str(module)), json.dumps(steps))
    return json.loads(run(["node", "--no-deprecation", "-e", script], home))


def test_npm_client_connects_lists_and_pages(home: Path) -> None:
    functions, first, second, last, info = npm_client(
        home,
        ("functions", []),
        ("InterfaceController_peerStats", [0]),
        ("InterfaceController_peerStats", [1]),
        ("InterfaceController_peerStats", [2]),
        ("Core_nodeInfo", []),
    )
    assert "SwitchPinger_ping(required String path, Int timeout, Int keyPing, String data)" in (
        functions
    )
    users = [peer["user"] for page in (first, second, last) for peer in reversed(page["peers"])]
    assert users == ["node-b", *(f"u{slot}" for slot in range(3, 16))]
    assert ["more" in page for page in (first, second, last)] == [True, True, False]
    assert info["myIp6"] == format_padded(ADDRESS_A)


def test_npm_client_changes_the_node_and_pings(home: Path, node: RunningNode) -> None:
    added, again, users, pong, search = npm_client(
        home,
        ("AuthorizedPasswords_add", ["pw", "joe"]),
        ("AuthorizedPasswords_add", ["pw", "joe"]),
        ("AuthorizedPasswords_list", [0]),
        ("SwitchPinger_ping", [PATH, 500, 1, "data"]),
        ("SearchRunner_search", [format_padded(ADDRESS_B)]),
    )
    assert added["error"] == "none"
    assert again["error"] == "Password already added."
    assert users["users"] == ["joe", "Local Peers"]
    assert (pong["result"], pong["data"], pong["version"]) == ("pong", "data", 20)
    assert search["from"] == format_node_address(B)


def test_npm_client_is_told_of_a_wrong_password(home: Path, node: RunningNode) -> None:
    file = home / ".cjdnsadmin"
    file.write_text(json.dumps({**json.loads(file.read_text()), "password": "wrong"}))
    assert npm_client(home) == {"failed": "EPERM"}


# --- PyPI cjdnsadmin and cjdns ------------------------------------------------------------------

_PYTHON = """
import json, sys, time
import {module}
client = {module}.connectWithAdminInfo()
results = []
for name, args, named in json.loads(sys.argv[1]):
    results.append(getattr(client, name)(*args, **named))
time.sleep(float(sys.argv[2]))
results.append(client.ping())
client.functions()
print(json.dumps(results))
"""


def python_client(
    module: str, home: Path, *steps: tuple[str, list[Any], dict[str, Any]], idle_s: float = 0
) -> tuple[str, Any]:
    """What `functions` prints, and the results; the last one is that of a ping."""
    script = _PYTHON.format(module=module)
    command = [sys.executable, "-W", "ignore", "-c", script, json.dumps(steps), str(idle_s)]
    *functions, results = run(command, home, PYTHONPATH=str(python_folder())).splitlines()
    return "\n".join(functions), json.loads(results)


@pytest.mark.parametrize("module", ["cjdnsadmin", "cjdns"])
def test_python_client_lists_pages_and_pings(module: str, home: Path) -> None:
    functions, results = python_client(
        module,
        home,
        ("InterfaceController_peerStats", [2], {}),
        ("Core_nodeInfo", [], {}),
        ("SwitchPinger_ping", [], {"path": PATH, "timeout": 500}),
        ("SessionManager_sessionStats", [96416], {}),
        ("RouterModule_pingNode", [], {"path": format_padded(ADDRESS_B)}),
    )
    peers, info, pong, session, router_pong, ping = results
    assert "SwitchPinger_ping(path" in functions
    assert [peer["user"] for peer in peers["peers"]] == ["u15", "u14"]
    assert info["version"] == 20
    assert pong["result"] == "pong"
    assert session["ip6"] == format_padded(ADDRESS_B)
    assert router_pong["addr"] == format_node_address(B)
    assert ping["q"] == "pong"


def test_python_clients_stay_connected_by_their_keep_alive(home: Path) -> None:
    def stay(module: str) -> list[str | None]:
        _, results = python_client(module, home, ("Core_pid", [], {}), idle_s=12)
        return [result.get("q") for result in results]

    with ThreadPoolExecutor() as both:
        assert list(both.map(stay, ["cjdnsadmin", "cjdns"])) == [[None, "pong"]] * 2


def test_python_cexec_prints_what_it_calls(home: Path) -> None:
    script = python_folder() / "bin" / "cexec"
    command = [sys.executable, "-W", "ignore", str(script), "Core_pid()"]
    printed = run(command, home, PYTHONPATH=str(python_folder()))
    assert json.loads(printed)["pid"] == 4711


# --- The original's own tools -------------------------------------------------------------------


def tool(name: str, home: Path, *arguments: str) -> str:
    assert TOOLS is not None
    return run(["node", "--no-deprecation", str(TOOLS / name), *arguments], home)


@needs_tools
def test_peerstats_of_the_original_prints_the_classic_line(home: Path) -> None:
    lines = tool("peerStats", home).splitlines()
    assert len(lines) == 14
    line = f"10.98.0.1:5000 {format_node_address(B)} ESTABLISHED in 5kb/s out 4kb/s"
    assert f'{line}  DUP 2  LOS 8  OOR 1 "node-b"' in lines


@needs_tools
def test_sessionstats_of_the_original_prints_our_session(home: Path) -> None:
    line = f"{format_node_address(B)} ESTABLISHED 96416 66760 ff400000  LOS  3\n"
    assert tool("sessionStats", home) == line


@needs_tools
def test_cexec_of_the_original_calls_and_lists(home: Path) -> None:
    assert json.loads(tool("cexec", home, "Core_pid()"))["pid"] == "4711"
    answer = json.loads(tool("cexec", home, f"SwitchPinger_ping('{PATH}',500)"))
    assert answer["result"] == "pong"
    assert "RouterModule_lookup(required String address)" in tool("cexec", home)


@needs_tools
@pytest.mark.parametrize("target", [format_padded(ADDRESS_B), PATH, format_node_address(B)])
def test_ping_of_the_original_reaches_a_node(target: str, home: Path) -> None:
    assert re.fullmatch(
        rf"\d+ {re.escape(format_node_address(B))} 4ms\n", tool("ping", home, "-c", "1", target)
    )


@needs_tools
def test_switch_and_key_ping_of_the_original_reach_a_switch(home: Path) -> None:
    printed = tool("ping", home, "-s", "-d", "hello", "-c", "1", PATH)
    assert re.fullmatch(rf"\d+ switchPing {re.escape(PATH)}  p20 7ms\n", printed)
    assert printed.count("\n") == 1
    key = format_node_address(B).split(".", 5)[-1]
    assert tool("ping", home, "-k", "-c", "1", PATH).rstrip().endswith(f"7ms {key}")


@needs_tools
def test_table_tools_of_the_original_print_our_table(home: Path) -> None:
    dumped = tool("dumptable", home)
    assert dumped.splitlines()[-1] == "2 nodes 1 peers"
    assert f"{format_node_address(B)} " in dumped
    links = tool("dumpLinks", home)
    assert links.startswith(PATH)
    assert links.rstrip().endswith("bp 1hop")
    own, child = tool("pathfinderTree", home).splitlines()
    assert own.startswith(format_padded(ADDRESS_A))
    assert child == f"  {format_padded(ADDRESS_B)} {PATH}  {PATH}  1024  1"


@needs_tools
def test_search_traceroute_and_pingall_of_the_original_find_a_node(home: Path) -> None:
    found = tool("search", home, format_padded(ADDRESS_B))
    assert f"    found {format_node_address(B)}" in found
    assert "Done -- first result in" in found
    trace = tool("traceroute", home, format_padded(ADDRESS_B))
    assert "success, trying reverse trace" in trace
    assert "4ms v20 linkq:1024" in tool("pingAll", home)


@needs_tools
def test_cjdnslog_of_the_original_prints_what_we_log(home: Path, node: RunningNode) -> None:
    assert TOOLS is not None
    with subprocess.Popen(
        ["node", "--no-deprecation", str(TOOLS / "cjdnslog"), "-v", "INFO"],
        env={**os.environ, "HOME": str(home)},
        stdout=subprocess.PIPE,
        text=True,
    ) as reader:
        try:
            deadline = time.monotonic() + LIMIT_S
            while not is_subscribed(node) and time.monotonic() < deadline:
                time.sleep(0.05)
            node.logger.info("a peer came")
            assert reader.stdout is not None
            line = reader.stdout.readline()
        finally:
            reader.terminate()
    assert re.fullmatch(r"\d{10} INFO test_admin_clients\.py:\d+ a peer came\n", line)


def is_subscribed(node: RunningNode) -> bool:
    return bool(node.stream.subscriptions())
