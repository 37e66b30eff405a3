"""All of `dexmesh mail`: imports the modules that add their commands to the group.

Place     cli/main.py, when somebody says `dexmesh mail` -> here -> cli/mail_*.py
Keeps     what comes first for a person comes first in the help
"""

from __future__ import annotations

from dexmesh.cli import mail_service as mail_service

# isort: split

from dexmesh.cli import mail_people as mail_people
from dexmesh.cli import mail_queue as mail_queue
from dexmesh.cli import mail_read as mail_read
from dexmesh.cli import mail_send as mail_send
from dexmesh.cli import mail_serve as mail_serve
from dexmesh.cli import mail_users as mail_users
from dexmesh.cli.mail import app as app
