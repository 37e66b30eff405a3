"""Read from our own node which sessions and links it has, as cheaply as its admin port allows.

Place     signs.py -> here -> admin RPC of the node, ours or the original
Spec      docs/protocol/08 §5 (pages), §6.3, §6.4; tried with v20.7 and v22.1
Keeps     a bounded number of calls a look, however many sessions there are: pages are read from the
          end, where new sessions stand, until one holds nothing new
Not here  what the rows mean (presence.py)
"""

from __future__ import annotations

from collections.abc import Iterable

from dexmesh.admin.async_client import AsyncAdminClient
from dexmesh.admin.exchange import Reading
from dexmesh.admin.login import AdminLogin
from dexmesh.apps.base.presence import Row
from dexmesh.errors import AdminError, DecodeError
from dexmesh.wire.address import Address, format_padded, parse_address
from dexmesh.wire.keys import address_of
from dexmesh.wire.node_address import parse_node_address

PATIENCE_S = 2.0  # ours: the node is on this machine
HANDLES_PER_PAGE = 64  # 08 §5
MAX_PAGES = 128  # ours: 8,192 sessions
MAX_LINK_PAGES = 32  # ours: 192 links
MAX_NEW = 100  # ours: sessions asked about in one look; the rest in the next ones
SWEEP_EVERY = 30  # ours: looks between two that read every page


class NodeTables:
    """One connection to the node. Any AdminError or NoNodeError ends its use: make a new one."""

    def __init__(self, client: AsyncAdminClient) -> None:
        self._client = client
        self._known: set[int] = set()
        self._new: list[int] = []
        self._looks = 0

    @classmethod
    async def connect(cls, login: AdminLogin) -> NodeTables:
        """Raises NoNodeError."""
        return cls(await AsyncAdminClient.connect(login, PATIENCE_S))

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    async def session_of(self, address: Address) -> Row | None:
        """The session with a node."""
        try:
            function = "SessionManager_sessionStatsByIP"
            return _row_of(await self._client.call(function, ip6=format_padded(address)))
        except AdminError as error:
            if _is_absence(error):
                return None
            raise

    async def session_at(self, handle: int, address: Address) -> Row | None:
        """The session with this handle, if it is (still) with that node."""
        found = await self._stats(handle)
        return found[1] if found is not None and found[0] == address else None

    async def new_sessions(self) -> list[tuple[Address, Row]]:
        """Sessions that were not there at the last look. The first look finds none new."""
        is_first = self._looks == 0
        fresh = await self._unknown_handles()
        self._looks += 1
        if is_first:
            return []
        self._new += fresh
        asked, self._new = self._new[:MAX_NEW], self._new[MAX_NEW : MAX_PAGES * HANDLES_PER_PAGE]
        found = [await self._stats(handle) for handle in asked]
        return [one for one in found if one is not None]

    async def links(self) -> list[tuple[Address, Row]]:
        """Every link, with the node at its other end."""
        found: list[tuple[Address, Row]] = []
        for page in range(MAX_LINK_PAGES):
            reply = await self._client.call("InterfaceController_peerStats", page=page)
            peers = reply.get("peers")
            found += _links(peers if isinstance(peers, list) else [])
            if not peers or "more" not in reply:
                break
        return found

    async def _unknown_handles(self) -> list[int]:
        is_sweep = self._looks % SWEEP_EVERY == 0
        present: set[int] = set()
        fresh: list[int] = []
        page: int | None = None
        for _ in range(MAX_PAGES):
            asked = 0 if page is None else page
            reply = await self._client.call("SessionManager_getHandles", page=asked)
            handles = [one for one in reply.get("handles", ()) if isinstance(one, int)]
            present.update(handles)
            unknown = [one for one in handles if one not in self._known]
            fresh += unknown
            self._known.update(unknown)
            last = max(0, (_number(reply, "total") - 1) // HANDLES_PER_PAGE)
            if page is None and last > 0:
                page = last
            elif asked == 0 or not (unknown or is_sweep):
                break
            else:
                page = asked - 1
        if is_sweep:
            self._known = present
        return fresh

    async def _stats(self, handle: int) -> tuple[Address, Row] | None:
        try:
            reply = await self._client.call("SessionManager_sessionStats", handle=handle)
            return parse_address(str(reply.get("ip6"))), _row_of(reply)
        except AdminError as error:
            if _is_absence(error):
                return None
            raise
        except DecodeError:
            return None


def _is_absence(error: AdminError) -> bool:
    return error.wire_text == "no such session"


def _row_of(reply: Reading) -> Row:
    return Row(
        str(reply.get("state", "")),
        _number(reply, "handle"),
        _number(reply, "sendHandle"),
        _number(reply, "timeOfLastIn"),
        _number(reply, "metric"),
    )


def _links(peers: Iterable[object]) -> list[tuple[Address, Row]]:
    found = []
    for peer in peers:
        if not isinstance(peer, dict):
            continue
        try:
            address = address_of(parse_node_address(str(peer.get("addr"))).key)
        except DecodeError:
            continue
        row = Row(str(peer.get("state", "")), last_in_ms=_number(peer, "last"))
        found.append((address, row))
    return found


def _number(reply: Reading, name: str) -> int:
    value = reply.get(name, 0)
    return value if isinstance(value, int) else 0
