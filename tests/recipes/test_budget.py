"""Methods at a matched budget, with the clips and KL of Table 5; ablations of one key each."""

from __future__ import annotations

import pytest

from care_verl.algorithm import CareConfig
from care_verl.tools.recipes.catalogue import catalogue
from care_verl.tools.recipes.composition import leaves

from .conftest import Composed, changed, leaves_of, validated

MODELS = ["qwen2_5_vl_3b", "qwen2_5_vl_7b", "qwen3_vl_8b"]
TABLE_5 = {
    "care": (0.2, 0.28, 0.02),
    "care_no_rgr": (0.2, 0.28, 0.02),
    "grpo": (0.2, 0.2, 0.02),
    "dapo": (0.2, 0.28, None),
    "gspo": (3e-4, 4e-4, None),
    # Not in the table: GRPO's clip, and no KL as in its authors' code.
    "grpo_care": (0.2, 0.2, None),
}
"""Method -> clip low, clip high, coefficient of the KL term."""

METHODS_OWN = (
    "algorithm.adv_estimator",
    "algorithm.care.",
    "algorithm.grpo_care.",
    "algorithm.filter_groups.",
    "actor_rollout_ref.actor.clip_ratio_low",
    "actor_rollout_ref.actor.clip_ratio_high",
    "actor_rollout_ref.actor.use_kl_loss",
    "actor_rollout_ref.actor.kl_loss_coef",
    "actor_rollout_ref.actor.loss_agg_mode",
    "actor_rollout_ref.actor.policy_loss.loss_mode",
    # verl's default copies the actor's; no method has a critic.
    "critic.loss_agg_mode",
)
"""What a method may set otherwise than another."""

NAMES = (
    "run_name.",
    "trainer.experiment_name",
    "trainer.default_local_dir",
    "actor_rollout_ref.rollout.trace.experiment_name",
)
"""What follows from the name of a composition."""

BUDGET = {
    "actor_rollout_ref.rollout.n": 8,
    "data.train_batch_size": 512,
    "actor_rollout_ref.actor.ppo_mini_batch_size": 128,
    "actor_rollout_ref.actor.ppo_epochs": 1,
    "actor_rollout_ref.actor.optim.lr": 1e-6,
    "trainer.total_training_steps": 1500,
    "actor_rollout_ref.rollout.temperature": 1.0,
    "actor_rollout_ref.rollout.top_p": 1.0,
    "actor_rollout_ref.rollout.val_kwargs.n": 1,
    "actor_rollout_ref.rollout.val_kwargs.temperature": 1.0,
    "actor_rollout_ref.rollout.val_kwargs.do_sample": True,
    "data.max_response_length": 2048,
    "reward.reward_manager.name": "CareRewardManager",
    "algorithm.care.lam": 0.1,
}

ABLATIONS = [r.name for r in catalogue() if r.name.startswith("ablation/")]
TWO = {"ablation/k2_eq_off", "ablation/k6_eq_off"}
"""Two of the cells of Figure 9 differ in both."""


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("method", TABLE_5)
def test_methods_differ_in_what_is_theirs(method: str, model: str, composed: Composed) -> None:
    config = composed(f"{method}_{model}")
    values = leaves_of(config)
    assert {key: values[key] for key in BUDGET} == BUDGET
    assert values["data.train_files"] == leaves_of(composed(f"care_{model}"))["data.train_files"]
    difference = changed(config, composed(f"care_{model}"))
    assert [key for key in difference if not key.startswith((*METHODS_OWN, *NAMES))] == []


@pytest.mark.parametrize("method", TABLE_5)
def test_clips_and_kl_are_those_of_table_5(method: str, composed: Composed) -> None:
    """In the actor's configuration, once the run's start has completed it."""
    actor = validated(composed(f"{method}_qwen2_5_vl_7b")).actor_rollout_ref.actor
    low, high, beta = TABLE_5[method]
    assert (actor.clip_ratio_low, actor.clip_ratio_high) == (low, high)
    assert actor.use_kl_loss == (beta is not None)
    if beta is not None:
        assert actor.kl_loss_coef == beta


def test_cares_recipe_states_the_defaults_of_the_code(composed: Composed) -> None:
    """So that `algorithm.adv_estimator=care` alone and the recipe are one method."""
    section = "algorithm.care."
    stated = {
        key.removeprefix(section): value
        for key, value in leaves_of(composed("method/care")).items()
        if key.startswith(section)
    }
    defaults = dict(leaves(CareConfig().to_mapping() | {"s_refl": None}))
    assert stated == {key: defaults[key] for key in stated}
    assert {"K", "M", "s", "delta", "gamma_pos", "clip_high", "beta"} <= stated.keys()


@pytest.mark.parametrize("name", ABLATIONS)
def test_an_ablation_is_one_key_away(name: str, composed: Composed) -> None:
    difference = changed(composed("care_qwen2_5_vl_7b", name), composed("care_qwen2_5_vl_7b"))
    keys = [key for key in difference if not key.startswith(NAMES)]
    assert len(keys) == (2 if name in TWO else 1)
    assert all(key.startswith("algorithm.care.") for key in keys)
    assert difference["run_name.variant"] == f"_{name.removeprefix('ablation/')}"


def test_the_paper_s_ablations_are_there() -> None:
    """Section 4.3 and 9: every value named there but the paper's own choice."""
    wanted = {
        *("k2", "k6", "eq_off", "k2_eq_off", "k6_eq_off", "anchor_random", "robust"),
        *("selector_mixed", "selector_farthest", "selector_random", "rescue_off"),
        *("s_0_3", "s_0_7", "s_1_0", "s_refl_quarter", "s_refl_three_quarters", "s_refl_full"),
        *("rgr_no_cue", "rgr_random", "rgr_off", "rgr_authors"),
        *("regions_uniform", "regions_answer_only", "regions_fail_unmasked"),
    }
    assert {name.removeprefix("ablation/") for name in ABLATIONS} == wanted
