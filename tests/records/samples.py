"""Records of a made-up run: responses of a small grammar, everything else by the algorithm itself.

Texts, embeddings and log-probabilities are drawn at random; roles, advantages and credit are what
`care_advantages` and Eq. 11 make of them, as in a run.
"""

from __future__ import annotations

import hashlib
import io
import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from care_verl.algorithm import (
    CareAdvantages,
    CareConfig,
    care_advantages,
    plan_group,
    region_weights,
    token_advantages,
    token_spans,
)
from care_verl.algorithm.consistency import grpo_care_advantages
from care_verl.algorithm.consistency_config import GrpoCareConfig
from care_verl.algorithm.diagnostics import care_metrics
from care_verl.algorithm.selection import KINDS, kind_of
from care_verl.algorithm.spans import TokenSpans
from care_verl.grammar import TagSpec
from care_verl.records.writing import store_image, write_run, write_step

WORDS = "the bar of 2019 is taller than that of 2020 so we add both and get".split()  # noqa: SIM905
CUE = " Wait, look again."
HIDDEN = 8


def response(
    rng: np.random.Generator, answer: int, prefix: list[bytes] | None = None
) -> list[bytes]:
    """Tokens of a well-formed response, as bytes; the last is the end of the sequence."""
    words = [f" {word}".encode() for word in rng.choice(WORDS, int(rng.integers(4, 14)))]
    thought = words if prefix is None else [*prefix, *words[:3]]
    return [b"<think>", *thought, b"</think>", b"<answer>", str(answer).encode(), b"</answer>", b""]


def chart(rng: np.random.Generator) -> bytes:
    """A small picture of bars."""
    image = Image.new("RGB", (112, 84), "white")
    for place in range(4):
        height = int(rng.integers(10, 70))
        image.paste((40, 90 + 30 * place, 160), (10 + 25 * place, 80 - height, 28 + 25 * place, 80))
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def write_sample_run(
    folder: Path, steps: int = 3, groups: int = 6, seed: int = 0, config: CareConfig | None = None
) -> Path:
    """A record of `steps` steps of `groups` groups of eight in `folder`; the folder."""
    config = config or CareConfig()
    rng = np.random.default_rng(seed)
    _write_start(folder, {"care": config.to_mapping()}, seed)
    for step in range(1, steps + 1):
        rows, metrics = sample_step(
            folder, rng, step, groups, config, skill=0.2 + 0.6 * step / steps
        )
        write_step(folder, step, rows, metrics)
    return folder


def write_consistency_run(
    folder: Path, steps: int = 3, groups: int = 6, seed: int = 0, margin: float = 0.0
) -> Path:
    """The same of GRPO-CARE.

    Every third group is all wrong; the last row of every second one has no answer and no form.
    """
    config = GrpoCareConfig(margin=margin)
    rng = np.random.default_rng(seed)
    algorithm = {"adv_estimator": "grpo_care", "grpo_care": config.to_mapping()}
    _write_start(folder, algorithm, seed)
    for step in range(1, steps + 1):
        skill = 0.2 + 0.6 * step / steps
        rows = [
            row
            for place in range(groups)
            for row in _originals(
                folder, rng, f"s{step:06d}p{place:05d}", place, skill if place % 3 else 0.0
            )
        ]
        write_step(folder, step, rows, _consistency(rows, rng, config))
    return folder


def _write_start(folder: Path, algorithm: dict[str, Any], seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_run(
        folder,
        {
            "started": datetime(2026, 1, 1, tzinfo=timezone.utc),
            "first_step": 1,
            "config": json.dumps({"algorithm": algorithm}),
            "versions": json.dumps({"care-verl": "0.1.0"}),
            "git": "{}",
            "seeds": json.dumps({"data.seed": seed}),
        },
    )


def _consistency(
    rows: list[dict[str, Any]], rng: np.random.Generator, config: GrpoCareConfig
) -> dict[str, float]:
    """Fill in what GRPO-CARE makes of the rows; the step's metrics."""
    for row in rows:
        for name in ("_spans", "_embedding", "is_source"):
            del row[name]
        if row["session"] == 7 and int(row["index"]) % 2:
            row |= {"answer": None, "acc": 0.0, "reward": 0.0}
    acc = torch.tensor([row["acc"] for row in rows], dtype=torch.float64)
    answered = torch.tensor([row["answer"] is not None for row in rows])
    likelihood = torch.tensor(rng.uniform(0.1, 1.0, len(rows))).where(answered, torch.nan)
    result = grpo_care_advantages(
        reward=torch.tensor([row["reward"] for row in rows]),
        acc=acc,
        likelihood=likelihood,
        uid=[row["uid"] for row in rows],
        config=config,
    )
    for i, row in enumerate(rows):
        advantage, told = float(result.advantage[i]), float(result.likelihood[i])
        row |= {
            "kind": kind_of([one["acc"] == 1 for one in rows if one["uid"] == row["uid"]]),
            "advantage": advantage,
            "advantage_base": float(result.base[i]),
            "credit": [advantage] * len(row["response_ids"]),
            "accurate": bool(result.accurate[i]),
            "answer_tokens": row["answer"],
            "answer_likelihood": None if np.isnan(told) else told,
            "bonus": float(result.bonus[i]),
            "logp_old": row["logp_rollout"] + 1e-4,
            "logp_ref": row["logp_rollout"] - 0.05,
        }
    paid, accurate = result.bonus > 0, result.accurate
    return {
        "grpo_care/acc/mean": float(acc.mean()),
        "grpo_care/bonus/rate_of_accurate": float(paid[accurate].double().mean()),
        "grpo_care/likelihood/accurate": float(result.likelihood[accurate].mean()),
        "grpo_care/likelihood/inaccurate": float(result.likelihood[answered & ~accurate].mean()),
        "critic/rewards/mean": float(np.mean([row["reward"] for row in rows])),
        "timing_s/gen": 5.0,
        "timing_s/update_actor": 1.5,
        "timing_s/step": 8.0,
    }


def sample_step(
    folder: Path,
    rng: np.random.Generator,
    step: int,
    groups: int,
    config: CareConfig,
    skill: float,
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Rows and metrics of one step; `skill` is the chance that a response is right."""
    rows = [
        row
        for place in range(groups)
        for row in _group(folder, rng, f"s{step:06d}p{place:05d}", place, skill, config)
    ]
    spans = [row.pop("_spans") for row in rows]
    embedding = np.stack([row.pop("_embedding") for row in rows])
    sources = _sources(rows)
    acc = torch.tensor([row["acc"] for row in rows])
    think_len = torch.tensor([one.think_len for one in spans])
    result = care_advantages(
        reward=torch.tensor([row["reward"] for row in rows]),
        acc=acc,
        uid=[row["uid"] for row in rows],
        think_len=think_len,
        answer_len=torch.tensor([one.answer_len for one in spans]),
        embedding=torch.tensor(embedding),
        logp_old=torch.tensor([row["logp_rollout"] for row in rows]),
        reflected_from=sources,
        config=config,
    )
    _complete(rows, spans, result, config)
    found = care_metrics(result, acc, think_len, sources, config)
    metrics = {f"care/{name}": value for name, value in found.items()}
    tokens = float(sum(len(row["response_ids"]) for row in rows))
    metrics |= {
        "care/acc/mean": float(acc[sources < 0].mean()),
        "care/tokens/total": tokens,
        "critic/rewards/mean": float(np.mean([row["reward"] for row in rows])),
        "actor/kl_loss": 0.01 * step,
        "care/clip/negative_rate": 0.02,
        "timing_s/gen": 5.0,
        "timing_s/update_actor": 1.5,
        "timing_s/step": 8.0,
    }
    return rows, metrics


def _group(
    folder: Path, rng: np.random.Generator, uid: str, place: int, skill: float, config: CareConfig
) -> list[dict[str, Any]]:
    rows = _originals(folder, rng, uid, place, skill)
    plan = plan_group(
        acc=torch.tensor([row["acc"] for row in rows]),
        think_len=torch.tensor([row["_spans"].think_len for row in rows]),
        answer_len=torch.tensor([row["_spans"].answer_len for row in rows]),
        embedding=torch.tensor(np.stack([row["_embedding"] for row in rows])),
        uid=uid,
        config=config,
    )
    if plan.source is not None:
        rows.append(_reflection(rng, rows[plan.source], int(rows[0]["gold"])))
    return rows


def stored(folder: Path, png: bytes) -> str:
    """Keep an image as a run does; its name."""
    return store_image(
        folder, f"{hashlib.blake2b(png, digest_size=16).hexdigest()}.png", lambda: png
    )


def _originals(
    folder: Path, rng: np.random.Generator, uid: str, place: int, skill: float
) -> list[dict[str, Any]]:
    gold = int(rng.integers(2, 60))
    rows = []
    for session in range(8):
        right = rng.random() < skill
        answer = gold if right else gold + int(rng.integers(1, 9))
        rows.append(_row(rng, uid, session, response(rng, answer), right))
    rows[0] |= {
        "question": f"<image>What is {gold} here?",
        "gold": str(gold),
        "images": [stored(folder, chart(rng))],
        "prompt_ids": [1, 2, 3],
    }
    for row in rows:
        row |= {"data_source": "charts", "index": str(place)}
    return rows


def _reflection(rng: np.random.Generator, source: dict[str, Any], gold: int) -> dict[str, Any]:
    right = rng.random() < 0.4
    begin, end = source["_spans"].rationale
    prefix = [*source["pieces"][begin:end], CUE.encode()]
    pieces = response(rng, gold if right else gold + 1, prefix)
    row = _row(rng, source["uid"], 8, pieces, right)
    given = 1 + len(prefix)
    source["is_source"] = True
    return row | {
        "reflected_from": source["session"],
        "data_source": source["data_source"],
        "index": source["index"],
        "response_mask": [0] * given + [1] * (len(pieces) - given),
        "rgr_prefix_tokens": given,
        "rgr_cue": CUE,
        "rgr_outcome": "succeeded" if right else "failed",
        "_embedding": np.zeros(HIDDEN, dtype=np.float32),
    }


def _row(
    rng: np.random.Generator, uid: str, session: int, pieces: list[bytes], right: bool
) -> dict[str, Any]:
    spans = token_spans(pieces, TagSpec())
    embedding = rng.normal(size=HIDDEN).astype(np.float32)
    text = b"".join(pieces).decode()
    answer = text.split("<answer>")[1].split("</answer>")[0]
    tags = [spans.think_open, spans.think_close, spans.answer_open, spans.answer_close]
    return {
        "uid": uid,
        "session": session,
        "reflected_from": -1,
        "response": text,
        "response_ids": rng.integers(10, 99, len(pieces)).tolist(),
        "response_mask": [1] * len(pieces),
        "pieces": pieces,
        "rationale": list(spans.rationale) if spans.rationale else None,
        "answer": list(spans.answer) if spans.answer else None,
        "tags": [list(tag) for tag in tags if tag],
        "end": spans.end,
        "acc": float(right),
        "fmt": 1.0,
        "reward": 0.9 * right + 0.1,
        "pred": answer,
        "read": answer,
        "rule": "number",
        "is_source": False,
        "logp_rollout": -float(len(pieces)) * float(rng.uniform(0.2, 0.8)),
        "seconds": float(rng.uniform(0.5, 2.0)),
        "_spans": spans,
        "_embedding": embedding / np.linalg.norm(embedding),
    }


def _sources(rows: list[dict[str, Any]]) -> torch.Tensor:
    places = {(row["uid"], row["session"]): i for i, row in enumerate(rows)}
    return torch.tensor([places.get((row["uid"], row["reflected_from"]), -1) for row in rows])


def _complete(
    rows: list[dict[str, Any]], spans: list[TokenSpans], result: CareAdvantages, config: CareConfig
) -> None:
    """What CARE made of the rows."""
    for i, row in enumerate(rows):
        group = int(result.group[i])
        distance = float(result.d_cos[i])
        row |= {
            "kind": KINDS[int(result.kind[group])],
            "role": result.role[i],
            "k_prime": int(result.k_prime[group]),
            "k_s": int(result.k_s[group]),
            "d_cos": None if np.isnan(distance) or row["reflected_from"] >= 0 else distance,
            "rank": None,
            "advantage_raw": float(result.raw[i]),
            "advantage": float(result.advantage[i]),
        }
        if row["advantage"]:
            mask = torch.tensor([row["response_mask"]])
            weights = region_weights([spans[i]], torch.tensor([row["acc"]]), mask, config)
            credit, _ = token_advantages(result.advantage[i : i + 1], weights, config.eps_w)
            row |= {"credit": credit[0].tolist(), "logp_old": row["logp_rollout"] + 1e-4}
            row["logp_ref"] = row["logp_rollout"] - 0.05
    for uid in {row["uid"] for row in rows}:
        failed = [
            row
            for row in rows
            if row["uid"] == uid
            and row["reflected_from"] < 0
            and row["acc"] != 1
            and row["d_cos"] is not None
        ]
        for rank, row in enumerate(sorted(failed, key=lambda row: row["d_cos"])):
            row["rank"] = rank
