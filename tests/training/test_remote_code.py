"""No code from a model's folder runs unless the run says so.

What is composed here is what a run gets; that transformers and vLLM keep to it is theirs.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hydra import compose, initialize_config_module
from omegaconf import DictConfig, OmegaConf
from verl.experimental.reward_loop import reward_loop
from verl.utils.config import validate_config
from verl.workers.rollout.vllm_rollout.vllm_async_server import vLLMHttpServer

from care_verl.platform.contract import ContractError
from care_verl.training import reward_tokenizer

Composed = Callable[..., DictConfig]

KEY = "trust_remote_code"
RECIPES = Path(__file__).parents[2] / "recipes" / "recipe"


def names() -> list[str]:
    return sorted(
        str(path.relative_to(RECIPES).with_suffix("")) for path in RECIPES.rglob("*.yaml")
    )


def found(values: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every `trust_remote_code` in a plain configuration, with its full key."""
    items = values.items() if isinstance(values, dict) else []
    for name, value in items:
        if name == KEY:
            yield f"{path}{name}", value
        yield from found(value, f"{path}{name}.")


@pytest.mark.parametrize("recipe", names())
def test_every_recipe_leaves_remote_code_off(recipe: str) -> None:
    import verl  # noqa: F401  # loads the plugin, which knows the recipes

    base = "sft_trainer_engine" if "sft" in recipe else "ppo_trainer"
    with initialize_config_module("verl.trainer.config", version_base=None):
        config = compose(base, overrides=[f"+recipe={recipe}"])
    flags = dict(found(OmegaConf.to_container(config, resolve=False)))
    assert flags
    assert not any(flags.values()), flags


def test_cares_own_completion_leaves_it_off(composed: Composed) -> None:
    config = composed("algorithm.adv_estimator=care")
    validate_config(config=config, use_reference_policy=True, use_critic=False)
    assert not any(dict(found(OmegaConf.to_container(config, resolve=False))).values())


def test_vllm_is_given_the_models_setting() -> None:
    source = inspect.getsource(vLLMHttpServer)
    assert f'"{KEY}": self.model_config.{KEY}' in source
    assert source.count(KEY) == 2


class Loaded:
    """The worker's constructor of tokenizers, with what it was asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[bool] = []

        def hf_tokenizer(path: str, trust_remote_code: bool) -> str:
            self.asked.append(trust_remote_code)
            return "tokenizer"

        monkeypatch.setattr(reward_loop, "hf_tokenizer", hf_tokenizer)
        monkeypatch.setattr(reward_loop, "copy_to_local", lambda path: path)
        monkeypatch.setattr(reward_loop, "load_reward_manager", lambda *args, **kwargs: None)
        worker = reward_loop.RewardLoopWorker
        monkeypatch.setattr(worker, "_init_reward_fn", inspect.unwrap(worker._init_reward_fn))
        reward_tokenizer.ask_before_trusting(reward_loop)

    def start(self, estimator: str, trust: bool) -> list[bool]:
        self.asked.clear()
        model = {"tokenizer_path": None, "path": "/m", KEY: trust}
        reward_model = {"enable": True, "model_path": "/r"}
        values = {
            "algorithm": {"adv_estimator": estimator},
            "actor_rollout_ref": {"model": model},
            "reward": {"reward_model": reward_model},
        }
        worker: Any = object.__new__(reward_loop.RewardLoopWorker)
        worker.config, worker.reward_router_address = OmegaConf.create(values), None
        worker._init_reward_fn()
        return list(self.asked)


def test_reward_workers_ask_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """verl trusts both tokenizers by itself; in another estimator's run it goes on to."""
    loaded = Loaded(monkeypatch)
    for estimator in ("care", "grpo_care"):
        assert loaded.start(estimator, trust=False) == [False, False]
        assert loaded.start(estimator, trust=True) == [True, True]
    assert loaded.start("grpo", trust=False) == [True, True]


def test_the_plugin_has_hooked_them() -> None:
    assert inspect.unwrap(reward_loop.RewardLoopWorker._init_reward_fn) is not (
        reward_loop.RewardLoopWorker._init_reward_fn
    )


def test_another_loading_is_refused() -> None:
    def _init_reward_fn(worker: Any) -> None:
        raise NotImplementedError

    worker = SimpleNamespace(_init_reward_fn=_init_reward_fn)
    with pytest.raises(ContractError, match="hf_tokenizer"):
        reward_tokenizer.ask_before_trusting(SimpleNamespace(RewardLoopWorker=worker))
