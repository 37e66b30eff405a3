"""A text, a call with a spoken sentence, and what was said to the voicemail.

Place     cli/demo.py -> here, on the machines of the demonstration
Spec      docs/apps/sip.md §3; issue 5 (the demo: a text, a call recorded and measured, a voicemail)
Keeps     what was said is compared with what was recorded on the other side: a call that is up and
          carries nothing ends the demonstration
Not here  what the phone does (apps/call)
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import wave
from pathlib import Path

from dexmesh.cli.demo_mail import has_stock_server, introduce
from dexmesh.cli.demo_node import Node, Say, as_mail_user, show, timed
from dexmesh.cli.lab import USER, wait_until
from dexmesh.errors import HostError

TEXT = "Are you there? I will call you."
QUESTION = "Hello Bob. This is a call over the mesh. No server stands between us."
ANSWER = "Hello Alice. I hear you well, and nobody else does."
MESSAGE = "Alice, please call me back when you are at home."
WAIT_S = 30.0
BEEP_S = 2.0  # after the answer the beep is over
LEAST_MATCH = 0.7  # sound/measure.py: it is there, and well understood


def switch_on(node: Node) -> None:
    """The phone on this machine, from the next `dexmesh up` on."""
    options = ["--account", USER, "--user", USER, "--config", str(node.config)]
    node.apps("phone", "on", *options)


def text_and_call(a: Node, b: Node, say: Say) -> dict[str, object]:
    """A text from a to b, a call, and a call back that nobody answers; what was measured."""
    for node in (a, b):
        wait_until(lambda node=node: _rings(node), WAIT_S, f"the phone on {node.machine.name}")  # type: ignore[misc]
    if has_stock_server():  # else both have known each other since the mail
        introduce(b, "alice", a)
    texted = timed(lambda: _text(a, b))
    say(f"   `dexmesh text bob …` on a; {texted:.1f} s later `dexmesh texts` on b:")
    show(say, b.apps("texts", "--user", USER))
    facts = _talk(a, b, say)
    return {"text_s": round(texted, 2)} | facts | _leave_message(a, b, say)


def _rings(node: Node) -> bool:
    """Whether its phone answers to us."""
    try:
        node.apps("phone", "status", "--json", "--user", USER)
    except HostError:
        return False
    return True


def _text(a: Node, b: Node) -> None:
    a.apps("text", "bob", TEXT, "--user", USER)
    wait_until(lambda: TEXT in b.apps("texts", "--keep-new", "--user", USER), WAIT_S, "the text")


# --- A call -----------------------------------------------------------------------------------------


def _talk(a: Node, b: Node, say: Say) -> dict[str, object]:
    """a calls b, where `dexmesh phone` answers by itself; both sides speak and record."""
    question, answer = _spoken(a, QUESTION), _spoken(b, ANSWER)
    heard_a, heard_b = _recording(a), _recording(b)
    options = ["--auto-answer", "--no-sound", "--user", USER]
    seat = _start(b, "phone", *options, "--play", str(answer), "--record", str(heard_b))
    wait_until(lambda: _bells(b) > 0, WAIT_S, "`dexmesh phone` on b")
    seconds = max(_seconds(question), _seconds(answer)) + 1.0
    say(
        f"   `dexmesh call bob` on a, `dexmesh phone --auto-answer` on b; both speak for {seconds:.0f} s:"
    )
    call = ["call", "bob", "--no-sound", "--user", USER, "--seconds", f"{seconds:.1f}"]
    call += ["--play", str(question), "--record", str(heard_a)]
    show(say, "\n".join(a.apps(*call).strip().splitlines()[-2:]))
    seat.terminate()
    seat.wait(WAIT_S)
    scores = {"b": _compare(question, heard_b), "a": _compare(answer, heard_a)}
    for name, score in scores.items():
        say(f"   what {name} recorded is what was said to it: {score:.0%}")
    return {"call_match": round(min(scores.values()), 3)}


def _bells(node: Node) -> int:
    told = json.loads(node.apps("phone", "status", "--json", "--user", USER))
    return int(told["bells"])


# --- Voicemail --------------------------------------------------------------------------------------


def _leave_message(a: Node, b: Node, say: Say) -> dict[str, object]:
    """b calls back, a does not want to be disturbed: the machine answers, and the mail has it."""
    a.apps("phone", "dnd", "on", "--user", USER)
    message = _spoken(b, MESSAGE)
    after_beep = _after_silence(message)
    say("   b calls back, but on a `dexmesh phone dnd on` was said: the voicemail answers. On a:")
    call = ["call", "alice", "--no-sound", "--user", USER, "--seconds"]
    b.apps(*call, f"{_seconds(after_beep) + 1.5:.1f}", "--play", str(after_beep))
    waited = timed(
        lambda: wait_until(
            lambda: "Voicemail from" in _inbox(a), WAIT_S, "the voicemail in the mail"
        )
    )
    show(say, "\n".join(one for one in _inbox(a).splitlines() if "Voicemail" in one))
    show(say, a.apps("calls", "--user", USER))
    saved = a.machine.folder / "saved"
    saved.mkdir(mode=0o777)
    saved.chmod(0o777)
    a.apps("mail", "read", "latest", "--save-attachments", str(saved), "--user", USER)
    (attached,) = saved.glob("*.wav")
    score = _compare(message, attached)
    say(f"   what is attached is what was said: {score:.0%}")
    return {"voicemail_s": round(waited, 2), "voicemail_match": round(score, 3)}


def _inbox(a: Node) -> str:
    return a.apps("mail", "list", "--user", USER)


# --- Sound ------------------------------------------------------------------------------------------


def _spoken(node: Node, words: str) -> Path:
    """A WAV file in which a machine says this."""
    if shutil.which("espeak-ng") is None:
        raise HostError("espeak-ng is missing", "apt-get install espeak-ng")
    path = node.machine.folder / f"{abs(hash(words))}.wav"
    subprocess.run(["espeak-ng", "-s", "160", "-w", str(path), words], check=True, timeout=30)
    path.chmod(0o644)
    return path


def _after_silence(path: Path) -> Path:
    """The same as somebody says it who waits for the beep."""
    later = path.with_name(f"later-{path.name}")
    with wave.open(str(path)) as said, wave.open(str(later), "wb") as written:
        written.setparams(said.getparams())
        frame_bytes = said.getsampwidth() * said.getnchannels()
        written.writeframes(bytes(round(BEEP_S * said.getframerate()) * frame_bytes))
        written.writeframes(said.readframes(said.getnframes()))
    later.chmod(0o644)
    return later


def _recording(node: Node) -> Path:
    """A file that whoever runs the seat may write."""
    folder = node.machine.folder / "heard"
    folder.mkdir(exist_ok=True)
    folder.chmod(0o777)
    return folder / "call.wav"


def _seconds(path: Path) -> float:
    with wave.open(str(path)) as sound:
        return float(sound.getnframes() / sound.getframerate())


def _compare(said: Path, heard: Path) -> float:
    """How well the sentence is to be found in the recording. HostError if it is not."""
    from dexmesh.apps.call.sound.measure import find

    with wave.open(str(said)) as one, wave.open(str(heard)) as other:
        spoken, recorded = one.readframes(one.getnframes()), other.readframes(other.getnframes())
        score = find(spoken, one.getframerate(), recorded, other.getframerate()).score
    if score < LEAST_MATCH:
        raise HostError(f"{heard.name} does not hold what was said: {score:.0%}")
    return score


def _start(node: Node, *arguments: str) -> subprocess.Popen[bytes]:
    argv = [*as_mail_user(), sys.executable, "-m", "dexmesh", *arguments]
    return node.machine.start(argv, log="phone.log", env=node.environment)
