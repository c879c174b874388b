"""`array.sbatch` and `evaluate.sbatch`: what they make of their variables."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Slurm


def test_each_task_trains_one_pair_of_recipe_and_seed(slurm: Slurm) -> None:
    status, said = slurm.run(
        *["array.sbatch", "--array=0-3%2", "data.train_files=a"],
        CARE_RECIPES="care grpo/long",
        CARE_SEEDS="0 7",
    )
    assert status == 0, said
    pairs = []
    for _, _, _, *arguments in slurm.named("train"):
        overrides = dict(argument.partition("=")[::2] for argument in arguments)
        seed = overrides["data.seed"]
        assert seed == overrides["actor_rollout_ref.rollout.seed"]
        assert seed == overrides["actor_rollout_ref.actor.data_loader_seed"]
        folder = Path(overrides["trainer.default_local_dir"].strip("'")).parent
        pairs.append((overrides["+recipe"], seed, folder.name))
        assert arguments[-1] == "data.train_files=a"
    assert pairs == [
        ("[care,hardware/nodes]", "0", "care-seed0"),
        ("[care,hardware/nodes]", "7", "care-seed7"),
        ("[grpo/long,hardware/nodes]", "0", "grpo-long-seed0"),
        ("[grpo/long,hardware/nodes]", "7", "grpo-long-seed7"),
    ]


def test_a_recipe_without_hardware(slurm: Slurm) -> None:
    slurm.run("array.sbatch", "--array=0-0", CARE_RECIPES="embedded", CARE_HARDWARE="")
    assert "+recipe=[embedded]" in slurm.named("train")[0]


def test_a_task_beyond_the_pairs_is_refused(slurm: Slurm) -> None:
    status, said = slurm.run("array.sbatch", "--array=4-4", CARE_RECIPES="a b", CARE_SEEDS="0 1")
    assert status == 2
    assert "submit with --array=0-3" in said
    assert slurm.named("train") == []


@pytest.mark.parametrize(
    ("script", "environment", "message"),
    [
        ("array.sbatch", {}, "name the recipes"),
        ("array.sbatch", {"CARE_RECIPES": "a"}, "submit with --array"),
        ("evaluate.sbatch", {}, "name a folder global_step_N"),
    ],
)
def test_what_must_be_named(
    slurm: Slurm, script: str, environment: dict[str, str], message: str
) -> None:
    status, said = slurm.run(script, **environment)
    assert status != 0
    assert message in said
    assert slurm.named("train") == []


def test_a_whole_model_is_evaluated_on_any_number_of_gpus(slurm: Slurm) -> None:
    checkpoint = slurm.folder / "global_step_3"
    weights = checkpoint / "actor/huggingface/model-00001-of-00002.safetensors"
    weights.parent.mkdir(parents=True)
    weights.touch()
    status, said = slurm.run("evaluate.sbatch", "+recipe=a", CARE_CHECKPOINT=str(checkpoint))
    assert status == 0, said
    ((*_, model, resume, before, only),) = slurm.named("train")
    assert model == f"actor_rollout_ref.model.path='{weights.parent}'"
    assert resume == "trainer.resume_mode=disable"
    assert (before, only) == ("trainer.val_before_train=True", "trainer.val_only=True")


def test_shards_are_evaluated_on_as_many_gpus_as_wrote_them(slurm: Slurm) -> None:
    checkpoint = slurm.folder / "global_step_3"
    (checkpoint / "actor").mkdir(parents=True)
    (checkpoint / "actor/model_world_size_16_rank_0.pt").touch()
    status, said = slurm.run("evaluate.sbatch", "--nodes=1", CARE_CHECKPOINT=str(checkpoint))
    assert status == 2
    assert "has no weights for 8 GPUs" in said
    assert slurm.named("train") == []
    (slurm.folder / "spool").rename(slurm.folder / "spool1")
    status, said = slurm.run("evaluate.sbatch", "--nodes=2", CARE_CHECKPOINT=str(checkpoint))
    assert status == 0, said
    ((*_, resume, named, _, _),) = slurm.named("train")
    assert resume == "trainer.resume_mode=resume_path"
    assert named == f"trainer.resume_from_path='{checkpoint}'"
