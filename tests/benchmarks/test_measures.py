"""The arithmetic of the benchmarks by hand, and that their sides run; not how long they take."""

from __future__ import annotations

import torch

from tests.benchmarks.harvest_cost import of_observe
from tests.benchmarks.paired import Pair, chosen_device
from tests.benchmarks.step_ratio import stages_of, table

CPU = torch.device("cpu")


def test_a_ratio_is_taken_round_by_round() -> None:
    """Rounds 2/1, 6/2, 4/4: medians 4 and 2, ratios 2, 3, 1, of which the median is 2."""
    line = Pair.of(("a", "b"), [(2, 1), (6, 2), (4, 4)]).line("ms", 1000)
    assert line == (
        "a 4000 ms, b 2000 ms, ratio 2.000 (quartiles 1.500 to 2.500, ends 1.000 to 3.000, "
        "3 rounds)"
    )


def test_sides_are_timed_in_turn() -> None:
    calls: list[str] = []
    pair = Pair.timed(("a", "b"), lambda: calls.append("a"), lambda: calls.append("b"), 2, CPU)
    assert calls == ["a", "b"] * 3
    assert len(pair.first) == len(pair.second) == 2


def test_stages_of_a_run() -> None:
    """A stage that one of two steps does not have counts as nothing there."""
    steps = [{"timing_s/step": 4.0, "timing_s/ref": 1.0, "x": 9.0}, {"timing_s/step": 2.0}]
    assert stages_of(steps) == {"ref": 0.5, "step": 3.0}


def test_the_table_compares_stage_by_stage() -> None:
    pairs = [({"step": 3.0, "rgr": 1.0}, {"step": 2.0}), ({"step": 5.0, "rgr": 1.0}, {"step": 4.0})]
    assert table(pairs).splitlines()[2:] == [
        "| `step` | 4.000 | 3.000 | 1.375 (1.250 to 1.500) |",
        "| `rgr` | 1.000 | 0.000 | one side only |",
    ]


def test_the_harvest_is_timed() -> None:
    assert of_observe(3, 8, 1, CPU).startswith("3 rows a step: changing batch ")


def test_a_device_is_named_or_found() -> None:
    assert chosen_device("cpu") == CPU
    assert chosen_device(None).type == ("cuda" if torch.cuda.is_available() else "cpu")
