"""LMMs-Eval's own scores of what `care-verl evaluate` scored: where do the two differ?

    python -m tests.benchmarks.upstream_scores outputs/evaluation

Reads the answers of an evaluation, has the functions of LMMs-Eval's own `*_reasoning` tasks score
the same responses, and prints both accuracies and each disagreement in Markdown. No model is
loaded. The scores are those of a careful user: in the main thread, where math-verify's alarm works,
and with the rationale. With LMMs-Eval's defaults more of them would be 0.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from care_verl.tools.evaluation.answers import Answer, load_answers, write_answers
from care_verl.tools.evaluation.benchmarks import BENCHMARKS
from care_verl.tools.evaluation.cells import ANSWERS
from care_verl.tools.evaluation.environment import lmms_eval_python

ROOT = Path(__file__).parents[2]
OWN = {
    "mathvista": "mathvista/reasoning/mathvista_testmini_cot.yaml",
    "mathverse": "mathverse/reasoning/mathverse_testmini.yaml",
    "mathvision": "mathvision/reasoning/mathvision_reason_test.yaml",
    "mmmu": "mmmu/reasoning/mmmu_val_reasoning.yaml",
    "mmmu_pro_standard": "mmmu_pro/reasoning/mmmu_pro_standard_cot.yaml",
    "mmmu_pro_vision": "mmmu_pro/reasoning/mmmu_pro_vision_cot.yaml",
}
"""Files of its tasks with a rule-based score, by benchmark; the embedded task has none."""
SCORE = "acc_score"
_LETTERS = 80
_TAIL_LINES = 20


@dataclass(frozen=True)
class Scored:
    """An answer with LMMs-Eval's own score of the same response."""

    answer: Answer
    theirs: float

    @property
    def disagrees(self) -> bool:
        return (self.theirs >= 0.5) != (self.answer.acc >= 0.5)


def scored(answers: Sequence[Answer]) -> list[Scored]:
    """Those of the answers whose benchmark LMMs-Eval has a task of its own for.

    Its functions run in its environment, on the rows that `evaluation.data` finds.

    Raises RuntimeError with the end of what they printed.
    """
    asked = [answer for answer in answers if answer.benchmark in OWN]
    with tempfile.TemporaryDirectory() as folder:
        given, scores = Path(folder) / "answers.jsonl", Path(folder) / "scores.json"
        write_answers(asked, given)
        command = [str(lmms_eval_python()), "-m", "tests.benchmarks.upstream_scores"]
        command += [str(given), "--inside", str(scores)]
        paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        if done.returncode:
            tail = "\n".join((done.stdout + done.stderr).splitlines()[-_TAIL_LINES:])
            raise RuntimeError(f"LMMs-Eval's own scoring failed:\n{tail}")
        theirs = json.loads(scores.read_text())
    return [Scored(answer, score) for answer, score in zip(asked, theirs, strict=True)]


def page(rows: Sequence[Scored]) -> Iterator[str]:
    """Both accuracies by benchmark, then the answers on which the two differ; lines of Markdown."""
    yield "| benchmark | answers | verifier, % | LMMs-Eval, % | differ |"
    yield "|---|---|---|---|---|"
    for name in dict.fromkeys(row.answer.benchmark for row in rows):
        own = [row for row in rows if row.answer.benchmark == name]
        ours = 100 * sum(row.answer.acc for row in own) / len(own)
        theirs = 100 * sum(row.theirs for row in own) / len(own)
        differ = sum(row.disagrees for row in own)
        yield f"| {name} | {len(own)} | {ours:.1f} | {theirs:.1f} | {differ} |"
    found = [row for row in rows if row.disagrees]
    yield from ("", f"{len(found)} of {len(rows)} answers.")
    if found:
        yield from ("", "| benchmark | question | gold | answer | rule | verifier | LMMs-Eval |")
        yield "|---|---|---|---|---|---|---|"
    for row in found:
        one = row.answer
        cells = [one.benchmark, one.doc_id, _short(one.gold), _short(one.answer), one.rule]
        yield f"| {' | '.join([*cells, f'{one.acc:g}', f'{row.theirs:g}'])} |"


def _short(text: str) -> str:
    line = " ".join(text.split()).replace("|", "\\|")
    return line if len(line) <= _LETTERS else f"{line[:_LETTERS]}…"


def own_task(benchmark: str) -> dict[str, Any]:
    """The configuration of LMMs-Eval's own task, its functions loaded; in its environment alone."""
    # Its MathVista and MathVerse modules make a client when they are imported. None of the tasks
    # asks it anything unless USE_LLM_JUDGE is set.
    os.environ.setdefault("OPENAI_API_KEY", "unused")
    import lmms_eval.tasks
    from lmms_eval.utils import load_yaml_config

    file = Path(lmms_eval.tasks.__file__).parent / OWN[benchmark]
    config: dict[str, Any] = load_yaml_config(str(file), mode="full")
    return config


def _scores_inside(answers: Sequence[Answer]) -> list[float]:
    """LMMs-Eval's own score of each answer's response; in its environment alone.

    Raises ValueError when a row of the data here is not the one that was answered.
    """
    from care_verl.platform.extensions import offer_vllm_platform

    offer_vllm_platform()
    from care_verl.tools.evaluation.tasks.lmms_task import split_tables

    tables: dict[str, tuple[Any, Any]] = {}
    scores = []
    for answer in answers:
        benchmark = BENCHMARKS[answer.benchmark]
        if answer.benchmark not in tables:
            docs = split_tables(benchmark)[1][benchmark.split]
            tables[answer.benchmark] = own_task(answer.benchmark)["process_results"], docs
        process_results, docs = tables[answer.benchmark]
        doc = docs[answer.row]
        found = benchmark.read(doc).doc_id
        if found != answer.doc_id:
            raise ValueError(
                f"{answer.benchmark}: row {answer.row} is {found}; expected {answer.doc_id}, which "
                "was answered: the data are not the same"
            )
        # LMMs-Eval strips white space before it calls a task's function.
        scores.append(float(process_results(doc, [answer.response.strip()])[SCORE]))
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path, help="what --out of care-verl evaluate named")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        given.inside.write_text(json.dumps(_scores_inside(load_answers(given.out))))
        return
    for folder in sorted(given.out.joinpath("cells").iterdir()):
        files = sorted(folder.glob(f"*/{ANSWERS}"))
        rows = scored([answer for file in files for answer in load_answers(file)])
        print(f"## {folder.name}", "", *page(rows), "", sep="\n")


if __name__ == "__main__":
    main()
