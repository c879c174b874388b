"""A small local copy of Vision-R1-cold: its two files, and images for ten items."""

import json
from pathlib import Path
from typing import Any

from .samples import drawing, encoded

RAW = "<think> It is {0}. </think>\n<answer>**Final Answer:** {0}</answer>"


def llava_item(number: int, **keys: Any) -> dict[str, Any]:
    item = {
        "id": f"sqa/{number}",
        "image": f"sqa/{number}.png",
        "conversations": [
            {"from": "human", "value": f"What is {number}?"},
            {"from": "gpt", "value": RAW.format(number)},
        ],
    }
    return item | keys


def mulberry_item(number: int, **keys: Any) -> dict[str, Any]:
    item = {
        "images": [f"mulberry_images/AI2D/{number}.png"],
        "conversations": [
            {"role": "user", "content": f"<image>What is {number}?"},
            {"role": "assistant", "content": RAW.format(number)},
        ],
    }
    return item | keys


def write_folder(folder: Path, llava: list[dict[str, Any]], mulberry: list[dict[str, Any]]) -> Path:
    """The corpus as its authors describe it, with images for the numbers 0 to 9."""
    for name in ("llava_cot_images/sqa", "mulberry_images/AI2D", "mulberry_images/mathvision"):
        (folder / name).mkdir(parents=True)
        for number in range(10):
            (folder / name / f"{number}.png").write_bytes(encoded(drawing(number)))
    (folder / "vision_r1_llava_cot_full.json").write_text(json.dumps(llava))
    (folder / "vision_r1_mulberry_sft_full.json").write_text(json.dumps(mulberry, indent=1))
    return folder
