"""What a caller asks a worker, and what the worker answers, as lines of JSON."""

import json
from dataclasses import asdict, dataclass
from typing import Literal

# A worker's first line.
READY = b"ready\n"


@dataclass(frozen=True)
class Form:
    """One side of a comparison, as math-verify is to read it.

    text: the expression, or prose that holds one.
    kind: `math`: the text is one expression in LaTeX; `prose`: math-verify looks for its answer.
    """

    text: str
    kind: Literal["math", "prose"]


@dataclass(frozen=True)
class Comparison:
    """The outcome of a comparison.

    same: both are equal.
    answer_read, gold_read: what was understood; empty where nothing was.
    gold_readable: the gold answer was understood as mathematics, not only as a string.
    decided: False when the worker did not live to say: too much time, too much memory.
    seconds: processor time that it took.
    """

    same: bool
    answer_read: str = ""
    gold_read: str = ""
    gold_readable: bool = False
    decided: bool = True
    seconds: float = 0.0


UNDECIDED = Comparison(same=False, decided=False)


def encode_request(answer: Form, gold: Form) -> bytes:
    """One line, in ASCII whatever the texts hold."""
    return json.dumps([answer.text, answer.kind, gold.text, gold.kind]).encode() + b"\n"


def decode_request(line: bytes) -> tuple[Form, Form]:
    """The inverse of `encode_request`."""
    answer, answer_kind, gold, gold_kind = json.loads(line)
    return Form(answer, answer_kind), Form(gold, gold_kind)


def encode_comparison(comparison: Comparison) -> bytes:
    """One line."""
    return json.dumps(asdict(comparison)).encode() + b"\n"


def decode_comparison(line: bytes) -> Comparison:
    """The inverse of `encode_comparison`."""
    return Comparison(**json.loads(line))
