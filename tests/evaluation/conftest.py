"""The processor of transformers imports torchvision, which needs the platform's help on a CPU."""

from care_verl import platform

platform.install()
