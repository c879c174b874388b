"""The pieces of the group stage one by one: group, reflected row, prompts, client.

The embedded task's real tokenizer is used; no model decodes here. How the pieces play together is
in `test_agent_loop`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from verl.workers.rollout.replica import TokenOutput

from care_verl.algorithm import CareConfig
from care_verl.algorithm.config import REPAIR_CUE, RegionConfig
from care_verl.common.vocabulary import vocab_bytes
from care_verl.training.care.group_stage import PromptGroup, Session, reflected_output
from care_verl.training.care.harvesting import HarvestingClient
from care_verl.training.care.reflection_prompts import ReflectionPrompts
from care_verl.training.chat_template import opens_rationale
from care_verl.training.fields import CARE, EMBEDDING, HARVEST
from tests.algorithm import qwen

from .samples import agent_output, record

PROMPT = "<|im_start|>user\nred plus blue?<|im_end|>\n<|im_start|>assistant\n"


def session(number: int, acc: float, embedding: Sequence[float]) -> Session:
    vector = np.asarray(embedding, dtype=np.float32)
    return Session(agent_output([number]), {"session_id": number}, record(number, acc), vector)


def test_only_the_last_session_settles_the_group() -> None:
    group = PromptGroup("u", size=3)
    assert [group.settle() for _ in range(3)] == [False, False, True]


@pytest.mark.parametrize("arrival", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_the_plan_does_not_depend_on_arrival(arrival: tuple[int, ...]) -> None:
    """Sessions 1 and 3 are equally near to the anchor, session 2; 1 comes first by number."""
    sessions = [
        session(0, 0.0, [0.0, 1.0]),
        session(1, 0.0, [0.8, 0.6]),
        session(2, 1.0, [1.0, 0.0]),
        session(3, 0.0, [0.8, 0.6]),
    ]
    plan, ordered = PromptGroup("u", 4, sessions=[sessions[i] for i in arrival]).plan(CareConfig())
    assert [row.record.session for row in ordered] == [0, 1, 2, 3]
    assert (plan.kind, plan.anchor, plan.source) == ("mixed", 2, 1)
    assert plan.negatives == [1, 3, 0]


def test_the_plan_points_into_the_scored_sessions() -> None:
    """Session 0 failed to come back: index 0 is session 1."""
    scored = [session(2, 0.0, [0.0, 1.0]), session(1, 1.0, [1.0, 0.0])]
    group = PromptGroup("u", 3, sessions=scored)
    plan, ordered = group.plan(CareConfig())
    assert plan.source is not None
    assert ordered[plan.source].record.session == 2


@pytest.mark.parametrize(("acc", "kind"), [(1.0, "all_right"), (0.0, "all_wrong")])
def test_groups_of_one_kind_have_no_source(acc: float, kind: str) -> None:
    sessions = [session(i, acc, [1.0]) for i in range(2)]
    plan, _ = PromptGroup("u", 2, sessions=sessions).plan(CareConfig())
    assert (plan.kind, plan.source) == (kind, None)


def scored_source(**fields: Any) -> Any:
    """A failed row as it is after scoring and harvest."""
    extra = {
        "turn_scores": [],
        "min_global_steps": 4,
        "reward_extra_info": {"acc": 0.0},
        CARE: {"session": 1},
        EMBEDDING: np.ones(2, dtype=np.float32),
    }
    return agent_output([1, 2, 3], reward_score=0.1, extra_fields=extra, **fields)


DECODED = TokenOutput(
    token_ids=[7, 8, 9], log_probs=[-0.1, -0.2, -0.3], extra_fields={"min_global_steps": 5}
)


def test_a_reflected_row_trains_only_the_new_tokens() -> None:
    """Five tokens fit: three of prefix, two of the three new ones."""
    row = reflected_output(scored_source(), [90, 2, 3], DECODED, response_length=5, seconds=2.5)
    assert row.prompt_ids == [50, 51]
    assert row.response_ids == [90, 2, 3, 7, 8]
    assert row.response_mask == [0, 0, 0, 1, 1]
    assert row.response_logprobs == [0.0, 0.0, 0.0, -0.1, -0.2]
    assert row.multi_modal_data == {"images": ["an image"]}
    assert row.reward_score is None
    assert row.metrics.generate_sequences == 2.5


def test_a_reflected_row_inherits_no_verdict() -> None:
    source = scored_source()
    row = reflected_output(source, [90], DECODED, response_length=8, seconds=2.5)
    assert row.extra_fields == {"turn_scores": [], "min_global_steps": 5}
    row.extra_fields["reward_extra_info"] = {"acc": 1.0}
    assert source.extra_fields["reward_extra_info"] == {"acc": 0.0}
    assert source.response_ids == [1, 2, 3]
    assert source.reward_score == 0.1


def test_a_reflected_row_has_the_columns_of_its_source() -> None:
    source = scored_source()
    row = reflected_output(source, [90], DECODED, response_length=8, seconds=2.5)
    row.reward_score = 1.0
    assert set(row.as_dict()) == set(source.as_dict())


def test_without_log_probabilities_there_are_none() -> None:
    row = reflected_output(scored_source(response_logprobs=None), [90], DECODED, 8, 2.5)
    assert row.response_logprobs is None


@pytest.mark.parametrize(
    ("end", "settings", "opens"),
    [
        ("", {}, False),
        ("<think>", {}, True),
        ("<think>\n", {}, True),
        ("<think>\n", {"think_tag": "reasoning"}, False),
        ("<reasoning>", {"think_tag": "reasoning"}, True),
        ("<think>red", {}, False),
        ("<think>", {"prefilled": False}, False),
        ("", {"prefilled": True}, True),
    ],
)
def test_a_prompt_shows_whether_it_opens_the_rationale(
    tokenizer: Any, end: str, settings: dict[str, Any], opens: bool
) -> None:
    prompt = tokenizer.encode(PROMPT + end)
    assert opens_rationale(tokenizer, prompt, RegionConfig(**settings)) is opens


def prompts_of(
    tokenizer: Any, care: CareConfig | None = None, processor: Any = None
) -> ReflectionPrompts:
    return ReflectionPrompts(tokenizer, processor, care or CareConfig(), vocab_bytes(tokenizer))


def failed(tokenizer: Any, text: str) -> Any:
    """A row with this response."""
    return agent_output(tokenizer.encode(text))


FAILED = "red3<|image_pad|> blue5</think><answer>9</answer><|im_end|>"


@pytest.mark.parametrize(
    ("text", "prefilled", "prefix"),
    [
        (f"<think>{FAILED}", False, f"<think>red3 blue5\n{REPAIR_CUE}\n"),
        (FAILED, True, f"red3 blue5\n{REPAIR_CUE}\n"),
        ("red 8<|im_end|>", False, f"<think>red 8\n{REPAIR_CUE}\n"),
        (FAILED, False, f"<think>red3 blue5\n{REPAIR_CUE}\n"),
    ],
)
def test_the_prefix_is_the_failed_rationale_and_the_cue(
    tokenizer: Any, text: str, prefilled: bool, prefix: str
) -> None:
    """The last two rows have no rationale: their text is repaired, to a stray closing tag."""
    built = prompts_of(tokenizer).prefix(failed(tokenizer, text), prefilled, budget=200)
    assert tokenizer.decode(built.ids) == prefix
    assert built.cut == 0


class QwensTokenizer:
    """Qwen's real merges behind the part of a tokenizer that prompts are built with."""

    all_special_ids = (qwen.END,)

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        return qwen.encoding().encode_ordinary(text)


@pytest.mark.parametrize("opening", ["<think>", ""])
@pytest.mark.parametrize("rationale", ["The sum is 5.", "The", ".", "a<b is wrong", "是5。", ""])
def test_the_copied_rationale_is_exact_where_tags_are_glued_to_it(
    rationale: str, opening: str
) -> None:
    """`>The`, `.</`: the first word and the last stop are copied, and no piece of a tag is."""
    prompts = ReflectionPrompts(QwensTokenizer(), None, CareConfig(), qwen.vocabulary())
    text = f"{opening}{rationale}</think>\n<answer>B</answer>"
    row = agent_output([*qwen.encoding().encode_ordinary(text), qwen.END])
    built = prompts.prefix(row, prefilled=not opening, budget=200)
    assert built.ids is not None
    assert qwen.encoding().decode(built.ids) == f"{opening}{rationale}\n{REPAIR_CUE}\n"


def test_plain_tokens_that_stand_for_images_are_dropped(tokenizer: Any) -> None:
    """Some processors use an ordinary token as placeholder; here `red` plays that part."""
    (placeholder,) = tokenizer.encode("red")
    assert placeholder not in tokenizer.all_special_ids
    processor = SimpleNamespace(image_token_id=placeholder)
    prompts = prompts_of(tokenizer, processor=processor)
    built = prompts.prefix(failed(tokenizer, f"<think>{FAILED}"), False, budget=200)
    assert tokenizer.decode(built.ids) == f"<think>3 blue5\n{REPAIR_CUE}\n"


def test_settings_reach_the_prefix(tokenizer: Any) -> None:
    care = CareConfig.from_mapping({"rgr": {"mode": "no_cue", "context": "answer"}})
    built = prompts_of(tokenizer, care).prefix(
        failed(tokenizer, f"<think>{FAILED}"), False, budget=200
    )
    assert tokenizer.decode(built.ids) == "<think>red3 blue5\n</think>\n<answer>"


def test_a_full_response_leaves_no_room(tokenizer: Any) -> None:
    built = prompts_of(tokenizer).prefix(failed(tokenizer, f"<think>{FAILED}"), False, budget=64)
    assert (built.ids, built.reason) == (None, "no_room")


class RecordingClient:
    """verl's client: notes what it is asked."""

    tokenizer = "the client's"

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []

    async def generate(self, request_id: str, **kwargs: Any) -> str:
        self.calls.append((request_id, kwargs))
        return "an output"


@pytest.mark.parametrize("last", [5, 6])
def test_a_harvesting_request_says_where_the_rationale_begins(last: int) -> None:
    client = RecordingClient()
    harvesting = HarvestingClient(client, lambda prompt: prompt[-1] == 5)
    asked = {HARVEST: True, "top_p": 0.5}
    output = asyncio.run(
        harvesting.generate("r", prompt_ids=[4, last], sampling_params=asked, image_data=["x"])
    )
    assert output == "an output"
    request_id, call = client.calls[0]
    assert request_id == "r"
    assert call == {
        "prompt_ids": [4, last],
        "sampling_params": {HARVEST: {"prefilled": last == 5}, "top_p": 0.5},
        "image_data": ["x"],
    }
    assert asked == {HARVEST: True, "top_p": 0.5}


def test_other_requests_and_attributes_pass_through() -> None:
    client = RecordingClient()
    harvesting = HarvestingClient(client, lambda prompt: True)
    asked = {"top_p": 0.5}
    asyncio.run(harvesting.generate("r", prompt_ids=[4], sampling_params=asked))
    assert client.calls == [("r", {"prompt_ids": [4], "sampling_params": asked})]
    assert harvesting.tokenizer == "the client's"
