"""Sit at one call: do what the service says of it, tell the service how it sounds, do what keys say.

Place     cli/call.py, cli/phone_seat.py hand in what happens -> here -> apps/call/seat (sound), the service
          (`call.*`), call_show.py
Spec      docs/decisions/0013 (seats); docs/apps/phone-control.md (the events)
Keeps     a call that was begun is ended: whoever leaves hangs up, and a service that says nothing then is
          not waited for; a recording is finished; figures go out once a second; who is on hold leaves
          the sound card to other calls
Not here  where events come from (inbox.py), packets and the 20 ms clock (seat.py)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from dexmesh.cli.call_show import Show, Story
from dexmesh.cli.call_words import describe_end, describe_sound, next_step, who
from dexmesh.cli.inbox import Commander, CommandRefused, Event, Inbox, SeatTold
from dexmesh.errors import AppError, DecodeError, DexmeshError, UsageError
from dexmesh.values import dataclass, field

if TYPE_CHECKING:
    from dexmesh.apps.call.media.plan import MediaPlan
    from dexmesh.apps.call.seat.seat import Seat, SeatEvents
    from dexmesh.cli.call_sound import Sound

DRAW_S: Final = 0.2
REPORT_S: Final = 1.0
LEAVE_S: Final = 3.0  # ours: how long the service may take to say that the call is over
DIGITS: Final = "0123456789*#ABCD"


@dataclass(frozen=True, slots=True)
class CallResult:
    """How a call ended: the event `ended`, with what the seat knows."""

    event: Mapping[str, Any] = field(default_factory=dict)

    @property
    def has_talked(self) -> bool:
        """Whether somebody answered."""
        return bool(self.event.get("talked_s"))


class SeatedCall:
    """One call, from the moment somebody may be rung until it is over. Used by one thread."""

    def __init__(
        self,
        seat: Seat,
        sound: Sound,
        commander: Commander,
        show: Show,
        story: Story,
        most_s: float | None = None,
    ) -> None:
        """`most_s`: hang up that long after the answer."""
        self.story, self.seat = story, seat
        self.result: CallResult | None = None
        self._sound, self._commander, self._show = sound, commander, show
        self._most_s = most_s
        self._is_in_front = True
        self._report_at = self._draw_at = 0.0
        self._leaves_at: float | None = None
        self._handlers: dict[str, Callable[[Event, float], str]] = {
            "dialling": self._dialling,
            "ringing": self._ringing,
            "answering": self._answering,
            "progress": self._progress,
            "established": self._established,
            "changed": self._changed,
            "digits": self._digits,
            "send_digits": self._send_digits,
            "digit": self._digits,
            "dead": self._dead,
            "back": self._back,
        }

    def step_back(self) -> None:
        """Another call of this program has the person: leave it the sound card and the screen."""
        self._is_in_front = False
        self._sound.rest()
        self._show.rest()

    def come_forward(self) -> None:
        """The person is here again; one who is on hold has to be taken back, too."""
        self._is_in_front = True
        if not self.story.is_held_here:
            self._wake_sound()

    @property
    def is_over(self) -> bool:
        """Whether the call has ended, and the seat with it."""
        return self.result is not None

    # --- The service, and the sound

    def handle_event(self, event: Event, now: float) -> None:
        """Do what the service, or the seat, tells of this call."""
        name = str(event.get("event"))
        if name == "ended":
            self._finish(event)
        elif name in self._handlers and not self.is_over:
            words = self._handlers[name](event, now)
            self._tell(event, words)

    def _tell(self, event: Event, words: str) -> None:
        self._show.tell({"event": event["event"], "call": self.story.call, **event}, words)

    def _dialling(self, event: Event, _now: float) -> str:
        self.story.call, self.story.name = int(event["call"]), str(event["to"])
        self.story.state = "calling"
        return f"calling {self.story.name} ({event['uri']})"

    def _ringing(self, event: Event, _now: float) -> str:
        """A call has come to a seat that stands by, and was answered."""
        story, caller = self.story, event["caller"]
        story.call, story.name, story.state = int(event["call"]), who(caller), "ringing"
        story.address = str(caller["address"])
        story.reach = str(caller["petname"] or story.address)
        if self._sound.recording is not None:
            self._sound.recording.name_after(story.name)
        return f"{story.name} is calling"

    def _answering(self, event: Event, _now: float) -> str:
        self.story.call, self.story.name = int(event["call"]), who(event["peer"])
        self.story.address = self.story.reach = str(event["peer"]["address"])
        self.story.reach = str(event["peer"]["petname"] or self.story.reach)
        return f"answering {self.story.name}"

    def _progress(self, event: Event, now: float) -> str:
        if event.get("plan"):
            self._start(event["plan"], now)
        if not event.get("is_ringing") or self.story.state == "ringing":
            return ""
        self.story.state = "ringing"
        if not event.get("plan"):
            self._play_ringback()
        return f"it rings at {self.story.name}"

    def _play_ringback(self) -> None:
        if self._sound.has_speaker:
            from dexmesh.apps.call.sound.tones import REGIONS, Tones

            self._try(lambda: self.seat.play(Tones(REGIONS["eu"].ringback)))

    def _established(self, event: Event, now: float) -> str:
        self._sound.begin()
        plan = self._start(event["plan"], now)
        self.story.state, self.story.since = "in a call", now
        self._report_at = now + REPORT_S
        codec = "" if plan is None else f", {plan.agreed.codec.name}"
        return f"in a call with {self.story.name}{codec}"

    def _changed(self, event: Event, now: float) -> str:
        story = self.story
        former = story.is_held_here, story.is_held_there
        story.is_held_here = bool(event.get("held_here"))
        story.is_held_there = bool(event.get("held_there"))
        self._start(event["plan"], now)
        if story.is_held_here:
            self._sound.rest()
        elif former[0]:
            self._wake_sound()
        words = []
        if story.is_held_here is not former[0]:
            words.append("the call is on hold" if story.is_held_here else "the call goes on")
        if story.is_held_there is not former[1]:
            does = "holds the call" if story.is_held_there else "is back"
            words.append(f"{story.name} {does}")
        return "\n".join(words)

    def _wake_sound(self) -> None:
        try:
            self._sound.wake()
        except DexmeshError as error:
            self._tell(_trouble(error), f"no sound: {error}")

    def _digits(self, event: Event, _now: float) -> str:
        return f"{self.story.name} pressed {event.get('digits') or event.get('digit')}"

    def _send_digits(self, event: Event, _now: float) -> str:
        unsent = [one for one in str(event["digits"]) if not self.seat.send_digit(one)]
        return f"not sent: {''.join(unsent)}" if unsent else ""

    def _dead(self, event: Event, _now: float) -> str:
        self._command("call.report", is_dead=True)
        return f"nothing was heard from {self.story.name} for {event['silent_s']:.0f} s"

    def _back(self, _event: Event, _now: float) -> str:
        return f"{self.story.name} is heard again"

    def _start(self, plan: object, now: float) -> MediaPlan | None:
        """Let the sound go as was agreed; a call that this machine cannot make is hung up."""
        from dexmesh.apps.call.media.plan import decode_plan

        try:
            agreed = decode_plan(plan)
            self.seat.start(agreed)
        except (AppError, UsageError, DecodeError) as error:
            self._fail(error, now)
            return None
        return agreed

    def _try(self, sound: Callable[[], None]) -> None:
        """What a call can do without: a signal that cannot be played."""
        try:
            sound()
        except DexmeshError as error:
            self._show.tell(
                {"event": "trouble", "text": str(error)}, f"no signal is heard: {error}"
            )

    def _fail(self, error: DexmeshError, now: float) -> None:
        words = f"no sound: {error}" + (f"\n  {error.hint}" if error.hint else "")
        self._tell(_trouble(error), words)
        self.hang_up(now)

    # --- Keys

    def handle_key(self, char: str, now: float) -> bool:
        """Do what a key stands for; False if it stands for nothing here."""
        if char in "qQ\x04":
            self.hang_up(now)
        elif self.story.since is None:
            return False
        elif char in "hH":
            self._command("call.hold", on=not self.story.is_held_here)
        elif char in "mM":
            self.story.is_muted = not self.story.is_muted
            self.seat.mute(self.story.is_muted)
            words = "you are muted" if self.story.is_muted else "you are heard again"
            self._tell({"event": "muted", "on": self.story.is_muted}, words)
        elif char in DIGITS:
            self._command("call.digits", digits=char)
        else:
            return False
        return True

    def handle_refused(self, refused: CommandRefused) -> None:
        """The service did not do what a key asked for."""
        if refused.command != "call.report":  # the call has ended meanwhile
            self._tell(_trouble(refused.error), str(refused.error))

    def hang_up(self, now: float) -> None:
        """End the call; it is over when the service says so, or soon."""
        if self._leaves_at is None and not self.is_over:
            self._leaves_at = now + LEAVE_S
            self._command("call.hangup")

    def _command(self, command: str, **arguments: Any) -> None:
        if self.story.call is not None:
            self._commander.send(command, call=self.story.call, **arguments)

    # --- The clock

    def tick(self, now: float) -> None:
        """What is due: figures, the picture, the end that was asked for."""
        if self.is_over:
            return
        story = self.story
        if story.since is not None and now >= self._report_at:
            self._report_at = max(self._report_at + REPORT_S, now)
            self._report()
        if now >= self._draw_at and self._is_in_front:
            self._draw_at = now + DRAW_S
            levels = self.seat.levels()
            story.heard_db, story.spoken_db = levels.heard_db, levels.spoken_db
            self._show.draw(story, now)
        if self._most_s is not None and now >= (story.since or now) + self._most_s:
            self.hang_up(now)
        if self._leaves_at is not None and now >= self._leaves_at:
            self.leave("hung up", by="us")

    def _report(self) -> None:
        figures = self.seat.statistics().as_dict()
        self.story.statistics = figures
        self._command("call.report", statistics=figures)
        self._tell({"event": "statistics", **figures}, "")

    # --- The end

    def leave(self, reason: str, by: str = "nobody") -> None:
        """The call is over without the service saying so."""
        if not self.is_over:
            talked = self.seat.statistics().media
            talked_s = 0.0 if talked is None or self.story.since is None else talked.duration_s
            self._finish(
                {"event": "ended", "reason": reason, "by": by, "status": 0, "talked_s": talked_s}
            )

    def drop(self) -> None:
        """Nobody was rung, or nobody answered here: give everything back, and tell nothing."""
        if not self.is_over:
            self.seat.stop()
            self.result = CallResult()

    def _finish(self, ended: Event) -> None:
        if self.is_over:
            return
        figures = self.seat.stop().as_dict()
        story = self.story
        event = {**ended, "call": story.call, "name": story.name, "statistics": figures}
        event["recorded"] = None
        words = [describe_end(event, story.name)]
        recording = self._sound.recording
        if event["talked_s"]:
            words.append(describe_sound(figures))
            if recording is not None:
                event["recorded"] = str(recording.path)
                words.append(f"recorded {recording.seconds:.1f} s in {recording.path}")
        elif ended.get("by") != "us":
            words.append(next_step(event, story.reach))
        if recording is not None and recording.problem:
            words.append(f"the recording ended early: {recording.problem}")
        if self._is_in_front:
            self._show.rest()
        self._show.tell(event, "\n".join(line for line in words if line))
        self.result = CallResult(event)


def _trouble(error: DexmeshError) -> Event:
    return {"event": "trouble", "text": str(error), "hint": error.hint}


def seat_events(inbox: Inbox, token: object) -> SeatEvents:
    """What a seat tells, brought to the inbox; `token` says which seat it was."""
    from dexmesh.apps.call.seat.seat import SeatEvents

    def told(event: Event) -> None:
        inbox.put(SeatTold(token, event))

    return SeatEvents(
        dead=lambda silent_s: told({"event": "dead", "silent_s": round(silent_s, 1)}),
        back=lambda: told({"event": "back"}),
        digit=lambda digit: told({"event": "digit", "digit": digit}),
    )
