"""Held-out accuracy of a checkpoint of the embedded task: mean@8, pass@8 and greedy.

Sampling is transformers' own `generate`, so that a checkpoint is judged by code that neither
trained it nor decoded its rollouts. It prints one JSON object on its last line:

    python -m care_verl.demo.evaluate MODEL_FOLDER DATA.parquet --samples 8 --seed 0
"""

from __future__ import annotations

import argparse
import io
import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from care_verl import platform
from care_verl.data.embedded.errors import classify_error
from care_verl.data.embedded.rows import DATA_SOURCE
from care_verl.verifier import verify

BATCH_ROWS = 512


@dataclass(frozen=True)
class Evaluation:
    """Accuracies in [0, 1] over the charts of a file.

    `per_chart` is each chart's share of right samples; `errors` counts the wrong samples by the
    step they went wrong in.
    """

    mean: float
    half_width: float
    pass_at_n: float
    greedy: float
    errors: dict[str, int]
    per_chart: list[float]


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half width of its 95 % confidence interval, over charts: 1.96·sd/sqrt(n)."""
    mean = sum(values) / len(values)
    if len(values) < 2:
        return mean, math.nan
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return mean, 1.96 * math.sqrt(variance / len(values))


def evaluate(model_dir: Path, data: Path, samples: int, seed: int, max_new: int) -> Evaluation:
    """Sample `samples` responses a chart at temperature 1, and one greedily."""
    sampler = Sampler(model_dir, seed, max_new)
    rows = pq.read_table(data).to_pylist()
    sampled = sampler.generate(rows, samples, greedy=False)
    greedy = sampler.generate(rows, 1, greedy=True)
    per_chart, errors = [], Counter[str]()
    for row, responses in zip(rows, sampled, strict=True):
        wrong = [text for text in responses if not is_right(row, text)]
        errors.update(str(classify_error(text, row["extra_info"])) for text in wrong)
        per_chart.append(1 - len(wrong) / samples)
    mean, half_width = interval(per_chart)
    return Evaluation(
        mean=mean,
        half_width=half_width,
        pass_at_n=sum(share > 0 for share in per_chart) / len(rows),
        greedy=sum(is_right(row, texts[0]) for row, texts in zip(rows, greedy, strict=True))
        / len(rows),
        errors=dict(errors),
        per_chart=per_chart,
    )


def is_right(row: dict[str, Any], response: str) -> bool:
    """The verifier's verdict on one response."""
    return verify(response, row["reward_model"]["ground_truth"], DATA_SOURCE).acc == 1.0


class Sampler:
    """A checkpoint ready to answer charts."""

    def __init__(self, model_dir: Path, seed: int, max_new: int) -> None:
        platform.install()
        import torch
        from transformers import AutoModelForImageTextToText, AutoProcessor

        torch.manual_seed(seed)
        self.processor = AutoProcessor.from_pretrained(model_dir)
        self.processor.tokenizer.padding_side = "left"
        self.model = AutoModelForImageTextToText.from_pretrained(model_dir, dtype=torch.float32)
        self.model.eval()
        self.max_new = max_new

    def generate(
        self, rows: Sequence[dict[str, Any]], samples: int, greedy: bool
    ) -> list[list[str]]:
        """`samples` response texts for each row."""
        responses: list[list[str]] = []
        step = max(1, BATCH_ROWS // samples)
        for start in range(0, len(rows), step):
            texts = self._generate_batch(rows[start : start + step], samples, greedy)
            responses += [texts[i : i + samples] for i in range(0, len(texts), samples)]
        return responses

    def _generate_batch(
        self, rows: Sequence[dict[str, Any]], samples: int, greedy: bool
    ) -> list[str]:
        import torch
        from PIL import Image

        images = [Image.open(io.BytesIO(row["images"][0]["bytes"])) for row in rows]
        inputs = self.processor(
            text=[self._prompt(row) for row in rows],
            images=images,
            padding=True,
            return_tensors="pt",
        )
        sampling = {"do_sample": False} if greedy else {"do_sample": True, "temperature": 1.0}
        with torch.inference_mode():
            output = self.model.generate(
                **inputs,
                **sampling,
                top_k=0,
                top_p=1.0,
                num_return_sequences=samples,
                max_new_tokens=self.max_new,
                suppress_tokens=self._placeholders(),
            )
        new = output[:, inputs["input_ids"].shape[1] :]
        texts: list[str] = self.processor.tokenizer.batch_decode(new, skip_special_tokens=True)
        return texts

    def _prompt(self, row: dict[str, Any]) -> str:
        question = row["prompt"][0]["content"].removeprefix("<image>")
        content = [{"type": "image"}, {"type": "text", "text": question}]
        prompt: str = self.processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
        )
        return prompt

    def _placeholders(self) -> list[int]:
        """Tokens that stand for image features, which no response may hold."""
        tokenizer, end = self.processor.tokenizer, self.model.generation_config.eos_token_id
        ends = set(end) if isinstance(end, list) else {end}
        return [token for token in tokenizer.all_special_ids if token not in ends]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-new", type=int, default=32)
    args = parser.parse_args()
    result = evaluate(args.model, args.data, args.samples, args.seed, args.max_new)
    print(json.dumps(asdict(result)))


if __name__ == "__main__":
    main()
