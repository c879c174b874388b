"""A checkpoint's answers to the embedded task's held-out charts: eight sampled, and the greedy one.

Sampling is transformers' own `generate`, so that a checkpoint is judged by code that neither
trained it nor decoded its rollouts. Answers are scored, kept, compared and paired by the code of
`care-verl evaluate`, which decodes by other means. They go to FOLDER:

    python -m care_verl.tools.demo.evaluate MODEL_FOLDER DATA.parquet FOLDER --samples 8 --seed 0
"""

from __future__ import annotations

import argparse
import io
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from care_verl import platform
from care_verl.data.embedded.errors import classify_error
from care_verl.tools.evaluation.answers import Answer, load_answers, write_answers
from care_verl.tools.evaluation.benchmarks import BENCHMARKS
from care_verl.tools.evaluation.checkpoint import Model
from care_verl.tools.evaluation.lines import Line, Seed
from care_verl.tools.evaluation.scoring import answers_of
from care_verl.tools.evaluation.settings import TaskSettings
from care_verl.tools.evaluation.statistics import Interval

BATCH_ROWS = 512
BENCHMARK = BENCHMARKS["embedded"]
SAMPLED, GREEDY, ERRORS = "sampled.jsonl", "greedy.jsonl", "errors.json"


@dataclass(frozen=True)
class Evaluation:
    """A checkpoint's answers; `errors` counts the wrong samples by the step they went wrong in."""

    sampled: Line
    greedy: Line
    errors: dict[str, int]

    @classmethod
    def of(
        cls, label: str, sampled: list[Answer], greedy: list[Answer], errors: dict[str, int]
    ) -> Evaluation:
        """From the answers of a checkpoint."""
        return cls(_line(label, sampled), _line(label, greedy), errors)

    @classmethod
    def load(cls, label: str, folder: Path) -> Evaluation:
        """What `main` wrote into `folder`."""
        sampled, greedy = load_answers(folder / SAMPLED), load_answers(folder / GREEDY)
        return cls.of(label, sampled, greedy, json.loads((folder / ERRORS).read_text()))

    @property
    def charts(self) -> dict[str, float]:
        """Each chart's share of right samples, by its name."""
        return self.sampled.by_question(BENCHMARK.name)

    @property
    def mean(self) -> Interval:
        """mean@n, over charts."""
        return self.sampled.accuracy(BENCHMARK.name)

    @property
    def pass_at_n(self) -> float:
        """Share of charts with any right sample."""
        return sum(share > 0 for share in self.charts.values()) / len(self.charts)


def evaluate(
    model_dir: Path, data: Path, samples: int, seed: int, max_new: int
) -> tuple[list[Answer], list[Answer], dict[str, int]]:
    """Sample `samples` responses a chart at temperature 1, and one greedily; count the errors."""
    platform.install()
    import torch

    from care_verl.tools.evaluation.sampler import Sampler, settings

    torch.manual_seed(seed)
    sampler = Sampler(str(model_dir), dtype=torch.float32)
    rows = pq.read_table(data).to_pylist()

    def answers(samples: int, temperature: float) -> list[Answer]:
        # No response may hold a token that stands for image features.
        generation = settings(max_new, temperature) | {"suppress_tokens": sampler.placeholders()}
        step = max(1, BATCH_ROWS // samples)
        texts: list[list[str]] = []
        for start in range(0, len(rows), step):
            charts = [conversation(row) for row in rows[start : start + step]]
            texts += sampler.responses(charts, generation, samples)
        return _scored(rows, texts)

    sampled, greedy = answers(samples, 1.0), answers(1, 0.0)
    errors = Counter(
        str(classify_error(answer.response, rows[answer.row]["extra_info"]))
        for answer in sampled
        if not answer.acc
    )
    return sampled, greedy, dict(errors)


def _scored(rows: Sequence[dict[str, Any]], responses: Sequence[Sequence[str]]) -> list[Answer]:
    settings = TaskSettings()
    return [
        answer
        for place, (row, texts) in enumerate(zip(rows, responses, strict=True))
        for answer in answers_of(BENCHMARK, place, BENCHMARK.read(row), texts, settings)
    ]


def _line(label: str, answers: list[Answer]) -> Line:
    return Line(label, (Seed(Model(label, label), {BENCHMARK.name: answers}),))


def conversation(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The one message of a row of the embedded task: its chart, then its question."""
    from PIL import Image

    chart = Image.open(io.BytesIO(row["images"][0]["bytes"]))
    question = row["prompt"][0]["content"].removeprefix("<image>")
    content = [{"type": "image", "image": chart}, {"type": "text", "text": question}]
    return [{"role": "user", "content": content}]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-new", type=int, default=32)
    args = parser.parse_args()
    sampled, greedy, errors = evaluate(args.model, args.data, args.samples, args.seed, args.max_new)
    args.out.mkdir(parents=True, exist_ok=True)
    write_answers(sampled, args.out / SAMPLED)
    write_answers(greedy, args.out / GREEDY)
    (args.out / ERRORS).write_text(json.dumps(errors))


if __name__ == "__main__":
    main()
