"""Verdicts on responses to rows of the small files, traps included."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from care_verl.tools.evaluation.answers import (
    Answer,
    AnswersError,
    entries,
    load_answers,
    read_answers,
    write_answers,
)
from care_verl.tools.evaluation.benchmarks import BENCHMARKS
from care_verl.tools.evaluation.data import load
from care_verl.tools.evaluation.scoring import ScoringError, answers_of
from care_verl.tools.evaluation.settings import TASKS, TaskSettings, task_settings
from tests.evaluation.samples import answers


def scored(name: str, row: int, response: str, settings: TaskSettings | None = None) -> Answer:
    benchmark = BENCHMARKS[name]
    question = benchmark.read(load(benchmark)[row])
    (answer,) = answers_of(benchmark, row, question, [response], settings or TaskSettings())
    return answer


def boxed(answer: str) -> str:
    return f"<think>I look.\n\nThen I think.</think>\n<answer>{answer}</answer>"


pytestmark = pytest.mark.usefixtures("benchmark_files")


@pytest.mark.parametrize(
    ("name", "row", "answer", "acc"),
    [
        ("mathvista", 0, "D", 1),
        ("mathvista", 0, "(D) Owl", 1),
        ("mathvista", 0, "Owl", 1),
        ("mathvista", 0, "Dog", 0),
        ("mathvista", 0, "D. Dog", 0),
        ("mathvista", 3, "[3,5]", 1),
        ("mathvista", 4, "102", 1),
        ("mathvista", 4, "102°", 1),
        ("mathvista", 4, "97", 0),
        ("mathverse", 1, "60", 1),
        ("mathverse", 2, "$\\sqrt{20}$", 1),
        ("mathvision", 0, "**D**", 1),
        ("mathvision", 1, "1200 cm", 1),
        ("mathvision", 1, "12 cm", 0),
        ("mathvision", 2, "0.5", 1),
        ("mathvision", 3, "0.5", 1),
        ("mmmu", 0, "The second", 1),
        ("mmmu", 1, "A", 1),
        ("mmmu", 2, "50%", 1),
        ("mmmu", 2, "1/2", 1),
        ("mmmu", 2, "0.52", 0),
        ("mmmu", 3, "a dolphin", 1),
        ("mmmu", 3, "Dog", 0),
        ("mmmu_pro_standard", 0, "(J)", 1),
        ("mmmu_pro_standard", 0, "option number 10", 1),
        ("mmmu_pro_standard", 0, "option number 1", 0),
        ("mmmu_pro_standard", 1, "3 N", 1),
        ("mmmu_pro_vision", 0, "J", 1),
    ],
)
def test_verdicts(name: str, row: int, answer: str, acc: int) -> None:
    result = scored(name, row, boxed(answer))
    assert (result.acc, result.fmt) == (acc, 1)
    assert result.row == row


@pytest.mark.parametrize(
    ("answer", "acc", "rule"),
    [
        *[("1.5", 1, "number"), ("1.52", 1, "rounded"), ("1.46", 1, "rounded")],
        *[("1.44", 0, "number"), ("3/2", 1, "number"), ("long", 0, "number")],
    ],
)
def test_decimal_places_as_the_question_asks(answer: str, acc: int, rule: str) -> None:
    result = scored("mathvista", 1, boxed(answer))
    assert (result.acc, result.rule) == (acc, rule)


def test_integers_are_not_rounded() -> None:
    assert scored("mathvista", 2, boxed("12.4")).acc == 0


@pytest.mark.parametrize(
    "response",
    [
        "The answer is 12 m.",
        "\\boxed{12 m}",
        "<think>It is <answer>12 m</answer></think> So it is 12 m.",
        "<think>It is long.</think><answer>12 m",
        "<think>Hm.</think><answer>12 m</answer> or <answer>13 m</answer>",
        "",
    ],
)
def test_only_one_closed_answer_behind_the_rationale_counts(response: str) -> None:
    result = scored("mathvision", 1, response)
    assert (result.acc, result.fmt, result.rule) == (0, 0, "none")


def test_tags_and_prefilled_rationales_are_as_set() -> None:
    other = TaskSettings(think_tag="reasoning", prefilled=True)
    response = "I look.</reasoning><answer>12 m</answer>"
    assert scored("mathvision", 1, response, other).fmt == 1
    plain = scored("mathvision", 1, response)
    assert (plain.acc, plain.fmt) == (1, 0)


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ("[LMMS_EVAL_REQUEST_FAILED after 3 retries] Connection error.", "the model's server fail"),
        ("[LMMS_EVAL_BUDGET_EXCEEDED]", "or the budget was spent"),
        (None, "start it without a reasoning parser"),
    ],
)
def test_a_failed_request_is_no_wrong_answer(response: str | None, reason: str) -> None:
    benchmark = BENCHMARKS["mmmu"]
    question = benchmark.read(load(benchmark)[1])
    message = f"mmmu, validation_Design_7: .* stands where a response should; .*{reason}"
    with pytest.raises(ScoringError, match=message):
        answers_of(benchmark, 1, question, ["", response], TaskSettings())


def test_expressions_are_compared_in_threads_too() -> None:
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda _: scored("mathverse", 2, boxed("$\\sqrt{20}$")).acc, range(8))
        assert list(found) == [1.0] * 8


def test_settings_reach_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = TaskSettings("reasoning", "final", "Think.", True)
    monkeypatch.setenv(TASKS, settings.environment()[TASKS])
    assert task_settings() == settings
    assert TaskSettings("reasoning").ending.startswith("Reason step by step inside <reasoning> <")
    assert TaskSettings(instruction="").ending == ""


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("{", "expected JSON"),
        ('{"tag": "think"}', "expected a JSON object of think_tag, answer_tag, instruction, pre"),
        ('{"think_tag": "a b"}', "tag 'a b' is not allowed; expected a tag name of ASCII letters"),
        ('{"think_tag": "answer"}', "both tags are 'answer'"),
        ('{"prefilled": 1}', "prefilled = 1; expected true or false"),
        ('{"instruction": 1}', "instruction = 1; expected a text or null"),
    ],
)
def test_settings_that_are_none(
    written: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TASKS, written)
    with pytest.raises(ValueError, match=message):
        task_settings()


def test_answers_survive_files(tmp_path: Path) -> None:
    answers = [scored("mmmu", row, boxed("A")) for row in (0, 1)]
    write_answers(answers, tmp_path / "answers.jsonl")
    assert load_answers(tmp_path / "answers.jsonl") == answers
    lines = [{"doc_id": answer.row, "care": entries([answer])} for answer in reversed(answers)]
    (tmp_path / "samples.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert read_answers(tmp_path / "samples.jsonl") == answers


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"doc_id": 0', "samples.jsonl:1: no JSON"),
        ('{"doc_id": 0, "acc_score": 1}', "no entry 'care'; expected a per-sample file of a task"),
        ('{"doc_id": 0, "care": [{"acc": 1}]}', r"\['acc', 'row'\]; expected \['acc', 'answer'"),
    ],
)
def test_samples_of_other_tasks(line: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "samples.jsonl").write_text(f"{line}\n")
    with pytest.raises(AnswersError, match=message):
        read_answers(tmp_path / "samples.jsonl")


def test_answers_of_an_earlier_release_are_taken_as_they_are(tmp_path: Path) -> None:
    """They had LMMs-Eval's own score beside ours, null where it was not asked for."""
    written = tmp_path / "answers.jsonl"
    write_answers(answers([1.0]), written)
    entry = json.loads(written.read_text())
    written.write_text(json.dumps({**entry, "upstream": None}) + "\n")
    assert load_answers(written) == answers([1.0])
    written.write_text(json.dumps({**entry, "other": None}) + "\n")
    with pytest.raises(AnswersError, match="other"):
        load_answers(written)
