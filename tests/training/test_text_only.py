"""A vision-language model under verl's patches, on rows with and without an image.

One process without FSDP: that all ranks run the vision tower, which FSDP wants, is verl's doing.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl as modeling
from verl.models.transformers import monkey_patch, qwen2_vl

from care_verl.data.embedded.model import build_model
from care_verl.platform.contract import ContractError
from care_verl.training.run.text_only import MODULE, run_without_images

TEXT = torch.tensor([[40, 41, 42, 43, 44]])
GRID = torch.tensor([[1, 4, 4]])


@pytest.fixture
def model(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The embedded task's, as verl's engine prepares it; verl's patches go with the test."""
    made = build_model(tokenizer, seed=0)
    with pytest.MonkeyPatch.context() as patch:
        for owner in (modeling.Qwen2_5_VLModel, modeling.Qwen2_5_VLForConditionalGeneration):
            patch.setattr(owner, "forward", owner.forward)
        patch.setattr(qwen2_vl, "_get_input_embeds", qwen2_vl._get_input_embeds)
        plain = made(input_ids=TEXT).logits
        monkey_patch.apply_monkey_patch(made, use_remove_padding=False)
        made.plain_logits = plain.detach()
        yield made


def forward(model: Any, ids: torch.Tensor = TEXT, **media: torch.Tensor) -> torch.Tensor:
    positions = torch.arange(ids.shape[1]).expand(4, 1, -1)
    mask = torch.ones_like(ids)
    return model(input_ids=ids, attention_mask=mask, position_ids=positions, **media).logits


def test_rows_without_an_image_are_scored_as_the_model_scores_text(model: Any) -> None:
    """Beyond that, the tower takes part with a gradient of 0, not of none."""
    run_without_images(qwen2_vl)
    logits = forward(model)
    assert torch.allclose(logits, model.plain_logits, atol=1e-5)
    logits.sum().backward()
    gradients = [parameter.grad for parameter in model.model.visual.parameters()]
    assert all(gradient is not None and not gradient.any() for gradient in gradients)


def test_rows_with_an_image_are_embedded_as_before(model: Any) -> None:
    """16 patches are four tokens of the image."""
    config = model.config
    pixels = torch.randn(16, 3 * 2 * config.vision_config.patch_size**2)
    ids = torch.tensor([[40, *[config.image_token_id] * 4, 41]])
    before = forward(model, ids, pixel_values=pixels, image_grid_thw=GRID)
    run_without_images(qwen2_vl)
    assert torch.equal(forward(model, ids, pixel_values=pixels, image_grid_thw=GRID), before)
    run_without_images(qwen2_vl)
    assert forward(model).shape[:2] == TEXT.shape


def test_another_function_of_verl_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def _get_input_embeds(model: Any, input_ids: Any) -> None: ...

    monkeypatch.setattr(qwen2_vl, "_get_input_embeds", _get_input_embeds)
    with pytest.raises(ContractError, match="does not recognise it"):
        run_without_images(qwen2_vl)


def test_verl_imports_the_patched_module_with_the_model_alone() -> None:
    """A process that starts no such model does not import it, and goes without the patch."""
    code = f"import sys, care_verl.training.run.worker; sys.exit('{MODULE}' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
