"""How commands speak: plain results, one clear error, exit codes that mean something."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from dexmesh.cli import output
from dexmesh.errors import (
    AdminError,
    AuthFailedError,
    ConfigError,
    ConfigProblem,
    HostError,
    NoNodeError,
    PermissionNeededError,
    UnknownFunctionError,
)

PROBLEM = ConfigProblem("a.conf", 3, 5, "this is wrong", "Write it right.")


class Terminal(io.StringIO):
    """Standard output that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ConfigError((PROBLEM,)), 78, "a.conf:3:5: this is wrong"),
        (ConfigError((PROBLEM, PROBLEM)), 78, "2 mistakes"),
        (NoNodeError("127.0.0.1:1"), 69, "no node is listening on 127.0.0.1:1"),
        (PermissionNeededError("not allowed", "Run it as root."), 77, "Run it as root."),
        (AuthFailedError("Auth failed."), 77, "the node said: Auth failed."),
        (AdminError("bad things"), 1, "the node said: bad things"),
        (UnknownFunctionError("no such function"), 1, "older program"),
        (HostError("no space", "Make some."), 1, "error: no space\n  Make some."),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), 77, "/x: Permission denied"),
        (OSError(errno.EIO, "Input/output error"), 1, "error: Input/output error"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_every_error_is_one_message_and_an_exit_code(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    @output.reports_errors
    def command() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        command()
    assert ended.value.code == code
    assert said in capsys.readouterr().err


def test_an_error_is_coloured_on_a_terminal_and_only_there(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream, colour, is_coloured in ((Terminal(), "", True), (Terminal(), "1", False)):
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("NO_COLOR", colour)
        with pytest.raises(SystemExit):
            output.fail("broken", "mend it")
        assert ("\x1b[31merror:" in stream.getvalue()) is is_coloured


def test_text_from_elsewhere_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    output.say("name \x1b]0;title\x07 ü")
    assert capsys.readouterr().out == "name \\x1b]0;title\\x07 ü\n"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        *[
            (one, one)
            for one in (
                "👩\u200d👧 ❤\ufe0f\u200d🔥",
                "می\u200cخواهم",
                "क\u200dष",
                "e\u0301 שלום\n\tx",
            )
        ],
        ("bo\u200db ü\u200cx \u200d", "bo\\u200db ü\\u200cx \\u200d"),
        ("👩\u200d\u200d👧\u202e\x1b", "👩\\u200d\\u200d👧\\u202e\\x1b"),
    ],
)
def test_joiners_are_kept_where_letters_need_them_and_seen_where_they_would_hide(
    text: str, shown: str
) -> None:
    assert output.printable(text) == shown


def test_brackets_are_text_and_not_markup(capsys: pytest.CaptureFixture[str]) -> None:
    output.say("[fd00::1]:5000 [red]")
    output.note("[::]:1")
    assert capsys.readouterr() == ("[fd00::1]:5000 [red]\n", "[::]:1\n")


def test_a_table_is_tabs_and_no_heading_for_a_program(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(("a", "b"), [["1", "[::1]:2"], ["3", "\x1b4"]])
    assert capsys.readouterr().out == "1\t[::1]:2\n3\t\\x1b4\n"


def test_a_table_cell_is_one_line_whatever_is_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(("a", "b"), [["x\ty", "one\ntwo"]])
    assert capsys.readouterr().out == "x y\tone two\n"


def drawn(
    monkeypatch: pytest.MonkeyPatch, width: int, *table: Sequence[str], loose: Sequence[str] = ()
) -> list[str]:
    """The lines of a table on a terminal of that width; the first row is the heading."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("NO_COLOR", "1")
    output.print_table(table[0], table[1:], loose)
    return stream.getvalue().splitlines()


def test_a_table_has_headings_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    heading, row = drawn(monkeypatch, 80, ("peer", "endpoint"), ("x", "[fd00::1]:5000"))
    assert heading == "peer  endpoint"
    assert row == "x     [fd00::1]:5000"
    assert drawn(monkeypatch, 80, ("", ""), ("a", "b")) == ["a  b"]
    assert drawn(monkeypatch, 80, ("only", "headings")) == ["only  headings"]


ADDRESS = "carol@[IPv6:fc75:acdd:13ff:f50e:229f:d42b:e01d:599]"
PEOPLE = ("petname", "name", "address"), ("carol", "Carol of the long hills", ADDRESS)


def test_columns_share_what_room_there_is_and_words_stay_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert drawn(monkeypatch, 75, *PEOPLE) == [
        "petname  name           address",
        f"carol    Carol of the   {ADDRESS}",
        "         long hills",
    ]


def test_a_terminal_too_narrow_for_a_table_gets_whole_words_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert drawn(monkeypatch, 40, *PEOPLE) == [
        "petname carol",
        "  name Carol of the long hills",
        f"  address {ADDRESS}",
    ]
    assert drawn(monkeypatch, 20, ("", "a"), ("N", "x" * 19), ("", "y")) == [
        "N",
        "  a " + "x" * 19,
        "a y",
    ]


def test_a_long_word_of_a_stranger_is_broken_and_does_not_break_the_table(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = ("from", "subject"), ("bob", "see " + "x" * 30), ("李小龍", "hi")
    assert drawn(monkeypatch, 22, *table, loose=("subject",)) == [
        "from    subject",
        "bob     see",
        "        xxxxxxxxxxxxxx",
        "        xxxxxxxxxxxxxx",
        "        xx",
        "李小龍  hi",
    ]


def test_a_column_that_lacks_little_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    table = ("subject", "size"), ("a b c d e f g h", "2.5 kB")
    assert drawn(monkeypatch, 15, *table)[1] == "a b c d  2.5 kB"


def test_wide_letters_take_their_two_places(monkeypatch: pytest.MonkeyPatch) -> None:
    assert drawn(monkeypatch, 80, ("name", "b"), ("李小龍", "1"), ("Zoë", "2")) == [
        "name    b",
        "李小龍  1",
        "Zoë     2",
    ]


def _process(code: str, stdout: int) -> subprocess.CompletedProcess[bytes]:
    program = f"from dexmesh.cli.output import *\n@reports_errors\ndef run():\n    {code}\nrun()"
    return subprocess.run(
        [sys.executable, "-c", program], stdout=stdout, stderr=subprocess.PIPE, check=False
    )


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = _process("print_json(list(range(100000)))", writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("code", ["say('x')", "say('x'); raise SystemExit(0)"])
def test_a_full_disk_is_told_once_and_without_a_traceback(code: str) -> None:
    with open("/dev/full", "wb") as full:
        done = _process(code, full.fileno())
    assert done.returncode == 1
    assert done.stderr == b"error: No space left on device\n"


def test_a_closed_standard_input_is_an_empty_one() -> None:
    program = (
        "from dexmesh.cli.output import *\n@reports_errors\ndef run(): say(sys.stdin.read())\nrun()"
    )
    done = subprocess.run(
        ["sh", "-c", '"$0" -c "$1" <&-', sys.executable, program], capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"\n", b"")


@pytest.mark.parametrize("closed", [">&-", "2>&-"])
def test_a_closed_stream_is_no_error(closed: str) -> None:
    program = "from dexmesh.cli.main import main; main()"
    done = subprocess.run(
        ["sh", "-c", f'"$0" -c "$1" version {closed}', sys.executable, program],
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_letters_that_the_code_page_lacks_are_spelled_out() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from dexmesh.cli.output import *\nreports_errors(say)('ü')"],
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert done.stdout == b"\\xfc\n"


def test_the_help_of_a_command_ends_with_an_example_and_the_exit_codes() -> None:
    assert output.example("dexmesh up").splitlines()[0] == "Example: dexmesh up"
    named: Callable[[output.Exit], bool] = lambda code: f" {int(code)} " in output.EXIT_HELP  # noqa: E731
    assert all(named(code) for code in output.Exit)
