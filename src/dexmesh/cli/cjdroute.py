"""Be the program `cjdroute`: same options, same texts, same habits.

Place     scripts and units made for the original call it -> here -> config/, host/daemon.py
Spec      docs/protocol/09 section 6 "Command line of cjdroute", section 5 "Ours"
Keeps     nothing starts before the whole configuration is found right; secrets are printed only
          by the options made for it
Not here  the command `dexmesh` (cli/main.py)
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Sequence
from typing import BinaryIO

from dexmesh import __version__
from dexmesh.errors import ConfigError, ConfigProblem, DexmeshError
from dexmesh.wire.versions import PROTOCOL_VERSION

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 255

_STDIN = "standard input"
_ORIGINAL = "cjdns-v20.7"  # what scripts that look at the version know
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "i686": "x86"}

_USAGE = """\
Cjdns {architecture} {system}
Usage:
    cjdroute < cjdroute.conf          start the node with this configuration
    cjdroute --nobg < cjdroute.conf   the same, staying in the foreground
    cjdroute --genconf [--eth]        print a new configuration, with Ethernet switched on or not
    cjdroute --genconf-seed [--eth]   the same, made from 64 bytes read from standard input
    cjdroute --cleanconf < FILE       print a configuration without comments, in the strict form
    cjdroute --version                print the version
    cjdroute --help                   print this

A first start:
    (umask 077; cjdroute --genconf > cjdroute.conf)
    edit cjdroute.conf: put the peers you were given into "connectTo"
    sudo cjdroute < cjdroute.conf

This cjdroute is part of dexmesh; `dexmesh --help` shows what else there is.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run with these arguments (without the program's name) and give the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(arguments)
    except ConfigError as error:
        _print_problems(error.problems)
        return EXIT_FAILED
    except DexmeshError as error:
        _complain(str(error), *([error.hint] if error.hint else []))
        return EXIT_FAILED
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python complains about it at exit
        return EXIT_FAILED


def _dispatch(arguments: list[str]) -> int:
    match arguments:
        case []:
            return _run(foreground=False)
        case ["--nobg"]:
            return _run(foreground=True)
        case ["--help" | "-h"]:
            return _print_usage()
        case ["--version" | "-v"]:
            return _print_version()
        case ["--cleanconf"]:
            return _clean()
        case ["--genconf"] | ["--genconf", "--eth"]:
            return _generate(os.urandom, ethernet="--eth" in arguments)
        case ["--genconf-seed"] | ["--genconf-seed", "--eth"]:
            return _generate_from_seed(ethernet="--eth" in arguments)
        case _:
            return _refuse(arguments)


def _refuse(arguments: list[str]) -> int:
    """Unknown options, in the words of the original."""
    first = arguments[0]
    if "--pidfile" in arguments:
        _complain("--pidfile is deprecated: the service manager knows the process")
    if first in ("--genconf", "--genconf-seed"):
        unknown = next(a for a in (*arguments[1:], first) if a != "--eth")
        _complain(f"cjdroute: unrecognized option '{unknown}'")
    elif len(arguments) == 1:
        _complain(f"cjdroute: unrecognized option '{first}'")
    else:
        _complain(f"cjdroute: too many arguments [{first}]")
    _complain("Try `cjdroute --help' for more information.")
    return EXIT_USAGE


def _print_usage() -> int:
    machine = platform.machine()
    architecture = _ARCHITECTURES.get(machine, machine)
    sys.stdout.write(_USAGE.format(architecture=architecture, system=platform.system().lower()))
    return EXIT_OK


def _print_version() -> int:
    sys.stdout.write(
        f"Cjdns version: {_ORIGINAL}-dexmesh-{__version__}\n"
        f"Cjdns protocol version: {PROTOCOL_VERSION}\n"
    )
    return EXIT_OK


def _generate(random_source: Callable[[int], bytes], *, ethernet: bool) -> int:
    from dexmesh.config.generate import generate
    from dexmesh.engine.keys import public_key_of

    # Scripts made for the original expect two new nodes on one cable to find each other.
    text = generate(random_source, public_key_of, ethernet=ethernet, beacon=2)
    sys.stdout.write(text)
    sys.stdout.flush()
    return EXIT_OK


def _generate_from_seed(*, ethernet: bool) -> int:
    from dexmesh.config.generate import SEED_BYTES, seeded_source

    seed = _stdin().read(SEED_BYTES)
    if len(seed) < SEED_BYTES:
        _complain(f"a seed has {SEED_BYTES} bytes, but only {len(seed)} came on standard input")
        return EXIT_FAILED
    return _generate(seeded_source(seed), ethernet=ethernet)


def _clean() -> int:
    """Print the configuration in its strict form; 255 if it cannot be read, as the original."""
    from dexmesh.config.dialect import read_document
    from dexmesh.config.write import clean

    document = read_document(_read_stdin(), _STDIN)
    _print_problems(document.warnings, "warning: ")
    if document.problems:
        _complain("Failed to parse configuration.")
        _print_problems(document.problems)
        return EXIT_USAGE
    sys.stdout.write(clean(document))
    sys.stdout.flush()
    return EXIT_OK


def _run(*, foreground: bool) -> int:
    """Start the node that standard input describes; without a file there, explain the usage."""
    if sys.stdin is None or sys.stdin.isatty():
        return _print_usage()
    from dexmesh.cli.running import is_running
    from dexmesh.config.reader import load_settings

    loaded = load_settings(_read_stdin(), _STDIN)
    _print_problems(loaded.warnings, "warning: ")
    settings = loaded.settings
    if is_running(settings.admin):
        _complain("Startup failed: cjdroute is already running. [0]")
        return EXIT_FAILED

    from dexmesh.host.daemon import RunOptions, run

    if foreground or settings.no_background:
        return run(settings, RunOptions(foreground=True))

    from dexmesh.cli.background import run_in_background

    def start(ready: Callable[[], None]) -> int:
        return _last_words(lambda: run(settings, RunOptions(foreground=False, ready=ready)))

    return run_in_background(start, keep_output=settings.logging.to_stdout)


def _last_words(act: Callable[[], int]) -> int:
    """The exit code, with the reason on standard error when it fails the expected way."""
    try:
        return act()
    except DexmeshError as error:
        _complain(str(error), *([error.hint] if error.hint else []))
        return EXIT_FAILED


def _stdin() -> BinaryIO:
    return sys.stdin.buffer


def _read_stdin() -> bytes:
    from dexmesh.config.files import MAX_CONFIG_BYTES, bounded

    return bounded(_stdin().read(MAX_CONFIG_BYTES + 1), _STDIN)


def _print_problems(problems: Sequence[ConfigProblem], prefix: str = "") -> None:
    _complain(*(f"{prefix}{problem}" for problem in problems))


def _complain(*lines: str) -> None:
    for line in lines:
        sys.stderr.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
