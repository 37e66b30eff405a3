"""`dexmesh config new | check | clean`: make, judge and tidy a cjdroute.conf.

Place     cli/main.py -> here -> config/
Spec      docs/protocol/09
Keeps     nothing is overwritten unless asked; every mistake is shown, not only the first
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dexmesh.cli.output import Exit, example, note, print_json, reports_errors, say
from dexmesh.cli.places import JsonOption, new_config_path
from dexmesh.config.files import (
    MAX_CONFIG_BYTES,
    bounded,
    is_exposed,
    read_config_file,
    write_secret_file,
)
from dexmesh.errors import ConfigError, ConfigProblem
from dexmesh.wire.address import format_address, format_padded
from dexmesh.wire.keys import encode_key

if TYPE_CHECKING:
    from dexmesh.config.reader import LoadedConfig
    from dexmesh.config.settings import Settings, UdpInterfaceSettings

app = typer.Typer(
    no_args_is_help=True,
    help="Make, check and tidy a cjdroute.conf.",
    epilog=example("dexmesh config check /etc/cjdroute.conf"),
)

FileArgument = Annotated[Path, typer.Argument(help="The file; - reads standard input.")]


@app.command(epilog=example("dexmesh config new ~/.config/dexmesh/cjdroute.conf"))
@reports_errors
def new(
    path: Annotated[
        Path | None,
        typer.Argument(help="Where to write it; - prints it (default: where `dexmesh up` looks)."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing file.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a new configuration: random key, password and port, readable by its owner only."""
    from dexmesh.config.generate import generate
    from dexmesh.config.reader import load_settings
    from dexmesh.engine.keys import public_key_of

    text = generate(os.urandom, public_key_of)
    if path == Path("-"):
        sys.stdout.write(_cleaned(text.encode(), "-") if as_json else text)
        return
    target = new_config_path(path)
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_secret_file(target, text, overwrite=overwrite)
    settings = load_settings(text.encode(), str(target)).settings
    if as_json:
        print_json({"file": str(target), **describe(settings)})
        return
    say(f"wrote {target}")
    say(f"your address: {format_address(settings.address)}")
    note("Next: `dexmesh peer add` tells it whom to call, `dexmesh up` starts it.")


@app.command(epilog=example("dexmesh config check /etc/cjdroute.conf"))
@reports_errors
def check(
    path: FileArgument,
    as_json: JsonOption = False,
    show_secrets: Annotated[
        bool, typer.Option("--show-secrets", help="With --json: passwords too (never keys).")
    ] = False,
) -> None:
    """Read a configuration and say everything that is wrong with it, and what it would do."""
    try:
        loaded = load_file(path)
    except ConfigError as error:
        if not as_json:
            raise
        print_json({"ok": False, "mistakes": [_problem(problem) for problem in error.problems]})
        raise SystemExit(int(Exit.CONFIG)) from None
    warnings = warnings_of(path, loaded)
    if as_json:
        described = describe(loaded.settings, show_secrets=show_secrets)
        print_json(
            {"ok": True, **described, "warnings": [_problem(warning) for warning in warnings]}
        )
        return
    for warning in warnings:
        note(f"warning: {warning}")
    settings = loaded.settings
    peers = sum(len(interface.connect_to) for interface in settings.udp_interfaces)
    passwords = len(settings.authorized_passwords)
    say(
        f"{_name_of(path)}: good. Node {format_address(settings.address)}, "
        f"{peers} peer{'s' * (peers != 1)} to call, "
        f"{passwords} password{'s' * (passwords != 1)} to be called with."
    )


@app.command("clean", epilog=example("dexmesh config clean old.conf > new.conf"))
@reports_errors
def clean_(
    path: FileArgument,
    as_json: Annotated[
        bool, typer.Option("--json", help="Changes nothing: the output is JSON anyway.")
    ] = False,
) -> None:
    """Print a configuration as plain JSON, the way `cjdroute --cleanconf` does."""
    sys.stdout.write(_cleaned(read_input(path), _name_of(path)))


def _cleaned(data: bytes, name: str) -> str:
    from dexmesh.config.dialect import read_document
    from dexmesh.config.write import clean

    return clean(read_document(data, name).require_sound())


def read_input(path: Path) -> bytes:
    """The bytes of a file, or of standard input for `-`."""
    if path == Path("-"):
        return bounded(sys.stdin.buffer.read(MAX_CONFIG_BYTES + 1), _name_of(path))
    return read_config_file(path)


def load_file(path: Path) -> LoadedConfig:
    """The settings in a file (or standard input). Raises ConfigError with every mistake."""
    from dexmesh.config.reader import load_settings

    return load_settings(read_input(path), _name_of(path))


def load_settings_in(data: bytes, path: Path) -> Settings:
    """The settings in the bytes of a file. Raises ConfigError with every mistake."""
    from dexmesh.config.reader import load_settings

    return load_settings(data, str(path)).settings


def _name_of(path: Path) -> str:
    return "standard input" if path == Path("-") else str(path)


def warnings_of(path: Path, loaded: LoadedConfig) -> list[ConfigProblem]:
    """What an operator may want to know before the node starts."""
    from dexmesh.config.settings import NO_TUNNELS

    name, settings = _name_of(path), loaded.settings
    warnings = list(loaded.warnings)
    if path != Path("-") and is_exposed(path):
        message, hint = "others can read this file and its keys", f"Run: chmod 600 {path}"
        warnings.append(ConfigProblem(name, 0, 0, message, hint))
    asked = {
        "supernodes": bool(settings.supernodes),
        "ipTunnel": settings.ip_tunnel != NO_TUNNELS,
        "dnsSeeds": bool(settings.dns_seeds),
    }
    for what in (what for what, is_asked in asked.items() if is_asked):
        message = f"{what}: asked for, and not supported by this version"
        warnings.append(ConfigProblem(name, 0, 0, message, "Everything else works without."))
    return warnings


def describe(settings: Settings, *, show_secrets: bool = False) -> dict[str, object]:
    """What a configuration asks for, for programs. Private keys are never shown."""
    return {
        "address": format_address(settings.address),
        "address_padded": format_padded(settings.address),
        "public_key": encode_key(settings.public_key),
        "admin": f"{settings.admin.host}:{settings.admin.port}",
        "udp_ports": [interface.bind_port for interface in settings.udp_interfaces],
        "udp_interfaces": [_describe_udp(interface) for interface in settings.udp_interfaces],
        "tun": settings.tun.kind.value,
        "authorizedPasswords": [
            {
                "user": None if entry.user is None else entry.user.decode(errors="replace"),
                **({"password": entry.password.decode(errors="replace")} if show_secrets else {}),
            }
            for entry in settings.authorized_passwords
        ],
    }


def _describe_udp(interface: UdpInterfaceSettings) -> dict[str, object]:
    return {
        "bind": f"{interface.bind_host}:{interface.bind_port}",
        "connectTo": [
            {
                "endpoint": peer.endpoint,
                "publicKey": encode_key(peer.public_key),
                "name": peer.peer_name,
            }
            for peer in interface.connect_to
        ],
    }


def _problem(problem: ConfigProblem) -> dict[str, object]:
    return {
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "message": problem.message,
        "hint": problem.hint,
    }
