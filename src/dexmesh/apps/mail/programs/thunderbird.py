"""Write the account of Thunderbird: for people to type, as user.js, as autoconfiguration XML.

Place     cli/setup.py -> here
Spec      docs/apps/mail.md §4 "Submission", "Reading"; https://wiki.mozilla.org/Thunderbird:Autoconfiguration
Keeps     STARTTLS where Thunderbird insists on it, which our mail node offers on localhost
Not here  the password (`dexmesh mail password`) and the certificate (apps/mail/tls.py)
"""

from __future__ import annotations

import enum
import json
from xml.sax.saxutils import escape

from dexmesh.apps.base.programs import Configuration, comment
from dexmesh.apps.mail.programs.values import Situation
from dexmesh.errors import AppError
from dexmesh.values import dataclass

PROGRAM = "thunderbird"


class Form(enum.Enum):
    """How the account is written down."""

    USER_JS = "user.js"
    XML = "xml"


@dataclass(frozen=True, slots=True)
class Account:
    """What a person types into the dialogue of Thunderbird."""

    name: str
    address: str
    user: str
    imap_port: int
    smtp_port: int

    def lines(self) -> list[str]:
        """The dialogue, field by field."""
        return [
            f"name      {self.name}",
            f"address   {self.address}",
            f"incoming  IMAP  localhost  port {self.imap_port}  STARTTLS  normal password  {self.user}",
            f"outgoing  SMTP  localhost  port {self.smtp_port}  STARTTLS  no authentication",
            "password  `dexmesh mail password` gives one",
        ]


def account(situation: Situation) -> Account:
    """The account of this person. AppError where nothing here speaks IMAP."""
    ours = situation.ours
    if ours is None or not ours.imap_port:
        raise AppError(
            "Thunderbird reads mail by IMAP only, and nothing here offers it",
            "`dexmesh mail on` makes a mail node with IMAP on localhost (imap_port in apps.toml)",
        )
    person = situation.person
    # By key name: Thunderbird takes an address for wrong if there is a bracket behind the @.
    return Account(
        name=person.full_name,
        address=situation.key_address,
        user=person.user,
        imap_port=ours.imap_port,
        smtp_port=ours.mail_user_port,
    )


def configure(situation: Situation, version: str, form: Form) -> Configuration:
    """The account in a form that Thunderbird reads by itself."""
    wanted = account(situation)
    text = _user_js(wanted, version) if form is Form.USER_JS else _xml(situation, wanted)
    return Configuration(PROGRAM, form.value, text, tuple(_notes(form, wanted)))


def _notes(form: Form, wanted: Account) -> list[str]:
    how = {
        Form.USER_JS: "for a new profile: thunderbird -CreateProfile mesh, put user.js into its folder,"
        "\n  thunderbird -P mesh. In a profile that has accounts it would hide them",
        Form.XML: "for any profile: put the file into the folder `isp` beside the program and add an"
        "\n  account with the address below; Thunderbird then asks for nothing but the password",
    }
    return [
        how[form],
        "by hand: " + "\n  ".join(["add an account with these fields", *wanted.lines()]),
        "it warns once of a certificate it does not know: it is that of your own node, accept it",
    ]


def _user_js(wanted: Account, version: str) -> str:
    server, smtp = "mail.server.server1", "mail.smtpserver.smtp1"
    identity = "mail.identity.id1"
    values: dict[str, str | int | bool] = {
        "mail.accountmanager.accounts": "account1",
        "mail.accountmanager.defaultaccount": "account1",
        "mail.account.account1.identities": "id1",
        "mail.account.account1.server": "server1",
        f"{identity}.fullName": wanted.name,
        f"{identity}.useremail": wanted.address,
        f"{identity}.smtpServer": "smtp1",
        f"{identity}.valid": True,
        f"{server}.type": "imap",
        f"{server}.hostname": "localhost",
        f"{server}.port": wanted.imap_port,
        f"{server}.userName": wanted.user,
        f"{server}.name": wanted.address,
        f"{server}.socketType": 2,  # STARTTLS
        f"{server}.authMethod": 3,  # password
        f"{server}.login_at_startup": True,
        f"{server}.use_idle": True,
        "mail.smtpservers": "smtp1",
        "mail.smtp.defaultserver": "smtp1",
        f"{smtp}.hostname": "localhost",
        f"{smtp}.port": wanted.smtp_port,
        f"{smtp}.try_ssl": 2,  # STARTTLS
        f"{smtp}.authMethod": 1,  # none
    }
    head = f"Mail over the mesh with Thunderbird {version}".rstrip()
    lines = [f"{head}, made by `dexmesh setup thunderbird`.", "Place: user.js in a new profile"]
    prefs = [f'user_pref("{name}", {json.dumps(value)});' for name, value in values.items()]
    return comment(lines, "//") + "\n".join(prefs) + "\n"


def _xml(situation: Situation, wanted: Account) -> str:
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<!-- Mail over the mesh, made by `dexmesh setup thunderbird`. -->
<clientConfig version="1.1">
  <emailProvider id="{escape(situation.me.key_name)}">
    <domain>{escape(situation.me.key_name)}</domain>
    <displayName>dexmesh on this machine</displayName>
    <displayShortName>dexmesh</displayShortName>
    <incomingServer type="imap">
      <hostname>localhost</hostname>
      <port>{wanted.imap_port}</port>
      <socketType>STARTTLS</socketType>
      <authentication>password-cleartext</authentication>
      <username>{escape(wanted.user)}</username>
    </incomingServer>
    <outgoingServer type="smtp">
      <hostname>localhost</hostname>
      <port>{wanted.smtp_port}</port>
      <socketType>STARTTLS</socketType>
      <authentication>none</authentication>
    </outgoingServer>
  </emailProvider>
</clientConfig>
"""
