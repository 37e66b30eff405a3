"""`dexmesh address` and `dexmesh keys`: who this node is, in every spelling that programs want.

Place     cli/main.py -> here -> config/ or standard input
Spec      docs/protocol/01 §1 "Identity", 09 §6 (makekeys, privatetopublic, publictoip6)
Keeps     a private key is printed only by `keys new`, never by `address`
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from dexmesh.cli.config import load_file
from dexmesh.cli.output import example, fail, misused, print_json, reports_errors
from dexmesh.cli.places import ConfigOption, JsonOption, find_config
from dexmesh.errors import DecodeError
from dexmesh.wire.address import format_address, format_padded
from dexmesh.wire.keys import PrivateKey, PublicKey, address_of, decode_key, encode_key, is_node_key

keys_app = typer.Typer(
    no_args_is_help=True, help="Make and convert keys.", epilog=example("dexmesh keys new")
)
_LONGEST_LINE = 1024


@reports_errors
def address(
    of: Annotated[
        str | None, typer.Argument(metavar="[KEY.k]", help="A public key (default: this node's).")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the address, the key, and the forms used in mail and SIP."""
    key = parse_key(of) if of is not None else _own_key(config)
    forms = forms_of(key)
    if as_json:
        print_json(forms)
        return
    width = max(len(name) for name in _TITLES.values())
    for name, title in _TITLES.items():
        sys.stdout.write(f"{title:<{width}}  {forms[name]}\n")


_TITLES = {
    "address": "address",
    "padded": "padded",
    "public_key": "public key",
    "mail": "mail",
    "mail_key": "mail, by key",
    "sip": "SIP",
}


def forms_of(key: PublicKey) -> dict[str, str]:
    """Every spelling of one node; USER stands for the person there."""
    own = address_of(key)
    return {
        "address": format_address(own),
        "padded": format_padded(own),
        "public_key": encode_key(key),
        "mail": f"USER@[IPv6:{format_address(own)}]",
        "mail_key": f"USER@{encode_key(key)}",
        "sip": f"sip:USER@[{format_address(own)}]",
    }


@keys_app.command("new", epilog=example("dexmesh keys new --json"))
@reports_errors
def new(as_json: JsonOption = False) -> None:
    """Draw a new private key whose address is in fc00::/8, and print it with what belongs to it."""
    from dexmesh.engine.keys import generate_private_key

    _show_pair(generate_private_key(os.urandom), as_json)


@keys_app.command(epilog=example("dexmesh keys public < private.hex"))
@reports_errors
def public(as_json: JsonOption = False) -> None:
    """Read a private key (64 hex digits) from standard input, print its public key and address."""
    if sys.stdin.isatty():
        misused("give the private key on standard input", "dexmesh keys public < FILE")
    line = sys.stdin.buffer.readline(_LONGEST_LINE).decode("ascii", "replace")
    try:
        private = PrivateKey.from_hex(line.strip())
    except DecodeError as error:
        misused(str(error), "a private key is 64 hex digits")
    _show_pair(private, as_json, hide_private=True)


def _show_pair(private: PrivateKey, as_json: bool, *, hide_private: bool = False) -> None:
    from dexmesh.engine.keys import public_key_of

    key = public_key_of(bytes(private))
    shown = {} if hide_private else {"private_key": private.hex()}
    shown |= {"public_key": encode_key(key), "address": format_padded(address_of(key))}
    if as_json:
        print_json(shown)
        return
    for value in shown.values():
        sys.stdout.write(value + "\n")


def _own_key(config: Path | None) -> PublicKey:
    path = find_config(config)
    if path is None:
        fail("there is no configuration yet", "`dexmesh config new` makes one")
    return load_file(path).settings.public_key


def parse_key(text: str) -> PublicKey:
    """A public key from the command line; whoever typed something else is told what one is."""
    try:
        key = decode_key(text)
    except DecodeError as error:
        misused(f"{text!r}: {error}", "a public key is 52 characters and .k")
    if not is_node_key(key):
        misused("no node can have that key: its address is not in fc00::/8")
    return key
