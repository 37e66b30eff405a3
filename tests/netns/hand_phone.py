"""SIP by hand: a UDP port at a mesh address whose every byte the test writes and reads."""

from __future__ import annotations

import re
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from typing import Self

from tests.netns.phones import OnMesh
from tests.netns.sippers import RTP_PORT
from tests.netns.sockets import udp_socket

ANSWER_S = 5.0
TEXT = {"Content_Type": "text/plain;charset=UTF-8"}
SDP = {"Content_Type": "application/sdp"}
MOST_BYTES = 65_535


class HandPhone:
    """One port. `messages` are bytes with CRLF; what comes is text."""

    def __init__(self, at: OnMesh, port: int = 0, user: str = "carol") -> None:
        self.address, self.user = at.address, user
        self._socket = udp_socket(at.machine, at.address, port)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.port: int = self._socket.getsockname()[1]
        self.name = f"{user}-{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._socket.close()

    @property
    def uri(self) -> str:
        """How others call it."""
        return f"sip:{self.user}@[{self.address}]:{self.port}"

    # --- Bytes

    def send(self, data: bytes, uri: str) -> None:
        """Send bytes to whoever has this URI."""
        host, _, port = uri.rpartition("@[")[2].partition("]")
        self._socket.sendto(data, (host, int(port.lstrip(":") or 5060)))

    def receive(self, limit_s: float = ANSWER_S) -> str | None:
        """The next message; None if none comes in time."""
        self._socket.settimeout(max(limit_s, 0.001))
        try:
            return self._socket.recv(MOST_BYTES).decode()
        except TimeoutError:
            return None

    def wait(self, is_it: Callable[[str], bool], limit_s: float = ANSWER_S) -> str:
        """The next message that is it; others are passed over."""
        end, passed = time.monotonic() + limit_s, []
        while (left := end - time.monotonic()) > 0:
            text = self.receive(left)
            if text is not None:
                if is_it(text):
                    return text
                passed.append(text)
        raise AssertionError(f"it does not come; there were {passed}")

    def wait_status(self, status: int, limit_s: float = ANSWER_S) -> str:
        """The next answer with this status."""
        return self.wait(lambda text: text.startswith(f"SIP/2.0 {status} "), limit_s)

    def ask(self, data: bytes, uri: str) -> str:
        """Send a request; its final answer."""
        self.send(data, uri)
        return self.wait(_is_final)

    def take_back(self, invite: bytes, uri: str) -> None:
        """CANCEL a call that rings; both are answered."""
        cancel = of_invite(invite, "CANCEL", uri)
        self.send(cancel, uri)
        answers = {text[8:11]: text for text in (self.wait(_is_final), self.wait(_is_final))}
        assert answers.keys() == {"200", "487"}, answers
        self.send(of_invite(invite, "ACK", uri, field(answers["487"], "To")), uri)

    def drain(self) -> list[str]:
        """Everything that waits."""
        found = []
        while (text := self.receive(0)) is not None:
            found.append(text)
        return found

    # --- Messages

    def fields(self, method: str, uri: str) -> dict[str, str]:
        """The header of a request outside of any call; every one is new."""
        unique = secrets.token_hex(6)
        here = f"[{self.address}]:{self.port}"
        return {
            "Via": f"SIP/2.0/UDP {here};branch=z9hG4bK{unique}",
            "Max-Forwards": "70",
            "From": f"<sip:{self.user}@{here}>;tag=f{unique}",
            "To": f"<{uri}>",
            "Call-ID": f"c{unique}",
            "CSeq": f"1 {method}",
            "Contact": f"<sip:{self.user}@{here}>",
        }

    def request(self, method: str, uri: str, body: str = "", /, **changed: str | None) -> bytes:
        """A request; `changed`: fields with `_` for `-`, None leaves one out."""
        names = {key.replace("_", "-"): value for key, value in changed.items()}
        return write(f"{method} {uri} SIP/2.0", {**self.fields(method, uri), **names}, body)

    def sdp(self, media: str = "RTP/AVP 0", connection: str = "", port: int = RTP_PORT) -> str:
        """A session description; `media` from the profile on."""
        return (
            f"v=0\r\no=- 1 1 IN IP6 {self.address}\r\ns=-\r\n"
            f"c={connection or f'IN IP6 {self.address}'}\r\nt=0 0\r\nm=audio {port} {media}\r\n"
        )


def _is_final(message: str) -> bool:
    return message.startswith("SIP/2.0 ") and message[8] != "1"


def in_dialog(invite: bytes, answer: str, method: str, number: int, uri: str) -> bytes:
    """A request of the dialog that an INVITE of ours and its answer made."""
    text = invite.decode()
    fields = {name: field(text, name) for name in ("From", "Call-ID", "Max-Forwards")}
    branch = f"branch=z9hG4bK{number}{method}{fields['Call-ID']}"
    via = re.sub("branch=.*", branch, field(text, "Via"))
    more = {"Via": via, "To": field(answer, "To"), "CSeq": f"{number} {method}"}
    return write(f"{method} {uri} SIP/2.0", {**more, **fields})


def of_invite(invite: bytes, method: str, uri: str, to: str = "") -> bytes:
    """The CANCEL of an INVITE, or the ACK for its refusal with this To."""
    text = invite.decode()
    fields = {name: field(text, name) for name in ("Via", "From", "To", "Call-ID", "Max-Forwards")}
    more = {"To": to or fields["To"], "CSeq": f"{field(text, 'CSeq').split()[0]} {method}"}
    return write(f"{method} {uri} SIP/2.0", {**fields, **more})


def write(first: str, fields: Mapping[str, str | None], body: str = "") -> bytes:
    """A message as bytes, with its Content-Length unless the fields say something of that."""
    length = {} if "Content-Length" in fields else {"Content-Length": str(len(body.encode()))}
    lines = [
        f"{name}: {value}" for name, value in {**fields, **length}.items() if value is not None
    ]
    return "\r\n".join([first, *lines, "", body]).encode()


def field(message: str, name: str) -> str:
    """A field of a message, as it stands there once."""
    head = message.partition("\r\n\r\n")[0]
    values = [
        value.strip()
        for line in head.split("\r\n")[1:]
        for key, _, value in [line.partition(":")]
        if key.strip().lower() == name.lower()
    ]
    assert len(values) == 1, (name, message)
    return values[0]
