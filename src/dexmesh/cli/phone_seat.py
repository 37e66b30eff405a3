"""`dexmesh phone` alone: the phone on this person's desk. It rings, answers, calls, shows what comes.

Place     cli/phone_commands.py -> here -> call_line.py; control socket (phone.attach, call.answer, dial)
Spec      issue 5 (rings, answers, auto-answer); docs/apps/phone.md
Keeps     one call at a time has the sound, others are on hold or ring; a service that is started anew is
          waited for; whatever ends this program hangs up
Not here  one call (seat_run.py), who may ring (apps/call/phone/policy.py)
"""

from __future__ import annotations

import sys
import time
from typing import Annotated, Any, Final

import typer

from dexmesh.cli.call_line import CodecOption, Line, SeatedLine, open_line
from dexmesh.cli.call_show import Story
from dexmesh.cli.call_sound import (
    DeviceOption,
    NoSoundOption,
    PlayOption,
    RecordOption,
    Wishes,
    require_sound,
)
from dexmesh.cli.call_words import who
from dexmesh.cli.inbox import CommandRefused, Event, Happening, Key, Quit, Stream, StreamOver, Told
from dexmesh.cli.output import example, misused, note, reports_errors
from dexmesh.cli.phone import app
from dexmesh.cli.service import HomeOption, UserOption
from dexmesh.cli.typed_line import TypedLine
from dexmesh.errors import AppError, DexmeshError, NoServiceError, PermissionNeededError

RETRY_S: Final = 2.0  # ours: between tries to find the service again
_TICK_S: Final = 0.1
_MOST_NEWS: Final = 50
_MOST_CHARS: Final = 200  # of a text that came while nobody looked; `dexmesh texts` has it all


@app.callback(invoke_without_command=True, epilog=example("dexmesh phone --auto-answer"))
@reports_errors
def phone(
    context: typer.Context,
    auto_answer: Annotated[
        bool, typer.Option("--auto-answer", help="Answer whatever rings here, without a key.")
    ] = False,
    play: PlayOption = None,
    record: RecordOption = None,
    device: DeviceOption = None,
    no_sound: NoSoundOption = False,
    codec: CodecOption = None,
    user: UserOption = None,
    home: HomeOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line for everything that happens.")
    ] = False,
) -> None:
    """The phone. Alone, it is one: it rings, answers, calls, and shows what comes.

    Missed calls and texts are shown as they come; q or Ctrl-C ends it. c calls: type a name or an address
    and Enter. When it rings: a answers, d declines. In a call: q hangs up, h holds, m mutes, 0-9 * # are
    sent. When a second call rings: a hangs up and answers, s holds this one and answers, d declines; s then
    goes from one to the other.
    """
    if context.invoked_subcommand is not None:
        _refuse_options(context)
        return
    wishes = Wishes(play, record, device, no_sound)
    for words in require_sound(wishes):
        note(words)
    with open_line(home, user, codec, as_json=as_json) as line:
        DeskPhone(line, wishes, answers_itself=auto_answer).run()


def _refuse_options(context: typer.Context) -> None:
    """`dexmesh phone --json status` would look as if --json meant something there."""
    sources = map(context.get_parameter_source, context.params)
    if any(source is not None and source.name == "COMMANDLINE" for source in sources):
        name = context.invoked_subcommand
        misused(f"options of `phone {name}` stand behind it", f"dexmesh phone {name} --help")


class DeskPhone:
    """Hears the bell of one person; talks in one call at a time, and may have others on hold."""

    def __init__(self, line: Line, wishes: Wishes, *, answers_itself: bool) -> None:
        self._line, self._wishes, self._answers_itself = line, wishes, answers_itself
        self._bell: Stream | None = None
        self._retry_at = 0.0
        self._current: SeatedLine | None = None
        self._standing: SeatedLine | None = None  # for the next call, which it answers by itself
        self._may_stand_by = False
        self._held: list[SeatedLine] = []  # behind the current one, the latest last
        self._waiting: dict[int, Event] = {}
        self._typed: TypedLine | None = None  # whom to call
        self._is_greeted = self._is_ending = False

    def run(self) -> None:
        """Be there until somebody ends it, and hang up then."""
        try:
            while not (self._is_ending and self._current is None):
                self._step(self._line.inbox.take(_TICK_S), time.monotonic())
        finally:
            for seated in self._all():
                seated.close()
            self._stand_down()
            if self._bell is not None:
                self._bell.close()

    def _all(self) -> list[SeatedLine]:
        """The calls of this phone, the one in front last."""
        return [*self._held, *([] if self._current is None else [self._current])]

    def _greet(self, event: Event) -> None:
        """The bell can be heard: say whose phone this is, and what came before."""
        try:
            with self._line.connect() as service:
                status = service.call("phone.status")
                news = service.call("call.history", news=True, limit=_MOST_NEWS)["entries"]
        except NoServiceError:  # gone again: the stream says so, too
            return
        words = ["the phone rings again"]
        if not self._is_greeted:
            words = [f"the phone of {status['user']}: {status['uris'][0]}", *_news(news)]
            if self._line.has_keys:
                words.append("c calls somebody; when it rings: a answers, d declines; q ends")
        if status["switches"]["do_not_disturb"]:
            words.append("do not disturb is on: nothing rings (`dexmesh phone dnd off`)")
        self._is_greeted = True
        self._may_stand_by = self._answers_itself or status["switches"]["auto_answer"]
        self._tell({**event, "news": news}, "\n".join(words))

    def _tell(self, event: Event, words: str) -> None:
        if self._typed is not None:
            self._typed.hide()
        self._line.show.tell(event, words)
        if self._typed is not None:
            self._typed.show()

    # --- What happens

    def _step(self, happening: Happening | None, now: float) -> None:
        self._attach(now)
        self._stand_by()
        match happening:
            case None:
                pass
            case Quit():
                self._end(now)
            case Told(stream, event) if stream is self._bell:
                self._hear(event, now)
            case StreamOver(stream, error) if stream is self._bell:
                self._lose(error, now)
            case Key(char):
                self._handle_key(char, now)
            case CommandRefused("call.swap"):
                self._hand_on(happening, now)
                self._hold_those_behind()
            case _:
                self._hand_on(happening, now)
                self._hand_to_standing(happening, now)
        self._tick(now)
        sys.stdout.flush()  # what a terminal did not take before

    def _tick(self, now: float) -> None:
        for seated in self._all():
            seated.call.tick(now)
        for seated in [one for one in self._held if one.call.is_over]:
            seated.close()
            self._held.remove(seated)
            self._tell_others()
        if self._current is not None and self._current.call.is_over:
            self._forget_call(now)

    def _hand_on(self, happening: Happening, now: float) -> None:
        seated = next((one for one in self._all() if one.owns(happening)), self._current)
        if seated is None:
            return
        try:
            seated.handle(happening, now)
        except DexmeshError as error:  # somebody else was quicker, or the caller gave up
            words = str(error) + (f"\n  {error.hint}" if error.hint else "")
            self._tell({"event": "trouble", "text": str(error), "hint": error.hint}, words)
            seated.close()

    def _attach(self, now: float) -> None:
        if self._bell is None and now >= self._retry_at and not self._is_ending:
            self._bell = Stream(self._line.connect(), self._line.inbox, "phone.attach", {})

    def _stand_by(self) -> None:
        """Leave a seat with the service, which answers the next call at once, where that is wanted."""
        is_free = not self._all() and self._standing is None
        if not self._may_stand_by or not is_free or self._is_ending:
            return
        try:
            standing = SeatedLine(self._line, self._wishes, Story("call", ""), may_number=True)
        except DexmeshError as error:
            self._may_stand_by = False  # it is tried again when somebody calls
            self._tell({"event": "trouble", "text": str(error), "hint": error.hint}, str(error))
            return
        standing.begin("call.stand_by", all=self._answers_itself)
        self._standing = standing

    def _stand_down(self) -> None:
        if self._standing is not None:
            self._standing.drop()
            self._standing = None

    def _hand_to_standing(self, happening: Happening, now: float) -> None:
        standing = self._standing
        if standing is None or not standing.owns(happening):
            return
        if isinstance(happening, StreamOver):
            self._stand_down()
            self._may_stand_by = False  # not again before the service greets us anew
            return
        standing.handle(happening, now)
        if standing.call.story.call is not None:
            self._current, self._standing = standing, None

    def _lose(self, error: DexmeshError | None, now: float) -> None:
        """The service went away; it is started anew after every change of its settings."""
        if isinstance(error, PermissionNeededError):
            raise error
        if self._retry_at == 0.0 or now - self._retry_at > 2 * RETRY_S:
            why = str(error) if error is not None else "the service ended"
            hint = error.hint if isinstance(error, NoServiceError) else ""
            self._tell({"event": "detached", "text": why}, f"{why}; waiting for it")
            if hint:
                note(f"  {hint}")
        self._bell, self._retry_at, self._may_stand_by = None, now + RETRY_S, False
        self._waiting.clear()

    def _end(self, now: float) -> None:
        self._is_ending = True
        self._stop_typing()
        self._stand_down()
        for seated in self._all():
            seated.call.hang_up(now) if seated.is_begun else seated.close()

    # --- The bell

    def _hear(self, event: Event, now: float) -> None:
        match event.get("event"):
            case "attached":
                self._greet(event)
            case "ringing":
                self._ring(event, now)
            case "stopped":
                self._stop(event)
            case "missed":
                self._tell(event, f"{who(event['caller'])} called: {event['reason']}")
            case "text":
                indented = "\n    ".join(str(event["text"]).splitlines())
                self._tell(event, f"{who(event['caller'])} writes: {indented}")
                _beep()

    def _ring(self, event: Event, now: float) -> None:
        caller = who(event["caller"])
        if self._current is not None:
            self._waiting[int(event["call"])] = event
            keys = "a hangs up here and answers, s holds this call and answers, d declines"
            self._tell(event, f"{caller} is calling, too: {keys}")
            _beep()
            return
        self._stand_down()  # the service rang instead: that call is not for a seat that stands by
        self._stop_typing()
        self._tell(event, f"{caller} is calling")
        facts = event["caller"]
        story = Story(caller, str(facts["petname"] or facts["address"]), str(facts["address"]))
        story.call, story.state = int(event["call"]), "ringing"
        try:
            self._current = SeatedLine(self._line, self._wishes, story, may_number=True)
        except DexmeshError as error:
            self._tell({"event": "trouble", "text": str(error), "hint": error.hint}, str(error))
            return
        if self._answers_itself or event.get("answers_itself"):
            self._answer()
        else:
            self._sound_bell(self._current)

    def _sound_bell(self, current: SeatedLine) -> None:
        _beep()
        if current.sound.has_speaker:
            from dexmesh.apps.call.sound.tones import RING, Tones

            try:
                current.call.seat.play(Tones(RING))
            except AppError as error:
                self._tell({"event": "trouble", "text": str(error)}, f"no bell is heard: {error}")

    def _stop(self, event: Event) -> None:
        """It rings no more: somebody answered, here or elsewhere, or the caller gave up."""
        call = int(event["call"])
        former = self._waiting.pop(call, None)
        current = self._current
        if current is not None and current.call.story.call == call and not current.is_begun:
            self._tell(event, _stopped(event, current.call.story.name))
            current.close()
        elif former is not None:
            self._tell(event, _stopped(event, who(former["caller"])))

    def _forget_call(self, now: float) -> None:
        """The call in front is over: another one is taken, or comes back, or rings."""
        if self._current is not None:
            self._current.close()
        self._current = None
        chosen = [call for call, event in self._waiting.items() if event.get("answers_itself")]
        if chosen and not self._is_ending:
            self._ring(self._waiting.pop(chosen[0]), now)
        elif self._held:
            self._bring_forward(self._held.pop())
        elif self._waiting and not self._is_ending:
            _, event = self._waiting.popitem()
            self._ring(event, now)

    # --- Several calls

    def _bring_forward(self, seated: SeatedLine) -> None:
        """This one has the person; on hold, it goes on with h."""
        self._current = seated
        seated.call.come_forward()
        story = seated.call.story
        if story.is_held_here and not self._is_ending:
            words = f"{story.name} is still on hold: h goes on, q hangs up"
            self._tell({"event": "forward", "call": story.call}, words)
        self._tell_others()

    def _push_back(self) -> None:
        """The call in front goes behind another one."""
        if self._current is not None:
            self._current.call.step_back()
            self._held.append(self._current)
            self._current = None

    def _swap(self) -> None:
        """Go over to the call that is on hold for the longest time."""
        other = self._held.pop(0)
        self._push_back()
        self._line.commander.send("call.swap", call=other.call.story.call)
        self._current = other
        other.call.come_forward()
        self._tell_others()

    def _hold_those_behind(self) -> None:
        """The service did not swap; who is behind hears nothing from here, and shall be told so."""
        for one in self._held:
            if not one.call.story.is_held_here:
                self._line.commander.send("call.hold", call=one.call.story.call, on=True)

    def _hold_and_take_waiting(self, now: float) -> None:
        call, event = self._waiting.popitem()
        self._push_back()
        self._ring({**event, "answers_itself": True}, now)
        if self._current is None:  # there is no sound for one more: it rings on
            self._waiting[call] = event
            self._forget_call(now)
        self._tell_others()

    def _tell_others(self) -> None:
        """The picture of the call in front names those that are on hold."""
        if self._current is not None:
            self._current.call.story.others = tuple(one.call.story.name for one in self._held)

    # --- Keys

    def _handle_key(self, char: str, now: float) -> None:
        current = self._current
        if current is None:
            self._handle_idle_key(char, now)
        elif not current.is_begun:
            if char in "aA\n\r ":
                self._answer()
            elif char in "dDqQ":
                self._line.commander.send("call.decline", call=current.call.story.call)
        elif self._waiting and char in "aA":
            self._take_waiting(now)
        elif char in "sS" and current.call.story.since is None:
            pass  # whom we call has to answer first: one who is not there yet cannot be held
        elif self._waiting and char in "sS":
            self._hold_and_take_waiting(now)
        elif self._held and char in "sS":
            self._swap()
        elif self._waiting and char in "dD":
            call, _ = self._waiting.popitem()
            self._line.commander.send("call.decline", call=call)
        else:
            current.handle(Key(char), now)

    def _handle_idle_key(self, char: str, now: float) -> None:
        if self._typed is not None:
            name = self._typed.take(char)
            if name is not None:
                self._typed = None
            if name:
                self._dial(name)
        elif char in "qQ\x04":
            self._end(now)
        elif char in "cC":
            self._typed = TypedLine("call: ")

    def _stop_typing(self) -> None:
        """There is something else to do for the keys."""
        if self._typed is not None:
            self._typed.hide()
            self._typed = None

    def _dial(self, name: str) -> None:
        self._stand_down()  # that seat may have the sound card
        try:
            self._current = SeatedLine(self._line, self._wishes, Story(name, name), may_number=True)
        except DexmeshError as error:
            self._tell({"event": "trouble", "text": str(error), "hint": error.hint}, str(error))
            return
        self._current.begin("call.dial", to=name)

    def _take_waiting(self, now: float) -> None:
        """End this call; the one that waits is answered as soon as this is over."""
        if self._current is None:
            return
        call, event = self._waiting.popitem()
        self._waiting[call] = {**event, "answers_itself": True}
        self._current.call.hang_up(now)

    def _answer(self) -> None:
        current = self._current
        if current is None or current.is_begun:
            return
        holds = bool(self._held)
        current.begin("call.answer", call=current.call.story.call, hold_others=holds)


def _stopped(event: Event, name: str) -> str:
    reason = str(event.get("reason", ""))
    if reason == "answered":
        return f"{name} was answered at another phone of yours"
    if reason == "voicemail":
        return f"nobody answered: {name} speaks to the voicemail"
    return f"{name} rings no more: {reason}"


def _news(entries: list[dict[str, Any]]) -> list[str]:
    """What came while nobody looked."""
    words = []
    for one in entries:
        if one["is_request"]:
            continue
        at = time.strftime("%d %b %H:%M", time.localtime(one["at_unix"]))
        what = (
            one["text"].replace("\n", " ") if one["kind"] == "text" else f"called ({one['state']})"
        )
        words.append(f"  {at}  {who(one)}: {what}")
    strangers = sum(1 for one in entries if one["is_request"])
    if strangers:
        words.append(f"  strangers: {strangers} (`dexmesh calls`, `dexmesh texts --requests`)")
    return ["since you last looked:", *words] if words else []


def _beep() -> None:
    """The bell of the terminal itself."""
    if sys.stdout.isatty():
        sys.stdout.write("\a")
        sys.stdout.flush()
