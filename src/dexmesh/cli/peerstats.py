"""The program `peerStats`: the classic lines, without Node.js.

Place     console script; asks the admin RPC of the node on this machine
Spec      docs/protocol/09 §7 "peerStats"
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path

from dexmesh.cli.connection import connect
from dexmesh.cli.output import print_json, reports_errors, say
from dexmesh.cli.places import CONFIG_VARIABLE


def line_of(peer: Mapping[str, object]) -> str:
    """One peer the way articles show it."""
    line = f"{peer['lladdr']} {peer['addr']} {peer['state']}"
    line += f" in {peer['recvKbps']}kb/s out {peer['sendKbps']}kb/s"
    for title, key in (
        ("DUP", "duplicates"),
        ("LOS", "lostPackets"),
        ("OOR", "receivedOutOfRange"),
    ):
        if peer[key]:
            line += f"  {title} {peer[key]}"
    return line + (f' "{peer["user"]}"' if peer.get("user") else "")


@reports_errors
def main() -> None:
    """Print one line per peer, oldest first."""
    parser = argparse.ArgumentParser(
        prog="peerStats",
        description="Show the peers of the node on this machine.",
        epilog="Example: peerStats",
    )
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    parser.add_argument(
        *("-c", "--config"),
        type=Path,
        default=os.environ.get(CONFIG_VARIABLE),
        help="the cjdroute.conf of the node (default: ~/.cjdnsadmin, else as `dexmesh` does)",
    )
    arguments = parser.parse_args()
    with connect(arguments.config) as node:
        peers = node.pages("InterfaceController_peerStats", "peers")
    if arguments.json:
        print_json(peers)
        return
    for peer in peers:
        say(line_of(peer))
