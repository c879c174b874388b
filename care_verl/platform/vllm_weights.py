"""Keeps the weights of vLLM's linear layers where a weight update can reach them.

On CPU vLLM packs a linear layer's weight for its kernel after loading and drops the original, so
that the next update finds a parameter without `weight_loader`. Here a linear layer keeps its weight
and multiplies with it as it stands. A kernel packed anew at each update would not do: compiled
graphs capture the packed object of the first one.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch

from care_verl.platform.contract import require_parameters, require_source

MODULE = "vllm.model_executor.layers.utils"


def keep_plain_weights(utils: ModuleType) -> None:
    """Replace the choice of a CPU kernel for 2-D weights by `torch.nn.functional.linear`."""
    choose_kernel = utils.dispatch_cpu_unquantized_gemm
    require_parameters(choose_kernel, "layer", "remove_weight")
    require_source(choose_kernel, "layer.cpu_linear = torch.nn.functional.linear")
    require_source(utils.cpu_unquantized_gemm, "layer.cpu_linear(x, weight, bias)")

    def dispatch_cpu_unquantized_gemm(layer: Any, remove_weight: bool) -> None:
        if layer.weight.ndim == 2:
            layer.cpu_linear = torch.nn.functional.linear
        else:
            choose_kernel(layer, remove_weight)

    utils.dispatch_cpu_unquantized_gemm = dispatch_cpu_unquantized_gemm
