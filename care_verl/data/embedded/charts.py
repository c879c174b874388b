"""Bar charts: what they hold, and their picture."""

import hashlib
import io
from dataclasses import dataclass

from PIL import Image, ImageDraw

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (220, 40, 40),
    "green": (40, 160, 60),
    "blue": (50, 80, 220),
    "yellow": (235, 200, 30),
    "purple": (140, 60, 170),
    "black": (30, 30, 30),
}
MAX_HEIGHT = 9
BARS = 4
# A merged patch of Qwen2.5-VL is 28 pixels a side: each bar stands in one of its own, and one
# vision token holds both its colour and its height. Four of them are also the fewest pixels,
# 56 x 56, that `qwen_vl_utils` passes without enlarging the picture.
_COLUMN = 28
_BAR_WIDTH = 18
_UNIT = 3
_FLOOR = _UNIT * MAX_HEIGHT
SIZE = (BARS * _COLUMN, _FLOOR + 1)
_BACKGROUND = (255, 255, 255)
_AXIS = (120, 120, 120)
_HELD_OUT_ONE_IN = 8


@dataclass(frozen=True)
class Bar:
    """One bar: the name of its colour and its height from 1 to MAX_HEIGHT."""

    colour: str
    height: int


@dataclass(frozen=True)
class Chart:
    """Bars from left to right; no two have the same colour."""

    bars: tuple[Bar, ...]

    @property
    def heights(self) -> dict[str, int]:
        """Height by colour."""
        return {bar.colour: bar.height for bar in self.bars}

    @property
    def held_out(self) -> bool:
        """Whether the chart is kept for evaluation.

        Decided by the chart's own content, whatever seed, split or index it was drawn from: a chart
        that training may show can never be one that evaluation shows.
        """
        content = ",".join(f"{bar.colour}{bar.height}" for bar in self.bars)
        return hashlib.sha256(content.encode()).digest()[0] % _HELD_OUT_ONE_IN == 0


def render(chart: Chart) -> Image.Image:
    """The chart as an RGB picture of SIZE pixels."""
    image = Image.new("RGB", SIZE, _BACKGROUND)
    draw = ImageDraw.Draw(image)
    for column, bar in enumerate(chart.bars):
        left = column * _COLUMN + (_COLUMN - _BAR_WIDTH) // 2
        top = _FLOOR - bar.height * _UNIT
        draw.rectangle((left, top, left + _BAR_WIDTH - 1, _FLOOR - 1), fill=COLOURS[bar.colour])
    draw.line((0, _FLOOR, SIZE[0] - 1, _FLOOR), fill=_AXIS)
    return image


def png_bytes(chart: Chart) -> bytes:
    """The chart's picture as a PNG file."""
    buffer = io.BytesIO()
    render(chart).save(buffer, format="PNG")
    return buffer.getvalue()
