"""What `care-verl recipes` shows, and what every file must say about itself."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from care_verl.tools.cli import app
from care_verl.tools.recipes.catalogue import (
    RecipeError,
    catalogue,
    is_sft,
    kinds,
    recipe_folder,
)
from care_verl.tools.recipes.composition import compose_recipes

PAGE = Path(__file__).parents[2] / "docs" / "recipes.md"
FILES = sorted(recipe_folder().rglob("*.yaml"))
SOURCE = re.compile(
    r"  # .*(Table \d|Sec\. \d|Eq\. \d|Fig\. \d|ours|verl's|DAPO's paper|GSPO's paper|GRPO's paper|"
    r"GRPO-CARE's public code|the authors' public code|the method|the model's)"
)
OWN_MARKS = ("All values are ours", '"ours" the others')
"""Files whose head says where their values come from."""


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["recipes", *arguments], terminal_width=200)
    assert result.exit_code == 0, result.output
    return result.output


def test_every_recipe_is_listed() -> None:
    output = run("list")
    assert len(catalogue()) > 50
    for recipe in catalogue():
        assert recipe.name in output
        assert recipe.summary
    assert {recipe.kind for recipe in catalogue()} == set(kinds())


def test_the_page_shows_the_list() -> None:
    """`care-verl recipes list --markdown`, between two marks."""
    page = PAGE.read_text("utf-8")
    begin, end = "<!-- care-verl recipes list --markdown -->\n\n", "\n<!-- end of the list -->"
    assert page.partition(begin)[2].partition(end)[0] == run("list", "--markdown")


def test_listing_needs_neither_verl_nor_hydra() -> None:
    code = (
        "import sys; from care_verl.tools.recipes import command; "
        "command.list_recipes(markdown=True); "
        "print({'verl', 'hydra', 'torch', 'ray'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "set()"
    assert "method/care" in done.stdout


def test_composing_does_not_import_verl() -> None:
    code = (
        "import sys; from care_verl.tools.recipes.composition import compose_recipes; "
        "compose_recipes(['method/grpo']); print('verl' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_show_prints_what_differs_from_verl() -> None:
    shown = yaml.safe_load(run("show", "care_qwen2_5_vl_7b,ablation/k2,hardware/nodes"))
    assert shown["algorithm"]["care"]["K"] == 2
    assert shown["trainer"]["nnodes"] == 2
    # verl's own.
    assert "ppo_epochs" not in shown["actor_rollout_ref"]["actor"]
    assert "critic_warmup" not in shown["trainer"]


def test_show_takes_overrides_and_shows_all() -> None:
    shown = yaml.safe_load(run("show", "method/grpo", "trainer.nnodes=3", "--all"))
    assert shown["trainer"]["nnodes"] == 3
    assert shown["actor_rollout_ref"]["actor"]["ppo_epochs"] == 1


def test_a_cold_start_is_shown_over_verls_sft_configuration() -> None:
    shown = yaml.safe_load(run("show", "sft_vision_r1_cold,sft_embedded_hardware"))
    assert shown["trainer"]["device"] == "cpu"
    assert shown["optim"]["lr"] == 1.5e-3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["care_qwen2_5_vl_8b"], "did you mean"),
        (["method/_base"], "no recipe"),
        (["care_qwen2_5_vl_7b,sft_vision_r1_cold"], "different trainers"),
        (["method/grpo", "trainer.nodes=2"], "nodes"),
    ],
)
def test_what_cannot_be_composed_is_said(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["recipes", "show", *arguments], terminal_width=200)
    assert result.exit_code == 2
    assert said in result.output


def test_without_verl_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("care_verl.tools.recipes.composition.find_spec", lambda name: None)
    with pytest.raises(RecipeError, match="verl is not installed"):
        compose_recipes(["method/grpo"])


def test_recipes_of_two_trainers_do_not_mix() -> None:
    assert is_sft(["sft_qwen2_5_vl_3b"])
    assert not is_sft(["embedded", "ablation/k2"])
    with pytest.raises(RecipeError, match="different trainers"):
        is_sft(["embedded", "sft_qwen2_5_vl_3b"])


def relative(path: Path) -> str:
    return path.relative_to(recipe_folder()).as_posix()


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_each_value_has_its_source(path: Path) -> None:
    """Behind it, or for the whole file in its head."""
    text = path.read_text("utf-8")
    assert text.startswith("# @package _global_\n# ")
    if any(mark in text for mark in OWN_MARKS):
        return
    body = re.sub(r"^defaults:\n(  - .*\n)+", "", text, flags=re.M)
    for line in body.splitlines():
        has_value = re.match(r"\s*[\w.]+: +\S", line) and not re.match(r"\s*[\w.]+: +#", line)
        if has_value:
            assert SOURCE.search(line), f"{relative(path)}: no source in {line!r}"


@pytest.mark.parametrize(
    "path", [p for p in FILES if relative(p).startswith("hardware/gpu")], ids=relative
)
def test_memory_is_called_an_estimate(path: Path) -> None:
    text = path.read_text("utf-8")
    assert "# ESTIMATE" in text
    assert "nothing was measured on a GPU" in text


def test_experiments_are_defaults_and_nothing_else() -> None:
    """What differs between two of them stands in the file of its concern."""
    experiments = [r.name for r in catalogue() if r.kind == kinds()[0] and r.name != "embedded"]
    assert len(experiments) == 18
    for name in experiments:
        assert list(yaml.safe_load((recipe_folder() / f"{name}.yaml").read_text())) == ["defaults"]
