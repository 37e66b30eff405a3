"""Check that programs of this machine find names of the mesh, and that nobody else is asked for them.

Place     cli/doctor.py, cli/names.py -> here -> our resolver, the resolvers of resolv.conf, /etc/hosts
Spec      docs/apps/mail.md §2 (the facts that were measured)
Keeps     what is asked tells nobody anything: a name and an address that are nobody's (zones.py);
          every wait ends after WAIT_S; a resolver that is missing is wrong only where somebody needs
          it: stock OpenSMTPD, or whoever sent programs here to ours. Nothing of dexmesh does
Not here  what to set up (advice.py)
"""

from __future__ import annotations

import enum
import ipaddress
import queue
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dexmesh.apps.base.findings import Finding, fine, worth_knowing, wrong
from dexmesh.apps.base.settings import NamesSettings
from dexmesh.apps.names.advice import RESOLV_CONF, read_servers, sent_here_by
from dexmesh.apps.names.zones import (
    PROBE_ADDRESS,
    PROBE_NAME,
    PROBE_POINTER,
    address_of_key_label,
    reverse_name,
)
from dexmesh.wire.address import Address, parse_address

WAIT_S = 2.0
HOSTS = Path("/etc/hosts")
SETUP = "`dexmesh names setup` says how"
MAX_HOSTS_BYTES = 4 << 20
_WITHOUT = (
    "only commands of dexmesh know names like <key>.k and NAME.cjdns.alt then; "
    "mail, calls and texts work without"
)

if TYPE_CHECKING:
    from dns.message import Message

T = TypeVar("T")


class Answer(enum.Enum):
    """Who answered a question about the mesh."""

    OURS = "ours"
    OTHERS = "others"  # somebody who is not us
    SILENCE = "silence"
    REFUSAL = "nobody listens"


def who_answers(server: str, port: int = 53, wait_s: float = WAIT_S) -> Answer:
    """Ask a name server for the pointer that only our resolver has."""
    import dns.message

    question = dns.message.make_query(reverse_name(PROBE_ADDRESS), "PTR")
    try:
        reply = _ask(question, server, port, wait_s)
    except ConnectionRefusedError:
        return Answer.REFUSAL
    except OSError:  # no way there, or no answer in time
        return Answer.SILENCE
    except ValueError:
        return Answer.OTHERS
    said = {record.to_text().rstrip(".") for rrset in reply.answer for record in rrset}
    return Answer.OURS if PROBE_POINTER in said else Answer.OTHERS


def _ask(question: Message, server: str, port: int, wait_s: float) -> Message:
    """The answer to a question. Raises OSError, TimeoutError, and ValueError for what is no address.

    A connected socket, unlike dns.query, hears at once that nobody listens.
    """
    import dns.exception
    import dns.message

    family = socket.AF_INET6 if ipaddress.ip_address(server).version == 6 else socket.AF_INET
    deadline = time.monotonic() + wait_s
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.connect((server, port))
        sock.send(question.to_wire())
        while (left_s := deadline - time.monotonic()) > 0:
            sock.settimeout(left_s)
            try:
                reply = dns.message.from_wire(sock.recv(65_535))
            except dns.exception.DNSException:
                continue
            if question.is_response(reply):
                return reply
    raise TimeoutError


def resolves_here(wait_s: float = WAIT_S) -> bool | None:
    """Whether the system's resolver knows names of the mesh; None if it did not answer in time."""
    return in_time(_resolve_probe, wait_s)


def _resolve_probe() -> bool:
    try:
        found = socket.getaddrinfo(PROBE_NAME, None, socket.AF_INET6, socket.SOCK_STREAM)
    except OSError:
        return False
    wanted = address_of_key_label(PROBE_NAME.split(".")[0])
    return wanted in {_address_in(entry) for entry in found}


def _address_in(entry: tuple[object, ...]) -> Address | None:
    where = entry[4]
    return parse_address(str(where[0])) if isinstance(where, tuple) else None


def in_time(work: Callable[[], T], wait_s: float) -> T | None:
    """What `work` gives; None if that takes longer. It is left behind, and does not keep us alive."""
    done: queue.SimpleQueue[T] = queue.SimpleQueue()
    threading.Thread(target=lambda: done.put(work()), daemon=True).start()
    try:
        return done.get(timeout=wait_s)
    except queue.Empty:
        return None


def has_opensmtpd() -> bool:
    """Whether stock OpenSMTPD is installed: it is the one program that suffers."""
    return shutil.which("smtpctl", path="/usr/sbin:/sbin:/usr/bin:/usr/local/sbin") is not None


# --- Findings -------------------------------------------------------------------------------------------


def check_resolver(settings: NamesSettings, sent_by: Path | None = None) -> Iterator[Finding]:
    """Our own resolver: does it run? `sent_by`: the file that sends programs to it (`sent_here_by`)."""
    where = f"{settings.host}:{settings.port}"
    if not settings.is_on:
        yield worth_knowing("names.server", "names of the mesh are switched off in apps.toml")
        return
    answer = who_answers(settings.host, settings.port)
    if answer is Answer.OTHERS:
        todo = "another `host` or `port` under [names] in apps.toml avoids it"
        yield wrong("names.server", f"another name server answers at {where}", todo)
    elif answer is not Answer.OURS:
        todo = "it runs with mail and phone: `dexmesh mail on` (or `phone on`), then `dexmesh up`"
        what = f"nobody answers for names of the mesh at {where}"
        if sent_by is not None:
            yield wrong("names.server", f"{what}, where {sent_by} sends programs", todo)
        else:
            yield worth_knowing("names.server", f"{what}: {_WITHOUT}", todo)
    else:
        yield fine("names.server", f"names of the mesh are answered at {where}")


def check_system(sent_by: Path | None, *, has_stock_mail: bool) -> Iterator[Finding]:
    """The resolver that programs use: does it know a key's name?"""
    found = resolves_here()
    what = "programs here do not find names of the mesh"
    if found is None:
        what = f"looking up a name takes longer than {WAIT_S:g} s on this machine"
        judge = wrong if has_stock_mail or sent_by is not None else worth_knowing
        yield judge("names.system", what, f"see which name server in {RESOLV_CONF} does not answer")
    elif found:
        yield fine("names.system", "programs here find names of the mesh")
    elif sent_by is not None:
        yield wrong("names.system", f"{what}, although {sent_by} sends them to our resolver", SETUP)
    else:
        yield worth_knowing("names.system", f"{what}: {_WITHOUT}", SETUP)


def check_server(server: str, *, has_stock_mail: bool) -> Iterator[Finding]:
    """One name server of resolv.conf: does it answer, and who learns of the mesh from it?"""
    answer = who_answers(server)
    missing = wrong if has_stock_mail else worth_knowing
    if answer is Answer.OURS:
        yield fine("names.leak", f"questions about mesh addresses stay here ({server})")
    elif answer is Answer.SILENCE:
        what = f"the name server {server} in {RESOLV_CONF} does not answer: programs wait for it"
        what += (
            ", and OpenSMTPD greets only after 75 s" if has_stock_mail else " (dexmesh does not)"
        )
        yield missing("names.unreachable", what, f"take it out, or mend the way to it; {SETUP}")
    elif answer is Answer.REFUSAL:
        what = f"no name server listens at {server}, which {RESOLV_CONF} names"
        yield missing("names.unreachable", what, f"start it, or take it out; {SETUP}")
    elif has_stock_mail:
        what = (
            f"OpenSMTPD asks {server} for the names of mesh addresses: it learns who writes to whom"
        )
        yield wrong("names.leak", what, SETUP)
    else:
        what = f"programs that look up mesh addresses ask {server} about them (our mail service does not)"
        yield worth_knowing("names.leak", what, SETUP)


def check_host_name(*, has_stock_mail: bool, hosts: Path = HOSTS) -> Iterator[Finding]:
    """Our own name without DNS: without it OpenSMTPD does not start where no server answers."""
    name = socket.gethostname()
    if name in names_in(hosts):
        yield fine("names.host", f"this machine's name {name} is in {hosts}")
        return
    what = f"this machine's name {name} is not in {hosts}"
    todo = f"add the line: 127.0.1.1 {name}"
    if has_stock_mail:
        what += ": OpenSMTPD does not start while no name server answers"
        yield wrong("names.host", what, todo)
    else:
        yield worth_knowing("names.host", what, todo)


def names_in(hosts: Path) -> frozenset[str]:
    """Every name in a file like /etc/hosts."""
    try:
        with hosts.open("rb") as file:
            text = file.read(MAX_HOSTS_BYTES).decode(errors="replace")
    except OSError:
        return frozenset()
    lines = (line.partition("#")[0].split() for line in text.splitlines())
    return frozenset(name for words in lines for name in words[1:])


def checks(settings: NamesSettings | None) -> Iterable[Callable[[], Iterator[Finding]]]:
    """All of them; each may run in a thread of its own. None: our resolver is not set up here."""
    has_stock_mail = has_opensmtpd()
    if settings is not None:
        sent_by = sent_here_by(settings.host)
        yield lambda: check_resolver(settings, sent_by)
        if settings.is_on:
            yield lambda: check_system(sent_by, has_stock_mail=has_stock_mail)
    for server in read_servers():
        yield lambda server=server: check_server(server, has_stock_mail=has_stock_mail)  # type: ignore[misc]
    yield lambda: check_host_name(has_stock_mail=has_stock_mail)
