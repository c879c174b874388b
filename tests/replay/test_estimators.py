"""Advantages by hand, and the estimators' promises; CARE itself is checked in `tests/algorithm`."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from care_verl.algorithm import CareConfig
from care_verl.algorithm.consistency_config import GrpoCareConfig
from care_verl.records.files import RunRecord
from care_verl.tools.replay.batch import Batch
from care_verl.tools.replay.care import care
from care_verl.tools.replay.comparison import Changes, Outcome, compare
from care_verl.tools.replay.embedding import DIMENSIONS, substitute
from care_verl.tools.replay.estimators import dapo, grpo, grpo_care
from care_verl.tools.replay.readers import read
from care_verl.tools.replay.rollouts import Dump, Reading, Rollout
from tests.records.samples import write_consistency_run, write_sample_run
from tests.replay import dumps


def row(group: str, session: int, acc: float, reward: float | None = None) -> Rollout:
    """The longer, the later; all rationales have different words."""
    return Rollout(
        where=f"{group}:{session}",
        group=group,
        session=session,
        acc=acc,
        reward=acc if reward is None else reward,
        length=session + 3,
        think_len=session + 1,
        answer_len=1,
        rationale=f"{group} {session}",
    )


def rows(group: str, *acc: float) -> list[Rollout]:
    return [row(group, session, value) for session, value in enumerate(acc)]


FOUR, LIKELY = rows("u", 1, 1, 0, 0), (0.8, 0.4, 0.9, 0.9)
THREE = [*rows("mixed", 1, 0, 0, 0), *rows("wrong", 0, 0, 0, 0), *rows("right", 1, 1, 1, 1)]
SKETCH = Dump("verl", THREE, [], [])


def outcomes(dump: Dump, changes: Changes | None = None) -> dict[str, Outcome]:
    return {one.name: one for one in compare(dump, changes or Changes()).outcomes}


def test_grpo_by_hand() -> None:
    # Mean 1/4, deviation with n − 1: sqrt((9 + 1 + 1 + 1)/16/3) = 1/2.
    expected = [1.5, -0.5, -0.5, -0.5] + [0.0] * 8
    assert grpo(Batch.of(THREE)).advantage == pytest.approx(expected, abs=1e-5)


def test_grpo_leaves_exact_zeros_where_rewards_are_equal() -> None:
    equal = [row("a", session, 0, 0.1) for session in range(7)]
    assert not grpo(Batch.of(equal)).advantage.any()


def test_dapo_drops_groups_of_equal_accuracy_though_their_rewards_differ() -> None:
    wrong = [row("wrong", session, 0, reward) for session, reward in enumerate((0.1, 0.1, 0.1, 0))]
    batch = Batch.of([*rows("mixed", 1, 0, 0, 0), *wrong])
    # Mean 0.075, deviation sqrt((3 · 0.025² + 0.075²)/3) = 0.05.
    assert grpo(batch).advantage[4:] == pytest.approx([0.5, 0.5, 0.5, -1.5], abs=1e-4)
    assert dapo(batch).advantage == pytest.approx([1.5, -0.5, -0.5, -0.5, 0, 0, 0, 0], abs=1e-5)


def test_grpo_care_by_hand() -> None:
    replayed = grpo_care(Batch.of([*THREE, *rows("two", 1, 1, 0, 0)]), GrpoCareConfig())
    # The only right row has 1.5: mean 3/8, deviation sqrt((81 + 27)/64/3) = 3/4.
    sole = [1.125 / 0.7501, *[-0.375 / 0.7501] * 3]
    # Two right rows: who has the bonus is unknown, and nobody gets it. Deviation sqrt(1/3).
    two = [0.5 / (3**-0.5 + 1e-4)] * 2 + [-0.5 / (3**-0.5 + 1e-4)] * 2
    assert replayed.advantage == pytest.approx([*sole, *[0.0] * 8, *two], abs=1e-9)
    assert replayed.incomplete == 2


def test_an_accurate_row_is_one_not_below_its_groups_mean() -> None:
    partly = [row("a", 0, 0.9), row("a", 1, 0.2), row("a", 2, 0.1)]
    replayed = grpo_care(Batch.of(partly), GrpoCareConfig())
    # Only 0.9 is: reward 1.35.
    reward = np.array([1.35, 0.2, 0.1])
    expected = (reward - reward.mean()) / (reward.std(ddof=1) + 1e-4)
    assert replayed.advantage == pytest.approx(expected)
    assert replayed.incomplete == 0


def test_grpo_care_by_hand_where_likelihoods_are_known() -> None:
    """Two right rows: the likelier one has 1.5. Mean 5/8, squares 49 + 9 + 2 · 25 over 64."""
    known = [replace(one, likelihood=p) for one, p in zip(FOUR, LIKELY, strict=True)]
    replayed = grpo_care(Batch.of(known), GrpoCareConfig())
    deviation = (108 / 64 / 3) ** 0.5 + 1e-4
    expected = [0.875 / deviation, 0.375 / deviation, *[-0.625 / deviation] * 2]
    assert replayed.advantage == pytest.approx(expected, abs=1e-9)
    assert (replayed.incomplete, replayed.read) == (0, 1)
    # With a margin both are near enough; a row without an answer gets none and counts nowhere.
    wide = grpo_care(Batch.of(known), GrpoCareConfig(margin=0.5))
    assert wide.advantage[0] == wide.advantage[1]
    silent = [replace(known[0], likelihood=math.nan), *known[1:]]
    swapped = grpo_care(Batch.of(silent), GrpoCareConfig())
    assert swapped.advantage[[1, 0, 2, 3]] == pytest.approx(expected, abs=1e-9)


def test_a_group_that_lacks_one_likelihood_is_incomplete() -> None:
    known = [replace(one, likelihood=p) for one, p in zip(FOUR, LIKELY, strict=True)]
    lacking = [*known[:3], replace(known[3], likelihood=None)]
    replayed = grpo_care(Batch.of(lacking), GrpoCareConfig())
    assert replayed.advantage[0] == replayed.advantage[1]
    assert (replayed.incomplete, replayed.read) == (1, 0)


def test_a_record_of_grpo_care_is_replayed_exactly(tmp_path: Path) -> None:
    """With the run's margin, by which other rows get the bonus than with the default."""
    folder = write_consistency_run(tmp_path, steps=2, margin=0.2)
    dump = read(folder, "auto", Reading())
    assert (dump.format, dump.malformed, dump.consistency.margin) == ("care", [], 0.2)
    found = compare(dump, Changes())
    one = next(one for one in found.outcomes if one.name == "GRPO-CARE")
    assert (one.read, one.incomplete) == (12, 0)
    assert found.consistency_distance is not None
    assert found.consistency_distance < 1e-5
    assert (found.recorded_distance, found.sign_agreement) == (None, None)
    other = compare(replace(dump, consistency=GrpoCareConfig()), Changes())
    assert other.consistency_distance > 0.1


def test_care_by_hand() -> None:
    replayed, stands = care(Batch.of(THREE), CareConfig(), selection_as_recorded=True)
    # Three negatives: √3 and −s/√3, times √(4/3); the same in the rescued group, whose shortest
    # row is the pseudo-anchor.
    group = [2.0, -1 / 3, -1 / 3, -1 / 3]
    assert replayed.advantage == pytest.approx([*group, *group, 0, 0, 0, 0], abs=1e-4)
    assert (stands.words, stands.recorded, stands.without_logp) == (3, 0, 1)


def test_log_probabilities_pick_the_pseudo_anchor_where_there_are_any() -> None:
    wrong = [replace(one, logp=-float(i != 2)) for i, one in enumerate(rows("wrong", 0, 0, 0, 0))]
    replayed, stands = care(Batch.of(wrong), CareConfig(), selection_as_recorded=True)
    assert replayed.advantage.argmax() == 2
    assert stands.without_logp == 0
    replayed, stands = care(
        Batch.of([*wrong[:3], replace(wrong[3], logp=None)]), CareConfig(), True
    )
    assert replayed.advantage.argmax() == 0
    assert stands.without_logp == 1


def test_the_mean_log_probability_divides_by_the_length() -> None:
    wrong = [replace(one, logp=-2.0 - i) for i, one in enumerate(rows("wrong", 0, 0, 0, 0))]
    # −2/3, −3/4, −4/5, −5/6 a token; then the last is −1/3.
    chosen = {}
    for name in ("sum", "mean"):
        longer = [*wrong[:3], replace(wrong[3], length=15)]
        replayed, _ = care(Batch.of(longer), CareConfig(rescue_logp=name), True)
        chosen[name] = int(replayed.advantage.argmax())
    assert chosen == {"sum": 0, "mean": 3}


def test_the_numbers_of_the_three_groups() -> None:
    found = outcomes(SKETCH)
    plain, ours = found["GRPO"], found["CARE"]
    assert plain.signal == pytest.approx({"mixed": 3.0, "all_wrong": 0, "all_right": 0}, abs=1e-4)
    assert ours.signal == pytest.approx({"mixed": 3.0, "all_wrong": 3.0, "all_right": 0}, abs=1e-3)
    assert plain.failure_share == pytest.approx(0.5)
    assert ours.failure_share == pytest.approx(4 / 6, abs=1e-5)
    assert (plain.rows, plain.updated, plain.silent_groups) == (12, 4, 2)
    assert (ours.rows, ours.updated, ours.silent_groups) == (12, 8, 1)
    assert (ours.opposite, ours.gained, ours.lost) == (0, 4, 0)
    assert plain.mean_size == pytest.approx(0.75, abs=1e-5)
    assert found["DAPO"].signal == pytest.approx(plain.signal)


def test_rows_that_change_sign_and_rows_that_are_dropped() -> None:
    wrong = [row("wrong", session, 0, reward) for session, reward in enumerate((0.1, 0.1, 0.1, 0))]
    ours = outcomes(Dump("verl", wrong, [], []))["CARE"]
    # GRPO: + + + −; CARE: + − − −.
    assert (ours.opposite, ours.gained, ours.lost) == (2, 0, 0)
    one = outcomes(Dump("verl", wrong, [], []), Changes(K=1))["CARE"]
    assert one.lost == 2


def test_nothing_learned_has_no_share() -> None:
    found = outcomes(Dump("verl", rows("right", 1, 1), [], []))
    assert found["CARE"].failure_share is None
    assert found["GRPO"].mean_size is None


def test_the_scale_of_reflections_goes_with_that_of_negatives() -> None:
    assert Changes(s=0.2).of(CareConfig()).s_refl == pytest.approx(0.1)
    assert Changes(rescue=False).of(CareConfig(s_refl=0.4)).s_refl == 0.4


@pytest.mark.parametrize(
    "config",
    [
        CareConfig(),
        CareConfig(K=2, M=3),
        CareConfig(K=3, anchor="random", selector="random", seed=5),
        CareConfig(selector="farthest", normalization="robust", equalize=False),
        CareConfig(rescue=False, s_refl=0.1),
        CareConfig(K=1),
    ],
    ids=["paper", "small", "random", "farthest", "no_rescue", "one"],
)
def test_a_record_gives_back_its_own_advantages(tmp_path: Path, config: CareConfig) -> None:
    """With the run's settings; groups of all kinds, with and without reflections."""
    write_sample_run(tmp_path, steps=12, groups=20, seed=3, config=config)
    dump = read(tmp_path, "auto", Reading())
    replayed, _ = care(Batch.of(dump.rollouts), dump.config, selection_as_recorded=True)
    recorded = {
        (one["uid"], one["session"]): one["advantage"]
        for step in RunRecord(tmp_path)
        for one in step.rows(["uid", "session", "advantage"])
    }
    found = {
        (one.group, one.session): float(value)
        for one, value in zip(dump.rollouts, replayed.advantage, strict=True)
    }
    assert found == pytest.approx(recorded, abs=1e-5)
    comparison = compare(dump, Changes())
    assert comparison.recorded_distance == pytest.approx(0, abs=1e-5)
    assert min(comparison.groups.values()) > 0
    assert comparison.reflections > 0


def test_another_k_takes_the_nearest_by_the_recorded_distances(tmp_path: Path) -> None:
    write_sample_run(tmp_path, steps=3, groups=12)
    dump = read(tmp_path, "auto", Reading())
    replayed, stands = care(Batch.of(dump.rollouts), replace(dump.config, K=1), False)
    ranks = {
        (one["uid"], one["session"]): one["rank"]
        for step in RunRecord(tmp_path)
        for one in step.rows(["uid", "session", "rank"])
    }
    negatives = {
        ranks[one.group, one.session]
        for one, value in zip(dump.rollouts, replayed.advantage, strict=True)
        if value < 0 and one.reflected_from < 0 and one.group in _mixed(dump)
    }
    assert negatives == {0}
    assert stands.recorded == 0
    assert stands.distances > 30
    assert compare(dump, Changes(K=1)).recorded_distance is None


def _mixed(dump: Dump) -> set[str]:
    return {one.group for one in dump.rollouts if one.acc == 1 and one.reflected_from < 0}


def test_reflections_are_no_rollouts_of_grpo(tmp_path: Path) -> None:
    write_sample_run(tmp_path, steps=2, groups=10)
    dump = read(tmp_path, "auto", Reading())
    found = outcomes(dump)
    assert found["GRPO"].rows == 2 * 10 * 8
    assert found["CARE"].rows == len(dump.rollouts) > 160
    originals = [one for one in dump.rollouts if one.reflected_from < 0]
    alone = outcomes(replace(dump, rollouts=originals))["GRPO"]
    assert alone.signal == pytest.approx(found["GRPO"].signal)


def test_the_order_of_rows_does_not_matter(tmp_path: Path) -> None:
    file = dumps.verl_ray(tmp_path)
    before = outcomes(read(tmp_path, "auto", Reading()))
    lines = file.read_text().splitlines()
    random.Random(1).shuffle(lines)
    file.write_text("\n".join(lines))
    after = outcomes(read(tmp_path, "auto", Reading()))
    for name, one in before.items():
        assert after[name].signal == pytest.approx(one.signal)
        assert (after[name].updated, after[name].opposite) == (one.updated, one.opposite)


def test_the_stand_in_sees_wording() -> None:
    one, near, far = map(
        substitute,
        ("the bar of 2019 is taller", "the bar of 2019 is Taller still", "we count the apples"),
    )
    assert float(one @ one) == pytest.approx(1)
    assert float(one @ near) > 0.6 > 0.4 > float(one @ far)
    assert (substitute("the bar of 2019 is taller") == one).all()
    assert not substitute("  ").any()
    assert one.shape == (DIMENSIONS,)


def test_grpo_is_verls() -> None:
    """verl's own function on groups of several sizes and graded rewards, in float32."""
    import torch
    from verl.trainer.ppo.core_algos import compute_grpo_outcome_advantage

    rng = np.random.default_rng(0)
    made = [
        row(f"g{group}", session, 0, float(rng.choice([0.0, 0.1, 0.9, 1.0])))
        for group in range(30)
        for session in range(int(rng.integers(2, 9)))
    ]
    rewards = torch.tensor([[one.reward] for one in made])
    index = np.array([one.group for one in made])
    theirs, _ = compute_grpo_outcome_advantage(rewards, torch.ones(len(made), 1), index)
    assert grpo(Batch.of(made)).advantage == pytest.approx(theirs[:, 0].numpy(), abs=2e-5)
