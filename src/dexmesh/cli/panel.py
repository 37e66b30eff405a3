"""Draw a running node on the terminal: who it is, its links, its traffic, its latest words.

Place     host/daemon.py calls it once a second (Watcher) and hands it log records
Keeps     one screen at most, whatever its size and the number of peers; a terminal that takes
          nothing (Ctrl-S) never holds up the node; nothing is imported after the constructor,
          because the node may by then be a user who cannot read where Python is
Not here  what the columns mean (admin/services.py, PeerView)
"""

from __future__ import annotations

import io
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel as Frame
from rich.table import Table
from rich.text import Text

from dexmesh.cli.output import is_writable, printable
from dexmesh.host.logs import describe
from dexmesh.values import dataclass
from dexmesh.wire.address import Address, format_address
from dexmesh.wire.keys import PublicKey, address_of, encode_key

if TYPE_CHECKING:
    from dexmesh.admin.services import NodeServices, PeerView

LINES_KEPT = 8
LINES_LEAST = 3  # of the log, however many peers there are
_ROWS_AROUND = 9  # frame, head, blank lines, heading of the table, the line below the picture
_BARS = " ▁▂▃▄▅▆▇█"
_HISTORY = 30
_STATE_STYLES = {"ESTABLISHED": "green", "UNRESPONSIVE": "red"}
_STATE_ORDER = {"ESTABLISHED": 0, "UNRESPONSIVE": 1}
_LEVEL_STYLES = {logging.WARNING: "yellow", logging.ERROR: "red"}


@dataclass(frozen=True, slots=True)
class View:
    """What one picture shows."""

    address: Address
    key: PublicKey
    peers: Sequence[PeerView]
    sessions: int
    rates: Sequence[int]
    log: Sequence[Text]


class Panel(logging.Handler):
    """A live picture of one node; also the log handler that feeds its lower part."""

    def __init__(
        self,
        console: Console | None = None,
        take_lines: Callable[[], Sequence[str]] | None = None,
    ) -> None:
        """`take_lines` gives what others have to say, once for each picture."""
        super().__init__(logging.INFO)
        self._take_lines = take_lines
        self._console = console or Console(highlight=False)
        self._lines: deque[Text] = deque(maxlen=LINES_KEPT)
        self._rates: deque[int] = deque([0], maxlen=_HISTORY)
        self._live = Live(console=self._console, auto_refresh=False)
        self._rehearse()

    def _rehearse(self) -> None:
        """Draw once for nobody, so that rich has imported what it imports late."""
        nobody = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor")
        view = View(Address(bytes(16)), PublicKey(bytes(32)), [], 0, range(9), [Text("← …")])
        with Live(console=nobody, auto_refresh=False) as live:
            live.update(picture(view, 80, 24), refresh=True)

    def start(self) -> None:
        """Take the terminal."""
        self._live.start()

    def stop(self) -> None:
        """Give the terminal back; the last picture stays."""
        self._live.stop()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a log record for the next picture."""
        at = time.strftime("%H:%M:%S", time.localtime(record.created))
        style = _LEVEL_STYLES.get(record.levelno, "dim")
        self._lines.append(
            Text(f"{at} {describe(record)}", style, no_wrap=True, overflow="ellipsis")
        )

    def update(self, node: NodeServices) -> None:
        """Draw the node as it is now, if the terminal takes it."""
        peers = node.peers()
        for line in self._take_lines() if self._take_lines else ():
            said = f"{time.strftime('%H:%M:%S')} mail: {printable(line)}"
            self._lines.append(Text(said, "dim", no_wrap=True, overflow="ellipsis"))
        self._rates.append(sum(peer.receive_kbps + peer.send_kbps for peer in peers))
        if not is_writable(self._console):
            return
        sessions = len(node.sessions())
        view = View(node.address, node.key, peers, sessions, tuple(self._rates), tuple(self._lines))
        size = self._console.size
        self._live.update(picture(view, size.width, size.height), refresh=True)


def picture(view: View, width: int, height: int) -> RenderableType:
    """The node on a screen of this many columns and rows."""
    room = max(height - _ROWS_AROUND, LINES_LEAST + 1)
    shown, hidden = _most_telling(view.peers, room - LINES_LEAST)
    lines = room - len(shown) - bool(hidden)
    up = sum(peer.state == "ESTABLISHED" for peer in view.peers)
    head = _one_line(
        ("address  ", "dim"), (format_address(view.address), "bold"), "\n",
        ("key      ", "dim"), encode_key(view.key), "\n",
        ("links    ", "dim"), f"{up} up of {len(view.peers)}, {view.sessions} sessions   ",
        (sparkline(view.rates[-max(width - 55, 1) :]), "cyan"), f" {rate(view.rates[-1])}",
    )  # fmt: skip
    more = [_one_line((f"and {hidden} more: `dexmesh peers` lists all", "dim"))] if hidden else []
    links: RenderableType = _links(shown, width - 4) if shown else _NO_LINKS
    log = view.log[-max(lines, 1) :]
    parts = (head, Text(), links, *more, Text(), *log)
    return Frame(Group(*parts), title="dexmesh", subtitle="Ctrl-C ends")


def _one_line(*parts: str | tuple[str, str]) -> Text:
    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")


_NO_LINKS = _one_line(("no links yet: `dexmesh peer add` tells the node whom to call", "yellow"))


def _most_telling(peers: Sequence[PeerView], room: int) -> tuple[list[PeerView], int]:
    """The peers to show, in their order, and how many are left out: links that are up come first."""
    if len(peers) <= room:
        return list(peers), 0
    ranked = sorted(range(len(peers)), key=lambda at: (_STATE_ORDER.get(peers[at].state, 2), at))
    chosen = sorted(ranked[: max(room - 1, 0)])
    return [peers[at] for at in chosen], len(peers) - len(chosen)


@dataclass(frozen=True, slots=True)
class _Column:
    title: str
    least_width: int  # of the screen, for the column to be there
    cell: Callable[[PeerView], str]
    may_shrink: bool = False


_COLUMNS = (
    _Column("link", 0, lambda peer: f"{'←' if peer.is_incoming else '→'} {peer.user or '?'}", True),
    _Column("endpoint", 60, lambda peer: peer.endpoint, True),
    _Column("state", 0, lambda peer: peer.state),
    _Column("in", 46, lambda peer: rate(peer.receive_kbps)),
    _Column("out", 46, lambda peer: rate(peer.send_kbps)),
    _Column("rtt", 70, lambda peer: _milliseconds(peer.round_trip_ms)),
    _Column("lost", 90, lambda peer: str(peer.lost or "")),
    _Column("address", 126, lambda peer: format_address(address_of(peer.key))),
)


def _links(peers: Sequence[PeerView], width: int) -> Table:
    columns = [column for column in _COLUMNS if column.least_width <= width]
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(column.title, no_wrap=not column.may_shrink)
    for peer in peers:
        table.add_row(*(_cell(column, peer) for column in columns))
    return table


def _cell(column: _Column, peer: PeerView) -> Text:
    style = _STATE_STYLES.get(peer.state, "yellow") if column.title == "state" else ""
    return Text(printable(column.cell(peer)), style, no_wrap=True, overflow="ellipsis")


def _milliseconds(value: int | None) -> str:
    return "" if value is None else f"{value} ms"


def rate(kbps: int) -> str:
    """Kilobits a second, as people read them."""
    if kbps < 1000:
        return f"{kbps} kbit/s"
    return f"{kbps / 1e3:.1f} Mbit/s" if kbps < 1_000_000 else f"{kbps / 1e6:.2f} Gbit/s"


def sparkline(values: Sequence[int]) -> str:
    """The values as a row of bars, scaled to the largest."""
    highest = max(values, default=0) or 1
    return "".join(_BARS[min(8, round(8 * value / highest))] for value in values)
