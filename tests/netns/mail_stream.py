"""Send one mail after another until a file named `stop` appears; print the subject of each that got 250.

    python -m tests.netns.mail_stream submit|direct FROM_ADDRESS TO_ADDRESS STOP_FILE

`submit` hands each mail once to the submission port of this machine. `direct` talks to the receiver's
port 25 as another mail server would, and sends the same mail again until it hears 250.
"""

from __future__ import annotations

import smtplib
import sys
import time
from pathlib import Path

USER = "stuart"
_PAUSE_S = 0.02
_PATIENCE_S = 10.0


def main() -> None:
    """Run until told to stop."""
    kind, sender, receiver, stop = sys.argv[1:5]
    stream = Stream(kind, sender, receiver)
    number = 0
    while not Path(stop).exists():
        number += 1
        subject = f"{kind} {number}"
        while not stream.send(subject) and kind == "direct" and not Path(stop).exists():
            time.sleep(_PAUSE_S)
        time.sleep(_PAUSE_S)


class Stream:
    """One connection at a time, made anew when it breaks."""

    def __init__(self, kind: str, sender: str, receiver: str) -> None:
        self._is_direct = kind == "direct"
        self._sender, self._receiver = sender, receiver
        self._connection: smtplib.SMTP | None = None

    def send(self, subject: str) -> bool:
        """Whether the mail got its 250."""
        sender, receiver = (f"{USER}@[IPv6:{one}]" for one in (self._sender, self._receiver))
        text = (
            f"From: <{sender}>\r\nTo: <{receiver}>\r\nSubject: {subject}\r\n"
            f"Message-ID: <{subject.replace(' ', '.')}@crash>\r\n"
            f"Date: Wed, 25 Nov 2026 05:00:00 +0000\r\n\r\nNumber {subject}.\r\n"
        )
        try:
            connection = self._connection = self._connection or self._connect()
            connection.sendmail(sender, [receiver], text)
        except (OSError, smtplib.SMTPException):
            self._drop()
            return False
        print(subject, flush=True)
        return True

    def _connect(self) -> smtplib.SMTP:
        name = f"[IPv6:{self._sender}]"
        if self._is_direct:
            source = (self._sender, 0)
            return smtplib.SMTP(
                self._receiver, 25, name, timeout=_PATIENCE_S, source_address=source
            )
        return smtplib.SMTP("127.0.0.1", 587, name, timeout=_PATIENCE_S)

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


if __name__ == "__main__":
    main()
