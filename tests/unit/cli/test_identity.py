"""`dexmesh address` and `dexmesh keys`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dexmesh.wire.address import format_address
from dexmesh.wire.keys import address_of, encode_key
from tests.unit.cli.conftest import Run
from tests.unit.config.samples import PRIVATE, PUBLIC

ADDRESS = format_address(address_of(PUBLIC))


def test_address_shows_every_spelling_and_no_private_key(run: Run, config_file: Path) -> None:
    done = run("address", "--config", config_file)
    assert done.exit_code == 0
    for part in (ADDRESS, encode_key(PUBLIC), f"USER@[IPv6:{ADDRESS}]", f"sip:USER@[{ADDRESS}]"):
        assert part in done.stdout
    assert PRIVATE.hex() not in done.stdout


def test_address_of_a_key_needs_no_configuration(run: Run) -> None:
    facts = json.loads(run("address", encode_key(PUBLIC), "--json").stdout)
    assert facts["address"] == ADDRESS
    assert facts["public_key"] == encode_key(PUBLIC)
    assert facts["mail_key"] == f"USER@{encode_key(PUBLIC)}"


@pytest.mark.parametrize("key", ["nonsense", "xyz.k", "0" * 52 + ".k"])
def test_address_of_no_key_is_wrong_usage(run: Run, key: str) -> None:
    done = run("address", key)
    assert done.exit_code == 2
    assert done.stderr.startswith("error: ")


def test_address_without_a_configuration_says_how_to_make_one(run: Run) -> None:
    done = run("address")
    assert done.exit_code == 1
    assert "dexmesh config new" in done.stderr


def test_new_keys_belong_together(run: Run) -> None:
    drawn = json.loads(run("keys", "new", "--json").stdout)
    same = json.loads(run("keys", "public", "--json", stdin=drawn["private_key"] + "\n").stdout)
    assert drawn["address"].startswith("fc")
    assert drawn == {"private_key": drawn["private_key"], **same}
    lines = run("keys", "public", stdin=drawn["private_key"]).stdout.splitlines()
    assert lines == [drawn["public_key"], drawn["address"]]


@pytest.mark.parametrize("given", [b"", b"12", b"\xff\xfe" * 40, b"g" * 5000])
def test_what_is_no_private_key_is_wrong_usage(run: Run, given: bytes) -> None:
    done = run("keys", "public", stdin=given)
    assert done.exit_code == 2
    assert "64 hex digits" in done.stderr
