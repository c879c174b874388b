"""Vision-R1-cold from its two files to rows that verl's own dataset reads."""

import io
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from rich.console import Console
from transformers import AutoProcessor
from typer.testing import CliRunner

from care_verl.data.corpora.cold_start_preparation import prepare_vision_r1_cold
from care_verl.data.corpora.json_items import json_items
from care_verl.data.corpora.limits import Limits
from care_verl.data.corpora.prompt import instruction
from care_verl.data.corpora.report import Report
from care_verl.data.corpora.schema import SFT_SCHEMA
from care_verl.data.corpora.source import SourceError
from care_verl.data.corpora.token_count import TokenCounter
from care_verl.data.corpora.vision_r1_cold import ColdStartChecks, open_vision_r1_cold
from care_verl.grammar import TagSpec
from care_verl.tools.cli import app
from care_verl.verifier import verify

from .cold_start_copy import RAW, llava_item, mulberry_item, write_folder
from .samples import drawing, encoded

LIMITS = Limits(min_pixels=28 * 28, max_pixels=1_000_000, max_prompt_tokens=1024)


def prepare(folder: Path, out: Path, **settings: Any) -> tuple[Report, list[dict[str, Any]]]:
    checks = ColdStartChecks(LIMITS, settings.pop("tags", TagSpec()), **settings)
    quiet = Console(file=io.StringIO())
    report = prepare_vision_r1_cold(open_vision_r1_cold(folder), checks, None, out, quiet)
    table = pq.read_table(out / "train.parquet")
    assert table.schema.equals(SFT_SCHEMA)
    return report, table.to_pylist()


def turns(*texts: str | None) -> list[dict[str, str | None]]:
    return [
        {"from": ("human", "gpt")[place % 2], "value": text} for place, text in enumerate(texts)
    ]


def test_items_of_both_files_become_rows_of_one_form(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "in", [llava_item(0), llava_item(1)], [mulberry_item(2)])
    report, rows = prepare(folder, tmp_path / "out")
    assert [(row["data_source"], row["source_id"]) for row in rows] == [
        ("vision_r1_cold/llava_cot", "llava_cot/sqa/0"),
        ("vision_r1_cold/llava_cot", "llava_cot/sqa/1"),
        ("vision_r1_cold/mulberry", "mulberry/0"),
    ]
    for number, row in enumerate(rows):
        user, assistant = row["messages"]
        assert user["role"] == "user"
        assert user["content"] == f"<image>What is {number}?\n\n{instruction(TagSpec())}"
        assert assistant == {
            "role": "assistant",
            "content": f"<think>It is {number}.</think><answer>{number}</answer>",
        }
        (image,) = row["images"]
        assert Image.open(io.BytesIO(image["bytes"])).tobytes() == drawing(number).tobytes()
    assert report.stages == {
        "items of vision_r1_llava_cot_full.json": 2,
        "items of vision_r1_mulberry_sft_full.json": 1,
    }


def test_dropped_items_are_counted_by_reason(tmp_path: Path) -> None:
    llava = [
        llava_item(0),
        llava_item(1, conversations=turns("What?", "It is 4.")),
        llava_item(2, conversations=turns("<image> and <image>?", RAW.format(2))),
        llava_item(3, conversations=turns("What?")),
        llava_item(4, image="sqa/none.png"),
        llava_item(5, image=None),
        llava_item(6, conversations=turns("What?", "<think>a</think><answer> </answer>")),
    ]
    report, rows = prepare(write_folder(tmp_path / "in", llava, []), tmp_path / "out")
    assert [row["source_id"] for row in rows] == ["llava_cot/sqa/0"]
    assert report.dropped == {
        "no rationale": 1,
        "placeholders and images differ": 1,
        "turns do not alternate between user and assistant": 1,
        "missing image": 1,
        "no image": 1,
        "empty answer": 1,
    }
    entries = [json.loads(line) for line in (tmp_path / "out" / "dropped.jsonl").open()]
    (missing,) = [entry for entry in entries if entry["reason"] == "missing image"]
    assert missing["source_id"] == "llava_cot/sqa/4"
    assert missing["detail"].endswith("llava_cot_images/sqa/none.png")


@pytest.mark.parametrize("folder_name", ["mathvision", "MathVision", "MATH-Vision", "math_vision"])
def test_items_of_math_vision_are_left_out_unless_asked_for(
    tmp_path: Path, folder_name: str
) -> None:
    images = tmp_path / "in" / "mulberry_images" / folder_name
    path = f"mulberry_images/{folder_name}/3.png"
    folder = write_folder(tmp_path / "in", [], [mulberry_item(3, images=[path]), mulberry_item(4)])
    images.mkdir(exist_ok=True)
    (images / "3.png").write_bytes(encoded(drawing(3)))
    report, rows = prepare(folder, tmp_path / "without")
    assert [row["source_id"] for row in rows] == ["mulberry/1"]
    assert report.dropped == {"in MATH-Vision, an evaluation set": 1}
    report, rows = prepare(folder, tmp_path / "with", keep_mathvision=True)
    assert [row["source_id"] for row in rows] == ["mulberry/0", "mulberry/1"]
    assert report.notes == {"in MATH-Vision, an evaluation set": 1}


def test_only_the_images_own_path_tells_of_math_vision(tmp_path: Path) -> None:
    """A folder above the images, or two neighbours that only together read so, tell nothing."""
    folder = write_folder(
        tmp_path / "in",
        [llava_item(1, image="geomath/vision/1.png")],
        [mulberry_item(1, images=["/mathvision/mulberry_images/AI2D/1.png"])],
    )
    (folder / "llava_cot_images/geomath/vision").mkdir(parents=True)
    (folder / "llava_cot_images/geomath/vision/1.png").write_bytes(encoded(drawing(1)))
    assert len(prepare(folder, tmp_path / "out")[1]) == 2


def test_several_turns_are_kept_when_each_answer_has_the_form(tmp_path: Path) -> None:
    talk = turns("<image>\nWhat?", RAW.format(1), "And twice?", RAW.format(2))
    broken = turns("What?", RAW.format(1), "And twice?", "It is 2.")
    llava = [llava_item(0, conversations=talk), llava_item(1, conversations=broken)]
    report, rows = prepare(write_folder(tmp_path / "in", llava, []), tmp_path / "out")
    (row,) = rows
    contents = [message["content"] for message in row["messages"]]
    assert contents[2] == f"And twice?\n\n{instruction(TagSpec())}"
    assert sum(content.count("<image>") for content in contents) == 1
    assert report.notes == {"several turns": 1}
    assert report.dropped == {"no rationale": 1}


@pytest.mark.parametrize(
    "name",
    ["AI2D/1.png", "mulberry_images/AI2D/1.png", "/data/all/mulberry_images/AI2D/1.png"],
)
def test_paths_of_images_with_and_without_their_folder(tmp_path: Path, name: str) -> None:
    folder = write_folder(tmp_path / "in", [], [mulberry_item(1, images=name)])
    assert len(prepare(folder, tmp_path / "out")[1]) == 1


def test_other_tags_stand_in_instruction_and_response(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "in", [llava_item(0)], [])
    _, (row,) = prepare(folder, tmp_path / "out", tags=TagSpec("reason", "result"))
    user, assistant = (message["content"] for message in row["messages"])
    assert "<reason>" in user
    assert assistant == "<reason>It is 0.</reason><result>0</result>"


def test_rows_with_too_many_tokens_are_dropped(tmp_path: Path, model: Path) -> None:
    long = llava_item(1, conversations=turns("What?", RAW.format("so " * 2000)))
    folder = write_folder(tmp_path / "in", [llava_item(0), long], [])
    counter = TokenCounter(str(model))
    report, rows = prepare(folder, tmp_path / "out", counter=counter)
    assert [row["source_id"] for row in rows] == ["llava_cot/sqa/0"]
    assert report.dropped == {"too many tokens": 1}


def test_an_interrupted_run_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = [llava_item(n % 10, id=str(n)) for n in range(300)]
    folder = write_folder(tmp_path / "in", items, [mulberry_item(1)])
    prepare(folder, tmp_path / "whole")
    from care_verl.data.corpora import cached_rows, vision_r1_cold

    real, calls, most = vision_r1_cold._unit, [], 280

    def fails_late(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) > most:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(cached_rows, "SHARD_ROWS", 256)
    with monkeypatch.context() as patch:
        patch.setattr(vision_r1_cold, "_unit", fails_late)
        with pytest.raises(KeyboardInterrupt):
            prepare(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    calls.clear()
    most = 1000
    with monkeypatch.context() as patch:
        patch.setattr(vision_r1_cold, "_unit", fails_late)
        prepare(folder, tmp_path / "out")
    # The first shard of 256 items was not done again.
    assert len(calls) == 301 - 256
    straight, resumed = (
        pq.read_table(tmp_path / name / "train.parquet") for name in ("whole", "out")
    )
    assert resumed.equals(straight)


def test_missing_image_folders_say_which_archive_to_unpack(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "in", [], [])
    moved = folder / "mulberry_images"
    moved.rename(tmp_path / "elsewhere")
    with pytest.raises(SourceError, match=r"mulberry_images\.tar.*--mulberry-images"):
        open_vision_r1_cold(folder)
    assert open_vision_r1_cold(folder, mulberry_images=tmp_path / "elsewhere").total == 0
    (folder / "llava_cot_images").rename(tmp_path / "images")
    with pytest.raises(SourceError, match=r"image\.zip\.part-.*--llava-cot-images"):
        open_vision_r1_cold(folder, mulberry_images=tmp_path / "elsewhere")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": 0}, r"vision_r1_llava_cot_full\.json, item 1: no image or images; found id, "),
        ({"conversations": 0}, "item 1: no conversations; found id, image"),
    ],
)
def test_missing_keys_are_named(tmp_path: Path, change: dict[str, int], message: str) -> None:
    item = {key: value for key, value in llava_item(1).items() if key not in change}
    folder = write_folder(tmp_path / "in", [llava_item(0), item], [])
    with pytest.raises(SourceError, match=message):
        prepare(folder, tmp_path / "out")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"conversations": [{"from": "human"}]}, "item 0: no value or content; found from"),
        ({"conversations": turns(None, "a")}, "item 0: value is None; expected str"),
        ({"conversations": ["What?"]}, "item 0: a turn is 'What\\?'; expected an object"),
        ({"conversations": "What?"}, "item 0: conversations is 'What\\?'; expected list"),
        ({"image": [1]}, "item 0: an image is 1; expected a path"),
        ({"image": 1}, r"item 0: image is 1; expected str \| list"),
    ],
)
def test_values_of_another_type_are_named(
    tmp_path: Path, keys: dict[str, Any], message: str
) -> None:
    folder = write_folder(tmp_path / "in", [llava_item(0, **keys)], [])
    with pytest.raises(SourceError, match=message):
        prepare(folder, tmp_path / "out")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"id": 1}, {"id": 2', r"broken JSON between bytes 0 and 20 .*Fetch the file again"),
        ('[{"id": 1}, {"id": ?}]', r"broken JSON between bytes 0 and 22"),
        ("", "broken JSON between bytes 0 and 0"),
        ('{"id": 1}', r"begins with '{'; expected a JSON list"),
        ('[{"id": 1}, 7]', "item 1: 7 is no JSON object"),
    ],
)
def test_a_file_that_is_no_list_of_objects(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(SourceError, match=message):
        list(json_items(path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none\.json does not exist"):
        list(json_items(tmp_path / "none.json"))


def test_the_command(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "in", [llava_item(0)], [mulberry_item(1)])
    command = ["data", "prepare", "vision-r1-cold", str(folder), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert pq.read_metadata(tmp_path / "out" / "train.parquet").num_rows == 2
    (folder / "vision_r1_llava_cot_full.json").unlink()
    result = CliRunner().invoke(app, [*command[:-1], str(tmp_path / "other")])
    assert result.exit_code == 1
    assert "does not exist" in result.stderr


def test_verls_dataset_reads_the_rows_and_trains_on_the_responses_alone(
    tmp_path: Path, model: Path
) -> None:
    from verl.utils.dataset.multiturn_sft_dataset import MultiTurnSFTDataset

    talk = turns("What?", RAW.format(1), "And twice?", RAW.format(2))
    llava = [llava_item(0), llava_item(1, conversations=talk)]
    folder = write_folder(tmp_path / "in", llava, [mulberry_item(2)])
    _, rows = prepare(folder, tmp_path / "out")
    processor = AutoProcessor.from_pretrained(model)
    tokenizer = processor.tokenizer
    config = OmegaConf.create({"pad_mode": "no_padding", "max_length": 1024, "truncation": "error"})
    dataset = MultiTurnSFTDataset(
        str(tmp_path / "out" / "train.parquet"), tokenizer, config, processor
    )
    assert len(dataset) == 3
    for row, example in zip(rows, dataset, strict=True):
        ids, mask = example["input_ids"], example["loss_mask"].bool()
        responses = [m["content"] for m in row["messages"] if m["role"] == "assistant"]
        trained = tokenizer.decode(ids[mask])
        assert trained == "".join(f"{response}<|im_end|>\n" for response in responses)
        assert all(verify(response, "0").fmt == 1 for response in responses)
        assert instruction(TagSpec()) in tokenizer.decode(ids[~mask])
        pixels = example["multi_modal_inputs"]["image_grid_thw"].prod()
        image_tokens = (ids == processor.image_token_id).sum()
        assert image_tokens == pixels // processor.image_processor.merge_size**2
        assert torch.equal(example["position_ids"][0], torch.arange(len(ids)))
