"""Draw a running node on the terminal: who it is, its links, its traffic, its latest words.

Place     host/daemon.py calls it once a second (Watcher) and hands it log lines
Keeps     the terminal is given back as it was; drawing never delays the node for long
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING

from dexmesh.wire.address import format_address
from dexmesh.wire.keys import address_of, encode_key

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

    from dexmesh.admin.services import NodeServices, PeerView

LINES_KEPT = 8
_STATE_STYLES = {"ESTABLISHED": "green", "UNRESPONSIVE": "red"}
_BARS = " ▁▂▃▄▅▆▇█"
_HISTORY = 30


class Panel(logging.Handler):
    """A live picture of one node; also the log handler that feeds its lower part."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._lines: deque[str] = deque(maxlen=LINES_KEPT)
        self._rates: deque[int] = deque(maxlen=_HISTORY)
        self._live: Live | None = None

    def start(self) -> None:
        """Take the terminal."""
        from rich.live import Live

        self._live = Live(auto_refresh=False, transient=False)
        self._live.start()

    def stop(self) -> None:
        """Give the terminal back; the last picture stays."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a log line for the next picture."""
        self._lines.append(self.format(record))

    def update(self, node: NodeServices) -> None:
        """Draw the node as it is now."""
        if self._live is not None:
            self._live.update(self._picture(node), refresh=True)

    def _picture(self, node: NodeServices) -> RenderableType:
        from rich.console import Group
        from rich.panel import Panel as Frame
        from rich.text import Text

        peers = list(node.peers())
        self._rates.append(sum(peer.receive_kbps + peer.send_kbps for peer in peers))
        up = sum(peer.state == "ESTABLISHED" for peer in peers)
        head = Text.assemble(
            ("address  ", "dim"), (format_address(node.address), "bold"), "\n",
            ("key      ", "dim"), encode_key(node.key), "\n",
            ("links    ", "dim"), f"{up} up of {len(peers)}, {len(node.sessions())} sessions   ",
            (sparkline(self._rates), "cyan"), f" {self._rates[-1]} kbit/s",
        )  # fmt: skip
        log = Text("\n".join(self._lines), style="dim", no_wrap=True, overflow="ellipsis")
        return Frame(
            Group(head, Text(), _links(peers), Text(), log), title="dexmesh", subtitle="Ctrl-C ends"
        )


def _links(peers: list[PeerView]) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    if not peers:
        return Text("no links yet: `dexmesh peer add` tells the node whom to call", style="yellow")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("link", "endpoint", "state", "in", "out", "rtt", "lost", "address"):
        table.add_column(column)
    for peer in peers:
        table.add_row(
            f"{'←' if peer.is_incoming else '→'} {peer.user or '?'}",
            peer.endpoint,
            Text(peer.state, style=_STATE_STYLES.get(peer.state, "yellow")),
            f"{peer.receive_kbps} kbit/s",
            f"{peer.send_kbps} kbit/s",
            "" if peer.round_trip_ms is None else f"{peer.round_trip_ms} ms",
            str(peer.lost or ""),
            format_address(address_of(peer.key)),
        )
    return table


def sparkline(values: deque[int]) -> str:
    """The values as a row of bars, scaled to the largest."""
    highest = max(values, default=0) or 1
    return "".join(_BARS[min(8, round(8 * value / highest))] for value in values)
