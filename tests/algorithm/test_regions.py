"""Region weights and Eq. 11 on hand-made responses.

Spans come from `token_spans`; this does not prove that an adapter aligns them with its mask.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from care_verl.algorithm import CareConfig, region_weights, token_advantages, token_spans
from care_verl.algorithm.config import RegionConfig
from care_verl.grammar import TagSpec

WELL_FORMED = [b"<think>", b"a", b"b", b"</think>", b" ", b"<answer>", b"7", b"</answer>", b""]
G = 0.005


def weights(
    pieces: list[bytes], acc: float, mask: list[int] | None = None, **regions: Any
) -> list[float]:
    config = CareConfig(regions=RegionConfig(**regions))
    mask = mask or [1] * len(pieces)
    spans = [token_spans(pieces, TagSpec())]
    return region_weights(spans, torch.tensor([acc]), torch.tensor([mask]), config)[0].tolist()


@pytest.mark.parametrize(
    ("acc", "regions", "expected"),
    [
        (1, {}, [0, G, G, 0, 0, 0, 1, 0, 0]),
        (0, {}, [0, 0, 0, 0, 0, 0, 1, 0, 0]),
        (0.5, {}, [0, 0, 0, 0, 0, 0, 1, 0, 0]),
        (1, {"tags": "include"}, [G, G, G, G, 0, 1, 1, 1, 1]),
        (0, {"tags": "include"}, [0, 0, 0, 0, 0, 1, 1, 1, 1]),
        (1, {"scheme": "answer_only"}, [0, 0, 0, 0, 0, 0, 1, 0, 0]),
        (0, {"scheme": "rw_fail_unmasked"}, [0, G, G, 0, 0, 0, 1, 0, 0]),
        (0, {"scheme": "uniform"}, [1] * 9),
    ],
)
def test_schemes(acc: float, regions: dict[str, Any], expected: list[float]) -> None:
    assert weights(WELL_FORMED, acc, **regions) == pytest.approx(expected)


@pytest.mark.parametrize(
    "pieces",
    [
        [b"<think>", b"a", b"b"],
        [b"no", b" tags", b""],
        [b"<think>", b"</think>", b"<answer>", b"</answer>"],
    ],
)
def test_row_without_an_answer(pieces: list[bytes]) -> None:
    """Never closed, no tags at all, an empty answer: the whole response is the answer region."""
    assert weights(pieces, 0) == [1.0] * len(pieces)
    assert weights(pieces, 0, missing_answer="none") == [0.0] * len(pieces)


def test_malformed_positive_without_whole_response_keeps_its_rationale() -> None:
    assert weights([b"<think>", b"a"], 1, missing_answer="none") == pytest.approx([0, G])


def test_end_token_counts_only_directly_behind_the_answer() -> None:
    pieces = [b"<answer>", b"7", b"</answer>", b"\n", b""]
    assert weights(pieces, 0, tags="include") == [1, 1, 1, 0, 0]


def test_a_token_of_both_tags_belongs_to_the_answer() -> None:
    pieces = [b"<think>", b"a", b"</think", b"><", b"answer>", b"7"]
    assert weights(pieces, 1, tags="include") == pytest.approx([G, G, G, 1, 1, 1])


def test_masked_tokens_never_count() -> None:
    """A reflected row: the copied rationale and the cue (mask 0) carry nothing, in any scheme."""
    mask = [0, 0, 1, 1, 1, 1, 1, 1, 1]
    assert weights(WELL_FORMED, 1, mask) == pytest.approx([0, 0, G, 0, 0, 0, 1, 0, 0])
    assert weights(WELL_FORMED, 1, mask, scheme="uniform") == mask
    assert weights([b"<think>", b"a", b"b"], 0, [0, 0, 1]) == [0, 0, 1]


def test_eq_11() -> None:
    """A = 2 over weights 0.005, 0.005, 1: sum 1.01, so 0.0099010, 0.0099010, 1.9801980.

    The third row has an advantage and no weight; the last has neither.
    """
    w = torch.tensor([[G, G, 1.0], [0, 1, 1], [0, 0, 0], [0, 0, 0]])
    a, weightless = token_advantages(torch.tensor([2.0, -0.5, 1.0, 0.0]), w, 1e-8)
    expected = [[0.0099010, 0.0099010, 1.9801980], [0, -0.25, -0.25], [0, 0, 0], [0, 0, 0]]
    torch.testing.assert_close(a, torch.tensor(expected))
    assert weightless.tolist() == [False, False, True, False]


def test_refusals() -> None:
    spans = [token_spans(WELL_FORMED, TagSpec())]
    with pytest.raises(ValueError, match="expected B spans"):
        region_weights(spans, torch.ones(2), torch.ones(1, 9), CareConfig())
    with pytest.raises(ValueError, match="spans reach 8 tokens and response_mask has 5"):
        region_weights(spans, torch.ones(1), torch.ones(1, 5), CareConfig())
    with pytest.raises(ValueError, match=r"expected \[B\] and \[B, T\]"):
        token_advantages(torch.ones(2), torch.ones(3, 4), 1e-8)
