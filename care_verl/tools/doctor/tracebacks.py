"""Tracebacks of several processes, interleaved in one log."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field

from care_verl.tools.doctor.log_lines import Line

_START = "Traceback (most recent call last)"
# Ray repeats the remote traceback below this line, and the exception itself at its end.
_WRAPPED = "ray.exceptions.RayTaskError"
_FRAMES = 200
_SPEAKERS = 256


@dataclass
class _Open:
    """What was read of a process's traceback. `inside`: its end has not come yet."""

    frames: deque[str] = field(default_factory=lambda: deque(maxlen=_FRAMES))
    inside: bool = False


@dataclass(frozen=True)
class Raised:
    """An exception as it ended a traceback, and the last frame above it."""

    line: Line
    frame: str


class Tracebacks:
    """Follows a log line by line. Memory is bounded: a few hundred lines of as many processes."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, _Open] = OrderedDict()
        self.last: Raised | None = None

    def follow(self, line: Line) -> None:
        """Take in the next line."""
        current = self._of(line.speaker)
        if line.text.startswith(_START):
            current.frames.clear()
            current.inside = True
        elif current.inside:
            self._inside(current, line)

    def frames(self, speaker: str) -> str:
        """The frames of the process's traceback that is open, or ended last."""
        known = self._open.get(speaker)
        return "\n".join(known.frames) if known else ""

    def _inside(self, current: _Open, line: Line) -> None:
        if not line.text.strip() or line.text[0].isspace() or line.text.startswith(_WRAPPED):
            current.frames.append(line.text)
            return
        frame = next((text for text in reversed(current.frames) if "File " in text), "")
        self.last = Raised(line, frame.strip())
        current.inside = False

    def _of(self, speaker: str) -> _Open:
        if speaker not in self._open:
            self._open[speaker] = _Open()
            if len(self._open) > _SPEAKERS:
                self._open.popitem(last=False)
        self._open.move_to_end(speaker)
        return self._open[speaker]
