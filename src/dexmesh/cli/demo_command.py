"""`dexmesh demo`: the demonstration with its options.

Place     cli/main.py -> here -> cli/demo.py
Keeps     the machines are gone when the command is, however it ends
"""

from __future__ import annotations

import contextlib
import signal
import time
from typing import TYPE_CHECKING, Annotated

import typer

from dexmesh.cli.output import error_console, narrate, print_json, reports_errors
from dexmesh.cli.places import JsonOption

if TYPE_CHECKING:
    from dexmesh.cli.demo import Demo
    from dexmesh.cli.demo_node import Say


@reports_errors
def demo(
    stay: Annotated[
        bool, typer.Option("--stay", help="Keep the machines until Ctrl-C, to try things in them.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Three machines in one: pings, a 200 MB file, a mail and its answer, a call through a relay."""
    from dexmesh.cli.demo import Demo
    from dexmesh.cli.lab import Lab

    speak: Say = error_console().print if as_json else narrate
    start = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with Lab() as lab:
        run = Demo(speak, lab)
        run.run()
        run.facts["seconds"] = round(time.monotonic() - start, 1)
        speak(f"\n[green]Everything worked[/green], in {run.facts['seconds']} s.")
        if stay:
            _stay(run, speak)
    if as_json:
        print_json(run.facts)


def _stay(run: Demo, speak: Say) -> None:
    """Show how to get into each machine and wait for Ctrl-C."""
    speak("\nThe machines stay until Ctrl-C. A shell in one of them:")
    for name, node in run.nodes.items():
        command = " ".join(node.machine.command(["sh"]))
        speak(f"  {name} ({node.address}):  {command}")
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()
    speak("The machines are gone.")
