"""What `texts` and `mail queue` have in common: a text that waits for long may go as a mail.

Place     cli/text.py, cli/mail_queue.py -> here
Spec      docs/apps/sip.md §3 (after 10 minutes offered as mail)
Not here  how long that is (apps/base/carrier.py), sending it (apps/call/texting.py)
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from dexmesh.cli.output import note
from dexmesh.cli.words import duration


def offer_mail(waiting: Iterable[dict[str, Any]]) -> None:
    """Say which of these texts wait for long, and how each goes as a mail."""
    for one in waiting:
        if one.get("is_offered_as_mail"):
            name = one["petname"] or one.get("uri") or one["to"]
            waited = duration(time.time() - one["since_unix"])
            note(
                f"{one['id']} has waited for {name} for {waited}; "
                f"`dexmesh texts --as-mail {one['id']}` sends it as a mail"
            )
