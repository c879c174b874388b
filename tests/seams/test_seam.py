"""What is told of a seam that is not as known: by hand, and planted into verl."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType, SimpleNamespace

import pytest
from verl.trainer.ppo import utils

from care_verl.platform.seam import Seam, override_faults, remedy, seams_of
from care_verl.training.grpo_care import trainer

REFERENCE = next(
    s for s in seams_of(trainer) if s.name == "a reference is wanted where a KL term is"
)


class Sample:
    """What an adapter might rely on."""

    def method(self, first: int, second: int) -> int:
        total = first + second
        return total * 2


ORDER = Seam(f"{__name__}:Sample.method", "order", "first +", "return total")
TAKEN = Seam(ORDER.target, "taken", parameters="self, first, second")


def changed_to(seam: Seam, *fragments: str, target: str = "", only_with: str | None = None) -> Seam:
    return Seam(
        target or seam.target,
        seam.name,
        *(fragments or seam.fragments),
        parameters=seam.parameters,
        only_with=only_with,
    )


@pytest.fixture
def changed(monkeypatch: pytest.MonkeyPatch) -> Callable[[object], None]:
    """A function that puts something in the place of the sample's method."""
    return lambda other: monkeypatch.setattr(Sample, "method", other)


def test_what_is_as_known_has_no_fault() -> None:
    assert ORDER.fault() is None
    assert TAKEN.fault() is None


def test_fragments_in_another_order() -> None:
    turned = changed_to(ORDER, *ORDER.fragments[::-1])
    assert turned.fault() == (
        f"'order': {__name__}.Sample.method has no 'first +' behind 'return total'"
    )


def test_a_fragment_is_not_found_twice_in_one_place() -> None:
    assert changed_to(ORDER, "first + second", "+ second").fault()


def test_other_parameters(changed: Callable[[object], None]) -> None:
    changed(lambda self, first: first)
    assert "takes (self, first); known is (self, first, second)" in str(TAKEN.fault())
    assert remedy("care_verl.x").endswith("or adapt care_verl.x")


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
    gone = changed_to(ORDER, target=f"{__name__}:Gone.method")
    assert gone.fault() is not None
    assert changed_to(gone, only_with="verl.no_such_module").fault() is None
    assert changed_to(gone, only_with="verl.trainer").fault() == gone.fault()


@pytest.mark.parametrize(
    "target", ["no_such_module:name", f"{__name__}:Sample.gone", f"{__name__}:Gone.method"]
)
def test_a_name_that_is_gone(target: str) -> None:
    fault = str(changed_to(ORDER, target=target).fault())
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
    assert "verl.trainer.ppo.utils.need_reference_policy has no " in fault
    monkeypatch.delattr(utils, "need_reference_policy")
    assert "has no attribute 'need_reference_policy'" in str(REFERENCE.fault())


def overriding(method: object) -> ModuleType:
    """A module whose one class has this in the place of the sample's method."""
    module = ModuleType("ours")
    kind = type("Ours", (Host,), {"method": method})
    kind.__module__ = module.__name__
    vars(module)["Ours"] = kind
    return module


class Host(Sample):
    """A class of verl's, as far as a module's name tells."""


@pytest.fixture
def hosted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("care_verl.platform.seam.HOSTS", (__name__,))


@pytest.mark.usefixtures("hosted")
@pytest.mark.parametrize(
    "method",
    [
        lambda self, first, second: 0,
        lambda self, first, **rest: 0,
        lambda self, *rest: 0,
        lambda self, first, second, third=0: 0,
    ],
)
def test_an_override_with_the_same_parameters(method: object) -> None:
    assert list(override_faults(overriding(method))) == []


@pytest.mark.usefixtures("hosted")
@pytest.mark.parametrize(
    ("method", "taken"),
    [
        (lambda self, first: 0, "self, first"),
        (lambda self, second, first: 0, "self, second, first"),
        (lambda self, first, second, third: 0, "self, first, second, third"),
        (lambda self, second, **rest: 0, "self, second, rest"),
    ],
)
def test_an_override_with_others(method: object, taken: str) -> None:
    (fault,) = override_faults(overriding(method))
    assert f"Ours.method takes ({taken}); " in fault
    assert "'s takes (self, first, second)" in fault
