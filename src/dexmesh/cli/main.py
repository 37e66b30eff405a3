"""The `dexmesh` command: wires the command groups and nothing else.

Place     console script `dexmesh`, `python -m dexmesh`
Keeps     a command of the node is imported with the program, one of the apps when it is asked for; what it
          needs to run only when it runs
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import ClassVar

import typer

from dexmesh import __version__
from dexmesh.cli import config, demo_command, doctor, identity, node, peers, ping, up
from dexmesh.cli.lazy import LazyGroup, Waiting
from dexmesh.cli.output import example, print_json, reports_errors
from dexmesh.cli.places import JsonOption


class Root(LazyGroup):
    """Commands of the node at once, those of the apps when they are asked for."""

    waiting: ClassVar[Mapping[str, Waiting]] = {
        "mail": Waiting("dexmesh.cli.mail_commands", "Mail between people, no server in between."),
        "phone": Waiting(
            "dexmesh.cli.phone_commands",
            "The phone. Alone, it is one: it rings, answers, and shows what comes.",
        ),
        "call": Waiting("dexmesh.cli.call:commands", "Call somebody and talk."),
        "answer": Waiting("dexmesh.cli.call:commands", "Take the call that rings."),
        "hangup": Waiting(
            "dexmesh.cli.call_control:commands", "End a call, or decline one that rings."
        ),
        "hold": Waiting(
            "dexmesh.cli.call_control:commands",
            "Hold a call: nobody hears anything until it goes on.",
        ),
        "dtmf": Waiting(
            "dexmesh.cli.call_control:commands",
            "Press keys in a call, for a machine at the other side.",
        ),
        "calls": Waiting(
            "dexmesh.cli.call_history:commands",
            "Show calls, the latest last: missed, answered, declined, and what was said to the voicemail.",
        ),
        "text": Waiting(
            "dexmesh.cli.text:commands", "Write somebody a text; what cannot be delivered waits."
        ),
        "texts": Waiting(
            "dexmesh.cli.text:commands",
            "Show texts, the latest last; with a name, the conversation with somebody.",
        ),
        "contact": Waiting(
            "dexmesh.cli.contact", "The people you know, for mail and everything else."
        ),
        "setup": Waiting(
            "dexmesh.cli.setup",
            "Print the configuration of a mail program or a phone for this node.",
        ),
        "names": Waiting(
            "dexmesh.cli.names",
            "Names of the mesh: <key>.k, <key>.cjdns.alt, <petname>.cjdns.alt.",
        ),
    }


app = typer.Typer(
    name="dexmesh",
    cls=Root,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich" if sys.stdout and sys.stdout.isatty() else None,  # plain is quicker
    pretty_exceptions_enable=False,
    help="A mesh node that is cjdns: your address is your public key.",
    epilog=example("dexmesh demo"),
    context_settings={"help_option_names": ["-h", "--help"]},
)


app.command("up", epilog=example("dexmesh up --config /etc/cjdroute.conf"))(up.up)
app.command("status", epilog=example("dexmesh status --json"))(node.status)
app.command("wait-online", epilog=example("dexmesh wait-online --timeout 30"))(node.wait_online)
app.command("address", epilog=example("dexmesh address"))(identity.address)
app.command("ping", epilog=example("dexmesh ping fc00::1 -n 3"))(ping.ping)
app.command("peers", epilog=example("dexmesh peers"))(peers.list_peers)
app.command("doctor", epilog=example("dexmesh doctor --all"))(doctor.doctor)
app.command("demo", epilog=example("dexmesh demo --stay"))(demo_command.demo)
app.add_typer(peers.app, name="peer")
app.add_typer(identity.keys_app, name="keys")
app.add_typer(config.app, name="config")


@app.command("version", epilog=example("dexmesh version"))
@reports_errors
def version(as_json: JsonOption = False) -> None:
    """Print the version of this program and of the protocol it speaks."""
    from dexmesh.wire.versions import PROTOCOL_VERSION

    if as_json:
        print_json({"version": __version__, "protocol": PROTOCOL_VERSION})
    else:
        sys.stdout.write(f"dexmesh {__version__}, protocol {PROTOCOL_VERSION}\n")


@reports_errors
def main() -> None:
    """Run the command line."""
    app()
