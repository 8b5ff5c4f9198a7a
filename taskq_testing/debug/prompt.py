"""The debugger's command line: one command a line, answers in plain words, an error in one sentence."""

from __future__ import annotations

import cmd
import shlex
from collections.abc import Callable
from typing import TextIO

from taskq.errors import TaskqError
from taskq_testing.debug.debugger import Choice, Journey
from taskq_testing.explore.replay import difference
from taskq_testing.explore.tapes import entry_text, sentence
from taskq_testing.history import Event
from taskq_testing.timeline.words import clock, describe, owner_of

__all__ = ["Prompt", "interact"]

_AROUND = 5


class Prompt(cmd.Cmd):
    """Reads commands and moves through a run.

    Args:
        journey: what is moved.
        stdin: where commands come from; None means the terminal.
        stdout: where answers go; None means the terminal.
    """

    prompt = "(taskq) "

    def __init__(self, journey: Journey, stdin: TextIO | None = None, stdout: TextIO | None = None) -> None:
        super().__init__(stdin=stdin, stdout=stdout)
        self.use_rawinput = stdin is None
        self.journey = journey
        self.intro = (
            f"{journey.verdict or 'Nothing is wrong with this run'}.\n{len(journey.whole)} events; `help` lists the commands."
        )

    # -- moving

    def do_step(self, line: str) -> None:
        """`step [N]`: go forwards by N events (1)."""
        self._move(lambda: self.journey.step(_number(line, 1)))

    def do_back(self, line: str) -> None:
        """`back [N]`: go back by N events (1)."""
        self._move(lambda: self.journey.back(_number(line, 1)))

    def do_goto(self, line: str) -> None:
        """`goto N`: go where N events have happened."""
        self._move(lambda: self.journey.goto(_number(line)))

    def do_until(self, line: str) -> None:
        """`until message=M kind=K`, or one of them: go forwards until such an event has happened."""

        def move() -> None:
            words = dict(word.partition("=")[::2] for word in shlex.split(line))
            unknown = words.keys() - {"message", "kind"}
            if unknown:
                raise ValueError(f"{unknown.pop()!r} is nothing to wait for; give message=..., kind=..., or both")
            if self.journey.until(**words) is None:
                raise ValueError("there is no such event any more; `back` or `goto 0` goes back")

        self._move(move)

    def emptyline(self) -> bool:
        """Step."""
        self.do_step("")
        return False

    def _move(self, move: Callable[[], object]) -> None:
        def answer() -> str:
            move()
            return self._line(self.journey.position)

        self._answer(answer)

    # -- looking

    def do_list(self, line: str) -> None:
        """`list [N]`: show N events before and after this place (5)."""

        def answer() -> str:
            here, around = self.journey.position, _number(line, _AROUND)
            last = min(here + around, len(self.journey.whole))
            return "\n".join(self._line(position) for position in range(max(here - around, 0), last + 1))

        self._answer(answer)

    def do_state(self, line: str) -> None:  # noqa: ARG002 - a command's signature
        """`state`: how many messages are ready, delayed, reserved and dead, what runs, and who is in trouble."""
        self._answer(self._state)

    def do_why(self, line: str) -> None:
        """`why M`: how message M came to be where it is now."""
        self._answer(lambda: self.journey.why(line.strip()))

    def _state(self) -> str:
        situation = self.journey.state()
        lines = [clock(situation.t)]
        for queue, counts in situation.counts.items():
            lines.append(f"{queue}: {', '.join(f'{count} {state}' for state, count in counts.items() if count)}")
        lines += [f"{process} runs {message}, attempt {attempt}" for message, process, attempt in situation.running]
        lines += [f"{process} is {what}" for process, what in situation.trouble.items()]
        return "\n".join(lines)

    # -- choosing

    def do_choices(self, line: str) -> None:
        """`choices [all]`: the draws between here and the next event, or of the whole run, with what they were and could be."""

        def answer() -> str:
            chosen = self.journey.choices if line.strip() == "all" else self.journey.choices_here()
            return "\n".join(map(_choice, chosen)) or "nothing is drawn here; `choices all` shows all draws of the run"

        self._answer(answer)

    def do_what_if(self, line: str) -> None:
        """`what_if D V`: run again with draw D (see `choices`) being V, and say what comes of it; nothing moves."""

        def answer() -> str:
            words = line.split()
            if len(words) != 2:
                raise ValueError("give the number of a draw and its value, such as: what_if 12 1")
            value = words[1] if words[1].isidentifier() else _number(words[1])
            other = self.journey.what_if(_number(words[0]), value)
            verdict = f"{sentence(other)[:1].upper()}{sentence(other)[1:]}" or "Nothing is wrong then"
            where = difference(self.journey.whole, other.history)
            return f"{verdict}.\n{f'The first difference: {where}.' if where else 'Not one event is another.'}"

        self._answer(answer)

    # -- ending

    def do_quit(self, line: str) -> bool:  # noqa: ARG002 - a command's signature
        """`quit`: leave the debugger."""
        return True

    do_EOF = do_quit  # noqa: N815 - what cmd.Cmd calls at the end of its input

    # -- answering

    def default(self, line: str) -> None:
        """Refuse what is no command."""
        self._write(f"{line.split(maxsplit=1)[0]!r} is no command; `help` lists them")

    def _answer(self, answer: Callable[[], str]) -> None:
        try:
            self._write(answer())
        except (TaskqError, ValueError) as error:
            self._write(str(error))

    def _write(self, text: str) -> None:
        self.stdout.write(f"{text}\n")

    def _line(self, position: int) -> str:
        end = len(self.journey.whole)
        here = ">" if position == self.journey.position else " "
        if position == 0:
            return f"{here} 0/{end}  the beginning"
        event: Event = self.journey.whole.events[position - 1]
        mark = "✗ " if event.seq in self.journey.evidence else ""
        return f"{here} {position}/{end}  {clock(event.t)}  {owner_of(event)}  {mark}{describe(event)}"


def interact(journey: Journey, stdin: TextIO | None = None, stdout: TextIO | None = None) -> None:
    """Go through a run at the terminal until the user leaves."""
    Prompt(journey, stdin, stdout).cmdloop()


def _choice(choice: Choice) -> str:
    if choice.names:
        others = ", ".join(name for number, name in enumerate(choice.names) if number != choice.value)
        here = f"{choice.draw[0]} of {choice.draw[1]}"
        return f"{choice.number}: {choice.names[choice.value]}, not {others}  after event {choice.position}  {here}"
    text = entry_text(choice.draw, choice.value)
    return f"{choice.number}: {choice.value} of 0 to {choice.n - 1}  after event {choice.position}  {text}"


def _number(text: str, default: int | None = None) -> int:
    text = text.strip()
    if not text and default is not None:
        return default
    if not text.isdecimal():
        raise ValueError(f"{text!r} is no number; give a whole one of at least 0")
    return int(text)
