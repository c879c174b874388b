"""Lets vLLM's model follow the actor: what an update must reach, and what it must not lose.

Two parts of vLLM 0.28 assume that weights are loaded once.

- On CPU a linear layer's weight is packed for its kernel after loading and the original dropped,
  so that the next update finds a parameter without `weight_loader`. Here the layer keeps its weight
  and multiplies with it as it stands. A kernel packed anew at each update would not do: compiled
  graphs capture the packed object of the first one.
- Qwen2-VL and Qwen2.5-VL normalise images inside the model, with mean and deviation in buffers that
  count as weights. verl starts vLLM on dummy weights (`load_format=dummy`), which overwrites them,
  and no update brings them back, because the actor has no such buffers: the policy sees noise. As
  non-persistent buffers they stay out of the state dict, hence out of reach of the dummy weights.
"""

from __future__ import annotations

from typing import Any

from care_verl.platform.contract import require_parameters, require_source
from care_verl.platform.linear import row_independent_linear

LAYERS = "vllm.model_executor.layers.utils"
VISION = "vllm.model_executor.models.vision"
_NORMALISATION = ("weight", "bias")


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


def keep_image_normalisation(vision: Any) -> None:
    """Make the buffers of `FusedInputNorm` non-persistent, where this vLLM has that module."""
    norm = getattr(vision, "FusedInputNorm", None)
    if norm is None:
        return
    initialise = norm.__init__
    require_source(initialise, *(f'register_buffer("{name}"' for name in _NORMALISATION))

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        initialise(self, *args, **kwargs)
        self._non_persistent_buffers_set.update(_NORMALISATION)

    norm.__init__ = __init__
