"""`dexmesh ping`: ask a node itself whether it is there, without ICMP and without a TUN.

Place     cli/main.py -> here -> admin RPC (RouterModule_pingNode, SwitchPinger_ping)
Spec      docs/protocol/08 §6.5
"""

from __future__ import annotations

import contextlib
import re
import socket
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from dexmesh.cli.connection import connect
from dexmesh.cli.output import Exit, fail, misused, note, print_json, reports_errors, say
from dexmesh.cli.places import ConfigOption, JsonOption, seconds
from dexmesh.errors import AdminError, DecodeError
from dexmesh.wire.address import Address, format_padded, is_mesh_address, parse_address
from dexmesh.wire.keys import address_of, decode_key

if TYPE_CHECKING:
    from dexmesh.cli.connection import Connection

_LABEL = re.compile(r"[0-9a-f]{4}(\.[0-9a-f]{4}){3}")
_FULL = re.compile(r"v\d+\..*\.k")
_TARGET_HINT = "an address begins with fc, a key is 52 characters and .k"


@reports_errors
def ping(
    node: Annotated[
        str,
        typer.Argument(help="An address, a public key, a label, vN.LABEL.KEY.k or a host name."),
    ],
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many times.")] = 4,
    interval: Annotated[
        float,
        typer.Option("--interval", "-i", min=0.0, callback=seconds, help="Seconds between."),
    ] = 1.0,
    timeout: Annotated[
        float,
        typer.Option("--timeout", "-t", min=0.1, callback=seconds, help="Seconds to wait."),
    ] = 5.0,
    switch: Annotated[
        bool, typer.Option("--switch", "-s", help="Only along a label, by the switches on the way.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask a node whether it is there, and how long that takes."""
    target = resolve_target(node)
    if switch and not _LABEL.fullmatch(target):
        misused(
            "--switch needs a label",
            "labels look like 0000.0000.0000.0013; `dexmesh peers --json` shows those of peers",
        )
    replies: list[dict[str, object]] = []
    with connect(config) as connection, contextlib.suppress(KeyboardInterrupt):
        for turn in range(count):
            if turn:
                sys.stdout.flush()
                time.sleep(interval)
            reply = _ask(connection, target, timeout, switch)
            replies.append(reply)
            if not as_json:
                _show(target, turn, reply)
    raise SystemExit(int(_sum_up(target, replies, as_json)))


def _sum_up(target: str, replies: list[dict[str, object]], as_json: bool) -> Exit:
    """Say how it went, also when Ctrl-C ended it early."""
    got = [float(str(reply["ms"])) for reply in replies if reply["result"] == "pong"]
    asked = len(replies)
    if as_json:
        print_json({"target": target, "replies": replies, "sent": asked, "received": len(got)})
    else:
        times = f", {min(got):g}/{sum(got) / len(got):.1f}/{max(got):g} ms" if got else ""
        say(f"{asked} asked, {len(got)} answered{times}")
    return Exit.OK if got else Exit.FAILED


def _ask(node: Connection, target: str, timeout: float, switch: bool) -> dict[str, object]:
    name = "SwitchPinger_ping" if switch else "RouterModule_pingNode"
    try:
        answer = node.call(name, wait_s=timeout + 2, path=target, timeout=int(timeout * 1000))
    except AdminError as error:
        if error.wire_text != "not_found":
            raise
        return {"result": "no way to it is known (yet)", "ms": None, "protocol": None}
    shown: dict[str, object] = {"result": "timeout", "ms": int(timeout * 1000)}
    shown |= {key: answer[key] for key in ("result", "ms", "addr", "from", "path") if key in answer}
    shown["protocol"] = answer.get("protocol", answer.get("version"))
    return shown


def _show(target: str, turn: int, reply: dict[str, object]) -> None:
    if reply["result"] == "pong":
        who = reply.get("from") or reply.get("path") or target
        say(f"{turn + 1}: {who}  v{reply['protocol']}  {reply['ms']} ms")
    else:
        took = "" if reply["ms"] is None else f" after {reply['ms']} ms"
        note(f"{turn + 1}: {target}  {reply['result']}{took}")


def resolve_target(text: str) -> str:
    """What the admin RPC understands: an address in full, a label, or vN.LABEL.KEY.k."""
    if _LABEL.fullmatch(text) or _FULL.fullmatch(text):
        return text
    try:
        if text.endswith(".k"):
            return format_padded(address_of(decode_key(text)))
        address = parse_address(text)
    except DecodeError as error:
        if ":" in text or text.endswith(".k"):
            misused(f"{text!r}: {error}", _TARGET_HINT)
        address = _look_up(text)
    if not is_mesh_address(address):
        misused(f"{text} is not on the mesh: addresses there begin with fc", _TARGET_HINT)
    return format_padded(address)


def _look_up(host: str) -> Address:
    try:
        found = socket.getaddrinfo(host, None, socket.AF_INET6, socket.SOCK_DGRAM)
    except OSError as error:
        fail(
            f"{host!r} is no address, and no host of that name is known: {error.strerror}",
            "names come from /etc/hosts and DNS; an address or a key needs neither",
        )
    except UnicodeError:  # longer than a name may be, or with an empty part
        misused(f"{host!r} is neither an address nor a name", _TARGET_HINT)
    for entry in found:
        address = parse_address(str(entry[4][0]).split("%")[0])
        if is_mesh_address(address):
            return address
    fail(f"{host!r} has no address on the mesh (fc00::/8)")
