"""Our phone on the machines of mail_machines.py, which carry mesh addresses on a cable."""

from __future__ import annotations

import subprocess
from typing import Any

from dexmesh.cli.lab import USER, wait_until
from dexmesh.errors import DexmeshError, HostError
from tests.netns.mail_machines import DEXMESH, MailMachine
from tests.netns.our_phone import EVENT_S, START_S, OurPhone, OurProgram

Entry = dict[str, Any]


class PhoneMachine(OurPhone):
    """The phone of stuart, and the service that serves it."""

    def __init__(self, at: MailMachine, hz: float) -> None:
        super().__init__(at, at.home, hz=hz)
        self.at = at

    # --- The service

    def switch_on(self, *, has_voicemail: bool = False) -> None:
        """The phone alone; mail as well if that was switched on before."""
        self.at.dexmesh("phone", "on", "--account", USER, "--config", str(self.at.config))
        if not has_voicemail:
            edit = ["sed", "-i", "s/^voicemail = true/voicemail = false/"]
            self.machine.run([*edit, str(self.home / "apps.toml")])

    def know(self, name: str, address: str) -> None:
        """Take stuart at this address into the address book."""
        self.at.dexmesh("contact", "add", name, f"{USER}@[IPv6:{address}]", "--no-check")

    def serve(self) -> subprocess.Popen[bytes]:
        """Start the service and wait until the phone answers."""
        options = ["--home", str(self.home), "--config", str(self.at.config)]
        running = self.machine.start([*DEXMESH, "mail", "serve", *options], log="mail.log")
        self.wait_serving()
        return running

    def wait_serving(self) -> None:
        """Wait until the phone answers."""
        try:
            wait_until(self.is_serving, START_S, "the phone")
        except HostError as error:
            raise AssertionError(f"{error}\n{self.machine.log('mail.log')[-4000:]}") from None

    def is_serving(self) -> bool:
        """Whether the phone answers."""
        try:
            self.ask("phone.status")
        except (DexmeshError, OSError):
            return False
        return True

    # --- Texts

    def send_text(self, to: str, text: str, wait_s: float = EVENT_S) -> Entry:
        """Send a text, and wait that long; what became of it."""
        return self.ask("text.send", to=to, text=text, wait_s=wait_s)

    def wait_text(self, text: str, limit_s: float = EVENT_S) -> Entry:
        """Wait until this text has come, from whomever; its entry."""

        def found() -> list[Entry]:
            entries = self.history("text")
            return [one for one in entries if one["text"] == text and not one["is_outgoing"]]

        wait_until(lambda: bool(found()), limit_s, f"the text {text[:40]!r}")
        return found()[0]

    # --- Programs

    def sit_down(self, *options: str) -> OurProgram:
        """`dexmesh phone`, which hears the bell when this returns."""
        seat = self.desk(*options)
        seat.expect("attached", START_S)
        return seat
