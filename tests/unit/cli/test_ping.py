"""`dexmesh ping`: whom it asks, how it counts, how it ends."""

from __future__ import annotations

import json
import socket
import time

import pytest

from dexmesh.admin.services import NodeAnswer, SwitchPingResult
from dexmesh.cli import ping
from dexmesh.errors import AdminError
from dexmesh.wire.address import Address, format_padded, parse_address
from dexmesh.wire.keys import address_of, encode_key
from dexmesh.wire.node_address import NodeAddress
from tests.unit.admin.fake import KEY_B, LABEL_TO_PEER
from tests.unit.cli.conftest import Run, Served

B = address_of(KEY_B)
LABEL = "0000.0000.0000.0013"


def _answering(served: Served, ms: int = 12) -> None:
    answer = NodeAnswer(ms, NodeAddress(KEY_B, LABEL_TO_PEER, 20))
    served.node.queries = lambda *_: answer


def _go(run: Run, served: Served, *more: str) -> tuple[int, str, str]:
    done = run("ping", *more, "-i", "0", "--config", served.config)
    return done.exit_code, done.stdout, done.stderr


def test_answers_are_counted_and_timed(run: Run, served: Served) -> None:
    _answering(served)
    code, out, _ = _go(run, served, encode_key(KEY_B), "-n", "3")
    assert code == 0
    assert len(out.splitlines()) == 4
    assert out.endswith("3 asked, 3 answered, 12/12.0/12 ms\n")


def test_programs_get_every_reply(run: Run, served: Served) -> None:
    _answering(served)
    told = json.loads(_go(run, served, encode_key(KEY_B), "-n", "2", "--json")[1])
    assert (told["sent"], told["received"], told["target"]) == (2, 2, format_padded(B))
    assert [reply["ms"] for reply in told["replies"]] == [12, 12]


def test_silence_is_exit_code_one(run: Run, served: Served) -> None:
    code, out, err = _go(run, served, encode_key(KEY_B), "-n", "2")
    assert code == 1
    assert "timeout after 3000 ms" in err
    assert out == "2 asked, 0 answered\n"


def test_a_node_nobody_knows_is_asked_again_and_not_an_error_message(
    run: Run, served: Served
) -> None:
    def unknown(*_: object) -> NodeAnswer:
        raise AdminError("not_found")

    served.node.queries = unknown
    code, out, err = _go(run, served, "fc00::1", "-n", "2")
    assert (code, out) == (1, "2 asked, 0 answered\n")
    assert err.count("no way to it is known (yet)") == 2


def test_a_refusal_of_the_node_is_an_error(run: Run, served: Served) -> None:
    def refusing(*_: object) -> NodeAnswer:
        raise AdminError("parse_path_trouble")

    served.node.queries = refusing
    code, _, err = _go(run, served, "fc00::1")
    assert (code, err) == (1, "error: the node said: parse_path_trouble\n")


def test_ctrl_c_ends_with_the_summary(
    run: Run, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    _answering(served)
    monkeypatch.setattr(time, "sleep", interrupted)
    code, out, _ = _go(run, served, encode_key(KEY_B), "-n", "100")
    assert code == 0
    assert out.splitlines()[-1].startswith("1 asked, 1 answered")


def test_the_switches_can_be_asked_instead(run: Run, served: Served) -> None:
    served.node.pings = lambda label, *_: SwitchPingResult("pong", 3, label, version=20)
    code, out, _ = _go(run, served, LABEL, "--switch", "-n", "1")
    assert code == 0
    assert "3 ms" in out
    code, _, err = _go(run, served, "fc00::1", "--switch")
    assert code == 2
    assert "--switch needs a label" in err


@pytest.mark.parametrize("option", ["--timeout", "--interval"])
@pytest.mark.parametrize("value", ["inf", "nan", "-1", "1e300", "soon"])
def test_times_that_nobody_can_wait_are_wrong_usage(run: Run, option: str, value: str) -> None:
    assert run("ping", "fc00::1", option, value).exit_code == 2


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("fc00::1", "fc00:0000:0000:0000:0000:0000:0000:0001"),
        (encode_key(KEY_B), format_padded(B)),
        (LABEL, LABEL),
        (f"v20.{LABEL}.{encode_key(KEY_B)}", f"v20.{LABEL}.{encode_key(KEY_B)}"),
    ],
)
def test_a_node_can_be_named_in_many_ways(text: str, target: str) -> None:
    assert ping.resolve_target(text) == target


@pytest.mark.parametrize("text", ["2001:db8::1", "::1", "fc00::1::2", "xyz.k", "a..b", "x" * 300])
def test_what_names_no_node_is_wrong_usage(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        ping.resolve_target(text)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: ")


def _resolver(*addresses: str) -> object:
    def getaddrinfo(host: str, *_: object) -> list[tuple[object, ...]]:
        if not addresses:
            raise socket.gaierror(-2, "Name or service not known")
        return [(socket.AF_INET6, 0, 0, "", (address, 0, 0, 0)) for address in addresses]

    return getaddrinfo


def test_a_host_name_leads_to_its_address_on_the_mesh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", _resolver("2001:db8::1", "fc00::7"))
    assert parse_address(ping.resolve_target("box")) == Address(b"\xfc" + bytes(14) + b"\7")


@pytest.mark.parametrize(
    ("found", "said"), [((), "Name or service not known"), (("::1",), "no address on the mesh")]
)
def test_a_host_without_a_mesh_address_is_said(
    found: tuple[str, ...],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", _resolver(*found))
    with pytest.raises(SystemExit) as ended:
        ping.resolve_target("box")
    assert ended.value.code == 1
    assert said in capsys.readouterr().err
