"""What an agent-loop worker notes about a row, and how it survives the queue.

The queue's own encoding is stood in for by JSON, which also knows no tuples; that a real queue
carries these values is shown end to end.
"""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from omegaconf import OmegaConf

from care_verl.training.care.row import CareRow, NoEmbeddingError, as_embedding
from care_verl.training.judged_row import (
    read_accuracy,
    read_reward,
    read_rule,
    response_logp,
    reward_name,
)
from care_verl.training.run.misfit import MisfitError

from .samples import MALFORMED, WELL_FORMED, record, spans_of


@pytest.mark.parametrize("pieces", [WELL_FORMED, MALFORMED])
def test_a_record_survives_plain_encoding(pieces: tuple[bytes, ...]) -> None:
    sent = record(3, 0.0, spans=spans_of(pieces), logp=-1.25, reflected_from=1)
    arrived = json.loads(json.dumps(sent.to_mapping()))
    assert CareRow.from_mapping(arrived) == sent


def test_ranges_come_back_as_tuples() -> None:
    arrived = json.loads(json.dumps(record(0, 1.0).to_mapping()))
    assert arrived["spans"]["rationale"] == [1, 3]
    spans = CareRow.from_mapping(arrived).spans
    assert (spans.rationale, spans.answer, spans.end) == ((1, 3), (5, 6), 7)


def test_accuracy_is_read_from_the_reward() -> None:
    assert read_accuracy({"reward_extra_info": {"acc": True, "fmt": 0.0}}, "a reward") == 1.0


@pytest.mark.parametrize(
    ("extra_fields", "found"),
    [({"reward_extra_info": {"score": 1.0}}, r"\['score'\]"), ({}, r"\[\]")],
)
def test_a_reward_without_accuracy_is_refused(
    extra_fields: dict[str, dict[str, float]], found: str
) -> None:
    with pytest.raises(MisfitError, match=f"a reward: the reward reports {found} but no 'acc'"):
        read_accuracy(extra_fields, "a reward")


@pytest.mark.parametrize("value", [0.5, 2, -1.0, math.nan, np.float32("nan"), "1", None])
def test_an_accuracy_that_is_neither_right_nor_wrong_is_refused(value: object) -> None:
    """NaN is what a function gives for a row that it fails on; the others are its way."""
    with pytest.raises(ValueError, match=r"a reward: acc is .*; expected 0 or 1") as refusal:
        read_accuracy({"reward_extra_info": {"acc": value}}, "a reward")
    is_nan = isinstance(value, float | np.floating) and math.isnan(value)
    assert isinstance(refusal.value, MisfitError) != is_nan


def test_a_reward_is_any_finite_number() -> None:
    assert [read_reward(value, "a reward") for value in (0.9, 1, True)] == [0.9, 1.0, 1.0]
    assert read_reward(np.float32(-2.5), "a reward") == -2.5


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None, "1", np.nan])
def test_a_reward_that_is_no_finite_number_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"session 3: the reward is .*; expected a finite number"):
        read_reward(value, "session 3")


def test_the_reward_function_has_a_name() -> None:
    own = {"path": "/x/reward.py", "name": "score"}
    manager = {"name": "CareRewardManager"}
    shipped = {"custom_reward_function": {"path": None}, "reward_manager": manager}
    assert reward_name(OmegaConf.create({"reward": shipped})) == "reward manager CareRewardManager"
    config = OmegaConf.create({"reward": {**shipped, "custom_reward_function": own}})
    assert reward_name(config) == "reward function score of /x/reward.py"


def test_the_verifiers_rule_is_read_from_the_reward() -> None:
    assert read_rule({"reward_extra_info": {"acc": 0.0, "rule": "undecided"}}) == "undecided"
    assert read_rule({"reward_extra_info": {"acc": 0.0}}) == ""


def test_only_decoded_tokens_count_in_the_log_probability() -> None:
    assert response_logp([-8.0, -2.0, -4.0], [0, 1, 1]) == -6.0


def test_missing_log_probabilities_are_refused() -> None:
    with pytest.raises(ValueError, match="calculate_log_probs=True"):
        response_logp(None, [1, 1])
    with pytest.raises(ValueError, match="longer"):
        response_logp([-1.0], [1, 1])


def test_embeddings_become_float32() -> None:
    found = as_embedding([0.5, 0.25], session=0)
    assert found.dtype == np.float32
    assert found.tolist() == [0.5, 0.25]


def test_a_missing_embedding_names_the_session() -> None:
    with pytest.raises(RuntimeError, match="session 3 .* does not harvest"):
        as_embedding(None, session=3)


@pytest.mark.parametrize("value", [[0.5, float("nan")], [float("inf"), 0.0], []])
def test_an_embedding_that_cannot_be_compared_is_refused(value: list[float]) -> None:
    with pytest.raises(NoEmbeddingError, match="session 3"):
        as_embedding(value, session=3)
