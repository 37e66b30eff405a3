"""Make a message readable for a person at a terminal: headers, text, a list of what is attached.

Place     cli/mail_read.py has the bytes -> here; it prints the result through cli/output.printable
Spec      docs/apps/mail.md §4 "Reading"; RFC 2046 §5.1.4 (alternatives), RFC 3464 (reports)
Keeps     never raises, whatever the bytes are; linear in their number; nothing is fetched, no link is
          followed, no file name of a sender is taken for a path
Not here  finding the parts (proto/parts.py); what may be printed (cli/output.py)
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from dexmesh.apps.mail.proto.parts import (
    Part,
    decode_body,
    decode_charset,
    decode_words,
    field_value,
    field_values,
    file_name,
    is_attachment,
    parse_message,
)
from dexmesh.values import dataclass

MAX_TEXT_BYTES = 4 << 20  # ours: of one text part
MAX_SHOWN_CHARS = 1_000_000  # ours: of all text
MAX_NAME_CHARS = 120  # ours: of a file

_HREF = re.compile(r"""\shref\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)
_ALT = re.compile(r"""\salt\s*=\s*(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)
_TAG_NAME = re.compile(r"/?[a-zA-Z][a-zA-Z0-9]{0,20}")
_BLOCKS = frozenset(
    {"p", "div", "br", "tr", "li", "ul", "ol", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote"}
    | {"pre", "table", "hr", "section", "article", "header", "footer"}
)
_SILENT = {
    name: re.compile(f"</{name}", re.IGNORECASE)
    for name in ("script", "style", "head", "title", "template")
}
_MANY_LINES = re.compile(r"\n{3,}")
_BLANKS = re.compile(r"[ \t\xa0]+")


@dataclass(frozen=True, slots=True)
class Attachment:
    """One thing that is not shown as text. `name` is safe as a file name; `told` is what was told."""

    number: int
    name: str
    told: str
    media: str
    size: int
    part: Part


@dataclass(frozen=True, slots=True)
class ReadableMail:
    """A message as a person reads it. Texts may hold any character: print them with care."""

    from_text: str
    to_text: str
    cc_text: str
    reply_to: str
    date: str
    subject: str
    message_id: str
    references: tuple[str, ...]
    text: str
    attachments: tuple[Attachment, ...]


def read_mail(data: bytes) -> ReadableMail:
    """What the message says."""
    tree = parse_message(data)
    shown: list[str] = []
    attached: list[Part] = []
    for part in _leaves(data, tree):
        if _is_shown(data, part):
            shown.append(_text_of(data, part))
        else:
            attached.append(part)
    text = "\n".join(one.strip("\n") + "\n" for one in shown if one.strip())

    def value(name: bytes) -> str:
        return " ".join(decode_words(field_value(data, tree.header, name)).split())

    def people(name: bytes) -> str:
        return ", ".join(field_values(data, tree.header, name))

    return ReadableMail(
        from_text=people(b"from"),
        to_text=people(b"to"),
        cc_text=people(b"cc"),
        reply_to=people(b"reply-to"),
        date=value(b"date"),
        subject=value(b"subject"),
        message_id=value(b"message-id"),
        references=_references(data, tree),
        text=text[:MAX_SHOWN_CHARS],
        attachments=tuple(
            _attachment(data, part, number) for number, part in enumerate(attached, 1)
        ),
    )


def _references(data: bytes, tree: Part) -> tuple[str, ...]:
    value = field_value(data, tree.header, b"references")
    value = value or field_value(data, tree.header, b"in-reply-to")
    return tuple(word for word in value.split() if word.startswith("<") and word.endswith(">"))[
        -50:
    ]


def _leaves(data: bytes, part: Part) -> Iterator[Part]:
    """The parts to show or list: of alternatives the plainest one we can show."""
    if not part.is_multipart or is_attachment(data, part):
        yield part
    elif part.media == "multipart/alternative":
        texts = [one for one in part.parts if one.media == "text/plain"]
        yield from _leaves(data, (texts or list(part.parts))[0])
    elif part.media == "multipart/related":
        yield from _leaves(data, part.parts[0])
        yield from part.parts[1:]
    else:
        for one in part.parts:
            yield from _leaves(data, one)


def _is_shown(data: bytes, part: Part) -> bool:
    is_text = part.media in ("text/plain", "text/html", "message/delivery-status")
    return is_text and not is_attachment(data, part)


def _text_of(data: bytes, part: Part) -> str:
    start, end = part.body
    short = Part(part.header, (start, min(end, start + MAX_TEXT_BYTES)), part.media)
    charset = part.parameters.get("charset", "utf-8")
    text = decode_charset(decode_body(data, short), charset).replace("\r\n", "\n")
    return html_to_text(text) if part.media == "text/html" else text


def first_text(data: bytes, most: int) -> str:
    """The beginning of the plain text, on one line; empty if there is none. HTML is not looked at."""
    tree = parse_message(data)
    for part in _leaves(data, tree):
        if part.media == "text/plain" and not is_attachment(data, part):
            return " ".join(_text_of(data, part)[: 4 * most].split())[:most]
    return ""


# Attachments


def _attachment(data: bytes, part: Part, number: int) -> Attachment:
    told = file_name(data, part)
    if not told and part.message is not None:
        subject = decode_words(field_value(data, part.message.header, b"subject"))
        told = f"{subject or 'message'}.eml"
    media = part.media
    suffix = {"text/html": ".html", "text/plain": ".txt", "image/png": ".png", "image/jpeg": ".jpg"}
    name = safe_name(told) or f"part-{number}{suffix.get(media, '')}"
    return Attachment(number, name, told, media, len(attached_bytes(data, part)), part)


def attached_bytes(data: bytes, part: Part) -> bytes:
    """What is attached, decoded; a whole message stays a message."""
    return data[slice(*part.body)] if part.message is not None else decode_body(data, part)


def safe_name(told: str) -> str:
    """A file name that stays in the folder it is put into; empty if nothing is left of it."""
    name = re.split(r"[/\\]", told)[-1]
    name = "".join(c if c.isprintable() else "_" for c in name).strip().strip(".").strip()
    while len(name.encode("utf-8", "replace")) > MAX_NAME_CHARS:
        stem, dot, suffix = name.rpartition(".")
        is_short = dot and stem and len(suffix) < 10
        name = f"{stem[:-1]}.{suffix}" if is_short and len(stem) > 1 else name[:-1]
    return name


# HTML


def html_to_text(source: str) -> str:
    """The words of an HTML text; links are written out, nothing else of it stays."""
    pieces: list[str] = []
    link = ""
    for kind, value in _html_tokens(source):
        if kind == "text":
            pieces.append(_BLANKS.sub(" ", html.unescape(value).replace("\n", " ")))
            continue
        match = _TAG_NAME.match(value)
        tag = match.group().lower() if match else ""
        if tag.lstrip("/") in _BLOCKS:
            pieces.append("\n\n" if tag in ("p", "/p") else "\n")
            if tag == "li":
                pieces.append("* ")
        elif tag == "a":
            link = _attribute(_HREF, value)
        elif tag == "/a" and link:
            if link not in "".join(pieces[-3:]):
                pieces.append(f" <{link}>")
            link = ""
        elif tag == "img" and (alt := _attribute(_ALT, value)):
            pieces.append(f"[{alt}]")
        elif tag in ("td", "th"):
            pieces.append(" ")
    lines = (" ".join(line.split(" ")).strip() for line in "".join(pieces).split("\n"))
    return (
        _MANY_LINES.sub("\n\n", "\n".join(_BLANKS.sub(" ", line) for line in lines)).strip() + "\n"
    )


def _attribute(pattern: re.Pattern[str], tag: str) -> str:
    match = pattern.search(tag[:4000])
    value = next((one for one in match.groups() if one), "") if match else ""
    value = html.unescape(value).strip()
    is_link = pattern is not _HREF or value.lower().startswith(
        ("http:", "https:", "mailto:", "sip:")
    )
    return value if is_link else ""


def _html_tokens(source: str) -> Iterator[tuple[str, str]]:
    """Texts and tags in order. Every search goes forward: linear, however broken the text is."""
    position = 0
    while position < len(source):
        start = source.find("<", position)
        if start < 0:
            yield "text", source[position:]
            return
        if start > position:
            yield "text", source[position:start]
        if source.startswith("<!--", start):
            end = source.find("-->", start + 4)
            position = len(source) if end < 0 else end + 3
            continue
        follows = source[start + 1 : start + 2]
        if not (follows.isalpha() or follows in ("/", "!", "?")) or not follows:
            yield "text", "<"
            position = start + 1
            continue
        end = source.find(">", start)
        if end < 0:
            return
        tag = source[start + 1 : end]
        position = end + 1
        yield "tag", tag
        match = _TAG_NAME.match(tag)
        name = match.group().lower() if match else ""
        if name in _SILENT and not tag.endswith("/"):
            close = _SILENT[name].search(source, position)
            position = close.start() if close else len(source)
