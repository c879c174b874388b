"""Which folder a MODEL stands for; the merge is verl's own, of the embedded model's shards."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from care_verl.tools.evaluation import checkpoint
from care_verl.tools.evaluation.checkpoint import UnusableCheckpointError, identity, located, merged
from care_verl.training.checkpointing import manifest

SHARD = "model_world_size_1_rank_0.pt"


@pytest.fixture
def step(tmp_path: Path, model_folder: Path) -> Path:
    """A checkpoint as verl's FSDP workers save it on one rank, without exported weights."""
    from transformers import AutoModelForImageTextToText

    actor = tmp_path / "global_step_2" / "actor"
    shutil.copytree(model_folder, actor / "huggingface")
    (actor / "huggingface" / "model.safetensors").unlink()
    (actor / "fsdp_config.json").write_text('{"FSDP_version": 2, "world_size": 1}')
    model = AutoModelForImageTextToText.from_pretrained(model_folder, dtype=torch.float32)
    torch.save(model.state_dict(), actor / SHARD)
    (actor.parent / "data.pt").write_bytes(b"")
    manifest.begin(actor.parent)
    manifest.complete(actor.parent, 2)
    return actor.parent


def refusal(source: Path | str) -> str:
    with pytest.raises(UnusableCheckpointError) as caught:
        located(str(source))
    return str(caught.value)


def test_a_hugging_face_folder_is_taken_as_it_is(model_folder: Path) -> None:
    model = located(str(model_folder))
    assert (model.path, model.shards) == (str(model_folder), None)
    assert merged(model, Path("/nowhere/log")) == model


def test_a_hub_id_is_taken_as_it_is() -> None:
    assert located("Qwen/Qwen2.5-VL-3B-Instruct").folder is None


def test_a_mistyped_path_is_no_hub_id() -> None:
    assert refusal("/models/none").startswith("/models/none: no such folder, and no hub id")


@pytest.mark.parametrize("inside", ["", "actor"])
def test_exported_weights_are_taken_directly(step: Path, model_folder: Path, inside: str) -> None:
    export = step / "actor" / "huggingface"
    shutil.copy(model_folder / "model.safetensors", export)
    model = located(str(step / inside))
    assert (model.path, model.shards) == (str(export), None)


def test_a_missing_shard(step: Path) -> None:
    """Without CARE's manifest too: the number of ranks says which there are."""
    (step / manifest.MANIFEST).unlink()
    (step / "actor" / "fsdp_config.json").write_text('{"world_size": 2}')
    (step / "actor" / SHARD).rename(step / "actor" / "model_world_size_2_rank_0.pt")
    shard = step / "actor" / "model_world_size_2_rank_1.pt"
    assert refusal(step) == f"{shard} is missing: not every rank's shard is there"


def test_a_shard_that_the_manifest_lists(step: Path) -> None:
    (step / "actor" / SHARD).unlink()
    assert refusal(step) == f"{step / 'actor' / SHARD} is missing; {step}/complete.json lists it"


def test_a_shard_that_was_cut(step: Path) -> None:
    size = (step / "actor" / SHARD).stat().st_size
    with (step / "actor" / SHARD).open("r+b") as file:
        file.truncate(100)
    assert refusal(step / "actor") == f"{step / 'actor' / SHARD} has 100 of {size} bytes"


def test_a_removed_optimizer_is_no_loss(step: Path) -> None:
    """Its file is in the manifest; an evaluation does not need it."""
    record = json.loads((step / manifest.MANIFEST).read_text())
    record["files"]["actor/optim_world_size_1_rank_0.pt"] = 10
    (step / manifest.MANIFEST).write_text(json.dumps(record))
    assert located(str(step)).shards == step / "actor"


def test_an_unfinished_save(step: Path) -> None:
    manifest.begin(step)
    assert refusal(step).endswith(f"{step / manifest.UNFINISHED} is there")


@pytest.mark.parametrize(
    ("name", "what"),
    [("tokenizer.json", "tokenizer"), ("processor_config.json", "image processor")],
)
def test_a_missing_tokenizer_or_processor(step: Path, name: str, what: str) -> None:
    """verl's merger would leave it out without a word."""
    (step / "actor" / "huggingface" / name).unlink()
    assert f"is missing: no {what}" in refusal(step)
    assert str(step / "actor" / "huggingface") in refusal(step)


def test_a_missing_part_of_the_weights(model_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(model_folder, folder)
    (folder / "model.safetensors").unlink()
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model-1.safetensors").write_bytes(b"")
    assert refusal(folder).startswith(f"{folder / 'model-2.safetensors'} is missing")


def test_a_folder_that_is_neither(tmp_path: Path) -> None:
    assert "holds neither config.json nor fsdp_config.json" in refusal(tmp_path)


@pytest.mark.slow
def test_verls_merger_once(step: Path, model_folder: Path, tmp_path: Path) -> None:
    """The merged weights are the shards', in bfloat16, as verl's merger writes them."""
    from safetensors.torch import load_file

    runs: list[int] = []
    model = located(str(step))
    for _ in range(2):
        merged(model, tmp_path / "log", lambda: runs.append(1))
    assert len(runs) == 1
    found = load_file(f"{model.path}/model.safetensors")
    expected = load_file(model_folder / "model.safetensors")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name].bfloat16()) for name in found)
    assert not (step / "actor" / ".merged.unfinished").exists()

    shard = step / "actor" / SHARD
    changed = {name: value + 1 for name, value in torch.load(shard, weights_only=True).items()}
    torch.save(changed, shard)
    merged(model, tmp_path / "log", lambda: runs.append(1))
    assert len(runs) == 2


def test_a_merge_that_fails_leaves_nothing(
    step: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = ["sh", "-c", "echo no memory; exit 9"]
    monkeypatch.setattr(checkpoint, "_merger", lambda shards, target: failing)
    with pytest.raises(UnusableCheckpointError, match="(?s)failed, status 9.*no memory"):
        merged(located(str(step)), tmp_path / "log")
    assert not (step / "actor" / "merged").exists()


def test_other_weights_have_another_identity(step: Path) -> None:
    model = located(str(step))
    before = identity(model)
    assert before == identity(located(str(step / "actor")))
    with (step / "actor" / SHARD).open("ab") as file:
        file.write(b"x")
    assert identity(model) != before
