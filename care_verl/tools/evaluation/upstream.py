"""LMMs-Eval's own scores of responses that were scored by the verifier: where do the two differ?

Either one of its tasks was run (`care_upstream_NAME`), whose log holds both verdicts, or its scores
are computed here for the responses of a run of ours, without a model. They are those of a careful
user: one thread, the rationale kept. With LMMs-Eval's defaults more of them would be 0.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from care_verl.common.errors import CareVerlError
from care_verl.tools.evaluation.answers import Answer, write_answers
from care_verl.tools.evaluation.benchmarks import BENCHMARKS
from care_verl.tools.evaluation.environment import lmms_eval_python

_TAIL_LINES = 20


class UpstreamError(CareVerlError):
    """LMMs-Eval's own scoring failed."""


def upstream_run(benchmark: str) -> str:
    """The name under which LMMs-Eval's own task runs on our rows, its answers scored by both.

    Raises ValueError for a benchmark that it has no such task for.
    """
    if BENCHMARKS[benchmark].upstream_task is None:
        raise ValueError(f"LMMs-Eval has no task of its own for {benchmark}")
    return f"care_upstream_{benchmark}"


def with_upstream_scores(answers: Sequence[Answer]) -> list[Answer]:
    """The answers with LMMs-Eval's own score of the same response, where it has a task.

    Its functions run in its environment, on the rows that `evaluation.data` finds.

    Raises UpstreamError with the end of what they printed.
    """
    asked = [answer for answer in answers if BENCHMARKS[answer.benchmark].upstream_task]
    scores = iter(_scores(asked) if asked else [])
    return [
        replace(answer, upstream=next(scores))
        if BENCHMARKS[answer.benchmark].upstream_task
        else answer
        for answer in answers
    ]


def disagreements(answers: Sequence[Answer]) -> list[Answer]:
    """The answers that both scored, one right and the other wrong."""
    return [answer for answer in answers if answer.disagrees]


def _scores(answers: Sequence[Answer]) -> list[float]:
    module = "care_verl.tools.evaluation.tasks.lmms_upstream"
    with tempfile.TemporaryDirectory() as folder:
        given, scored = Path(folder) / "answers.jsonl", Path(folder) / "scores.json"
        write_answers(answers, given)
        command = [str(lmms_eval_python()), "-m", module, str(given), str(scored)]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode:
            tail = "\n".join((done.stdout + done.stderr).splitlines()[-_TAIL_LINES:])
            raise UpstreamError(f"LMMs-Eval's own scoring failed:\n{tail}")
        scores: list[float] = json.loads(scored.read_text())
    return scores
