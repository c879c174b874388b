"""Small files in the published forms of verl, TRL and ms-swift, all of the same two groups."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

MIXED, WRONG = "What is 2 + 2?", "What is 7 * 8?"


def text(thought: str, answer: str) -> str:
    return f"<think>{thought}</think><answer>{answer}</answer>"


# prompt, gold, response, accuracy, format.
ROWS: list[tuple[str, str, str, float, float]] = [
    (MIXED, "4", text("two and two make four", "4"), 1.0, 1.0),
    (MIXED, "4", text("two and two make five", "5"), 0.0, 1.0),
    (MIXED, "4", text("count them one by one", "3"), 0.0, 1.0),
    (WRONG, "56", text("seven times eight is fifty four", "54"), 0.0, 1.0),
    (WRONG, "56", text("I guess", "48"), 0.0, 1.0),
    (WRONG, "56", text("eight times seven is sixty", "60"), 0.0, 1.0),
]


def verl_v1(folder: Path, step: int = 1) -> Path:
    """A step of verl's V1 trainer: no accuracy, but the key of the queue."""
    return _lines(
        folder / f"{step}.jsonl",
        [
            {
                "input": prompt,
                "output": response,
                "gts": gold,
                "score": acc,
                "step": step,
                "uid": f"p{0 if prompt == MIXED else 1}_{place}_0",
            }
            for place, (prompt, gold, response, acc, _) in enumerate(ROWS)
        ],
    )


def verl_grpo_care(folder: Path) -> Path:
    """A step of a GRPO-CARE run: two right rows, one without an answer, a wrong one, padding."""
    told = [
        (1.0, 0.8, 0.5, 0.99),
        (1.0, 0.4, 0.0, 0.2),
        (1.0, None, 0.0, 0.2),
        (0.0, 0.9, 0.0, -1.39),
    ]
    rows = [
        {
            "uid": f"s000001p00000_{place}_0",
            "score": acc,
            "acc": acc,
            "answer_likelihood": likelihood,
            "bonus": bonus,
            "advantage": advantage,
        }
        for place, (acc, likelihood, bonus, advantage) in enumerate(told)
    ]
    nothing = dict.fromkeys(("acc", "answer_likelihood", "bonus", "advantage"))
    padding = {"uid": "pad01_0_0", "score": 1.0, **nothing}
    plain = {"input": MIXED, "output": text("two and two", "4"), "gts": "4", "step": 1}
    return _lines(folder / "1.jsonl", [plain | row for row in [*rows, padding]])


def verl_ray(folder: Path, step: int = 1) -> Path:
    """A step of verl's other trainer: what the reward reports, and no uid."""
    return _lines(
        folder / f"{step}.jsonl",
        [
            {
                "input": prompt,
                "output": response,
                "gts": gold,
                "score": 0.9 * acc + 0.1 * fmt,
                "step": step,
                "acc": acc,
                "fmt": fmt,
                "request_id": f"r{place}",
            }
            for place, (prompt, gold, response, acc, fmt) in enumerate(ROWS)
        ],
    )


def trl(folder: Path, step: int = 1, **changed: Any) -> Path:
    """`completions_00001.parquet` of TRL since 0.28; `changed` replaces or adds columns."""
    folder.mkdir(parents=True, exist_ok=True)
    table = {
        "step": [step] * len(ROWS),
        "prompt": [row[0] for row in ROWS],
        "completion": [row[2] for row in ROWS],
        "accuracy_reward": [row[3] for row in ROWS],
        "format_reward": [row[4] for row in ROWS],
        "solution": [row[1] for row in ROWS],
        "advantage": [1.15, -0.58, -0.58, 0.0, 0.0, 0.0],
    }
    path = folder / f"completions_{step:05d}.parquet"
    pq.write_table(pa.table(table | changed), path)
    return path


def swift_table(step: int = 1, **changed: Any) -> dict[str, Any]:
    """A line of ms-swift's trainer: a list for each column."""
    return {
        "step": [str(step)] * len(ROWS),
        "prompt": [row[0] for row in ROWS],
        "completion": [row[2] for row in ROWS],
        "MathAccuracy": [row[3] for row in ROWS],
        "Format": [row[4] for row in ROWS],
        "advantages": [1.15, -0.58, -0.58, 0.0, 0.0, 0.0],
        "solution": [row[1] for row in ROWS],
        "entropy": [0.5] * len(ROWS),
    } | changed


def swift(folder: Path, *lines: dict[str, Any]) -> Path:
    """`completions.jsonl`."""
    return _lines(folder / "completions.jsonl", list(lines))


def swift_ray(folder: Path) -> Path:
    """The same with Ray: a line is a row."""
    rows = [
        {"gen_step": 0, "prompt": prompt, "completion": response, "reward": acc}
        for prompt, _, response, acc, _ in ROWS
    ]
    return swift(folder, *rows)


def _lines(path: Path, records: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path
