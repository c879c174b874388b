"""The benchmarks: the paper's six and the embedded task.

Each has a task of our own for LMMs-Eval (`tasks/NAME.yaml`).
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from care_verl.tools.evaluation.tasks.question import Question


@dataclass(frozen=True)
class Benchmark:
    """What is known about a benchmark before its data are read.

    name: what it is called on the command line.
    task: our task's name in LMMs-Eval.
    dataset: id on the Hugging Face hub; None where the data are made here.
    config, split: its configuration (None: the only one) and split there.
    files: patterns of that split's files, as the hub names them.
    rows: how many rows the published split has; None where that is up to who made the data.
    paper: its column in the paper's Tables 1 and 2; None where it has none.
    reader: the module that reads its rows.
    asks_for_tags: the prompt ends with the instruction that names the tags; the embedded policy
        has learned them without.
    """

    name: str
    task: str
    dataset: str | None
    config: str | None
    split: str
    files: tuple[str, ...]
    rows: int | None
    paper: str | None
    reader: str
    asks_for_tags: bool = True

    def read(self, doc: Mapping[str, Any]) -> Question:
        """A row of the data set as a question. Raises ValueError for a row that makes no sense."""
        question: Question = importlib.import_module(self.reader).read(doc)
        return question

    @property
    def title(self) -> str:
        """What it is called in the paper, or here."""
        return self.paper or self.name

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that `read` needs."""
        columns: tuple[str, ...] = importlib.import_module(self.reader).COLUMNS
        return columns


_ALL = (
    Benchmark(
        name="mathvista",
        task="care_mathvista_testmini",
        dataset="AI4Math/MathVista",
        config=None,
        split="testmini",
        files=("data/testmini-*.parquet",),
        rows=1000,
        paper="MathVista mini",
        reader="care_verl.tools.evaluation.tasks.mathvista",
    ),
    Benchmark(
        name="mathverse",
        task="care_mathverse_testmini",
        dataset="CaraJ/MathVerse-lmmseval",
        config="testmini",
        split="testmini",
        files=("testmini.parquet",),
        rows=3940,
        paper="MathVerse mini",
        reader="care_verl.tools.evaluation.tasks.mathverse",
    ),
    Benchmark(
        name="mathvision",
        task="care_mathvision_test",
        dataset="MathLLMs/MathVision",
        config=None,
        split="test",
        files=("data/test-*.parquet",),
        rows=3040,
        paper="MATH-Vision full",
        reader="care_verl.tools.evaluation.tasks.mathvision",
    ),
    Benchmark(
        name="mmmu",
        task="care_mmmu_val",
        dataset="lmms-lab-encoder/MMMU",
        config=None,
        split="validation",
        files=("data/validation-*.parquet",),
        rows=900,
        paper="MMMU val",
        reader="care_verl.tools.evaluation.tasks.mmmu",
    ),
    Benchmark(
        name="mmmu_pro_standard",
        task="care_mmmu_pro_standard",
        dataset="MMMU/MMMU_Pro",
        config="standard (10 options)",
        split="test",
        files=("standard (10 options)/test-*.parquet",),
        rows=1730,
        paper="MMMU-Pro standard",
        reader="care_verl.tools.evaluation.tasks.mmmu_pro_standard",
    ),
    Benchmark(
        name="mmmu_pro_vision",
        task="care_mmmu_pro_vision",
        dataset="MMMU/MMMU_Pro",
        config="vision",
        split="test",
        files=("vision/test-*.parquet",),
        rows=1730,
        paper="MMMU-Pro vision",
        reader="care_verl.tools.evaluation.tasks.mmmu_pro_vision",
    ),
    Benchmark(
        name="embedded",
        task="care_embedded_test",
        dataset=None,
        config=None,
        split="test",
        files=("test.parquet",),
        rows=None,
        paper=None,
        reader="care_verl.tools.evaluation.tasks.embedded",
        asks_for_tags=False,
    ),
)
BENCHMARKS: dict[str, Benchmark] = {benchmark.name: benchmark for benchmark in _ALL}
PAPER: tuple[str, ...] = tuple(each.name for each in _ALL if each.paper is not None)
"""Names of the paper's six, in the order of its tables."""


def benchmark_of(task: str) -> Benchmark:
    """The benchmark that a task of ours belongs to. Raises KeyError for any other task."""
    for benchmark in _ALL:
        if task == benchmark.task:
            return benchmark
    raise KeyError(f"{task}: no task of {', '.join(BENCHMARKS)}")


def chosen(names: Sequence[str]) -> list[Benchmark]:
    """The benchmarks of `names`, each once, in the order named; `paper` stands for all six.

    Raises ValueError for a name that is none, and for no name at all.
    """
    wanted: dict[str, Benchmark] = {}
    for name in names:
        if name != "paper" and name not in BENCHMARKS:
            raise ValueError(
                f"benchmark {name!r}; expected paper, or one of {', '.join(BENCHMARKS)}"
            )
        for each in PAPER if name == "paper" else (name,):
            wanted[each] = BENCHMARKS[each]
    if not wanted:
        raise ValueError(f"no benchmark named; expected paper, or {', '.join(BENCHMARKS)}")
    return list(wanted.values())
