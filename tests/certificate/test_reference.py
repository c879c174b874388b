"""Eqs. 11 to 13 by hand, on a model of two parameters.

That the reference agrees with the run is what the certificate shows, not these tests.
"""

from __future__ import annotations

import ast
import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from care_verl.tools.certificate import reference
from care_verl.tools.certificate.reference import Symbols, token_advantages, update
from care_verl.training.care.capture_file import CapturedRow

from .samples import row, spans

PAPER: dict[str, Any] = {
    "gamma_pos": 0.005,
    "eps_w": 0.0,
    "clip_low": 0.2,
    "clip_high": 0.28,
    "beta": 0.02,
    "temperature": 1.0,
    "scheme": "rw",
    "tags_count": False,
    "whole_response_without_answer": True,
}


def symbols(**changes: Any) -> Symbols:
    return Symbols(**{**PAPER, **changes})


def test_a_positive_row_trains_answer_and_a_little_rationale() -> None:
    """Eight tokens: rationale [1, 3), answer [4, 6): 2 and 2 tokens, 0.005 against 1."""
    credit = token_advantages(row(0, 8, 2.0, acc=1.0), symbols())
    low, high = 2 * 0.005 / 2.01, 2 / 2.01
    assert credit == pytest.approx([0, low, low, 0, high, high, 0, 0])


def test_a_negative_row_trains_its_answer_alone() -> None:
    credit = token_advantages(row(0, 8, -1.0), symbols())
    assert credit == pytest.approx([0, 0, 0, 0, -0.5, -0.5, 0, 0])


def test_copied_tokens_are_not_trained() -> None:
    mask = torch.tensor([0, 0, 1, 1, 1, 1, 1, 1])
    credit = token_advantages(row(0, 8, 2.0, acc=1.0, response_mask=mask), symbols())
    assert credit == pytest.approx([0, 0, 0.01 / 2.005, 0, 2 / 2.005, 2 / 2.005, 0, 0])


def test_tags_count_in_where_asked_with_the_end_behind_them() -> None:
    credit = token_advantages(row(0, 8, -4.0), symbols(tags_count=True))
    assert credit == pytest.approx([0, 0, 0, 0, -1, -1, -1, -1])


@pytest.mark.parametrize(("whole", "each"), [(True, -0.125), (False, 0.0)])
def test_a_row_without_an_answer(whole: bool, each: float) -> None:
    nothing = spans(8)
    malformed = type(nothing)(None, None, None, None, None, None, 7)
    chosen = symbols(whole_response_without_answer=whole, eps_w=1e-12)
    credit = token_advantages(row(0, 8, -1.0, spans=malformed), chosen)
    assert credit == pytest.approx([each] * 8)


class TwoTokens(torch.nn.Module):
    """Log-odds of token 1, one for each token before it."""

    def __init__(self) -> None:
        super().__init__()
        self.odds = torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))
        self.dtype = torch.float64

    def forward(self, input_ids: torch.Tensor, **_: Any) -> Any:
        odds = self.odds[input_ids]
        return SimpleNamespace(logits=torch.stack([torch.zeros_like(odds), odds], dim=-1))


def two_token_row(advantage: float, ratios: tuple[float, float], **fields: Any) -> CapturedRow:
    """Prompt 0, response 1, 1, with rho = `ratios` where every probability is a half."""
    answer = type(spans(8))(None, (0, 2), None, None, None, None, 2)
    old = torch.tensor([math.log(0.5) - math.log(rho) for rho in ratios], dtype=torch.float64)
    values: dict[str, Any] = {
        "spans": answer,
        "input_ids": torch.tensor([0, 1, 1]),
        "position_ids": torch.arange(3),
        "response_mask": torch.ones(2, dtype=torch.int64),
        "old_log_probs": old,
        "ref_log_prob": torch.full((2,), math.log(0.5), dtype=torch.float64),
        "media": {},
    }
    return row(0, 2, advantage, **{**values, **fields})


def test_the_clip_holds_where_the_minimum_lies() -> None:
    """A = 2 over two tokens: rho = 2 is clipped at 1.28 and has no gradient, rho = 0.5 is not.

    d log pi / d odds = 1/2 at even odds; token 0 comes before the first, token 1 before the second.
    """
    made = update(TwoTokens(), [two_token_row(2.0, (2.0, 0.5))], symbols(beta=0.0))
    assert made.loss == pytest.approx(-(1.28 + 0.5))
    assert made.gradients["odds"].tolist() == pytest.approx([0.0, -0.5 * 0.5])
    assert (made.tokens, made.clipped) == ((2, 0), (1, 0))


def test_negatives_are_clipped_from_below_alone() -> None:
    """A = -2: rho = 0.5 is clipped at 0.8; rho = 2 is not, whatever a second clip would say."""
    made = update(TwoTokens(), [two_token_row(-2.0, (2.0, 0.5))], symbols(beta=0.0))
    assert made.loss == pytest.approx(2.0 + 0.8)
    assert made.gradients["odds"].tolist() == pytest.approx([2.0 * 0.5, 0.0])
    assert (made.tokens, made.clipped) == ((0, 2), (0, 1))
    assert made.nearest_bound == pytest.approx(0.3)


def test_the_kl_is_a_mean_over_tokens_then_over_rows() -> None:
    """d = log 2 and 0 on the first row, 0 on the second: k3 = 2 - log 2 - 1."""
    ref = torch.tensor([0.0, math.log(0.5)], dtype=torch.float64)
    rows = [two_token_row(1.0, (1.0, 1.0), ref_log_prob=ref), two_token_row(1.0, (1.0, 1.0))]
    made = update(TwoTokens(), rows, symbols(beta=0.5))
    k3 = 1 - math.log(2)
    assert made.kl == pytest.approx(k3 / 2 / 2)
    assert made.loss == pytest.approx(-1.0 + 0.5 * k3 / 4)
    assert made.mass == pytest.approx((1 - 0.5 * k3 / 2) / 2 + 0.5)


def test_masked_tokens_are_not_in_the_mean_of_the_kl() -> None:
    ref = torch.tensor([0.0, math.log(0.5)], dtype=torch.float64)
    mask = torch.tensor([1, 0])
    masked = two_token_row(1.0, (1.0, 1.0), ref_log_prob=ref, response_mask=mask)
    assert update(TwoTokens(), [masked], symbols()).kl == pytest.approx(1 - math.log(2))


def test_the_reference_shares_no_code_with_what_it_judges() -> None:
    """At run time it imports torch and the standard library; its process never loads verl."""
    tree = ast.parse(Path(reference.__file__).read_text())
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = [getattr(node, "module", None) or node.names[0].name for node in imports]
    assert {name.split(".")[0] for name in names} <= {
        "__future__", "collections", "dataclasses", "typing", "torch",
    }  # fmt: skip
    code = (
        "import sys, care_verl.tools.certificate.reference_process\n"
        "sys.exit(sorted({'verl', 'ray', 'tensordict'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == "[]", done.stderr
