"""A captured step made by hand: three groups on the embedded model, images included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from care_verl.algorithm import CareConfig, region_weights, token_advantages
from care_verl.algorithm.spans import TokenSpans
from care_verl.training.care.capture_file import Capture, CapturedRow

VISION = [3, 5, 5, 5, 5, 4]
"""Start of an image, its four tokens, its end, in the embedded vocabulary."""

LENGTHS = [11, 9, 14, 9, 12, 10, 17, 9, 10]


def spans(length: int, start: int = 0) -> TokenSpans:
    """A rationale, an answer of two tokens and an end-of-sequence token, from `start` on."""
    close = length - 5
    return TokenSpans(
        rationale=(start + 1, close),
        answer=(close + 1, close + 3),
        think_open=(start, start + 1),
        think_close=(close, close + 1),
        answer_open=None,
        answer_close=(close + 3, close + 4),
        end=length - 1,
    )


def row(number: int, length: int, advantage: float, **fields: Any) -> CapturedRow:
    """A row with random tokens and random log-probabilities; `length` response tokens."""
    generator = torch.Generator().manual_seed(number)
    text = torch.randint(20, 400, (4 + length,), generator=generator)
    input_ids = torch.cat([torch.tensor(VISION), text])
    values: dict[str, Any] = {
        "uid": f"group{number % 3}",
        "session": number,
        "reflected_from": -1,
        "kind": "all_wrong" if number % 3 == 2 else "mixed",
        "role": "outside" if not advantage else "anchor" if advantage > 0 else "negative",
        "acc": float(advantage > 0 and number % 3 != 2),
        "advantage": advantage,
        "spans": spans(length),
        "input_ids": input_ids,
        "position_ids": torch.arange(len(input_ids)).expand(4, -1).contiguous(),
        "response_mask": torch.ones(length, dtype=torch.int64),
        "rollout_log_probs": -torch.rand(length, generator=generator),
        "media": {
            "pixel_values": torch.randn(16, 1176, generator=generator),
            "image_grid_thw": torch.tensor([[1, 4, 4]]),
        },
    }
    return CapturedRow(**{**values, **fields})


def trained_row(number: int, length: int, advantage: float, **fields: Any) -> CapturedRow:
    """A row of S*, its token advantages by the run's own functions.

    The embedded model, untrained, gives each of its 424 tokens about the same probability; old and
    reference log-probabilities lie around that.
    """
    made = row(number, length, advantage, **fields)
    generator = torch.Generator().manual_seed(100 + number)
    about = -torch.full((length,), 424.0).log()
    weights = region_weights(
        [made.spans], torch.tensor([made.acc]), made.response_mask[None], CareConfig()
    )
    credit, _ = token_advantages(torch.tensor([advantage]), weights, CareConfig().eps_w)
    return CapturedRow(
        **{
            **vars(made),
            "token_advantage": credit[0].float(),
            "old_log_probs": about + 0.2 * torch.randn(length, generator=generator),
            "ref_log_prob": about + 0.2 * torch.randn(length, generator=generator),
        }
    )


def step(model: Path) -> Capture:
    """Nine rows of S*, a successful and a failed reflection among them, and eight dropped ones."""
    signs = [2.0, -0.5, 0.2, -0.7, 1.4, -0.1, 2.0, -0.25, -0.1]
    rows = [
        trained_row(i, length, a) for i, (length, a) in enumerate(zip(LENGTHS, signs, strict=True))
    ]
    for i in (6, 7):
        mask = torch.ones(LENGTHS[i], dtype=torch.int64)
        mask[:3] = 0
        rows[i] = trained_row(i, LENGTHS[i], signs[i], reflected_from=1, response_mask=mask)
    rows += [row(20 + i, 9 + 2 * i, 0.0) for i in range(8)]
    return Capture(
        step=1,
        model=str(model),
        temperature=1.0,
        loss={
            "entropy_coeff": 0,
            "kl_loss_type": "low_var_kl",
            "loss_agg_mode": "seq-mean-token-mean",
        },
        settings=CareConfig(),
        rows=rows,
    )
