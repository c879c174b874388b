"""LMMs-Eval's own `*_reasoning` tasks, on the same rows; imported in its environment alone.

`UpstreamTask` runs one of them: its prompt, its generation settings, its score. What is ours are
the data, and that each answer is logged with both verdicts. As a program this module scores given
responses, in the main thread, where math-verify's alarm works, and with their rationale:

    python -m care_verl.tools.evaluation.tasks.lmms_upstream ANSWERS SCORES

reads the answers of `write_answers` and writes a JSON list of scores.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from care_verl.platform.extensions import offer_vllm_platform
from care_verl.tools.evaluation.answers import ENTRY, Answer, entries, load_answers
from care_verl.tools.evaluation.benchmarks import BENCHMARKS, Benchmark
from care_verl.tools.evaluation.scoring import answers_of
from care_verl.tools.evaluation.settings import TaskSettings

offer_vllm_platform()
# Its MathVista and MathVerse modules make a client when they are imported. None of the tasks asks
# it anything unless USE_LLM_JUDGE is set.
os.environ.setdefault("OPENAI_API_KEY", "unused")

import lmms_eval.tasks  # noqa: E402
from lmms_eval.api.task import ConfigurableMessagesTask  # noqa: E402
from lmms_eval.utils import load_yaml_config  # noqa: E402

from care_verl.tools.evaluation.tasks.lmms_task import split_tables  # noqa: E402

_FILES = {
    "mathvista": "mathvista/reasoning/mathvista_testmini_cot.yaml",
    "mathverse": "mathverse/reasoning/mathverse_testmini.yaml",
    "mathvision": "mathvision/reasoning/mathvision_reason_test.yaml",
    "mmmu": "mmmu/reasoning/mmmu_val_reasoning.yaml",
    "mmmu_pro_standard": "mmmu_pro/reasoning/mmmu_pro_standard_cot.yaml",
    "mmmu_pro_vision": "mmmu_pro/reasoning/mmmu_pro_vision_cot.yaml",
}
_SCORE = "acc_score"
# Its prompt asks for these tags, whatever ours does.
_SETTINGS = TaskSettings()


def upstream_config(benchmark: Benchmark) -> dict[str, Any]:
    """The configuration of LMMs-Eval's own task, its functions loaded.

    Raises ValueError when the file holds another task than the one that is named.
    """
    file = Path(lmms_eval.tasks.__file__).parent / _FILES[benchmark.name]
    config: dict[str, Any] = load_yaml_config(str(file), mode="full")
    if config["task"] != benchmark.upstream_task:
        raise ValueError(f"{file} holds {config['task']}; expected {benchmark.upstream_task}")
    return config


class UpstreamTask(ConfigurableMessagesTask):  # type: ignore[misc]
    """One of LMMs-Eval's own tasks under a name of ours, `care_upstream_` and the benchmark's."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.benchmark = BENCHMARKS[config["task"].removeprefix("care_upstream_")]
        super().__init__(config={**upstream_config(self.benchmark), "task": config["task"]})

    def download(self, dataset_kwargs: Any = None) -> None:
        """Load the split. Raises DataError that says which files to place where."""
        self.dataset, self.dataset_no_image = split_tables(self.benchmark)

    def process_results(
        self, doc: Mapping[str, Any], results: list[Any], full_docs: Any = None
    ) -> dict[str, Any]:
        """Its own metrics of all responses, and our entry with both verdicts of each."""
        question = self.benchmark.read(doc)
        answers = answers_of(self.benchmark, -1, question, results, _SETTINGS)
        theirs = super().process_results
        scores = [float(theirs(doc, [result])[_SCORE]) for result in results]
        both = [replace(a, upstream=score) for a, score in zip(answers, scores, strict=True)]
        metrics: dict[str, Any] = theirs(doc, results)
        return {**metrics, ENTRY: entries(both)}


def scores_of(answers: list[Answer]) -> list[float]:
    """LMMs-Eval's own score of each answer's response.

    Raises ValueError when a row of the data here is not the one that was answered.
    """
    tables: dict[str, tuple[Any, Any]] = {}
    scores = []
    for answer in answers:
        benchmark = BENCHMARKS[answer.benchmark]
        if answer.benchmark not in tables:
            docs = split_tables(benchmark)[1][benchmark.split]
            tables[answer.benchmark] = upstream_config(benchmark)["process_results"], docs
        process_results, docs = tables[answer.benchmark]
        doc = docs[answer.row]
        found = benchmark.read(doc).doc_id
        if found != answer.doc_id:
            raise ValueError(
                f"{answer.benchmark}: row {answer.row} is {found}; expected {answer.doc_id}, which "
                "was answered: the data are not the same"
            )
        # LMMs-Eval strips white space before it calls a task's function.
        scores.append(float(process_results(doc, [answer.response.strip()])[_SCORE]))
    return scores


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(scores_of(load_answers(Path(sys.argv[1])))))
