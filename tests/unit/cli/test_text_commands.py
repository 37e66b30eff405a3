"""`dexmesh text | texts`, between two real services."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from dexmesh.apps.base import carrier
from dexmesh.apps.base.home import HOME_VARIABLE
from dexmesh.apps.call.phone.values import CallError
from dexmesh.cli import text
from dexmesh.cli.main import app
from dexmesh.cli.output import Exit
from dexmesh.wire.address import format_address
from tests.unit.cli.phone_world import PhoneNode, PhoneWorld


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PhoneWorld]:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "alice"))
    world = PhoneWorld(tmp_path)
    yield world
    world.close()


def run(*arguments: str, code: int = 0, stdin: str | bytes | None = None) -> Result:
    """Run `dexmesh ...` at alice's, which must end with that code."""
    result = CliRunner().invoke(app, arguments, input=stdin)
    assert result.exit_code == code, (result.stdout, result.stderr, result.exception)
    return result


def as_json(*arguments: str, **more: Any) -> Any:
    return json.loads(run(*arguments, "--json", **more).stdout)


def at(node: PhoneNode, *arguments: str) -> Result:
    """The same at another node."""
    return run(*arguments, "--home", str(node.home.path))


def until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_text_is_delivered_and_the_conversation_has_both_sides(world: PhoneWorld) -> None:
    assert run("text", "bob", "see", "you", "at", "acht ½").stdout == "delivered to bob\n"
    at(world.bob, "text", "alice", "fine")
    mine, answer = run("texts", "bob", "--keep-new").stdout.splitlines()
    assert mine.endswith("  to bob: see you at acht ½")
    assert answer.startswith("N ")
    assert answer.endswith("  bob: fine")
    assert len(run("texts", "--news").stdout.splitlines()) == 1
    assert "no new texts" in run("texts", "--news").stderr
    theirs = json.loads(at(world.bob, "texts", "--json").stdout)["entries"]
    assert [(one["is_outgoing"], one["text"]) for one in theirs] == [
        (False, "see you at acht ½"),
        (True, "fine"),
    ]


def test_a_text_may_be_piped_in_with_all_its_lines(world: PhoneWorld) -> None:
    run("text", "bob", stdin="first\nsecond: üß\n")
    assert at(world.bob, "texts").stdout.endswith("alice: first\n    second: üß\n")
    assert "not UTF-8" in run("text", "bob", stdin=b"\xff\xfe", code=Exit.USAGE).stderr


@pytest.mark.parametrize("words", [[], [""], ["  ", "\n"]])
def test_an_empty_text_is_not_sent(world: PhoneWorld, words: list[str]) -> None:
    assert "the text is empty" in run("text", "bob", *words, code=Exit.USAGE).stderr
    assert as_json("texts")["entries"] == []


@pytest.mark.parametrize("said", ["ä" * 30_000 + "\n", "x" * 59_998 + "ä"])
def test_a_text_may_have_60_kb(world: PhoneWorld, said: str) -> None:
    run("text", "bob", stdin=said)
    (entry,) = json.loads(at(world.bob, "texts", "--json").stdout)["entries"]
    assert entry["text"] == said.rstrip()


@pytest.mark.parametrize("said", ["ä" * 40_000, "ä" * 30_000 + "x", "x" * 60_001, "y" * 200_000])
def test_what_is_too_long_is_for_mail(world: PhoneWorld, said: str) -> None:
    error = run("text", "bob", stdin=said, code=Exit.FAILED).stderr
    assert "at most 60000 bytes" in error
    assert "dexmesh mail send" in error
    assert as_json("texts")["entries"] == []


def test_bytes_that_are_no_utf8_are_no_text(
    world: PhoneWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "not UTF-8" in run("text", "bob", os.fsdecode(b"\xff"), code=Exit.USAGE).stderr
    lenient = io.TextIOWrapper(io.BytesIO(b"\xff\xfe"), "utf-8", "surrogateescape")  # as in C.UTF-8
    monkeypatch.setattr("sys.stdin", lenient)
    with pytest.raises(SystemExit):
        text.text("bob")
    assert as_json("texts")["entries"] == []


def test_nobody_is_chosen_by_guessing(world: PhoneWorld) -> None:
    error = run("text", "bo", "hello", code=Exit.FAILED).stderr
    assert "nobody is called 'bo'" in error
    assert as_json("texts", "--waiting")["waiting"] == []


def test_what_others_write_cannot_steer_the_terminal_or_look_like_ours(world: PhoneWorld) -> None:
    at(world.bob, "text", "alice", "\x1b[2J\x07hi\nbob: delivered\u202e")
    shown = run("texts").stdout
    assert not set(shown) & set("\x1b\x07\u202e")
    assert "\n    bob: delivered" in shown


def test_a_text_that_waits_says_why_and_goes_out_when_the_node_is_back(world: PhoneWorld) -> None:
    world.bob.is_online = False
    result = run("text", "bob", "are you there?")
    assert result.stdout.startswith("waiting for bob: ")
    assert "as soon as that node shows itself" in result.stderr
    (row,) = run("texts", "--waiting").stdout.splitlines()
    cells = row.split("\t")
    assert cells[:2] == ["t1", "bob"]
    assert cells[-1] == "are you there?"
    assert run("texts", "bob").stdout.endswith("to bob: are you there?  [waiting]\n")
    (told,) = as_json("texts", "--waiting")["waiting"]
    assert (told["id"], told["petname"], told["is_offered_as_mail"]) == ("t1", "bob", False)
    world.bob.is_online = True
    assert "at 1 node" in run("texts", "--retry", "t1").stdout
    until(lambda: as_json("texts", "--waiting")["waiting"] == [])
    assert at(world.bob, "texts").stdout.endswith("alice: are you there?\n")
    assert "no text waits" in run("texts", "--waiting").stderr
    assert run("texts", "--retry", "all").stdout == "no text waits\n"


def test_a_text_is_taken_back(world: PhoneWorld) -> None:
    world.bob.is_online = False
    for words in ("one", "two", "three"):
        run("text", "bob", words, "--wait", "0")
    assert run("texts", "--cancel", "2").stdout == "taken back: 1 text\n"
    assert [one["text"] for one in as_json("texts", "--waiting")["waiting"]] == ["one", "three"]
    assert "[taken back]" in run("texts").stdout
    assert as_json("texts", "--cancel", "all") == {"texts": 2}
    error = run("texts", "--cancel", "t2", code=Exit.FAILED).stderr
    assert "no text t2 waits" in error
    assert "dexmesh texts --waiting" in error


def test_after_ten_minutes_a_text_is_offered_as_mail(
    world: PhoneWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.bob.is_online = False
    run("text", "bob", "hello")
    assert "--as-mail" not in run("texts").stderr
    monkeypatch.setattr(carrier, "OFFER_MAIL_AFTER_S", 0.0)
    for shown in (run("texts", "--waiting"), run("texts"), run("texts", "bob")):
        assert re.search(
            r"has waited for bob for \d+ s; `dexmesh texts --as-mail t1`", shown.stderr
        )
    assert "as a mail" in run("texts", "--as-mail", "t1").stdout
    assert world.alice.mailed == ["hello"]
    assert "[sent as mail]" in run("texts").stdout
    assert run("texts", "--as-mail", "t1", code=Exit.FAILED).stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cancel", "x"], "takes an id like t3, or all"),
        (["--retry", "0"], "takes an id like t3, or all"),
        (["--retry", "t99999999999999999999"], "takes an id like t3, or all"),
        (["--as-mail", "all"], "--as-mail takes one id"),
        (["--waiting", "--cancel", "t1"], "--waiting stands alone"),
        (["bob", "--waiting"], "--waiting stands alone"),
        (["--retry", "all", "--news"], "--retry stands alone"),
        (["--limit", "0"], "not in the range"),
    ],
)
def test_bad_arguments_are_one_clear_error(arguments: list[str], message: str) -> None:
    assert message in run("texts", *arguments, code=Exit.USAGE).stderr


def test_what_was_not_shown_stays_new(world: PhoneWorld) -> None:
    world.bob.book.remove("alice")
    run("text", "bob", "of a stranger")
    world.bob.knows(world.alice, "alice", "alice")
    for words in ("first", "second"):
        run("text", "bob", words)
    assert at(world.bob, "texts", "-n", "1").stdout.endswith("alice: second\n")
    first, second = at(world.bob, "texts", "--news").stdout.splitlines()
    assert first.endswith("alice: of a stranger")
    assert second.endswith("alice: first")
    assert at(world.bob, "texts", "--news").stdout == ""


def test_texts_can_be_read_on_a_full_disk(
    world: PhoneWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(world.bob, "text", "alice", "hello")

    async def fail(*_arguments: object) -> None:
        raise CallError("the history of calls cannot be used: database or disk is full")

    for change in ("mark_seen", "take_in"):
        monkeypatch.setattr(world.alice.history, change, fail)
    for _ in range(2):
        assert run("texts", "--news").stdout.endswith("bob: hello\n")


def test_strangers_wait_in_requests(world: PhoneWorld) -> None:
    world.bob.book.remove("alice")
    run("text", "bob", "we met at the fair")
    listed = at(world.bob, "texts")
    assert listed.stdout == ""
    assert "new texts of strangers: 1; `dexmesh texts --requests`" in listed.stderr
    shown = at(world.bob, "texts", "--requests")
    address = format_address(world.alice.me.address)
    assert shown.stdout.rstrip().endswith(f'{address} ("alice"): we met at the fair')
    command = re.search(r"`dexmesh contact add NAME (.*)` makes", shown.stderr)
    assert command
    (mailbox,) = shlex.split(command[1])
    assert mailbox == f"alice@[IPv6:{address}]"
    assert "strangers" not in at(world.bob, "texts").stderr
    world.bob.knows(world.alice, "ally", "alice")
    assert "ally: we met at the fair" in at(world.bob, "texts", "ally").stdout
    assert "ally: we met at the fair" in at(world.bob, "texts").stdout
    assert at(world.bob, "texts", "--requests").stdout == ""
    world.bob.book.remove("ally")
    assert "we met at the fair" in at(world.bob, "texts").stdout


def test_a_text_that_is_refused_is_a_failure(world: PhoneWorld) -> None:
    address = format_address(world.bob.me.address)
    result = run("text", f"sip:zoe@[{address}]", "hello", code=Exit.FAILED)
    assert result.stdout.startswith("not delivered to sip:zoe@")
    assert as_json("texts")["entries"][0]["state"] == "refused"
