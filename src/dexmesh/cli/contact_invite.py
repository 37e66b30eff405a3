"""`dexmesh contact invite`: say who you are, in one line or one picture.

Place     cli/contact.py -> here -> apps/contacts/invitation.py, qr.py
Spec      docs/apps/invitation.md; docs/apps/mail.md §5
Keeps     the password of a peer is in it only when that peer was named, and then it is said
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dexmesh.cli.contact_book import HomeOption, home_of
from dexmesh.cli.contact_peers import peers_to_invite
from dexmesh.cli.contact_service import full_name_of, own_key, own_user, takes_mail
from dexmesh.cli.contact_show import draw_qr
from dexmesh.cli.output import note, print_json, reports_errors, say
from dexmesh.cli.places import ConfigOption, JsonOption


@reports_errors
def invite(
    user: Annotated[
        str | None, typer.Option("--user", help="The local mail user (default: you).")
    ] = None,
    petname: Annotated[
        str | None, typer.Option("--name", help="What others may call you (default: the user).")
    ] = None,
    full_name: Annotated[
        str | None, typer.Option("--full-name", help="Your name (default: that of the account).")
    ] = None,
    peer: Annotated[
        list[str] | None,
        typer.Option(
            "--peer", help="A peer to reach the mesh by: HOST:PORT of yours, or its JSON."
        ),
    ] = None,
    qr: Annotated[bool, typer.Option("--qr", help="Draw it in the terminal.")] = False,
    picture: Annotated[
        Path | None, typer.Option("--png", metavar="FILE", help="Write it as .png or .svg.")
    ] = None,
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the invitation with which others add you; what they scan cannot be mistyped."""
    from dexmesh.apps.contacts.invitation import Invitation, encode_invitation
    from dexmesh.apps.contacts.petname import check_petname

    own = own_user(home_of(home), user)
    invitation = Invitation(
        key=own_key(home_of(home), config),
        user=own,
        petname=check_petname(petname) if petname is not None else own,
        full_name=full_name_of(own) if full_name is None else " ".join(full_name.split()),
        peers=peers_to_invite(peer or [], config),
    )
    text = encode_invitation(invitation)
    if picture is not None:
        _write_picture(picture, text, is_secret=bool(invitation.peers))
    if as_json:
        print_json({"invitation": text, "mail": str(invitation.mailbox), "user": own})
    else:
        say(text)
    if qr and not as_json:
        draw_qr(text)
    if not takes_mail(home_of(home)):
        note(
            "mail is not switched on here: until `dexmesh mail on`, what others write waits at theirs"
        )
    if any(one.password for one in invitation.peers):
        note("the invitation holds the password of a peer: give it only to whom you would tell it")


def _write_picture(path: Path, text: str, *, is_secret: bool) -> None:
    from dexmesh.apps.contacts.qr import picture_qr
    from dexmesh.config.files import write_secret_file

    write_secret_file(path, picture_qr(text, path.name), overwrite=True)
    if not is_secret:
        path.chmod(0o644)
    note(f"the QR code is in {path}")
