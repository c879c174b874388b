"""Lets torchvision, torchcodec and torchaudio be imported when their libraries do not fit torch.

Beside a CPU build of torch, pip resolves them to CUDA builds whose libraries do not load. vLLM and
transformers import them for images, videos and sound and would do without the compiled parts, but
for details that are mended here. Where the libraries load, nothing is changed.

vLLM imports them in processes of its own, before any code of verl's runs there. Its entry point
group `vllm.platform_plugins` is loaded earlier still, hence `offer_vllm_platform`.
"""

from __future__ import annotations

from typing import Any

import torch

from care_verl.platform import cpu_choice
from care_verl.platform.contract import require_source
from care_verl.platform.post_import import when_imported

_TORCHVISION = "torchvision.extension"
_TORCHCODEC = "torchcodec._internally_replaced_utils"
_TORCHAUDIO = "torchaudio._extension.utils"
_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
# torch drops a library's operators when the Library object goes away.
_libraries: list[torch.library.Library] = []


def tolerate_misfits() -> None:
    """Mend the packages when they are imported."""
    when_imported(_TORCHVISION, declare_missing_operators)
    when_imported(_TORCHCODEC, report_misfit_as_import_error)
    when_imported(_TORCHAUDIO, do_without_misfit)


def offer_vllm_platform() -> None:
    """Mend the packages, on the CPU platform, before vLLM imports them.

    vLLM calls this in each of its processes to ask for a platform class; None offers none.
    """
    if cpu_choice.select():
        tolerate_misfits()


def declare_missing_operators(extension: Any) -> None:
    """Declare `torchvision::nms` and `::qnms` unless torchvision's extension defines them.

    torchvision works without its extension, except that it attaches shape functions to these two
    operators and fails if they do not exist. No image processor calls them; a call still fails.
    """
    require_source(extension, "def _has_ops():")
    missing = [name for name in _SCHEMAS if not hasattr(torch.ops.torchvision, name)]
    if extension._has_ops() or not missing:
        return
    library = torch.library.Library("torchvision", "FRAGMENT")
    _libraries.append(library)
    for name in missing:
        library.define(_SCHEMAS[name])


def report_misfit_as_import_error(utils: Any) -> None:
    """Let torchcodec fail to import with ImportError, not OSError, if its library does not load.

    vLLM falls back to another video decoder on ImportError and RuntimeError only.
    """
    load = getattr(utils, "load_image_library", None)
    if load is None:
        return

    def load_image_library() -> None:
        try:
            load()
        except OSError as error:
            raise ImportError(f"torchcodec does not fit torch {torch.__version__}") from error

    utils.load_image_library = load_image_library


def do_without_misfit(utils: Any) -> None:
    """Let torchaudio be imported without its library where that does not load.

    It does so itself where the file is missing. vLLM 0.32 imports it with transformers, which
    asks no more than whether it is installed.
    """
    load = getattr(utils, "_load_lib", None)
    if load is None:
        return
    require_source(load, "return False")

    def _load_lib(lib: str) -> bool:
        try:
            return bool(load(lib))
        except OSError:
            return False

    utils._load_lib = _load_lib
