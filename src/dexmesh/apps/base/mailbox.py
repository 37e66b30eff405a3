"""Read mail addresses, one or a list, as people and mail programs write them.

Place     command lines, SMTP envelopes and headers -> here -> receiver, submission, queue, contacts
Spec      RFC 5321 §4.1.2 (Mailbox), RFC 5322 §3.4; docs/apps/mail.md §1 "broken parsers"
Keeps     raises nothing but AddressError; a `:` inside a literal never opens a group; work and result
          are bounded and linear in the text; no control character gets through
Not here  what the domain means (domains.py); decoding encoded words
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from dexmesh.errors import AddressError
from dexmesh.values import dataclass

MAX_LIST_CHARS = 1 << 18  # ours: a header with 2,000 long addresses
MAX_MAILBOXES = 2000  # ours
MAX_PART_CHARS = 255  # ours for the local part: 64 in RFC 5321, which mailing lists outgrow

_DOT_ATOM = re.compile(
    r"[^\s\x00-\x20\x7f()<>\[\]:;@\\,.\"]+(?:\.[^\s\x00-\x20\x7f()<>\[\]:;@\\,.\"]+)*"
)
_DOMAIN = re.compile(r"[\w-]+(?:\.[\w-]+)*\.?")
_LITERAL = re.compile(r"\[[^\[\]\\]*\]")
_FOLD = re.compile(r"\r?\n(?=[ \t])")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_ESCAPED = re.compile(r"\\(.)")
_PHRASE = re.compile(r"[^()<>\[\]:;@\\,.\"]*")
_TOKEN = re.compile(
    r"""(?P<blank>[ \t]+)
      | (?P<quoted>"(?:[^"\\]|\\.)*")
      | (?P<literal>\[[^\[\]\\]*\])
      | (?P<mark>[<>,;:@])
      | (?P<word>[^\ \t"()<>\[\],;:@\\]+)
      | (?P<open>\()""",
    re.VERBOSE,
)
_COMMENT_STEP = re.compile(r"[^()\\]+|\\.|[()]")


@dataclass(frozen=True, slots=True)
class Mailbox:
    """One address. `local` is without quotes; `domain` as written, a literal with its brackets.

    `domain` is empty for a bare local name (only where the caller allowed it).
    """

    local: str
    domain: str
    name: str = ""

    def __str__(self) -> str:
        local = self.local if _DOT_ATOM.fullmatch(self.local) else _quoted(self.local)
        return f"{local}@{self.domain}" if self.domain else local

    def formatted(self) -> str:
        """`Name <local@domain>`, for a header or a terminal."""
        if not self.name:
            return str(self)
        plain = _PHRASE.fullmatch(self.name) and self.name == " ".join(self.name.split())
        return f"{self.name if plain else _quoted(self.name)} <{self}>"


def parse_mailbox(text: str, *, needs_domain: bool = True) -> Mailbox:
    """The one address in `text`, with or without a name and angle brackets.

    Raises AddressError if there is none, more than one, or a group.
    """
    items = list(_items(text))
    if len(items) != 1 or not items[0].tokens:
        raise _nonsense(text)
    return _mailbox(items[0], needs_domain)


def parse_mailboxes(header_value: str, *, needs_domain: bool = True) -> tuple[Mailbox, ...]:
    """Every address of a list, in order; groups are opened. Raises AddressError at the first bad one."""
    return tuple(
        _mailbox(item, needs_domain) for item in _items(header_value) if item.is_anything()
    )


def readable_mailboxes(header_value: str) -> tuple[Mailbox, ...]:
    """What can be read of a list that a stranger wrote; the rest is left out. Never raises."""
    found: list[Mailbox] = []
    items = _items(header_value)
    while True:
        try:
            item = next(items)
        except (StopIteration, AddressError):
            return tuple(found)
        try:
            if item.is_anything():
                found.append(_mailbox(item, needs_domain=True))
        except AddressError:
            continue


# --- From text to tokens ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Token:
    """`kind` is a mark itself (`<>,;:@`), or word, quoted, literal, comment. `is_joined`: no blank before."""

    kind: str
    value: str
    is_joined: bool


def _tokens(text: str) -> Iterator[_Token]:
    at, is_joined = 0, False
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise _nonsense(text)
        kind, value, at = match.lastgroup, match.group(), match.end()
        if kind == "blank":
            is_joined = False
            continue
        if kind == "open":
            value, at = _comment(text, at)
            yield _Token("comment", value, is_joined)
            continue
        if kind == "quoted":
            value = _ESCAPED.sub(r"\1", value[1:-1])
        yield _Token(value if kind == "mark" else kind, value, is_joined)
        is_joined = True


def _comment(text: str, at: int) -> tuple[str, int]:
    """The comment whose opening bracket ends at `at`, without brackets; and where it ends."""
    depth, parts = 1, []
    while depth:
        match = _COMMENT_STEP.match(text, at)
        if match is None:
            raise _nonsense(text)
        step, at = match.group(), match.end()
        depth += {"(": 1, ")": -1}.get(step, 0)
        parts.append(step[1:] if step[0] == "\\" else step)
    return "".join(parts[:-1]).strip(), at


# --- From tokens to addresses -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Item:
    """What stands between two commas."""

    tokens: Sequence[_Token]
    comments: Sequence[str]

    def is_anything(self) -> bool:
        """Whether there is more than blanks and comments."""
        return bool(self.tokens)


def _items(text: str) -> Iterator[_Item]:
    if len(text) > MAX_LIST_CHARS:
        raise AddressError(f"a list of addresses longer than {MAX_LIST_CHARS} characters")
    text = _FOLD.sub("", text.strip(" \t\r\n"))
    if _CONTROL.search(text):
        raise _nonsense(text)
    tokens: list[_Token] = []
    comments: list[str] = []
    is_angle, count = False, 0
    for token in _tokens(text):
        if token.kind == "comment":
            comments.append(token.value)
            continue
        if token.kind in {"<", ">"}:
            is_angle = token.kind == "<"
        elif not is_angle and token.kind in {",", ";"}:
            count += 1
            if count >= MAX_MAILBOXES:
                raise AddressError(f"a list of more than {MAX_MAILBOXES} addresses")
            yield _Item(tokens, comments)
            tokens, comments = [], []
            continue
        elif not is_angle and token.kind == ":" and _is_group_name(tokens):
            tokens, comments = [], []
            continue
        tokens.append(token)
    yield _Item(tokens, comments)


def _is_group_name(tokens: Sequence[_Token]) -> bool:
    return bool(tokens) and all(token.kind in {"word", "quoted"} for token in tokens)


def _mailbox(item: _Item, needs_domain: bool) -> Mailbox:
    kinds = [token.kind for token in item.tokens]
    if "<" not in kinds:
        name = item.comments[-1] if item.comments else ""
        return _address(item.tokens, name, needs_domain)
    start = kinds.index("<")
    if kinds[-1] != ">" or kinds.count("<") != 1 or kinds.count(">") != 1:
        raise _nonsense(_shown(item.tokens))
    name = _phrase(item.tokens[:start]) or (item.comments[-1] if item.comments else "")
    return _address(_without_route(item.tokens[start + 1 : -1]), name, needs_domain)


def _phrase(tokens: Sequence[_Token]) -> str:
    """The words of a name. Marks in it that mean nothing here (`:` and `@`) are kept as written."""
    parts: list[str] = []
    for token in tokens:
        parts.append(token.value if token.is_joined or not parts else f" {token.value}")
    return "".join(parts).strip()


def _without_route(tokens: Sequence[_Token]) -> Sequence[_Token]:
    """`<@a,@b:user@c>` means user@c (RFC 5321, appendix C)."""
    if tokens and tokens[0].kind == "@":
        for place, token in enumerate(tokens):
            if token.kind == ":":
                return tokens[place + 1 :]
    return tokens


def _address(tokens: Sequence[_Token], name: str, needs_domain: bool) -> Mailbox:
    kinds = [token.kind for token in tokens]
    at = kinds.index("@") if "@" in kinds else len(kinds)
    local = _local(tokens[:at])
    domain = _domain(tokens[at + 1 :]) if at < len(kinds) else ""
    wants_domain = needs_domain or at < len(kinds)
    if not local or (wants_domain and not domain) or max(len(local), len(domain)) > MAX_PART_CHARS:
        raise _nonsense(_shown(tokens))
    return Mailbox(local, domain, name)


def _local(tokens: Sequence[_Token]) -> str:
    """Words and quoted strings that stand together; empty if it is no local part."""
    if not all(token.kind in {"word", "quoted"} for token in tokens):
        return ""
    if not all(token.is_joined for token in tokens[1:]):
        return ""
    return "".join(token.value for token in tokens)


def _domain(tokens: Sequence[_Token]) -> str:
    """A name, a literal, or a literal in quotes as alpine writes it; empty if it is no domain."""
    if len(tokens) != 1:
        return ""
    kind, value = tokens[0].kind, tokens[0].value
    if kind == "word":
        return value if _DOMAIN.fullmatch(value) else ""
    return value if kind in {"literal", "quoted"} and _LITERAL.fullmatch(value) else ""


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _shown(tokens: Sequence[_Token]) -> str:
    return "".join(
        token.value if token.is_joined else f" {token.value}" for token in tokens
    ).strip()


def _nonsense(text: str) -> AddressError:
    shown = text if len(text) <= 100 else f"{text[:100]}..."
    return AddressError(f"{shown!r} is no mail address", "write name@[IPv6:fc...] or name@<key>.k")
