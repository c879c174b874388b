"""On another platform, and without the plugin, verl and vLLM are exactly what was installed."""

from __future__ import annotations

import pytest

from .conftest import CheckPython

pytestmark = pytest.mark.slow

REPORT = """
    import importlib, os, sys, warnings
    warnings.simplefilter("ignore")
    from importlib.metadata import version
    import verl
    from verl.plugin.platform import PlatformRegistry

    def show(label, question):
        try:
            answer = question()
        except Exception as error:
            answer = f"{type(error).__name__}: {error}"
        print(label, answer)

    def registry():
        return importlib.import_module("verl.workers.engine").EngineRegistry

    def group(suffix):
        module = importlib.import_module("verl.utils.distributed")
        return getattr(module, "initialize_global_process_group" + suffix).__module__

    show("platform", lambda: "cpu" in PlatformRegistry.registered_names())
    show("variables", lambda: (os.environ.get("VERL_PLATFORM"), os.environ.get("OMP_WAIT_POLICY")))
    show("group", lambda: group(""))
    show("group", lambda: group("_ray"))
    show("engines", lambda: registry().get_engine_cls("language_model", "fsdp2"))
    show("vllm", lambda: version("vllm"))
    show("hooks", lambda: [f for f in sys.meta_path if "care_verl" in type(f).__module__])
"""


def lines(text: str, *starts: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(starts)]


def test_another_platform_is_left_as_it_is(check_python: CheckPython) -> None:
    """Where torchvision does not fit torch, parts of verl fail to import, with and without us."""
    untouched = check_python(REPORT, VERL_PLATFORM="nvidia", VERL_USE_EXTERNAL_PLUGINS="none")
    with_plugin = check_python(REPORT, VERL_PLATFORM="nvidia", VERL_USE_EXTERNAL_PLUGINS="care_cpu")
    assert with_plugin == untouched
    assert "platform False" in untouched
    assert "variables ('nvidia', None)" in untouched
    assert "hooks []" in untouched


def test_vllm_processes_of_another_platform_are_left_as_they_are(check_python: CheckPython) -> None:
    report = """
        import sys
        from care_verl.platform.extensions import offer_vllm_platform
        offered = offer_vllm_platform()
        print(offered, [f for f in sys.meta_path if "care_verl" in type(f).__module__])
    """
    assert check_python(report, VERL_PLATFORM="nvidia") == "None []\n"


def test_the_cpu_platform_is_chosen_by_itself(check_python: CheckPython) -> None:
    report = check_python(REPORT, VERL_USE_EXTERNAL_PLUGINS="care_cpu")
    assert "platform True" in report
    assert "variables ('cpu', 'PASSIVE')" in report
    assert lines(report, "group") == [
        "group care_verl.platform.distributed",
        "group care_verl.platform.distributed",
    ]
    assert "FSDPEngineWithLMHead" in lines(report, "engines")[0]
    assert "+cpu" in lines(report, "vllm")[0]
