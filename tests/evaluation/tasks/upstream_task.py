"""One of LMMs-Eval's own tasks on our files; imported in its environment alone.

Its prompt, its generation settings, its score. What is ours are the data, and that the verifier's
verdict of each answer is logged beside its score.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lmms_eval.api.task import ConfigurableMessagesTask

from care_verl.tools.evaluation.answers import ENTRY, entries
from care_verl.tools.evaluation.benchmarks import BENCHMARKS
from care_verl.tools.evaluation.scoring import answers_of
from care_verl.tools.evaluation.settings import TaskSettings
from care_verl.tools.evaluation.tasks.lmms_task import split_tables
from tests.benchmarks.upstream_scores import OWN, SCORE, own_task

PREFIX = "care_upstream_"
THEIRS = "theirs"
"""Name of the scores in a line of the log, one for each response."""
# Its prompt asks for these tags, whatever ours does.
_SETTINGS = TaskSettings()


class UpstreamTask(ConfigurableMessagesTask):
    """The task under a name of ours, `care_upstream_` and the benchmark's."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.benchmark = BENCHMARKS[config["task"].removeprefix(PREFIX)]
        super().__init__(config={**own_task(self.benchmark.name), "task": config["task"]})

    def download(self, dataset_kwargs: Any = None) -> None:
        self.dataset, self.dataset_no_image = split_tables(self.benchmark)

    def process_results(
        self, doc: Mapping[str, Any], results: list[Any], full_docs: Any = None
    ) -> dict[str, Any]:
        """Its own metrics of all responses, our verdicts, and its score of each."""
        question = self.benchmark.read(doc)
        answers = answers_of(self.benchmark, -1, question, results, _SETTINGS)
        theirs = super().process_results
        scores = [float(theirs(doc, [result])[SCORE]) for result in results]
        metrics: dict[str, Any] = theirs(doc, results)
        return {**metrics, ENTRY: entries(answers), THEIRS: scores}


def write_tasks(folder: Path) -> None:
    """The files by which LMMs-Eval finds them, for its `include_path`."""
    folder.mkdir()
    for name in OWN:
        lines = f"task: {PREFIX}{name}\nclass: !function {__name__}.UpstreamTask\n"
        folder.joinpath(f"{name}.yaml").write_text(lines, "utf-8")
