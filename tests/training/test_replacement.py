"""Values that the method decides: what is told, once, and what is not.

That a logged warning reaches the user's screen is Hydra's doing and not shown here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
from omegaconf import DictConfig, OmegaConf

from care_verl.training.run.replacement import verl_default
from tests.validation import validate

Composed = Callable[..., DictConfig]
CARE, GRPO_CARE = "algorithm.adv_estimator=care", "algorithm.adv_estimator=grpo_care"
DECIDED = [
    "actor_rollout_ref.rollout.calculate_log_probs",
    *(
        f"actor_rollout_ref.actor.{name}"
        for name in ("clip_ratio_low", "clip_ratio_high", "clip_ratio_c", "loss_agg_mode")
    ),
    "actor_rollout_ref.actor.use_kl_loss",
    "actor_rollout_ref.actor.kl_loss_coef",
]


@pytest.fixture
def told(composed: Composed, caplog: pytest.LogCaptureFixture) -> Callable[..., list[str]]:
    """A function: overrides -> the warnings of a run's start, without the keys' sections."""

    def warnings(*overrides: str) -> list[str]:
        with caplog.at_level(logging.WARNING):
            validate(composed(*overrides))
        sections = "actor_rollout_ref.actor.", "actor_rollout_ref.rollout."
        messages = [record.getMessage() for record in caplog.records]
        return [m.removeprefix(sections[0]).removeprefix(sections[1]) for m in messages]

    return warnings


def test_the_file_that_verl_ships_has_what_hydra_composes(composed: Composed) -> None:
    config = composed()
    assert [verl_default(key) for key in DECIDED] == [OmegaConf.select(config, k) for k in DECIDED]
    assert None not in [verl_default(key) for key in DECIDED]


@pytest.mark.parametrize(
    ("method", "override", "warning"),
    [
        (
            CARE,
            "actor_rollout_ref.actor.kl_loss_coef=0.5",
            "kl_loss_coef = 0.5 is not in force: the run has 0.02; "
            "++algorithm.care.beta=... sets it",
        ),
        (
            CARE,
            "actor_rollout_ref.actor.clip_ratio_high=0.4",
            "clip_ratio_high = 0.4 is not in force: the run has 0.28; "
            "++algorithm.care.clip_high=... sets it",
        ),
        (
            CARE,
            "actor_rollout_ref.actor.clip_ratio_low=0.1",
            "clip_ratio_low = 0.1 is not in force: the run has 0.2; "
            "++algorithm.care.clip_low=... sets it",
        ),
        (
            CARE,
            "actor_rollout_ref.actor.loss_agg_mode=seq-mean-token-sum",
            "loss_agg_mode = 'seq-mean-token-sum' is not in force: the run has "
            "'seq-mean-token-mean'; Eq. 13's KL is the mean over rows of their means; "
            "no key sets it",
        ),
        (
            CARE,
            "actor_rollout_ref.rollout.calculate_log_probs=False",
            "calculate_log_probs = False is not in force: the run has True; "
            "the rescue compares rows by them; remove the override",
        ),
        (
            GRPO_CARE,
            "actor_rollout_ref.actor.loss_agg_mode=seq-mean-token-sum",
            "loss_agg_mode = 'seq-mean-token-sum' is not in force: the run has "
            "'seq-mean-token-mean'; its authors take the mean over rows of their means; "
            "no key sets it",
        ),
        (
            GRPO_CARE,
            "actor_rollout_ref.actor.clip_ratio_c=5.0",
            "clip_ratio_c = 5.0 is not in force: the run has 1000000000.0; its loss is clipped "
            "once, by clip_ratio_low and clip_ratio_high; no key sets it",
        ),
    ],
)
def test_a_replaced_value_is_told_once(
    told: Callable[..., list[str]], method: str, override: str, warning: str
) -> None:
    assert told(method, override) == [warning]


def test_a_kl_term_that_beta_switches_off_is_told(told: Callable[..., list[str]]) -> None:
    asked = "actor_rollout_ref.actor.use_kl_loss=True", "++algorithm.care.beta=0"
    assert told(CARE, *asked) == [
        "use_kl_loss = True is not in force: the run has False; "
        "++algorithm.care.beta=... above 0 switches it on"
    ]


def test_what_the_method_would_set_anyway_is_not_told(told: Callable[..., list[str]]) -> None:
    """`kl_loss_coef` is verl's default, the others are CARE's values."""
    actor = "actor_rollout_ref.actor"
    assert not told(
        CARE,
        f"{actor}.use_kl_loss=True",
        f"{actor}.kl_loss_coef=0.001",
        f"{actor}.clip_ratio_high=0.28",
        f"{actor}.loss_agg_mode=seq-mean-token-mean",
    )


def test_another_estimators_values_are_its_own(told: Callable[..., list[str]]) -> None:
    assert not told("algorithm.adv_estimator=grpo", "actor_rollout_ref.actor.clip_ratio_high=0.4")


def test_grpo_cares_clip_is_the_users(composed: Composed, told: Callable[..., list[str]]) -> None:
    clip = "actor_rollout_ref.actor.clip_ratio_high=0.4"
    assert not told(GRPO_CARE, clip)
    assert validate(composed(GRPO_CARE, clip)).actor_rollout_ref.actor.clip_ratio_high == 0.4
