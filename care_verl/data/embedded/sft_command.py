"""The command line that runs verl's own SFT trainer on the embedded task."""

import sys
from pathlib import Path

COLD_START_STEPS = 400
BATCH_ROWS = 32
LEARNING_RATE = 1.5e-3
WARMUP_STEPS = 20

ONE_PROCESS = {
    "RANK": "0",
    "LOCAL_RANK": "0",
    "WORLD_SIZE": "1",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "0",
}
"""What a launcher would set. torchrun's own store listens on all interfaces."""


def sft_command(model: Path, data: Path, out: Path, seed: int, steps: int) -> list[str]:
    """Train `model` on `data` for `steps` steps on one CPU process; export to `out`.

    To be run with the variables of `ONE_PROCESS`.

    fp32 throughout, as the rollouts are: what is left of a difference between trainer and vLLM is
    then rounding, and the ratio of a policy to itself is one.
    """
    overrides = {
        "model.path": model,
        "model.use_remove_padding": False,
        "+model.override_config.attn_implementation": "sdpa",
        "model.enable_gradient_checkpointing": False,
        "engine.strategy": "fsdp2",
        "engine.model_dtype": "fp32",
        "engine.use_torch_compile": False,
        "+engine.mixed_precision": "{param_dtype:fp32,reduce_dtype:fp32,buffer_dtype:fp32}",
        "data.train_files": data,
        "data.train_batch_size": BATCH_ROWS,
        "data.micro_batch_size_per_gpu": BATCH_ROWS,
        "data.use_dynamic_bsz": False,
        "data.max_length": 256,
        # One process prepares the images of the next batches while the model trains.
        "data.num_workers": 1,
        "optim.lr": LEARNING_RATE,
        "optim.betas": "[0.9,0.95]",
        "optim.lr_scheduler_type": "cosine",
        "optim.min_lr_ratio": 0.1,
        "optim.lr_warmup_steps": WARMUP_STEPS,
        "trainer.device": "cpu",
        "trainer.seed": seed,
        "trainer.total_epochs": 1,
        "trainer.total_training_steps": steps,
        "trainer.save_freq": steps,
        "trainer.logger": "[console,file]",
        "trainer.resume_mode": "disable",
        "trainer.default_local_dir": out,
        "checkpoint.save_contents": "[model,hf_model]",
    }
    arguments = [f"{key}={value}" for key, value in overrides.items()]
    return [sys.executable, "-m", "verl.trainer.sft_trainer", *arguments]
