"""Overrides to a configuration, or to a sentence that says why not."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from omegaconf import DictConfig

from care_verl.tools.doctor.composition import CompositionError, compose, our_keys
from care_verl.tools.doctor.finding import Finding
from care_verl.tools.doctor.unknown_keys import check_added_keys
from care_verl.tools.doctor.validation import validated

from .told import the_error, the_warning


def refused(*overrides: str) -> Finding:
    """The finding of overrides that make no configuration."""
    import verl  # noqa: F401  # loads the plugin, which puts the recipes on the search path

    with pytest.raises(CompositionError) as refusal:
        compose(overrides)
    return refusal.value.finding


@pytest.mark.parametrize(
    ("override", "found", "change"),
    [
        (
            "actor_rollout_ref.rolout.n=8",
            "no key actor_rollout_ref.rolout.n",
            "did you mean actor_rollout_ref.rollout.n?",
        ),
        ("trainer.lr=1", "no key trainer.lr", "actor_rollout_ref.actor.optim.lr"),
        ("algorithm.care.K=6", "no key algorithm.care.K", "write ++algorithm.care.K="),
        ("algorithm.care.k=6", "no key algorithm.care.k", "did you mean algorithm.care.K?"),
        ("+recipe=embeded", "no 'recipe/embeded'", "did you mean embedded?"),
        ("+data.train_batch_size=4", "already at", "correct the override"),
        ("data.train_batch_size=[4", "no viable alternative", "correct the override"),
        ("data.train_batch_size=${nowhere}", "nowhere", "correct the override"),
    ],
)
def test_what_hydra_refuses_is_a_sentence(override: str, found: str, change: str) -> None:
    finding = refused(override)
    assert found in finding.found
    assert change in finding.change
    assert "\n" not in finding.found


@pytest.mark.parametrize(
    ("override", "change"),
    [
        (
            "+actor_rollout_ref.rollout.tensor_parallel_size=2",
            "did you mean actor_rollout_ref.rollout.tensor_model_parallel_size?",
        ),
        ("+data.max_promt_length=64", "did you mean data.max_prompt_length?"),
        ("+datta.seed=1", "did you mean data?"),
        ("+qzx.seed=1", "remove it"),
    ],
)
def test_an_added_key_that_nothing_reads_is_an_error(
    sound: list[str], override: str, change: str
) -> None:
    """Hydra accepts every one of these. A name that verl uses elsewhere is not found out."""
    finding = the_error(check_added_keys(compose([*sound, override])))
    assert "nothing in verl reads it" in finding.found
    assert change in finding.change


@pytest.mark.parametrize(
    "override",
    [
        "+actor_rollout_ref.rollout.limit_images=1",
        "+actor_rollout_ref.rollout.engine_kwargs.vllm.mm_processor_cache_gb=0",
        "+actor_rollout_ref.model.override_config.rope_theta=10000",
        "+ray_kwargs.ray_init._temp_dir=/tmp/r",
        "+trainer.remove_previous_ckpt_in_save=True",
        "++algorithm.care.K=3",
    ],
)
def test_an_added_key_that_somebody_reads_is_let_pass(sound: list[str], override: str) -> None:
    assert check_added_keys(compose([*sound, override])) == []


def test_the_recipes_name_of_a_run_is_let_pass(
    sound: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("care_verl.tools.doctor.unknown_keys.words_of_verl", frozenset)
    assert check_added_keys(compose([*sound, "+run_name.variant=_lr3e-6"])) == []


def test_our_own_unknown_setting_has_a_suggestion(sound: list[str]) -> None:
    _, findings = validated(compose([*sound, "++algorithm.care.rgr.mdoe=off"]), [])
    finding = the_error(findings, "algorithm.care.rgr.mdoe is not a setting")
    assert finding.change == "did you mean algorithm.care.rgr.mode?"


@pytest.mark.parametrize(
    ("override", "found"),
    [
        ("++algorithm.care.K=0", "algorithm.care.K = 0"),
        ("algorithm.use_kl_in_reward=True", "algorithm.use_kl_in_reward"),
        ("actor_rollout_ref.actor.use_dynamic_bsz=False", "ppo_micro_batch_size"),
        ("actor_rollout_ref.rollout.mode=sync", "has been removed"),
    ],
)
def test_what_verl_or_care_refuse_is_an_error(sound: list[str], override: str, found: str) -> None:
    """The last stands in a dataclass that verl makes in its workers only, long after the start."""
    assert found in the_error(validated(compose([*sound, override]), [])[1]).found


def test_a_value_that_care_replaces_is_told(sound: list[str]) -> None:
    overrides = [*sound, "actor_rollout_ref.actor.clip_ratio_high=0.3"]
    config, findings = validated(compose(overrides), overrides)
    finding = the_warning(findings, "clip_ratio_high = 0.3 is not in force: the run has 0.28")
    assert "clip_high" in finding.change
    assert config.actor_rollout_ref.actor.clip_ratio_high == 0.28


def test_a_sound_configuration_is_completed_in_silence(
    sound: list[str], completed: Callable[..., DictConfig]
) -> None:
    findings: Iterable[Finding] = validated(compose(sound), sound)[1]
    assert list(findings) == []
    assert check_added_keys(compose(sound)) == []
    assert completed().actor_rollout_ref.actor.policy_loss.loss_mode == "care"


def test_our_settings_are_known_by_their_full_names() -> None:
    assert {"algorithm.care.K", "algorithm.care.rgr.mode"} <= set(our_keys())
