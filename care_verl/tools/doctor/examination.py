"""All checks of a run, in the order in which a reader would ask."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from care_verl.tools.doctor import (
    cluster,
    data_files,
    data_rows,
    disk,
    golds,
    machine,
    memory,
    record_files,
)
from care_verl.tools.doctor.composition import CompositionError, compose
from care_verl.tools.doctor.finding import Check, Finding
from care_verl.tools.doctor.inspection import SeamInspection
from care_verl.tools.doctor.lengths import Budgets, check_lengths
from care_verl.tools.doctor.model_runner import check_model_runner
from care_verl.tools.doctor.models import check_model
from care_verl.tools.doctor.resources import Wanted, check_machine, check_nodes_resources
from care_verl.tools.doctor.sizes import Sizes, check_sizes
from care_verl.tools.doctor.unknown_keys import check_added_keys
from care_verl.tools.doctor.validation import validated
from care_verl.tools.doctor.versions import check_installed

ROWS = 64
"""Rows of each file that are looked at."""


@dataclass(frozen=True)
class Wishes:
    """What the user said beside the overrides.

    rows: of each file that are looked at. gpu_bytes: memory of a GPU that is not here.
    """

    rows: int = ROWS
    gpu_bytes: float | None = None
    cluster: str | None = None


@dataclass(frozen=True)
class Examination:
    """The findings, and the completed configuration where the overrides make one."""

    findings: list[Finding]
    config: DictConfig | None


def examine(
    overrides: Sequence[str], wishes: Wishes, tell: Callable[[str], None] = lambda what: None
) -> Examination:
    """Look at everything that these overrides ask for. `tell` hears what is looked at now."""
    inspection = SeamInspection()
    tell("configuration")
    uninstalled = _install_plugin()
    config, composed = (None, uninstalled) if uninstalled else _configuration(overrides)
    findings = check_installed(machine.has_gpu_build(), machine.wants_flash_attention(config))
    findings += check_model_runner()
    tell("plugin")
    findings += inspection.findings() + composed
    if config is not None:
        for finding in _run(config, wishes, tell):
            findings.append(finding)
    return Examination(findings, config)


def _install_plugin() -> list[Finding]:
    """Put the hooks in, also where the environment keeps verl from loading the plugin."""
    try:
        import care_verl.plugin  # noqa: F401
    # Whatever a library of another release raises.
    except Exception as error:
        return [
            Check("configuration").error(
                f"not looked at, for the plugin cannot be loaded: {error}",
                "mend what `versions` and `plugin` name first",
            )
        ]
    return []


def _configuration(overrides: Sequence[str]) -> tuple[DictConfig | None, list[Finding]]:
    try:
        config = compose(overrides)
    except CompositionError as error:
        return None, [error.finding]
    findings = check_added_keys(config)
    config, problems = validated(config, overrides)
    findings += problems
    check = Check("configuration")
    estimator = config.algorithm.adv_estimator
    return config, check.unless(findings, f"composed and accepted; estimator {estimator}")


def _run(config: DictConfig, wishes: Wishes, tell: Callable[[str], None]) -> Iterator[Finding]:
    yield from check_sizes(Sizes.of(config))
    yield from check_lengths(Budgets.of(config))
    tell("model")
    folder, facts, problems = check_model(config)
    yield from problems
    yield from _data(config, folder, wishes.rows, tell)
    plan = memory.Plan.of(config, facts) if facts is not None else None
    if plan is not None:
        yield from _memory(config, plan, wishes)
        yield from _disk(config, plan)
    yield from disk.check_shared_memory(
        machine.free_shared_memory(), machine.weight_buffers(config)
    )
    address = cluster.address_of(config, wishes.cluster)
    if address is None:
        yield from check_machine(config, machine.gpus())
    else:
        tell(f"nodes of {address}")
        yield from _cluster(config, address, plan)


def _data(
    config: DictConfig, model: Path | None, rows: int, tell: Callable[[str], None]
) -> Iterator[Finding]:
    yield from data_files.check_dataset(config)
    reader = data_rows.PromptReader(config, model)
    for key in (data_files.TRAIN, data_files.VALIDATION):
        tell(key)
        files, problems = data_files.open_files(config, key)
        yield from problems
        if key == data_files.TRAIN and files:
            yield from data_files.check_number(config, files)
        for file in files:
            sample = list(data_rows.sample_of(file, rows))
            yield from data_rows.check_rows(
                sample,
                reader,
                int(config.actor_rollout_ref.rollout.prompt_length),
                bool(config.data.filter_overlong_prompts),
                file.path.name,
            )
            if golds.verifier_scores(config):
                yield from golds.check_golds(
                    sample[: golds.ROWS],
                    str(config.data.reward_fn_key),
                    *golds.tags_of(config),
                    file.path.name,
                )


def _memory(config: DictConfig, plan: memory.Plan, wishes: Wishes) -> list[Finding]:
    if not machine.runs_on_cpu(config):
        return memory.check_gpu(plan, wishes.gpu_bytes or machine.gpu_bytes())
    return memory.check_ram(plan, machine.ram_bytes())


def _disk(config: DictConfig, plan: memory.Plan) -> Iterator[Finding]:
    wanted = disk.Checkpoints.of(config, plan)
    folder = Path(config.trainer.default_local_dir)
    unwritable = disk.check_folder(folder)
    yield from unwritable or disk.check_checkpoints(wanted, disk.free_bytes(folder))
    records = record_files.Records.of(config)
    if records is not None and not unwritable:
        shared = wanted is not None and disk.on_one_disk(wanted.folder, records.folder)
        beside = wanted.needed if wanted is not None and shared else 0.0
        yield record_files.check_records(records, disk.free_bytes(records.folder), beside)


def _cluster(config: DictConfig, address: str, plan: memory.Plan | None) -> list[Finding]:
    try:
        answers = cluster.ask_nodes(
            address, cluster.Questions.of(config), cluster.runtime_env_of(config)
        )
    except OSError as error:
        return [
            cluster.CHECK.error(
                f"no answer from a Ray cluster at {address}: {error}",
                "start Ray there, or correct the address; `auto` is the cluster of this machine",
            )
        ]
    wanted = Wanted.of(config)
    checkpoints = disk.Checkpoints.of(config, plan) if plan is not None else None
    resources = {str(answer["host"]): answer["resources"] for answer in answers}
    return [
        *cluster.check_nodes(answers, wanted.nodes, checkpoints),
        *check_nodes_resources(wanted, resources),
    ]
