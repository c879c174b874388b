"""torchvision, torchcodec and vLLM as they are installed: what is mended is needed and suffices."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
import verl  # noqa: F401  # loads the plugin, which mends what is imported next

from care_verl.platform import extensions

from .conftest import CheckPython

IN_A_VLLM_PROCESS = """
    import sys
    import vllm.v1.engine.core
    import torch, torchvision
    from vllm.multimodal import video
    assert "verl" not in sys.modules
    print(torch.ops.torchvision.nms, torchvision.__name__)
"""


def test_a_process_of_vllms_own_imports_its_engine(check_python: CheckPython) -> None:
    assert "torchvision.nms torchvision" in check_python(IN_A_VLLM_PROCESS)


def test_transformers_loads_an_image_processor_after_verl(check_python: CheckPython) -> None:
    check_python("import verl; from transformers import Qwen2_5_VLProcessor")


@pytest.mark.parametrize("has_ops", [True, False])
def test_operators_are_declared_only_where_the_extension_lacks_them(
    monkeypatch: pytest.MonkeyPatch, has_ops: bool
) -> None:
    import torchvision.extension

    operator = f"absent_{has_ops}".lower()
    monkeypatch.setattr(torchvision.extension, "_has_ops", lambda: has_ops)
    monkeypatch.setattr(extensions, "_SCHEMAS", {operator: f"{operator}(Tensor a) -> Tensor"})
    extensions.declare_missing_operators(torchvision.extension)
    assert hasattr(torch.ops.torchvision, operator) is not has_ops


def test_a_library_that_does_not_load_is_an_import_error() -> None:
    def load() -> None:
        raise OSError("libnvrtc.so.13")

    utils = SimpleNamespace(load_image_library=load)
    extensions.report_misfit_as_import_error(utils)
    with pytest.raises(ImportError, match="does not fit torch"):
        utils.load_image_library()


def test_a_library_that_loads_is_loaded() -> None:
    loaded: list[bool] = []
    utils = SimpleNamespace(load_image_library=lambda: loaded.append(True))
    extensions.report_misfit_as_import_error(utils)
    utils.load_image_library()
    assert loaded == [True]


def test_torchaudio_does_without_a_library_that_does_not_load() -> None:
    def load(lib: str) -> bool:
        if lib == "_torchaudio":
            raise OSError("libcudart.so.13")
        return False  # As torchaudio's own does for a file that is not there.

    utils = SimpleNamespace(_load_lib=load)
    extensions.do_without_misfit(utils)
    assert utils._load_lib("_torchaudio") is False


def test_torchaudio_is_imported_where_it_is_installed(check_python: CheckPython) -> None:
    """An OSError would end transformers, and with it vLLM 0.32."""
    check_python(
        "import contextlib, verl\nwith contextlib.suppress(ModuleNotFoundError): import torchaudio"
    )
