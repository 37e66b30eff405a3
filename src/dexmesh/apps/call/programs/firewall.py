"""Write nftables rules that let contacts alone reach a stock phone.

Place     cli/setup_phones.py -> here
Spec      docs/apps/sip.md §2 (junk ends linphone), §4 (firewall lines); nft(8)
Keeps     nothing but the ports of a phone at the mesh address is touched; loading it twice changes nothing
Not here  what other tables of the firewall drop
"""

from __future__ import annotations

from dexmesh.apps.base.programs import Configuration, comment
from dexmesh.apps.call.programs.values import AUDIO_PORTS, SIP_PORT, VIDEO_PORT, Situation
from dexmesh.wire.address import format_address

PROGRAM = "phone-firewall"
PATH = "/etc/dexmesh-phone.nft"
_TABLE = "inet dexmesh_phone"


def configure(situation: Situation) -> Configuration:
    """The rules, as a file for `nft -f`."""
    known = {address for one in situation.contacts for address in one.contact.addresses}
    addresses = [format_address(one) for one in sorted({situation.me.address, *known})]
    ports = f"{SIP_PORT}, {AUDIO_PORTS[0]}-{AUDIO_PORTS[1] + 1}, {VIDEO_PORT}-{VIDEO_PORT + 20}"
    lines = [
        f"table {_TABLE}",
        f"delete table {_TABLE}",
        f"table {_TABLE} {{",
        "    set contacts {",
        "        type ipv6_addr",
        "        elements = {",
        *(f"            {address}," for address in addresses),
        "        }",
        "    }",
        "    chain input {",
        "        type filter hook input priority filter; policy accept;",
        f"        ip6 daddr {situation.address} ip6 saddr != @contacts meta l4proto {{ tcp, udp }}"
        f" th dport {{ {ports} }} counter drop",
        "    }",
        "}",
    ]
    headline = [
        "Contacts alone reach the phone on this node, made by `dexmesh setup phone-firewall`.",
        f"Place: {PATH}",
    ]
    notes = (
        f"load it as root: nft -f {PATH}   take it away: nft delete table {_TABLE}",
        f'for every boot: include "{PATH}" as the last line of /etc/nftables.conf',
        "make it anew after you added a contact",
        "a source address on the mesh cannot be forged: it is the key of who sends",
        "if another table drops what it does not know, it must let through, from the mesh alone:"
        f"\n  ip6 daddr {situation.address} tcp dport {SIP_PORT} accept"
        f"\n  ip6 daddr {situation.address} udp dport {{ {ports} }} accept",
    )
    return Configuration(PROGRAM, PATH, comment(headline) + "\n".join(lines) + "\n", notes)
