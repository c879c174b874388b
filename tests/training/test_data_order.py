"""The batches behind a checkpoint are those of an uninterrupted run, at the end of an epoch too.

verl's dataloader and sampler, as its trainer builds them, and the trainer's own way to draw from
them. What this does not prove: the same with worker processes (`data.dataloader_num_workers`).
"""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
import verl.trainer.ppo.v1  # noqa: F401  # CARE's trainer is imported at its end
from omegaconf import OmegaConf
from torchdata.stateful_dataloader import StatefulDataLoader
from verl.trainer.ppo.utils import create_rl_sampler
from verl.utils.dataset.rl_dataset import collate_fn

from care_verl.training.care.trainer import CareTrainer
from care_verl.training.run.prompt_names import PromptIds

ROWS = [{"raw_prompt": f"question {number}"} for number in range(10)]
STEPS = 8

Drawn = list[list[tuple[str, str]]]


def trainer_at(step: int, data: dict[str, Any], state: Any = None) -> Any:
    """A trainer with its data as verl's `_init_dataloader` makes it, about to draw for `step`."""
    config = OmegaConf.create({"data": {"train_batch_size": 4, **data}})
    trainer: Any = object.__new__(CareTrainer)
    trainer.config, trainer.global_steps = config, step
    trainer.train_dataloader_it, trainer._prompt_ids = None, PromptIds()
    trainer.train_dataloader = StatefulDataLoader(
        dataset=ROWS,
        batch_size=config.data.get("gen_batch_size", 4),
        num_workers=0,
        drop_last=True,
        collate_fn=collate_fn,
        sampler=create_rl_sampler(config.data, ROWS),
    )
    if state is not None:
        trainer.train_dataloader.load_state_dict(state)
    return trainer


def draw(trainer: Any) -> list[tuple[str, str]]:
    """(name, question) of one step's prompts."""
    batch = trainer._next_train_batch()
    trainer.global_steps += 1
    return list(zip(batch["uid"], batch["raw_prompt"], strict=True))


def stored(trainer: Any) -> Any:
    """The state as a checkpoint holds it."""
    file = io.BytesIO()
    torch.save(trainer.train_dataloader.state_dict(), file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize(
    "data",
    [
        {"shuffle": True, "seed": 7},
        {"shuffle": True, "seed": None},
        {"shuffle": False},
        {"shuffle": True, "seed": 7, "train_batch_size": 5, "gen_batch_size": 5},
        {"shuffle": True, "seed": 7, "gen_batch_size": 1},
    ],
    ids=["seed", "no seed", "in order", "no rest", "one by one"],
)
def test_a_resumed_run_draws_the_same_batches(data: dict[str, Any]) -> None:
    """Resumed behind every step of eight, which are four epochs; once more from a resumed run."""
    whole = trainer_at(1, data)
    expected: Drawn = []
    states = []
    for _ in range(STEPS):
        expected.append(draw(whole))
        states.append(stored(whole))
    assert len({tuple(step) for step in expected}) == STEPS
    for done in range(1, STEPS):
        resumed = trainer_at(done + 1, data, states[done - 1])
        found = [draw(resumed) for _ in range(done, STEPS)]
        assert found == expected[done:], f"resumed behind step {done}"
        if done < STEPS - 1:
            first = trainer_at(done + 1, data, states[done - 1])
            draw(first)
            again = trainer_at(done + 2, data, stored(first))
            assert draw(again) == expected[done + 1], f"resumed behind {done}, then {done + 1}"
