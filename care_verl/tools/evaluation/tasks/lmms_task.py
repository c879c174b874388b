"""The class of all our tasks in LMMs-Eval; imported in its environment alone.

It departs from LMMs-Eval's own class in four ways. Data come from `evaluation.data`, which says
what is missing, instead of a loader that tries five times and reports that it tried. Responses are
scored as they were generated, with their rationale. An error in scoring ends the run at once: it is
no wrong answer. And images stand where the question names them.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from datasets import DatasetDict, Image
from lmms_eval.api.task import ConfigurableMessagesTask
from PIL import Image as Pillow

from care_verl.tools.evaluation.answers import ENTRY, entries
from care_verl.tools.evaluation.benchmarks import Benchmark, benchmark_of
from care_verl.tools.evaluation.data import load
from care_verl.tools.evaluation.scoring import answers_of
from care_verl.tools.evaluation.settings import task_settings
from care_verl.tools.evaluation.tasks.question import Picture


class BenchmarkTask(ConfigurableMessagesTask):  # type: ignore[misc]
    """A task of ours, named in its YAML file."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.benchmark = benchmark_of(config["task"])
        self.settings = task_settings()
        own = {key: value for key, value in config.items() if key != "class"}
        own["test_split"] = self.benchmark.split
        # Shown in LMMs-Eval's results; the methods below are what is called.
        own["process_results"] = "care_verl.tools.evaluation.scoring"
        own["metadata"] = {**own["metadata"], **asdict(self.settings)}
        super().__init__(config=own)

    def download(self, dataset_kwargs: Any = None) -> None:
        """Load the split. Raises DataError that says which files to place where."""
        self.dataset, self.dataset_no_image = split_tables(self.benchmark)

    def doc_to_text(self, doc: Mapping[str, Any]) -> str:
        """The prompt with `<image>` for each image, as it is logged."""
        return self.benchmark.read(doc).text + self._ending()

    def doc_to_target(self, doc: Mapping[str, Any]) -> str:
        """The gold answer, as it is logged."""
        return self.benchmark.read(doc).gold

    def doc_to_visual(self, doc: Mapping[str, Any]) -> list[Pillow.Image]:
        """The images in the order in which the prompt names them."""
        parts = self.benchmark.read(doc).parts
        return [_opened(doc, part) for part in parts if isinstance(part, Picture)]

    def doc_to_messages(self, doc: Mapping[str, Any], **rounds: Any) -> list[dict[str, Any]]:
        """One message of the user: texts and images in their order, then the instruction."""
        content: list[dict[str, Any]] = []
        for part in (*self.benchmark.read(doc).parts, self._ending()):
            if isinstance(part, Picture):
                content.append({"type": "image", "url": _opened(doc, part)})
            elif content and content[-1]["type"] == "text":
                content[-1]["text"] += part
            elif part:
                content.append({"type": "text", "text": part})
        return [{"role": "user", "content": content}]

    def process_results(
        self, doc: Mapping[str, Any], results: list[Any], full_docs: Any = None
    ) -> dict[str, Any]:
        """Means over the row's responses, and our entry for the log."""
        # LMMs-Eval writes the row's place itself.
        answers = answers_of(self.benchmark, -1, self.benchmark.read(doc), results, self.settings)
        return {
            "acc": sum(answer.acc for answer in answers) / len(answers),
            "fmt": sum(answer.fmt for answer in answers) / len(answers),
            ENTRY: entries(answers),
        }

    def _ending(self) -> str:
        asked = self.benchmark.asks_for_tags and self.settings.ending
        return f"\n\n{self.settings.ending}" if asked else ""


def split_tables(benchmark: Benchmark) -> tuple[DatasetDict, DatasetDict]:
    """The benchmark's rows under the name of their split, with and without their images."""
    table = load(benchmark)
    images = [name for name, feature in table.features.items() if isinstance(feature, Image)]
    bare = table.remove_columns(images)
    return DatasetDict({benchmark.split: table}), DatasetDict({benchmark.split: bare})


def _opened(doc: Mapping[str, Any], place: Picture) -> Pillow.Image:
    """The image as training sees it: RGB. Raises ValueError where the row has none."""
    value = doc[place.column]
    if place.index is not None:
        value = value[place.index]
    if isinstance(value, Mapping) and value.get("bytes"):
        value = Pillow.open(io.BytesIO(value["bytes"]))
    if not isinstance(value, Pillow.Image):
        raise ValueError(f"column {place.column} holds {type(value).__name__}; expected an image")
    return value.convert("RGB")
