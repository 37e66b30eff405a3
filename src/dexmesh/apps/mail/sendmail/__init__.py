"""The program sendmail: its command line, the message it is given, the way to the service, what is kept."""

from dexmesh.apps.mail.sendmail.program import main

__all__ = ["main"]
