"""Names of prompts and seeds of requests: pure functions of what a resumed run knows."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import verl.trainer.ppo.v1  # noqa: F401  # CARE's trainer is imported at its end
from verl.utils import tensordict_utils as tu
from verl.utils.config import validate_config

from care_verl.algorithm import CareConfig
from care_verl.algorithm.draws import decoding_seed
from care_verl.training.care.trainer import CareTrainer
from care_verl.training.run.prompt_names import PromptIds
from care_verl.training.run.seeding import Seeding, seed_of_turn

SAMPLING = {"temperature": 1.0, "logprobs": True}


def question(text: str, index: int = 0, session: int = 0) -> dict[str, Any]:
    content = [{"type": "image", "image": object()}, {"type": "text", "text": text}]
    messages = [{"role": "system", "content": "Look."}, {"role": "user", "content": content}]
    return {"raw_prompt": messages, "index": index, "session_id": session, "uid": "random"}


def test_turns_of_a_session_have_seeds_of_their_own() -> None:
    """A turn is asked for with all that came before it."""
    turns = [seed_of_turn({**SAMPLING, "seed": 5}, range(length)) for length in (8, 8, 20)]
    assert turns[0] == turns[1] != turns[2]
    assert all(0 <= turn["seed"] < 2**63 for turn in turns)
    assert seed_of_turn(SAMPLING, [1, 2]) == SAMPLING


def test_a_message_may_have_no_content() -> None:
    """As an assistant's that only calls a tool."""
    asked = {**question("a"), "raw_prompt": [{"role": "assistant", "content": None}]}
    assert "seed" in Seeding(7).validation(SAMPLING, {"step": 1}, asked)


def test_ids_sort_as_they_were_drawn_and_go_on_counting_within_a_step() -> None:
    ids = PromptIds()
    drawn = ids.take(9, 12) + ids.take(9, 1) + ids.take(9, 2) + ids.take(10, 2)
    assert drawn[:1] + drawn[11:] == [
        "s000009p00000",
        "s000009p00011",
        "s000009p00012",
        "s000009p00013",
        "s000009p00014",
        "s000010p00000",
        "s000010p00001",
    ]
    assert drawn == sorted(set(drawn))
    assert not any("_" in name for name in drawn)


def test_a_resumed_run_hands_out_the_same_ids() -> None:
    ids = PromptIds()
    ids.take(1, 4)
    assert ids.take(2, 4) == PromptIds().take(2, 4)


def test_the_trainer_names_the_prompts_it_draws() -> None:
    """verl's own names are random; its chunks of a step are drawn one by one."""
    trainer: Any = object.__new__(CareTrainer)
    trainer._prompt_ids, trainer.global_steps, trainer.train_dataloader_it = PromptIds(), 3, None
    trainer.train_dataloader = [{"raw_prompt": np.array(["a", "b"], dtype=object)}] * 2
    trainer.config = SimpleNamespace(
        data=SimpleNamespace(train_batch_size=4, get=lambda key, default: 2)
    )
    batch = trainer._next_train_batch()
    assert list(batch["uid"]) == [f"s000003p0000{place}" for place in range(4)]
    assert tu.get(batch, "global_steps") == 3


def test_seeds_depend_on_each_argument_and_on_nothing_else() -> None:
    code = (
        "from care_verl.algorithm.draws import decoding_seed as d;"
        "print(d(42, 's000001p00000', 3, 'rollout'))"
    )
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    here = decoding_seed(42, "s000001p00000", 3, "rollout")
    assert int(run.stdout) == here
    others = {
        decoding_seed(43, "s000001p00000", 3, "rollout"),
        decoding_seed(42, "s000001p00001", 3, "rollout"),
        decoding_seed(42, "s000001p00000", 4, "rollout"),
        decoding_seed(42, "s000001p00000", 3, "reflection"),
    }
    assert len(others | {here}) == 5


def test_seeds_of_many_requests_differ_in_their_low_half() -> None:
    """Which is all that torch's CPU generator takes of a seed."""
    seeds = [
        decoding_seed(0, f"s{n:06d}p00000", k, "rollout") for n in range(500) for k in range(8)
    ]
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert len({seed % 2**32 for seed in seeds}) == len(seeds)


def test_every_request_of_a_seeded_run_has_a_seed_of_its_own() -> None:
    seeding = Seeding(42)
    made = [
        seeding.rollout(SAMPLING, "s000001p00000", 0),
        seeding.rollout(SAMPLING, "s000001p00000", 1),
        seeding.reflection(SAMPLING, "s000001p00000"),
        seeding.validation(SAMPLING, {"step": 1}, question("red?")),
        seeding.validation(SAMPLING, {"step": 1}, question("red?", session=1)),
        seeding.validation(SAMPLING, {"step": 1}, question("red?", index=1)),
        seeding.validation(SAMPLING, {"step": 1}, question("blue?")),
        seeding.validation(SAMPLING, {"step": 2}, question("red?")),
    ]
    assert len({sampling["seed"] for sampling in made}) == len(made)
    assert all(SAMPLING.items() <= sampling.items() for sampling in made)
    again = seeding.validation(SAMPLING, {"step": 1}, question("red?"))
    assert again == made[3]


def test_without_the_option_sampling_parameters_stay_as_they_are() -> None:
    config: Any = SimpleNamespace()
    seeding = Seeding.of(config, CareConfig())
    assert seeding.rollout(SAMPLING, "u", 0) == SAMPLING
    assert seeding.reflection(SAMPLING, "u") == SAMPLING
    assert seeding.validation(SAMPLING, {"step": 1}, {}) == SAMPLING


def test_verls_full_determinism_alone_is_refused(composed: Any) -> None:
    """It gives all requests of a server one seed: the rollouts of a group would be equal."""
    lines = ["algorithm.adv_estimator=care", "actor_rollout_ref.rollout.full_determinism=True"]
    config = composed(*lines)
    with pytest.raises(ValueError, match=r"set \+\+algorithm\.care\.seeded=True"):
        validate_config(config=config, use_reference_policy=True, use_critic=False)
    config = composed(*lines, "+algorithm.care.seeded=True")
    validate_config(config=config, use_reference_policy=True, use_critic=False)
