"""Offer and answer: make an offer, answer one, and say what both sides agreed on.

Place     phone/ asks for bodies and hands in those of the peer; `Agreed` -> MediaPlan -> the seat
Spec      RFC 3264, RFC 4733 §2.5, RFC 3605 (a=rtcp); docs/apps/sip.md §3 SIP subset (Offer/answer), Media
Keeps     one audio stream; an answer has the m= lines of its offer in their order, those we do not
          serve with port 0; the payload types of an offer are those of its answer; no address of the
          other side is ever taken over: media goes to the signalling peer
Not here  reading and writing the text (sdp.py); whether to hold, ring or refuse (phone/)
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from dexmesh.apps.call.media.formats import (
    EVENT_FORMATS,
    EVENTS_8000,
    FRAME_MS,
    OPUS,
    SOUND_FORMATS,
    STATIC_FORMATS,
    Format,
    events_beside,
)
from dexmesh.apps.call.media.sdp import (
    Attribute,
    Direction,
    Media,
    Origin,
    SessionDescription,
    direction_in,
    is_unspecified,
    value_of,
)
from dexmesh.errors import UsageError
from dexmesh.values import dataclass
from dexmesh.wire.address import Address, format_address

NOT_ACCEPTABLE: Final = 488  # RFC 3261 §21.4.26
MOST_PARAMETERS: Final = 256  # ours: characters of an fmtp value
PTIMES_MS: Final = (10, 20, 30, 40, 60)
_PROTOCOLS: Final = ("RTP/AVP", "RTP/AVPF")
_DYNAMIC_TYPES: Final = range(96, 128)  # RFC 3551 §6
_HIGHEST_TYPE: Final = 127
_HIGHEST_PORT: Final = 65_535
_NO_COMMON_CODEC: Final = "no common codec"
_TYPE: Final = re.compile(r"[0-9]{1,3}")
_PORT: Final = re.compile(r"[0-9]{1,5}")
_RTPMAP: Final = re.compile(r"([!-.0-~]{1,64})/([0-9]{1,6})(?:/([0-9]{1,2}))?")


@dataclass(frozen=True, slots=True)
class LocalMedia:
    """What we bring: the own mesh address, the even RTP port, the codecs (the best first).

    `session_id` is one random number (63 bits) for the whole call.
    """

    address: Address
    port: int
    formats: tuple[Format, ...]
    session_id: int


@dataclass(frozen=True, slots=True)
class AgreedFormat:
    """A codec and its payload types: the one we put on packets, and the one we expect on them.

    `parameters` is the fmtp value of the peer, what it wishes to receive; "" for none.
    """

    format: Format
    send_type: int
    receive_type: int
    parameters: str = ""


@dataclass(frozen=True, slots=True)
class Agreed:
    """What an offer and its answer come to. `direction` is ours; `remote_rtcp_port` may be absent.

    `ptime_ms` is how much sound the peer wants in one packet, one of PTIMES_MS.
    """

    sound: AgreedFormat
    events: AgreedFormat | None
    remote_port: int
    remote_rtcp_port: int | None
    direction: Direction
    ptime_ms: int

    @property
    def codec(self) -> Format:
        """The codec of both ways."""
        return self.sound.format

    @property
    def payload_type(self) -> int:
        """What our packets of sound carry."""
        return self.sound.send_type

    @property
    def dtmf_payload_type(self) -> int | None:
        """What our telephone-events carry; None where the peer takes none (then INFO is left)."""
        return None if self.events is None else self.events.send_type


@dataclass(frozen=True, slots=True)
class Refusal:
    """No call comes of this description. `reason` is for the Warning header and for people."""

    reason: str
    status: int = NOT_ACCEPTABLE


@dataclass(frozen=True, slots=True)
class Answer:
    """The body to send back, and what was agreed by it."""

    description: SessionDescription
    agreed: Agreed


def make_offer(
    local: LocalMedia,
    direction: Direction = Direction.SENDRECV,
    previous: SessionDescription | None = None,
) -> SessionDescription:
    """An offer with all our codecs. `previous` is the last description *we* sent in this call.

    With it, m= lines keep their places and codecs their payload types (RFC 3264 §8), and the version
    grows if anything changed.
    """
    if not local.formats:
        raise UsageError("an offer needs a codec")
    lines = [] if previous is None else list(previous.media)
    place = _place_of_audio(lines)
    used = lines[place] if lines else Media("audio", 0, "RTP/AVP", ())
    formats = _numbered(local.formats, _formats_in(used))
    lines[place : place + 1] = [_audio_line(local, formats, direction, used.protocol)]
    return _describe(local, lines, previous)


def _place_of_audio(lines: Sequence[Media]) -> int:
    """The line that is served; the first if none is."""
    return next((place for place, one in enumerate(lines) if one.port), 0)


def _numbered(formats: Sequence[Format], used: Mapping[int, Format]) -> list[Format]:
    """Our formats and events with payload types: those in use, our own, or else free ones."""
    clocks = {EVENTS_8000.clock, *(one.clock for one in formats)}
    wanted = [*formats, *(one for one in EVENT_FORMATS if one.clock in clocks)]
    taken = set(used)
    numbered: list[Format] = []
    for one in wanted:
        kind = next((kind for kind, other in used.items() if _is_same(one, other)), None)
        if kind is None:
            free = (number for number in _DYNAMIC_TYPES if number not in taken)
            kind = one.payload_type if one.payload_type not in taken else next(free)
        taken.add(kind)
        numbered.append(_with_type(one, kind))
    return numbered


def _with_type(one: Format, payload_type: int) -> Format:
    return Format(one.name, one.clock, payload_type, one.channels, one.parameters)


def answer(
    offer: SessionDescription,
    local: LocalMedia,
    willing: Direction = Direction.SENDRECV,
    previous: SessionDescription | None = None,
) -> Answer | Refusal:
    """Our answer: the first audio line that has one of our codecs, with the best of them alone.

    `willing` is what we allow (`SENDONLY` while we hold), `previous` the last description *we* sent
    in this call.
    """
    for place, line in enumerate(offer.media):
        chosen = _choose(line, local.formats) if _is_served(line) else None
        if chosen is None:
            continue
        sound, events = chosen
        direction = _direction_of(offer, line).reversed().limited_to(willing)
        agreed = _agree(line, sound, events, direction)
        formats = [_as_answered(one) for one in (sound, events) if one is not None]
        lines = [_refused(one) for one in offer.media]
        lines[place] = _audio_line(local, formats, direction, line.protocol)
        return Answer(_describe(local, lines, previous), agreed)
    return Refusal(_why_refused(offer))


def refuse(offer: SessionDescription, formats: Sequence[Format]) -> Refusal | None:
    """What keeps these formats from any answer; None if there is one."""
    if any(_is_served(line) and _choose(line, formats) for line in offer.media):
        return None
    return Refusal(_why_refused(offer))


def accept_answer(offer: SessionDescription, answered: SessionDescription) -> Agreed | Refusal:
    """What comes of our own offer and the answer to it: the first codec that the answer names."""
    own = next((one for one in offer.media if one.port), None)
    if own is None:
        raise UsageError("this is no offer of ours")
    line = next((one for one in answered.media if one.kind == "audio" and one.port), None)
    if line is None:
        return Refusal("the other side takes no sound")
    if not _is_served(line):
        return Refusal(_why_refused(answered))
    ours = _formats_in(own)
    named = [
        AgreedFormat(_as_known(mine), kind, mine.payload_type, theirs.parameters)
        for kind, theirs in _formats_in(line, ours).items()
        for mine in ours.values()
        if _is_same(mine, theirs)
    ]
    sound = next((one for one in named if not _is_events(one.format)), None)
    if sound is None:
        return Refusal(_NO_COMMON_CODEC)
    found = [one for one in named if _is_events(one.format)]
    events = min(found, key=lambda one: one.format.clock != sound.format.clock, default=None)
    direction = _direction_of(answered, line).reversed()
    return _agree(line, sound, events, direction.limited_to(_direction_of(offer, own)))


def _choose(
    line: Media, formats: Sequence[Format]
) -> tuple[AgreedFormat, AgreedFormat | None] | None:
    """Our best codec among those of an offered line, and the telephone-event beside it."""
    offered = _formats_in(line)
    sound = next(filter(None, (_find(one, offered) for one in formats)), None)
    if sound is None:
        return None
    beside = events_beside(sound.format)
    return sound, next(filter(None, (_find(one, offered) for one in beside)), None)


def _find(mine: Format, offered: Mapping[int, Format]) -> AgreedFormat | None:
    return next(
        (
            AgreedFormat(mine, kind, kind, theirs.parameters)
            for kind, theirs in offered.items()
            if _is_same(mine, theirs)
        ),
        None,
    )


def _as_answered(one: AgreedFormat) -> Format:
    return _with_type(one.format, one.receive_type)


def _is_same(mine: Format, theirs: Format) -> bool:
    """One codec. Opus is opus/48000/2 by RFC 7587, and not everybody writes the channels."""
    has_channels = mine.channels == theirs.channels or mine.name == OPUS.name
    return mine.name.lower() == theirs.name.lower() and mine.clock == theirs.clock and has_channels


def _as_known(mine: Format) -> Format:
    """The format under its own payload type, whatever it has in this call."""
    known = (one for one in (*SOUND_FORMATS, *EVENT_FORMATS) if _is_same(one, mine))
    return next(known, mine)


def _is_events(one: Format) -> bool:
    return one.name == EVENTS_8000.name


def _is_served(line: Media) -> bool:
    return line.kind == "audio" and line.port > 0 and line.protocol in _PROTOCOLS


def _formats_in(line: Media, known: Mapping[int, Format] = STATIC_FORMATS) -> dict[int, Format]:
    """What stands behind each payload type of a line, in its order; `known` for those it leaves open."""
    maps = _by_type(line, "rtpmap")
    parameters = _by_type(line, "fmtp")
    found: dict[int, Format] = {}
    for text in line.formats:
        kind = int(text) if _TYPE.fullmatch(text) else _HIGHEST_TYPE + 1
        one = _rtpmap(maps[kind], kind) if kind in maps else known.get(kind)
        if one is not None and kind <= _HIGHEST_TYPE and kind not in found:
            found[kind] = Format(one.name, one.clock, kind, one.channels, parameters.get(kind, ""))
    return found


def _by_type(line: Media, name: str) -> dict[int, str]:
    """The values of `rtpmap` or `fmtp` by payload type; one without end says nothing."""
    pairs = (value.partition(" ") for key, value in line.attributes if key == name)
    return {
        int(kind): rest.strip()
        for kind, _, rest in pairs
        if _TYPE.fullmatch(kind) and len(rest) <= MOST_PARAMETERS
    }


def _rtpmap(value: str, payload_type: int) -> Format | None:
    """`opus/48000/2`; None if it is malformed."""
    match = _RTPMAP.fullmatch(value)
    if match is None:
        return None
    return Format(match[1], int(match[2]), payload_type, int(match[3] or 1))


def _direction_of(description: SessionDescription, line: Media) -> Direction:
    """What the writer does with this line. Who gives no address listens to nothing (old hold)."""
    direction = direction_in(line.attributes) or direction_in(description.attributes)
    direction = direction or Direction.SENDRECV
    if is_unspecified(line.connection or description.connection):
        return direction.limited_to(Direction.SENDONLY)
    return direction


def _agree(
    line: Media, sound: AgreedFormat, events: AgreedFormat | None, direction: Direction
) -> Agreed:
    return Agreed(sound, events, line.port, _rtcp_port(line), direction, _ptime_ms(line))


def _rtcp_port(line: Media) -> int | None:
    """The port of a=rtcp (RFC 3605), else the one above."""
    value = value_of(line.attributes, "rtcp") or ""
    text = value.split(" ")[0]
    port = int(text) if _PORT.fullmatch(text) else 0
    if 0 < port <= _HIGHEST_PORT:
        return port
    return line.port + 1 if line.port < _HIGHEST_PORT else None


def _ptime_ms(line: Media) -> int:
    """What the writer wants in one packet, within the most it takes."""
    wanted, most = (value_of(line.attributes, name) or "" for name in ("ptime", "maxptime"))
    ptime = int(wanted) if _PORT.fullmatch(wanted) else FRAME_MS
    ptime = ptime if ptime in PTIMES_MS else FRAME_MS
    limit = int(most) if _PORT.fullmatch(most) else PTIMES_MS[-1]
    return max((one for one in PTIMES_MS if one <= min(ptime, limit)), default=PTIMES_MS[0])


def _why_refused(description: SessionDescription) -> str:
    sound = [one for one in description.media if one.kind == "audio" and one.port]
    if not sound:
        return "no sound is offered"
    if any(one.protocol in _PROTOCOLS for one in sound):
        return _NO_COMMON_CODEC
    return f"{sound[0].protocol} is not served: use RTP/AVP, the mesh itself encrypts"


def _refused(line: Media) -> Media:
    return Media(line.kind, 0, line.protocol, line.formats)


def _audio_line(
    local: LocalMedia, formats: Sequence[Format], direction: Direction, protocol: str
) -> Media:
    attributes: list[Attribute] = []
    for one in formats:
        attributes.append(("rtpmap", f"{one.payload_type} {one.rtpmap}"))
        if one.parameters:
            attributes.append(("fmtp", f"{one.payload_type} {one.parameters}"))
    attributes += [("ptime", str(FRAME_MS)), (direction.value, "")]
    types = tuple(str(one.payload_type) for one in formats)
    return Media("audio", local.port, protocol, types, None, tuple(attributes))


def _describe(
    local: LocalMedia, lines: Sequence[Media], previous: SessionDescription | None
) -> SessionDescription:
    """With our own address and nothing else's; the version grows with each change (RFC 3264 §5, §8)."""
    address = format_address(local.address)
    version = 1 if previous is None else previous.origin.version

    def with_version(number: int) -> SessionDescription:
        origin = Origin(local.session_id, number, address)
        return SessionDescription(origin, address, (), tuple(lines))

    unchanged = with_version(version)
    return unchanged if previous in (None, unchanged) else with_version(version + 1)
