"""Cut a TCP stream into SIP messages.

Place     call/transport.py, one for each connection -> here -> transaction.py (`handle_message`)
Spec      RFC 3261 §18.3 (Content-Length), §7.5 (CRLF in front); RFC 5626 §3.5.1 (keep-alives)
Keeps     linear work; at most MAX_HEADER_BYTES + MAX_BODY_BYTES kept; nothing but DecodeError
Not here  whether a message is sound (message.py)
"""

from __future__ import annotations


class StreamDecoder:
    """One for each connection. After a DecodeError the connection has to be closed."""

    def feed(self, data: bytes) -> list[bytes]:
        """The whole messages now there, in order, each as `decode` wants it.

        Keep-alives (CRLF, NUL) are left out. A header without Content-Length has no body.
        DecodeError where no border can be found: header too long, Content-Length unsound or over
        64 kB.
        """
        raise NotImplementedError
