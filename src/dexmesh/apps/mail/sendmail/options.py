"""Read the command line of the program sendmail.

Place     program.py -> here -> `Options`
Spec      docs/apps/mail.md §4 "Submission" (the options); the manuals of sendmail, Postfix, OpenSMTPD, Exim
Keeps     options that mean nothing here are taken in silence; one that no sendmail knows is an error
Not here  recipients in the header (message.py)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace

from dexmesh.apps.base.mailbox import parse_mailbox
from dexmesh.apps.mail.sendmail.exits import EX_USAGE, Trouble
from dexmesh.errors import AddressError
from dexmesh.values import dataclass

_FLAGS = "EGIUimnstv"
_WITH_VALUE = "ABCFLMNORVXbfhopr"  # joined or as the next word
_MAY_HAVE_VALUE = "dq"  # joined only
_MODES = "imps"  # newaliases, send, mailq, SMTP
_DSN_WORDS = frozenset({"NEVER", "SUCCESS", "FAILURE", "DELAY"})


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for. `sender`: None if none is named, "" for `<>`."""

    mode: str = "m"
    flushes: bool = False
    takes_from_header: bool = False
    ignores_dots: bool = False
    sender: str | None = None
    full_name: str = ""
    notify: str = ""
    returned: str = ""
    recipients: tuple[str, ...] = ()


def parse_options(arguments: Sequence[str]) -> Options:
    """Raises Trouble for what no sendmail knows."""
    found, recipients, words = Options(), list[str](), deque(arguments)
    while words:
        word = words.popleft()
        if word == "--":
            recipients += words
            break
        if word == "-" or not word.startswith("-"):
            recipients.append(word)
            continue
        for letter, value in _cut(word[1:], words):
            found = _with_option(found, letter, value)
    return replace(found, recipients=tuple(recipients))


def _cut(letters: str, words: deque[str]) -> Iterable[tuple[str, str]]:
    """The options in one word; the last of them may take the next word as its value."""
    while letters:
        letter, letters = letters[0], letters[1:]
        if letter in _FLAGS:
            yield letter, ""
        elif letter in _MAY_HAVE_VALUE or (letter in _WITH_VALUE and (letters or words)):
            needs_word = not letters and letter in _WITH_VALUE
            yield letter, words.popleft() if needs_word else letters
            return
        elif letter in _WITH_VALUE:
            raise Trouble(EX_USAGE, f"-{letter} needs a value")
        else:
            what = "-t -i -f SENDER -F NAME -N -R -bm -bp -bs -q -o..., and recipients"
            raise Trouble(EX_USAGE, f"-{letter} is unknown; understood are {what}")


def _with_option(found: Options, letter: str, value: str) -> Options:
    if letter == "t":
        return replace(found, takes_from_header=True)
    if letter == "i" or (letter == "o" and value == "i"):
        return replace(found, ignores_dots=True)
    if letter == "q":
        return replace(found, flushes=True)
    if letter == "F":
        return replace(found, full_name=value)
    if letter in "fr":
        return replace(found, sender=_sender(value))
    if letter == "b":
        if value not in tuple(_MODES):
            raise Trouble(EX_USAGE, f"-b{value} is not offered: only -bm, -bp, -bs and -bi are")
        return replace(found, mode=value)
    if letter == "N":
        return replace(found, notify=_notify(value))
    if letter == "R":
        if value.lower() not in ("full", "hdrs"):
            raise Trouble(EX_USAGE, "-R is full or hdrs")
        return replace(found, returned=value.upper())
    return found


def _sender(value: str) -> str:
    if value.strip() in ("", "<>"):
        return ""
    try:
        return str(parse_mailbox(value, needs_domain=False))
    except AddressError as error:
        raise Trouble(EX_USAGE, f"-f: {error}; {error.hint}") from None


def _notify(value: str) -> str:
    words = value.upper().split(",")
    if not _DSN_WORDS.issuperset(words) or ("NEVER" in words and len(words) > 1):
        raise Trouble(EX_USAGE, "-N is never, or some of success,failure,delay")
    return ",".join(words)
