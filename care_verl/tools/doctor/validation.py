"""verl's checks of a configuration and ours, as they run before Ray starts."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import re
import warnings
from collections.abc import Iterator, Sequence

from omegaconf import DictConfig, OmegaConf

from care_verl.tools.doctor.composition import closest, our_keys
from care_verl.tools.doctor.finding import Check, Finding
from care_verl.tools.doctor.method import RunMethod

CHECK = Check("configuration")
_UNKNOWN = re.compile(r"(?P<key>\S+) is not a setting")


def validated(config: DictConfig, overrides: Sequence[str]) -> tuple[DictConfig, list[Finding]]:
    """The configuration as a run would have it, and what its checks say.

    A configuration that is refused is returned as it was composed.
    """
    completed = copy.deepcopy(config)
    with _warnings() as warned, _quiet():
        try:
            _validate(completed)
        # verl's checks raise whatever is at hand; a run would end with it.
        except Exception as error:
            return config, [_refusal(error)]
    told_elsewhere = _about_groups(completed)
    findings = [_warning(text) for text in warned if text not in told_elsewhere]
    findings += _not_in_force(config, completed, overrides, warned)
    return completed, findings


def _warning(text: str) -> Finding:
    from care_verl.training.run.replacement import NOT_IN_FORCE

    if NOT_IN_FORCE in text:
        found, _, decided_by = text.partition("; ")
        return CHECK.warning(found, decided_by)
    return CHECK.warning(text, "change what the message names, or go on on purpose")


def _about_groups(config: DictConfig) -> list[str]:
    """Warnings that `sizes` repeats, with values that fit."""
    method, rollouts = RunMethod.of(config), int(config.actor_rollout_ref.rollout.n)
    if method is None or method.settings is None:
        return []
    return method.settings.warnings_for(rollouts)


def _validate(config: DictConfig) -> None:
    """As `main_ppo.main` does; the plugin completes the configuration on the way."""
    from verl.trainer.ppo.utils import need_critic, need_reference_policy
    from verl.utils import config as verls
    from verl.utils.config import omega_conf_to_dataclass

    verls.validate_config(
        config=config,
        use_reference_policy=need_reference_policy(config),
        use_critic=need_critic(config),
    )
    # What verl would only find in its workers.
    omega_conf_to_dataclass(config.actor_rollout_ref.rollout)
    OmegaConf.to_container(config, resolve=True)


def _refusal(error: Exception) -> Finding:
    # Hydra wraps what a dataclass raises.
    cause = error.__cause__ or error
    text = " ".join(f"{type(cause).__name__}: {cause}".split())
    unknown = _UNKNOWN.match(str(cause))
    near = closest(unknown["key"], our_keys()) if unknown else []
    change = f"did you mean {near[0]}?" if near else "correct the key that the message names"
    return CHECK.error(f"refused: {text}", change)


def _not_in_force(
    before: DictConfig, after: DictConfig, overrides: Sequence[str], warned: Sequence[str]
) -> Iterator[Finding]:
    """Values asked for on the command line that are replaced, beside those that a run warns of.

    A run cannot see that a value was asked for where it is verl's default.
    """
    for override in overrides:
        key = override.lstrip("+~").partition("=")[0]
        if any(text.startswith(f"{key} = ") for text in warned):
            continue
        asked, used = (OmegaConf.select(each, key) for each in (before, after))
        if asked != used and not OmegaConf.is_config(asked):
            yield CHECK.warning(
                f"{key} = {asked!r} is not in force: the run has {used!r}",
                "remove the override; where a setting of algorithm.care stands behind the value "
                "(clip_low, clip_high, beta), set that (docs/algorithm.md)",
            )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without verl's notes that all is well, and its warnings about its own defaults."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _warnings() -> Iterator[list[str]]:
    """Messages of care-verl's loggers at WARNING or above, instead of on the screen."""
    caught: list[str] = []

    class Catch(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            caught.append(record.getMessage())

    logger = logging.getLogger("verl.care_verl")
    handler, propagate = Catch(logging.WARNING), logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield caught
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate
