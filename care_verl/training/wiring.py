"""What a run needs of its method: settings, refusals, the values that it sets, its actors.

Nothing outside a method's folder knows one method from the other; what differs is asked here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar, Generic, TypeVar

from omegaconf import DictConfig, OmegaConf

from care_verl.algorithm.method_settings import MethodSettings
from care_verl.algorithm.settings import SettingsT
from care_verl.methods import METHODS, Method

MethodT = TypeVar("MethodT", bound=MethodSettings)


@dataclass(frozen=True)
class Refusal:
    """A key of the configuration, the values it may have, and why or what to do instead."""

    key: str
    allowed: tuple[Any, ...]
    remedy: str


class Wiring(Generic[MethodT]):
    """One method on verl. A module that `Method.wiring` names has one as `WIRING`.

    settings: of the section `algorithm.NAME`.
    trainer: the module with its trainer, which registers under `trainer_mode`.
    agent_loop_manager: the path of its class.
    refusals: beside those that are common to all.
    early_rewards: why rewards are needed while groups are decoded.
    fills_up: rows that do not divide among ranks are filled up with real ones.
    """

    method: ClassVar[Method]
    settings: type[MethodT]
    trainer: ClassVar[str]
    trainer_mode: ClassVar[str]
    agent_loop_manager: ClassVar[str]
    refusals: ClassVar[tuple[Refusal, ...]] = ()
    early_rewards: ClassVar[str] = "rewards are read where rows are decoded"
    fills_up: ClassVar[bool] = False

    def settings_of(self, config: DictConfig) -> MethodT:
        """The run's, validated. Raises ValueError on an unknown key or a bad value."""
        return settings_of(config, self.settings)

    def refuse(self, config: DictConfig, settings: MethodT) -> None:
        """Raise ValueError for what no table of values can say."""

    def complete(self, config: DictConfig, settings: MethodT) -> None:
        """Set what the method decides, in an open configuration whose common part is complete."""

    def needs_reference(self, config: DictConfig) -> bool:
        """Whether verl has to make a reference model; asked of a completed configuration."""
        return bool(config.actor_rollout_ref.actor.use_kl_loss)

    def losses(self) -> Mapping[str, Callable[..., Any]]:
        """verl policy losses of its own, by `actor.policy_loss.loss_mode`."""
        return {}

    def hard_negatives(self, settings: MethodT) -> int | None:
        """Failures wanted beside an anchor; None where there are no anchors."""
        return None

    def reflection_tokens(self, settings: MethodT) -> int | None:
        """The least that a group's second decode must be able to add; None where none is made."""
        return None


def settings_of(config: DictConfig, kind: type[SettingsT]) -> SettingsT:
    """The settings in the section `kind.KEY` of a run, validated; the defaults without one.

    Raises ValueError on an unknown key or bad value.
    """
    section = OmegaConf.select(config, kind.KEY)
    if section is None:
        return kind()
    values = OmegaConf.to_container(section, resolve=True)
    if not isinstance(values, Mapping):
        raise ValueError(f"{kind.KEY} = {values!r}; expected a mapping of settings")
    return kind.from_mapping({str(key): value for key, value in values.items()})


def wiring_of(config: DictConfig) -> Wiring[Any] | None:
    """That of the run's estimator; None for one that is not ours."""
    method = METHODS.get(str(OmegaConf.select(config, "algorithm.adv_estimator")))
    return None if method is None else loaded(method)


def loaded(method: Method) -> Wiring[Any]:
    """The wiring of a method. Raises TypeError where its module has none."""
    wiring = getattr(import_module(method.wiring), "WIRING", None)
    if not isinstance(wiring, Wiring):
        raise TypeError(
            f"{method.wiring}.WIRING is {wiring!r}; method {method.name!r} needs a "
            "care_verl.training.wiring.Wiring there"
        )
    return wiring
