"""Lets the linear layers of vLLM's CPU model follow the actor.

vLLM assumes that weights are loaded once: a linear layer's weight is packed for its kernel after
loading and the original dropped, so that the next update finds a parameter without `weight_loader`.
Here the layer keeps its weight and multiplies with it as it stands. A kernel packed anew at each
update would not do: compiled graphs capture the packed object of the first one.
"""

from __future__ import annotations

from typing import Any

from care_verl.platform.contract import require_parameters, require_source
from care_verl.platform.linear import row_independent_linear

LAYERS = "vllm.model_executor.layers.utils"


def keep_plain_weights(utils: Any) -> None:
    """Replace the choice of a CPU kernel for 2-D weights by a plain product (see `linear`)."""
    choose_kernel = utils.dispatch_cpu_unquantized_gemm
    require_parameters(choose_kernel, "layer", "remove_weight")
    require_source(choose_kernel, "layer.cpu_linear = torch.nn.functional.linear")
    require_source(utils.cpu_unquantized_gemm, "layer.cpu_linear(x, weight, bias)")

    def dispatch_cpu_unquantized_gemm(layer: Any, remove_weight: bool) -> None:
        if layer.weight.ndim == 2:
            layer.cpu_linear = row_independent_linear
        else:
            choose_kernel(layer, remove_weight)

    utils.dispatch_cpu_unquantized_gemm = dispatch_cpu_unquantized_gemm
