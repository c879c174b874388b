"""The verifier on rows of the data: their gold answers, put as answers, score 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig

from care_verl.grammar import TagSpec
from care_verl.tools.doctor.data_rows import Row, Sample
from care_verl.tools.doctor.finding import Check, Finding
from care_verl.tools.doctor.method import RunMethod
from care_verl.verifier import gold_problem, verify
from care_verl.verifier.gold import gold_answers

CHECK = Check("verifier")
ROWS = 20
_MANAGER = "CareRewardManager"


def verifier_scores(config: DictConfig) -> bool:
    """Whether the shipped verifier gives this run's rewards."""
    return config.reward.reward_manager.name == _MANAGER


def check_golds(
    sample: Sequence[Sample], source_key: str, think_tag: str, answer_tag: str, name: str
) -> list[Finding]:
    """An error for each row whose gold answer cannot be read, or does not score 1.

    sample: rows of the file `name`. source_key: column of the data source.
    """
    problems = [
        CHECK.error(
            f"{where}: gold answer {gold!r}: {why}",
            "correct or drop the row, whose right answers would all be called wrong; "
            "`care-verl data prepare` drops such rows",
        )
        for where, row in sample
        for gold, why in [_judged(row, source_key, think_tag, answer_tag)]
        if why
    ]
    return CHECK.unless(
        problems, f"{name}: {len(sample)} gold answers score 1 when given as answers"
    )


def tags_of(config: DictConfig) -> tuple[str, str]:
    """The names of the tags around rationale and answer."""
    method = RunMethod.of(config)
    if method is None or method.settings is None:
        return TagSpec().think, TagSpec().answer
    return method.settings.tags.think_tag, method.settings.tags.answer_tag


def _judged(row: Row, source_key: str, think_tag: str, answer_tag: str) -> tuple[Any, str | None]:
    """The gold answer, and why it cannot be trained on."""
    gold = (row.get("reward_model") or {}).get("ground_truth")
    if gold is None:
        return gold, "reward_model has no ground_truth"
    source = str(row.get(source_key) or "")
    choices = (row.get("extra_info") or {}).get("choices")
    problem = gold_problem(gold, source, choices)
    if problem is not None:
        return gold, problem
    answer = gold_answers(gold)[0]
    response = f"<{think_tag}>.</{think_tag}><{answer_tag}>{answer}</{answer_tag}>"
    verdict = verify(response, gold, source, choices, think_tag=think_tag, answer_tag=answer_tag)
    if verdict.acc != 1.0:
        return gold, f"given as the answer it scores {verdict.acc}, by rule {verdict.rule}"
    return gold, None
