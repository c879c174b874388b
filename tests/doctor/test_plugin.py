"""The plugin and its places in verl and vLLM, looked at in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from types import ModuleType, SimpleNamespace

import pytest

from care_verl.tools.doctor import examination, seams
from care_verl.tools.doctor.finding import Check
from care_verl.tools.doctor.inspection import as_line, findings_in

from .told import all_well, the_error


def inspected(code: str = "", **environment: str) -> str:
    """What the inspection prints, with `code` run before it."""
    module = "care_verl.tools.doctor.seams"
    program = f"{code}\nimport runpy\nrunpy.run_module('{module}', run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    return done.stdout


@pytest.mark.slow
def test_all_is_well_here() -> None:
    assert all_well(findings_in(inspected(), 0))


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["none", "another"])
def test_a_plugin_that_is_switched_off(policy: str) -> None:
    output = inspected(VERL_USE_EXTERNAL_PLUGINS=policy)
    finding = the_error(findings_in(output, 0), f"VERL_USE_EXTERNAL_PLUGINS = '{policy}'")
    assert finding.change.startswith("unset VERL_USE_EXTERNAL_PLUGINS")


@pytest.mark.slow
def test_another_function_where_the_plugin_takes_hold() -> None:
    changed = """
from care_verl.platform import when_imported
def change(module):
    module.validate_config = lambda config: None
when_imported('verl.utils.config', change)
"""
    finding = the_error(findings_in(inspected(changed), 0), "verl.utils.config", "takes ['config']")
    assert "verl 0.9.1" in finding.change


@pytest.mark.slow
def test_places_that_the_adapters_need_and_verl_no_longer_has() -> None:
    """What a method of ours goes on from, what a guard of the rollout reads, a seam's function."""
    changed = """
from care_verl.platform import when_imported
def lose(module):
    del module.PPOTrainer._balance_batch
    module.PPOTrainer._update_actor = module.PPOTrainer._compute_metrics
when_imported('verl.trainer.ppo.v1.trainer_base', lose)
def change(module):
    module.AsyncMPClient._call_utility_async = module.AsyncMPClient.__init__
when_imported('vllm.v1.engine.core_client', change)
"""
    findings = findings_in(inspected(changed), 0)
    lost = "CareTrainer goes on from PPOTrainerSync._balance_batch"
    assert [each for each in findings if each.found.startswith(lost)]
    the_error(findings, "vLLM's engine client", "does not recognise it")
    padded = the_error(findings, "'the balanced batch is padded to our multiple'")
    assert "has no attribute '_balance_batch'" in padded.found
    told = the_error(findings, "'what an update is told'", '\'"calculate_entropy": calc')
    assert told.change.endswith("adapt care_verl.training.care.trainer")
    the_error(
        findings,
        "care.trainer: CareTrainer._update_actor takes (self, batch, metrics); ",
        "timing_raw",
    )
    assert all("verl 0.9.1" in each.change for each in findings)


def test_a_plugin_that_cannot_be_imported_ends_the_examination_with_findings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As with another verl: no traceback of the doctor's own."""
    broken = Check("plugin").error("another verl", "install verl 0.9.1")
    inspection = SimpleNamespace(findings=lambda: [broken])
    monkeypatch.setattr(examination, "SeamInspection", lambda: inspection)
    monkeypatch.setitem(sys.modules, "care_verl.plugin", None)
    found = examination.examine([], examination.Wishes())
    assert found.config is None
    assert broken in found.findings
    the_error(found.findings, "not looked at, for the plugin cannot be loaded")


def test_an_inspection_that_breaks_off_is_a_finding() -> None:
    finding = the_error(findings_in("Traceback\nImportError: no verl", 1), "ImportError: no verl")
    assert "care_verl.tools.doctor.seams" in finding.found


def test_findings_are_read_among_other_lines() -> None:
    line = as_line([Check("plugin").ok("active")])
    assert all_well(findings_in(f"INFO something\n{line}\nbye", 0))


def test_a_method_that_goes_on_from_nothing() -> None:
    """A class without a base of verl or vLLM is left alone."""
    module = ModuleType("ours")
    module.Plain = type("Plain", (), {"__module__": "ours"})  # type: ignore[attr-defined]
    assert list(seams._missing_in_bases(module)) == []
