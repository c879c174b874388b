"""Records with graded rewards: rewards are drawn at random, the rest is the algorithm's.

The responses are empty; the report does not read them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch

from care_verl.algorithm import CareConfig, care_advantages
from care_verl.algorithm.diagnostics import care_metrics
from care_verl.algorithm.selection import KINDS
from care_verl.records.writing import write_run, write_step

G = 8
_HIDDEN = 4


def write_graded_run(
    folder: Path,
    steps: int,
    groups: int,
    seed: int = 0,
    config: Mapping[str, Any] | None = None,
    prompts: int = 10**9,
) -> Path:
    """A record of a run in `folder`/records, its prompts drawn from so many; the folder."""
    care = CareConfig.from_mapping(config or {})
    rng = np.random.default_rng(seed)
    record = folder / "records"
    record.mkdir(parents=True)
    write_run(
        record,
        {
            "started": datetime(2026, 1, 1, tzinfo=timezone.utc),
            "first_step": 1,
            "config": json.dumps(
                {"algorithm": {"adv_estimator": "care", "care": care.to_mapping()}}
            ),
            "versions": "{}",
            "git": "{}",
            "seeds": json.dumps({"data.seed": seed}),
        },
    )
    for step in range(1, steps + 1):
        skill = 0.15 + 0.6 * step / steps
        rows = [
            row
            for place in range(groups)
            for row in group_rows(
                rng, f"s{step:06d}p{place:05d}", (step * groups + place) % prompts, skill, care
            )
        ]
        write_step(record, step, rows, complete(rows, rng, step, care))
    return folder


def group_rows(
    rng: np.random.Generator, uid: str, prompt: int, skill: float, care: CareConfig
) -> list[dict[str, Any]]:
    """A group's originals, and a reflection where there are successes and failures."""
    own_skill = float(np.clip(skill + rng.normal(0, 0.25), 0, 1))
    rows = [_row(rng, uid, session, prompt, rng.random() < own_skill) for session in range(G)]
    wrong = [row["session"] for row in rows if row["acc"] == 0]
    if care.rgr.mode != "off" and 0 < len(wrong) < G:
        reflection = _row(rng, uid, G, prompt, rng.random() < 0.5)
        rows.append(reflection | {"reflected_from": wrong[0]})
    return rows


def complete(
    rows: list[dict[str, Any]], rng: np.random.Generator, step: int, care: CareConfig
) -> dict[str, float]:
    """Fill in what CARE makes of the rows; the step's metrics."""
    places = {(row["uid"], row["session"]): i for i, row in enumerate(rows)}
    sources = torch.tensor([places.get((r["uid"], r["reflected_from"]), -1) for r in rows])
    acc = torch.tensor([row["acc"] for row in rows])
    length = torch.tensor([row["rationale"][1] - row["rationale"][0] for row in rows])
    embedding = torch.tensor(rng.normal(size=(len(rows), _HIDDEN)), dtype=torch.float32)
    result = care_advantages(
        reward=torch.tensor([row["reward"] for row in rows]),
        acc=acc,
        uid=[row["uid"] for row in rows],
        think_len=length,
        answer_len=torch.ones(len(rows), dtype=torch.long),
        embedding=embedding / embedding.norm(dim=1, keepdim=True),
        logp_old=torch.tensor([row["logp_rollout"] for row in rows]),
        reflected_from=sources,
        config=care,
    )
    for i, row in enumerate(rows):
        group = int(result.group[i])
        row |= {
            "kind": KINDS[int(result.kind[group])],
            "role": result.role[i],
            "k_prime": int(result.k_prime[group]),
            "k_s": int(result.k_s[group]),
            "advantage_raw": float(result.raw[i]),
            "advantage": float(result.advantage[i]),
        }
    found = care_metrics(result, acc, length, sources, care)
    noise = rng.normal
    return {
        **{f"care/{name}": value for name, value in found.items()},
        "care/acc/mean": float(acc[sources < 0].mean()),
        "critic/rewards/mean": float(np.mean([row["reward"] for row in rows])),
        "care/tokens/total": float(20 * len(rows)),
        "care/clip/negative_rate": float(abs(noise(0.03, 0.01))),
        "actor/kl_loss": float(abs(0.3 * (1 - np.exp(-step / 80)) + noise(0, 0.01))),
        "timing_s/gen": 5.0 + (30 if step == 1 else 0) + float(abs(noise(0, 0.5))),
        "timing_s/care": 0.1,
        "timing_s/records": 0.05,
        "timing_s/old_log_prob": 0.9,
        "timing_s/ref": 0.8,
        "timing_s/update_actor": 1.4,
        "timing_s/step": 9.0 + (30 if step == 1 else 0),
    }


def _row(
    rng: np.random.Generator, uid: str, session: int, prompt: int, right: bool
) -> dict[str, Any]:
    graded = float(rng.uniform(0.7, 1.0) if right else rng.choice([0.0, 0.1, 0.25, 0.4]))
    return {
        "uid": uid,
        "session": session,
        "reflected_from": -1,
        "data_source": "charts",
        "index": str(prompt),
        "response": "",
        "response_ids": [],
        "response_mask": [],
        "end": 0,
        "rationale": [1, 1 + int(rng.integers(4, 40))],
        "acc": float(right),
        "reward": graded,
        "is_source": False,
        "logp_rollout": -float(rng.uniform(1, 20)),
    }
