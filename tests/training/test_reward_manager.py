"""The reward manager with the real verifier and the embedded task's tokenizer.

verl's reward loop is not started; how it finds and builds the manager is in
`test_contract_classes`.
"""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from verl import DataProto

from care_verl.training.reward_manager import CareRewardManager

PROMPT = "<|im_start|>assistant\n"


def row(tokenizer: Any, response: str, prompt: str, behind: str = "") -> DataProto:
    """One row whose gold answer is 8; `behind` stands in the padding."""
    prompts = torch.tensor([tokenizer.encode(prompt)])
    valid = tokenizer.encode(response)
    responses = torch.tensor([valid + tokenizer.encode(behind)])
    mask = torch.zeros(1, prompts.shape[1] + responses.shape[1], dtype=torch.int64)
    mask[:, : prompts.shape[1] + len(valid)] = 1
    return DataProto.from_dict(
        tensors={"prompts": prompts, "responses": responses, "attention_mask": mask},
        non_tensors={
            "reward_model": np.array([{"ground_truth": "8"}], dtype=object),
            "data_source": np.array(["care_verl/embedded"], dtype=object),
        },
    )


def score(
    tokenizer: Any, response: str, prompt: str = PROMPT, behind: str = "", **care: Any
) -> dict[str, Any]:
    manager = CareRewardManager(OmegaConf.create({"algorithm": {"care": care}}), tokenizer)
    result: dict[str, Any] = asyncio.run(
        manager.run_single(row(tokenizer, response, prompt, behind))
    )
    return result


@pytest.mark.parametrize(
    ("response", "acc", "fmt", "pred"),
    [
        ("<think>red3 blue5</think><answer>8</answer>", 1.0, 1.0, "8"),
        ("<think>red3 blue6</think><answer>9</answer>", 0.0, 1.0, "9"),
        ("<answer>8</answer>", 1.0, 0.0, "8"),
        ("red and blue", 0.0, 0.0, ""),
        ("", 0.0, 0.0, ""),
    ],
)
def test_verdicts(tokenizer: Any, response: str, acc: float, fmt: float, pred: str) -> None:
    """Reward 0.75·acc + 0.25·fmt; the same keys and types whatever the verdict."""
    result = score(tokenizer, response + "<|im_end|>", lam=0.25)
    rule = "number" if pred else "none"
    expected = {"acc": acc, "fmt": fmt, "pred": pred, "read": pred, "rule": rule}
    assert result["reward_extra_info"] == expected
    assert result["reward_score"] == pytest.approx(0.75 * acc + 0.25 * fmt)
    assert [type(value) for value in result["reward_extra_info"].values()] == [
        float,
        float,
        str,
        str,
        str,
    ]


def test_the_paper_names_no_lambda_and_ours_is_a_tenth(tokenizer: Any) -> None:
    result = score(tokenizer, "<think>red3</think><answer>9</answer>")
    assert result["reward_score"] == pytest.approx(0.1)


def test_a_rationale_opened_in_the_prompt_counts(tokenizer: Any) -> None:
    """Without the opening tag anywhere the response is not well formed."""
    response = "red3 blue5</think><answer>8</answer>"
    prefilled = score(tokenizer, response, prompt=PROMPT + "<think>\n")
    assert prefilled["reward_extra_info"]["fmt"] == 1.0
    assert score(tokenizer, response)["reward_extra_info"]["fmt"] == 0.0


def test_padding_is_not_read(tokenizer: Any) -> None:
    right = "<think>red3 blue5</think><answer>8</answer>"
    result = score(tokenizer, right, behind="<answer>9</answer>")
    verdict = result["reward_extra_info"]
    assert (verdict["acc"], verdict["fmt"], verdict["pred"]) == (1.0, 1.0, "8")


def test_tag_names_are_settings(tokenizer: Any) -> None:
    response = "<reasoning>red3</reasoning><answer>8</answer>"
    settings = {"regions": {"think_tag": "reasoning"}}
    assert score(tokenizer, response, **settings)["reward_extra_info"]["fmt"] == 1.0
    assert score(tokenizer, response)["reward_extra_info"]["fmt"] == 0.0


def test_the_last_of_several_rows_is_scored(tokenizer: Any) -> None:
    manager = CareRewardManager(OmegaConf.create({"algorithm": {}}), tokenizer)
    wrong = row(tokenizer, "<answer>9</answer>", PROMPT)
    right = row(tokenizer, "<answer>8</answer>", PROMPT)
    result = asyncio.run(manager.run_single(DataProto.concat([wrong, right])))
    assert result["reward_extra_info"]["acc"] == 1.0


def test_a_row_without_gold_answer_is_an_error(tokenizer: Any) -> None:
    data = row(tokenizer, "<answer>8</answer>", PROMPT)
    data.non_tensor_batch["reward_model"][0] = {}
    manager = CareRewardManager(OmegaConf.create({"algorithm": {}}), tokenizer)
    with pytest.raises(KeyError, match="ground_truth"):
        asyncio.run(manager.run_single(data))
