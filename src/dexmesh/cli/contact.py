"""`dexmesh contact ...`: the one address book of all apps.

Place     cli/main.py -> here -> cli/contact_*.py
Spec      docs/apps/mail.md §5, docs/apps/invitation.md
"""

from __future__ import annotations

import typer

from dexmesh.cli import contact_add, contact_edit, contact_files, contact_invite, contact_show
from dexmesh.cli.output import example

app = typer.Typer(
    no_args_is_help=True,
    help="The people you know, for mail and everything else.",
    epilog=example("dexmesh contact list"),
)

app.command("list", epilog=example("dexmesh contact list"))(contact_show.list_contacts)
app.command("show", epilog=example("dexmesh contact show stuart --qr"))(contact_show.show)
app.command("add", epilog=example('dexmesh contact add bob "bob@[IPv6:fc00::1]"'))(contact_add.add)
app.command("edit", epilog=example("dexmesh contact edit bob --user robert"))(contact_edit.edit)
app.command("remove", epilog=example("dexmesh contact remove bob --yes"))(contact_show.remove)
app.command("invite", epilog=example("dexmesh contact invite --qr"))(contact_invite.invite)
app.command("scan", epilog=example("dexmesh contact scan invitation.png"))(contact_add.scan)
app.command("import", epilog=example("dexmesh contact import people.vcf"))(
    contact_files.import_contacts
)
app.command("export", epilog=example("dexmesh contact export --format mutt"))(
    contact_files.export_contacts
)
