"""What is told of a seam that is not as known: by hand, and planted into verl."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import pytest
from verl.trainer.ppo import utils

from care_verl.seams import SEAMS, Seam

REFERENCE = next(s for s in SEAMS if s.name == "a reference is wanted where a KL term is")


class Sample:
    """What an adapter might rely on."""

    def method(self, first: int, second: int) -> int:
        total = first + second
        return total * 2


ORDER = Seam(
    "order", "training.care.trainer", f"{__name__}:Sample.method", ("first +", "return total")
)
TAKEN = Seam("taken", "training.care.worker", ORDER.target, parameters="self, first, second")


@pytest.fixture
def changed(monkeypatch: pytest.MonkeyPatch) -> Callable[[object], None]:
    """A function that puts something in the place of the sample's method."""
    return lambda other: monkeypatch.setattr(Sample, "method", other)


def test_what_is_as_known_has_no_fault() -> None:
    assert ORDER.fault() is None
    assert TAKEN.fault() is None


def test_fragments_in_another_order() -> None:
    turned = replace(ORDER, fragments=ORDER.fragments[::-1])
    assert turned.fault() == (
        f"seam 'order', used by care_verl.training.care.trainer: {__name__}.Sample.method has no "
        "'first +' behind 'return total'"
    )


def test_a_fragment_is_not_found_twice_in_one_place() -> None:
    assert replace(ORDER, fragments=("first + second", "+ second")).fault()


def test_other_parameters(changed: Callable[[object], None]) -> None:
    changed(lambda self, first: first)
    assert "takes (self, first); known is (self, first, second)" in str(TAKEN.fault())
    assert TAKEN.remedy.endswith("adapt care_verl.training.care.worker")


def test_a_wrapper_is_looked_through(changed: Callable[[object], None]) -> None:
    method = Sample.method

    @functools.wraps(method)
    def wrapper(*args: int) -> int:
        return method(*args)

    changed(wrapper)
    assert ORDER.fault() is None
    assert TAKEN.fault() is None


def test_a_seam_of_some_releases_only() -> None:
    """Where the module is missing nothing is asked; where it is there all is as for the others."""
    gone = replace(ORDER, target=f"{__name__}:Gone.method")
    assert gone.fault() is not None
    assert replace(gone, only_with="verl.no_such_module").fault() is None
    assert replace(gone, only_with="verl.trainer").fault() == gone.fault()


@pytest.mark.parametrize(
    "target", ["no_such_module:name", f"{__name__}:Sample.gone", f"{__name__}:Gone.method"]
)
def test_a_name_that_is_gone(target: str) -> None:
    fault = str(replace(ORDER, target=target).fault())
    assert f"{target.replace(':', '.')} cannot be looked at" in fault
    assert "Error: " in fault


@pytest.mark.parametrize("other", [len, SimpleNamespace(), eval("lambda self: 0")])
def test_nothing_that_can_be_read(changed: Callable[[object], None], other: object) -> None:
    """A function of C, no function at all, and one that stands in no file."""
    changed(other)
    assert "cannot be looked at" in str(ORDER.fault())
    assert TAKEN.fault() is not None


def test_a_change_of_verl_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert REFERENCE.fault() is None
    monkeypatch.setattr(utils, "need_reference_policy", utils.need_critic)
    fault = str(REFERENCE.fault())
    assert "used by care_verl.training.grpo_care.trainer" in fault
    assert "verl.trainer.ppo.utils.need_reference_policy has no " in fault
    monkeypatch.delattr(utils, "need_reference_policy")
    assert "has no attribute 'need_reference_policy'" in str(REFERENCE.fault())
