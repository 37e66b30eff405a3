"""Add a peer to the text of a configuration, or take one out, and touch nothing else.

Place     cli/ (`dexmesh peer add|remove`) -> here -> config/files.py
Spec      docs/protocol/04 section 2.1 "connectTo", docs/protocol/09 section 2 "Keys"
Keeps     comments, order and spelling of everything else; the result is read again before it
          is handed out
Not here  telling a running node (admin RPC)
"""

from __future__ import annotations

import re

from dexmesh.config.dialect import read_document
from dexmesh.config.document import Document, Entry, Items, Table, Text
from dexmesh.config.endpoints import BadEndpointError, HostPort, parse_bind, parse_peer
from dexmesh.config.write import quote
from dexmesh.errors import ConfigError, UsageError
from dexmesh.values import dataclass, field
from dexmesh.wire.keys import PublicKey, encode_key

_TO_COMMA = re.compile(rb"(?:[ \t\r\n]+|//[^\n]*|/\*.*?\*/)*+(,)", re.DOTALL)
_REMARK_TO_END_OF_LINE = re.compile(rb"[ \t]*(?://[^\n]*|(?:/\*[^\n]*?\*/[ \t]*)+(?=\r?\n))")
_BLANK_TO_END_OF_LINE = re.compile(rb"[ \t\r]*\n")
_STEP = "    "


@dataclass(frozen=True, slots=True)
class NewPeer:
    """A peer to write into `connectTo`; `endpoint` is `HOST:PORT`, IPv6 in brackets."""

    endpoint: str
    public_key: PublicKey
    password: bytes = field(repr=False)
    login: bytes | None = None
    peer_name: str | None = None


def add_peer(data: bytes, name: str, peer: NewPeer) -> bytes:
    """The configuration with this peer in front of the others of its interface.

    Raises ConfigError when the file is broken, has no interface for it, or has it already.
    """
    document = _editable(data, name)
    try:
        endpoint = parse_peer(peer.endpoint)
    except BadEndpointError as error:
        raise _refusal(document, 0, f"{peer.endpoint!r}: {error}", error.hint) from None
    for entry in _peers(document):
        if _same_endpoint(entry, endpoint):
            message = f"{peer.endpoint} is in the file already"
            hint = "Remove it first to change its credentials."
            raise _refusal(document, entry.key.start, message, hint)
    interface = _interface_for(document, endpoint)
    connect_to = interface.find(b"connectTo")
    lines = _entry_lines(peer)
    if connect_to is None:
        lines = ['"connectTo": {', *(_STEP + line for line in lines), "}"]
        edited = _insert(data, interface, lines)
    elif isinstance(connect_to.value, Table):
        edited = _insert(data, connect_to.value, lines)
    else:
        raise _refusal(document, connect_to.value.start, "connectTo must be a dictionary", "")
    return _checked(edited, name, len(_peers(document)) + 1)


def remove_peer(data: bytes, name: str, which: str) -> bytes:
    """The configuration without the peers at this endpoint, or with this public key.

    Raises ConfigError when the file is broken or has no such peer.
    """
    document = _editable(data, name)
    peers = _peers(document)
    doomed = [entry for entry in peers if _is_meant(entry, which)]
    if not doomed:
        hint = "Name it as connectTo does, or by its publicKey."
        raise _refusal(document, 0, f"no connectTo entry is {which}", hint)
    edited = data
    for connect_to in reversed(_connect_to_tables(document)):
        edited = _without(edited, connect_to, doomed)
    return _checked(edited, name, len(peers) - len(doomed))


def _editable(data: bytes, name: str) -> Document:
    """The document, if a place in it can be named with certainty."""
    document = read_document(data, name).require_sound()
    if document.dialect == "lax":
        hint = "Rewrite it with `dexmesh config clean` or `cjdroute --cleanconf` first."
        raise _refusal(document, 0, "this file follows the loose rules of old versions", hint)
    return document


def _checked(edited: bytes, name: str, peers: int) -> bytes:
    """The result, read again: it must be sound and have as many peers as intended."""
    document = read_document(edited, name)
    if document.problems or len(_peers(document)) != peers:
        raise UsageError("editing the configuration went wrong; the file was not touched")
    return edited


def _refusal(document: Document, offset: int, message: str, hint: str) -> ConfigError:
    return ConfigError((document.source.problem(offset, message, hint),))


# Finding


def _interfaces(document: Document) -> list[Table]:
    interfaces = document.root.find(b"interfaces")
    if interfaces is None or not isinstance(interfaces.value, Table):
        return []
    udp = interfaces.value.find(b"UDPInterface")
    match udp and udp.value:
        case Table() as single:
            return [single]
        case Items(items=items):
            return [item for item in items if isinstance(item, Table)]
    return []


def _connect_to_tables(document: Document) -> list[Table]:
    found = (interface.find(b"connectTo") for interface in _interfaces(document))
    return [entry.value for entry in found if entry and isinstance(entry.value, Table)]


def _peers(document: Document) -> list[Entry]:
    return [entry for table in _connect_to_tables(document) for entry in table]


def _interface_for(document: Document, endpoint: HostPort) -> Table:
    """The first interface a peer can be called from; a host name goes to the first of all."""
    for interface in _interfaces(document):
        if endpoint.family in (None, _family(interface)):
            return interface
    kind = f"IPv{endpoint.family} " if endpoint.family else ""
    example = "[::]:5000" if endpoint.family == 6 else "0.0.0.0:5000"
    hint = f'Add {{"bind": "{example}"}} to interfaces.UDPInterface.'
    raise _refusal(document, 0, f"there is no UDPInterface for an {kind}address", hint)


def _family(interface: Table) -> int | None:
    bind = interface.find(b"bind")
    if bind is None or not isinstance(bind.value, Text):
        return 4
    try:
        return parse_bind(bind.value.value.decode("utf-8", "replace")).family
    except BadEndpointError:
        return None


def _same_endpoint(entry: Entry, endpoint: HostPort) -> bool:
    try:
        return parse_peer(entry.key.value.decode("utf-8", "replace")) == endpoint
    except BadEndpointError:
        return False


def _is_meant(entry: Entry, which: str) -> bool:
    if isinstance(entry.value, Table):
        key = entry.value.find(b"publicKey")
        if key and isinstance(key.value, Text) and key.value.value == which.encode():
            return True
    try:
        return _same_endpoint(entry, parse_peer(which))
    except BadEndpointError:
        return entry.key.value == which.encode()


# Changing


def _entry_lines(peer: NewPeer) -> list[str]:
    fields = [("password", peer.password), ("publicKey", encode_key(peer.public_key).encode())]
    if peer.login is not None:
        fields.insert(0, ("login", peer.login))
    if peer.peer_name is not None:
        fields.append(("peerName", peer.peer_name.encode()))
    pairs = [f'{_STEP}"{key}": {quote(value)}' for key, value in fields]
    body = [f"{pair}," for pair in pairs[:-1]] + pairs[-1:]
    return [f"{quote(peer.endpoint.encode())}: {{", *body, "}"]


def _insert(data: bytes, table: Table, lines: list[str]) -> bytes:
    """The text with these lines as first entry of the table, indented like its neighbours."""
    outer = _indent_of_line(data, table.start)
    inner = outer + _STEP
    if table.entries and (own := _indent_before(data, table.entries[0].key.start)) is not None:
        inner = own
    at = table.start + 1
    if remark := _REMARK_TO_END_OF_LINE.match(data, at):
        at = remark.end()
    text = "".join(f"\n{inner}{line}" for line in lines) + ("," if table.entries else "")
    if not _BLANK_TO_END_OF_LINE.match(data, at):
        text += "\n" + (inner if table.entries else outer)
        at_next = len(data) - len(data[at:].lstrip(b" \t"))
        return data[:at] + text.encode() + data[at_next:]
    return data[:at] + text.encode() + data[at:]


def _without(data: bytes, table: Table, doomed: list[Entry]) -> bytes:
    """The text without these entries of the table, one comma each."""
    last_kept: Entry | None = None
    cuts: list[tuple[int, int]] = []
    for entry in table:
        if entry not in doomed:
            last_kept = entry
            continue
        end = entry.value.end
        if comma := _TO_COMMA.match(data, end):
            if data[end : comma.start(1)].strip():  # a remark before the comma stays
                cuts.append(comma.span(1))
            else:
                end = comma.end()
        cuts.append(_whole_lines(data, entry.key.start, end))
    tail_is_gone = last_kept is not None and last_kept is not table.entries[-1]
    if tail_is_gone and last_kept and (comma := _TO_COMMA.match(data, last_kept.value.end)):
        cuts.append(comma.span(1))
    for start, end in sorted(cuts, reverse=True):
        data = data[:start] + data[end:]
    return data


def _whole_lines(data: bytes, start: int, end: int) -> tuple[int, int]:
    """The same range, with indentation and line end when nothing else is on its lines."""
    blank = _BLANK_TO_END_OF_LINE.match(data, end)
    if blank is None:
        return start, end
    line_start = data.rfind(b"\n", 0, start) + 1
    if data[line_start:start].strip(b" \t"):
        return start, end
    return line_start, blank.end()


def _indent_of_line(data: bytes, offset: int) -> str:
    line = data[data.rfind(b"\n", 0, offset) + 1 : offset]
    return line[: len(line) - len(line.lstrip(b" \t"))].decode()


def _indent_before(data: bytes, offset: int) -> str | None:
    """The white space in front of this offset, if nothing else is on its line."""
    line = data[data.rfind(b"\n", 0, offset) + 1 : offset]
    return None if line.strip(b" \t") else line.decode()
