"""The embedded model's own byte-level tokenizer: Qwen's class and special tokens, few words.

Its merges are learned from the task's few sentences, so that each of their words is one token; each
digit is one, as in Qwen's own tokenizer, and any other text falls back to bytes. The tags of
rationale and answer are one token each too, but plain ones: verl decodes a response for the
verifier with special tokens skipped, and a special tag would be lost there.
"""

from collections.abc import Iterator

from transformers import AddedToken, Qwen2Tokenizer

from care_verl.algorithm.config import REPAIR_CUE
from care_verl.data.embedded.charts import COLOURS
from care_verl.data.embedded.demonstrations import REVISION_CUE
from care_verl.data.embedded.questions import LEVELS

END_OF_TEXT = "<|endoftext|>"
TURN_END = "<|im_end|>"
IMAGE_PAD = "<|image_pad|>"
VIDEO_PAD = "<|video_pad|>"
VISION_START = "<|vision_start|>"
VISION_END = "<|vision_end|>"
_SPECIAL_TOKENS = (
    END_OF_TEXT,
    "<|im_start|>",
    TURN_END,
    VISION_START,
    VISION_END,
    IMAGE_PAD,
    VIDEO_PAD,
)
_TAGS = ("<think>", "</think>", "<answer>", "</answer>")
# More than there are merges to learn: training ends when every word is one token.
_MOST_WORDS = 4096

# Qwen's chat markup without a default system prompt: the task needs none, and short is fast.
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.content is string %}{{ message.content }}"
    "{% else %}{% for part in message.content %}"
    "{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif part.type == 'video' %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def build_tokenizer() -> Qwen2Tokenizer:
    """The tokenizer, chat template included; the same at every call."""
    untrained = Qwen2Tokenizer(
        eos_token=TURN_END,
        pad_token=END_OF_TEXT,
        unk_token=None,
        extra_special_tokens=list(_SPECIAL_TOKENS),
    )
    tokenizer = untrained.train_new_from_iterator(
        _sentences(), vocab_size=_MOST_WORDS, show_progress=False
    )
    tokenizer.add_tokens([AddedToken(tag, special=False, normalized=False) for tag in _TAGS])
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def _sentences() -> Iterator[str]:
    """Text that holds each word of the task in each place where it may stand."""
    yield "user\nassistant\nsystem\n"
    # The cue stands in a reflection's prompt: as bytes it would be far longer than a response.
    yield REPAIR_CUE
    yield REVISION_CUE
    for colour in COLOURS:
        for level in LEVELS.values():
            yield level.template.format(*[colour] * level.operands)
        yield f"{colour}1 {colour}2"
