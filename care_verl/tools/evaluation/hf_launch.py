"""LMMs-Eval's command with our model of transformers' among its own, as `care_hf`."""

from __future__ import annotations

from care_verl.platform.extensions import offer_vllm_platform
from care_verl.tools.evaluation.launch import main as lmms_eval

NAME = "care_hf"


def main() -> None:
    offer_vllm_platform()
    from lmms_eval.models import MODEL_REGISTRY_V2
    from lmms_eval.models.registry_v2 import ModelManifest

    model = "care_verl.tools.evaluation.hf_model.TransformersModel"
    MODEL_REGISTRY_V2.register_manifest(ModelManifest(NAME, chat_class_path=model))
    lmms_eval()


if __name__ == "__main__":
    main()
