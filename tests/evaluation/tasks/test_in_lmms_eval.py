"""Our tasks in LMMs-Eval's own evaluator, with a scripted model and the command line's defaults.

Decoding is not shown here: the scripted model honours the settings that real ones are given.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from care_verl.tools.evaluation.answers import read_answers
from care_verl.tools.evaluation.benchmarks import BENCHMARKS
from tests.benchmarks.upstream_scores import OWN

pytestmark = pytest.mark.slow

RED, GREEN, BLUE, BLACK = [255, 0, 0], [0, 255, 0], [0, 0, 255], [0, 0, 0]
ENDING = (
    "\n\nReason step by step inside <think> </think>, then give only the final answer inside "
    "<answer> </answer>."
)


def test_both_run_in_one_process(inside: dict[str, Any]) -> None:
    assert inside["verl"] == "0.9.1"
    assert inside["verifier in a thread"] == 1


def test_all_benchmarks_decode_alike(inside: dict[str, Any]) -> None:
    for benchmark in BENCHMARKS.values():
        task = inside["tasks"][benchmark.task]
        assert task["settings"] == {
            "until": [],
            "max_new_tokens": 16384,
            "temperature": 0.0,
            "top_p": 1.0,
            "do_sample": False,
        }
        assert task["tags"] == "none"


def test_its_own_tasks_stop_at_a_blank_line(inside: dict[str, Any]) -> None:
    stops = {name: inside["tasks"][f"care_upstream_{name}"]["settings"]["until"] for name in OWN}
    assert [name for name, stop in stops.items() if stop == ["\n\n"]] == [
        *("mathvista", "mathverse", "mmmu", "mmmu_pro_standard", "mmmu_pro_vision"),
    ]


def test_blank_lines_end_the_same_responses_there(
    inside: dict[str, Any], inside_folder: Path
) -> None:
    assert inside["runs"]["ours"]["care_upstream_mmmu"]["acc_score,none"] == 0
    answers = read_answers(inside_folder / "ours" / "run_samples_care_upstream_mmmu.jsonl")
    assert {answer.response for answer in answers} == {"<think>First."}


def test_its_tasks_without_reasoning_leave_no_room_for_any(inside: dict[str, Any]) -> None:
    """MMMU val and MMMU-Pro vision, as they are without `_reasoning`."""
    assert inside["limits"] == [128, 256]


def test_images_stand_among_the_text(inside: dict[str, Any]) -> None:
    mmmu = inside["tasks"]["care_mmmu_val"]["messages"]
    assert mmmu[0] == [
        [
            *("user", "Compare ", GREEN, " with ", RED, ". Which was painted over ", GREEN),
            f"?\nA. The first\nB. The second{ENDING}",
        ]
    ]
    assert mmmu[1] == [
        [
            *("user", "Which poster follows?\nA. ", BLUE, "\nB. ", RED),
            f"\nC. None, it's the last{ENDING}",
        ]
    ]
    vision = inside["tasks"]["care_mmmu_pro_vision"]["messages"]
    request = f"Answer the multiple-choice question in the image.{ENDING}"
    assert vision == [[["user", BLACK, request]]]


def test_its_own_tasks_swap_images_and_lose_text(inside: dict[str, Any]) -> None:
    mmmu = inside["tasks"]["care_upstream_mmmu"]["messages"]
    assert mmmu[0][1][1:-1] == ["Compare", RED, "with", GREEN]
    assert "painted over" not in json.dumps(mmmu[0])
    vision = inside["tasks"]["care_upstream_mmmu_pro_vision"]["messages"][0][1]
    assert vision[1] == vision[3]


def test_embedded_prompt_has_no_instruction(inside: dict[str, Any]) -> None:
    for messages in inside["tasks"]["care_embedded_test"]["messages"]:
        ((role, image, question),) = messages
        assert role == "user"
        assert isinstance(image, list)
        assert question.endswith("?")


def test_long_rationales_with_blank_lines_are_scored_whole(
    inside: dict[str, Any], inside_folder: Path
) -> None:
    runs = inside["runs"]["ours"]
    assert runs["care_mathvision_test"]["acc,none"] == 1
    assert runs["care_mathvision_test"]["fmt,none"] == 1
    assert runs["care_mmmu_val"]["acc,none"] == 0.5
    answers = read_answers(inside_folder / "ours" / "run_samples_care_mmmu_val.jsonl")
    assert [(answer.row, answer.group, answer.acc) for answer in answers] == [
        *((0, "Art_Theory", 0), (1, "Design", 1), (2, "Finance", 1), (3, "Biology", 0)),
    ]
    assert all(answer.response.startswith("<think>First.\n\nThen") for answer in answers)
    assert all(len(answer.response.split()) > 5000 for answer in answers)


def test_its_own_tasks_lose_rationale_and_expressions_by_default(
    inside: dict[str, Any], inside_folder: Path
) -> None:
    run = inside["runs"]["ours"]["care_upstream_mathvision"]
    assert (run["acc_score,none"], run["format_score,none"]) == (0.75, 0)
    log = inside_folder / "ours" / "run_samples_care_upstream_mathvision.jsonl"
    lines = sorted(map(json.loads, log.read_text().splitlines()), key=lambda line: line["doc_id"])
    both = [(a.acc, *line["theirs"]) for a, line in zip(read_answers(log), lines, strict=True)]
    assert both == [(1, 1), (1, 1), (1, 0), (1, 1)]
    assert inside["upstream in the main thread"] == 1
    assert inside["upstream in a thread"] == 0


def test_a_failed_request_ends_the_run(inside: dict[str, Any]) -> None:
    assert inside["failed request"].startswith("ScoringError: embedded, test-0-0: '[LMMS_EVAL_")
