"""Say which local users stand behind a name, by the settings and a file like /etc/aliases.

Place     local_names.py reads the file -> here -> policy.py, submitting.py
Spec      docs/apps/mail.md §1 (who is accepted); aliases(5): `name: target, target`
Keeps     ends for every loop; only local names: pipes, files, includes and other domains are left out
Not here  reading the file (local_names.py)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

MAX_ALIASES = 10_000  # ours
MAX_STEPS = 1000  # ours: names looked at for one recipient
POSTMASTER = "postmaster"  # RFC 5321 §4.5.1

_NOT_LOCAL = frozenset('@|/:<>\\"')

Aliases = Mapping[str, tuple[str, ...]]
"""Lower case name -> names of users or of other aliases."""


def parse_aliases(text: str) -> Aliases:
    """The aliases in a file like /etc/aliases; what is not understood is left out."""
    found: dict[str, tuple[str, ...]] = {}
    for line in _logical_lines(text):
        name, colon, targets = line.partition(":")
        name = name.strip().strip('"').lower()
        if not colon or not name or len(found) >= MAX_ALIASES:
            continue
        names = tuple(
            target
            for target in (part.strip().strip('"').lower() for part in targets.split(","))
            if target and not _NOT_LOCAL & set(target)
        )
        if names:
            found[name] = names
    return found


def _logical_lines(text: str) -> Iterator[str]:
    """Lines without comments; one that begins with a blank goes on the line before."""
    current = ""
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0] in " \t":
            current += line
            continue
        if current:
            yield current
        current = line
    if current:
        yield current


def find_users(name: str, users: tuple[str, ...], aliases: Aliases) -> tuple[str, ...]:
    """The local users behind `name` (any case), each once; () if there are none.

    An alias wins over a user of the same name, and may name that user. Mail for the postmaster
    always finds somebody.
    """
    known = {user.lower(): user for user in users}
    found: dict[str, None] = {}
    seen: set[str] = set()
    waiting = [name.lower()]
    while waiting and len(seen) < MAX_STEPS:
        one = waiting.pop()
        is_repeated = one in seen
        seen.add(one)
        targets = () if is_repeated else aliases.get(one, ())
        if targets:
            waiting.extend(reversed(targets))
        elif one in known:
            found[known[one]] = None
    if not found and name.lower() == POSTMASTER and users:
        found[users[0]] = None
    return tuple(found)
