"""The sound of a call in the hands of the test: who sends it, from where, and what tone it is.

sipp and hand-made INVITEs carry no sound; a `Talker` is the port that their SDP names.
"""

from __future__ import annotations

import array
import select
import struct
import threading
import time
from collections.abc import Iterator
from typing import Self

from dexmesh.apps.call.codec.g711 import MU_LAW
from tests.netns.phones import OnMesh
from tests.netns.sockets import udp_socket
from tests.netns.tones import tone, tone_s

RATE, FRAME, FRAME_S = 8000, 160, 0.02
_PCMU, _VERSION, _SSRC, _HEADER = 0, 0x80, 0x0DE0, 12


class Talker:
    """One end that speaks PCMU: a tone goes out once it knows where to; all that comes is kept."""

    def __init__(self, at: OnMesh, port: int, hz: float = 700) -> None:
        self.address, self.port = at.address, port
        self.packets: list[tuple[str, int, bytes]] = []  # address, port, RTP
        self._socket = udp_socket(at.machine, at.address, port)
        self._frames = tone(hz, 1, RATE)
        self._peer: tuple[str, int] | None = None
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._is_over.set()
        self._thread.join(5)
        self._socket.close()

    def talk_to(self, address: str, port: int) -> None:
        """Begin to send."""
        self._peer = (address, port)

    def heard_s(self, hz: float) -> float:
        """How many seconds of this tone came, in PCMU."""
        sound = b"".join(
            packet[_HEADER:] for _, _, packet in self.packets if packet[1] & 0x7F == _PCMU
        )
        return tone_s(array.array("h", MU_LAW.decode(sound)), RATE, hz)

    def _run(self) -> None:
        packets = self._outgoing()
        due = time.monotonic()
        while not self._is_over.is_set():
            if select.select([self._socket], [], [], max(0.0, due - time.monotonic()))[0]:
                data, (address, port, *_) = self._socket.recvfrom(2048)
                if len(data) > _HEADER and data[0] & 0xC0 == _VERSION:
                    self.packets.append((address, port, data))
            if time.monotonic() >= due:
                due += FRAME_S
                if self._peer is not None:
                    self._socket.sendto(next(packets), self._peer)

    def _outgoing(self) -> Iterator[bytes]:
        number = 0
        while True:
            start = number * FRAME % len(self._frames)
            marker = 0x80 if number == 0 else 0
            header = (_VERSION, marker | _PCMU, number & 0xFFFF, number * FRAME, _SSRC)
            frame = self._frames[start : start + FRAME].tobytes()
            yield struct.pack(">BBHII", *header) + MU_LAW.encode(frame)
            number += 1
