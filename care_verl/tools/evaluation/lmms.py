"""LMMs-Eval's command line, what its log says while it runs, and whether its result is whole.

It exits with 0 whatever happened, and a request that failed becomes a response like any other: the
only sign of success is a file with an answer to every row.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from care_verl.common.children import tail
from care_verl.common.errors import CareVerlError
from care_verl.tools.evaluation.answers import Answer, read_answers
from care_verl.tools.evaluation.decoding import Decoding
from care_verl.tools.evaluation.environment import tasks_folder

_PROGRESS = re.compile(rb"Model Responding:\s+\d+%\|[^|]*\|\s*(\d+)/(\d+)")
_REQUEST_FAILED = re.compile(rb"All \d+ attempts failed\. Last error: ([^\r\n]+)")
_ERROR = re.compile(r"^(?:[\w.]+\.)?(\w*(?:Error|Exception|Interrupt)): .+", re.MULTILINE)
# vLLM's words for a prompt, with its images' tokens, that does not fit.
_TOO_LARGE = re.compile(
    r"longer than the maximum model length|maximum context length|pre-allocated encoder cache"
)
_LIMIT_ADVICE = (
    "A question's image or text needs more tokens than the model may take: raise the limit with "
    "--model-arg max_model_len=N, bound the images with --model-arg "
    'mm_processor_kwargs={"max_pixels":N}, or, with a server, lower --max-new-tokens'
)
_BLOCK = 65_536


class RunFailedError(CareVerlError):
    """LMMs-Eval did not answer every row; nothing of what it wrote counts."""


@dataclass(frozen=True)
class Progress:
    """Questions answered, of all."""

    done: int
    of: int


def command(
    launcher: Sequence[str],
    task: str,
    model: Sequence[str],
    decoding: Decoding,
    out: Path,
    limit: int | None,
) -> list[str]:
    """The command line for one task; `launcher` and `model` are the backend's."""
    return [
        *launcher,
        *model,
        *("--tasks", task),
        *("--include_path", str(tasks_folder())),
        *("--gen_kwargs", decoding.arguments()),
        *("--seed", str(decoding.seed)),
        *("--output_path", str(out)),
        "--log_samples",
        # The verifier reads the rationale's tags; and it may run in threads, other scorers not.
        *("--reasoning_tags", "none"),
        *("--process_docs_parallel", "1"),
        *(["--limit", str(limit)] if limit is not None else []),
    ]


def progress(log: Path) -> Progress | None:
    """How far the model is, by the last state of LMMs-Eval's bar; None before it starts."""
    found = _PROGRESS.findall(_end(log))
    return Progress(int(found[-1][0]), int(found[-1][1])) if found else None


def failed_request(log: Path) -> str | None:
    """What a server said to a request that was given up; None where there was none."""
    found = _REQUEST_FAILED.search(_end(log))
    return found.group(1).decode(errors="replace") if found else None


def refused_request(what: str, reason: str, log: Path) -> RunFailedError:
    """The error for a request that a server refused; LMMs-Eval would score it as a response."""
    return RunFailedError(
        "\n".join(
            [f"{what}: the server refused a question: {reason}", *_advice(reason), f"See {log}"]
        )
    )


def failure(log: Path, what: str) -> RunFailedError:
    """The error for a run that ended without answers: its reason and the log's end."""
    reasons = [match.group(0) for match in _ERROR.finditer(log.read_text(errors="replace"))]
    reason = reasons[-1] if reasons else "LMMs-Eval gave no reason"
    return RunFailedError(
        "\n".join([f"{what} failed: {reason}", *_advice(reason), f"The end of {log}:", tail(log)])
    )


def whole_answers(out: Path, task: str, limit: int | None, log: Path) -> list[Answer]:
    """The answers of a run to every row that it was to answer.

    Raises RunFailedError when there is none, and when one is missing.
    """
    samples = list(out.glob(f"*/*_samples_{task}.jsonl"))
    results = list(out.glob("*/*_results.json"))
    if len(samples) != 1 or len(results) != 1:
        raise failure(log, task)
    answers = read_answers(samples[0])
    rows = _rows(results[0], task)
    expected = rows if limit is None else min(limit, rows)
    missing = sorted(set(range(expected)) - {answer.row for answer in answers})
    if missing or len(answers) != expected:
        raise RunFailedError(
            f"{task}: {len(answers)} answers to {expected} questions; without one are "
            f"rows {', '.join(map(str, missing[:5]))}. See {log}"
        )
    return answers


def _advice(reason: str) -> list[str]:
    return [_LIMIT_ADVICE] if _TOO_LARGE.search(reason) else []


def _rows(results: Path, task: str) -> int:
    found: dict[str, Any] = json.loads(results.read_text(encoding="utf-8"))
    return int(found["n-samples"][task]["original"])


def _end(log: Path) -> bytes:
    if not log.exists():
        return b""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _BLOCK))
        return file.read()
