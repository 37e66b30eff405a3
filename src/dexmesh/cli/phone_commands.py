"""All of `dexmesh phone`: imports the modules that add their commands to the group.

Place     cli/main.py, when somebody says `dexmesh phone` -> here -> cli/phone_*.py
"""

from __future__ import annotations

from dexmesh.cli import phone_look as phone_look
from dexmesh.cli import phone_seat as phone_seat
from dexmesh.cli import phone_service as phone_service
from dexmesh.cli import phone_switches as phone_switches
from dexmesh.cli.phone import app as app
