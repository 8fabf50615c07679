"""The documents agree with the program: names, rules, commands, links and examples."""

from __future__ import annotations

import re
import tomllib
from itertools import chain
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from automl import registry
from automl.cli import cli
from automl.data.annotation_notes import _ENTRY_RULES
from automl.data.truth_problems import _RULES
from automl.models import anomaly, detectors, segmenters
from automl.search.space_schema import ArchitecturesModel, RecipeModel
from automl.spec import load_spec
from automl.spec.metrics import METRICS

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_COMMAND = re.compile(r"^ *(?:\$ |\.venv/bin/)?automl ([a-z]+)(.*)$", re.MULTILINE)


def text_of(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def without_code(text: str) -> str:
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def section(text: str, title: str) -> str:
    """Return what stands under a heading of level two or three."""
    found = re.search(rf"^##+ {re.escape(title)}\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL)
    assert found is not None, f"no section '{title}'"
    return found[1]


def anchors(text: str) -> set[str]:
    """Return the anchors that headings get: lower case, no marks, hyphens for spaces."""
    titles = re.findall(r"^#+ (.*)$", without_code(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    for link in _LINK.findall(without_code(document.read_text(encoding="utf-8"))):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = document if not name else document.parent / name
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), link


def words_of(command: str, rest: str) -> list[str]:
    """The command, with the one below it where it is a group: `devices calibrate`."""
    with click.Context(cli) as context:
        found = cli.get_command(context, command)
    below = rest.split()[:1]
    return [
        command,
        *(below if isinstance(found, click.Group) and set(below) & set(found.commands) else ()),
    ]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_shown_is_there_with_its_options(document: Path) -> None:
    for command, rest in _COMMAND.findall(document.read_text(encoding="utf-8")):
        shown = CliRunner().invoke(cli, [*words_of(command, rest), "--help"])
        assert shown.exit_code == 0, command
        for option in re.findall(r"(?<!\S)--[a-z-]+", rest.partition("#")[0]):
            assert option in shown.output, f"{command} {option}"


@pytest.mark.parametrize("name", registry.names("format"))
def test_every_format_has_a_layout_and_says_how_it_is_recognised(name: str) -> None:
    told = section(text_of("data-formats.md"), name)
    assert "```" in told
    assert "*Recognised by*" in told


@pytest.mark.parametrize("name", registry.names("format"))
def test_table_of_formats_says_what_each_holds(name: str) -> None:
    (row,) = re.findall(rf"^\| \[`{name}`\].*$", text_of("data-formats.md"), re.MULTILINE)
    held = tuple("yes" in cell for cell in row.split("|")[2:6])
    truths = registry.load("format", name).truths
    assert held == tuple(kind in truths for kind in ("label", "boxes", "mask", "defect"))


def test_every_rule_on_annotations_is_explained() -> None:
    told = text_of("data-formats.md")
    unsaid = [rule for rule in chain(_ENTRY_RULES, _RULES) if f"`{rule}`" not in told]
    assert unsaid == []


def test_every_other_finding_on_data_is_explained() -> None:
    told = text_of("data-formats.md")
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "automl/data").rglob("*.py")]
    rules = {rule for one in sources for rule in re.findall(r'finding\(\s*"([a-z-]+)"', one)}
    assert len(rules) > 20
    assert [rule for rule in sorted(rules) if f"`{rule}`" not in told] == []


@pytest.mark.parametrize("task", registry.names("task"))
def test_page_of_tasks_names_every_metric_where_the_task_is_explained(task: str) -> None:
    told = section(text_of("tasks.md"), task)
    for name in METRICS[task].overall:
        assert f"`{name}`" in told, name
    for name in METRICS[task].per_class:
        assert f"`{name}[…]`" in told, name


@pytest.mark.parametrize("name", ["tasks.md", "extending.md", "../README.md"])
def test_every_whole_spec_shown_is_valid(name: str, tmp_path: Path) -> None:
    blocks = re.findall(r"^```yaml\n(task:.*?)```", text_of(name), re.MULTILINE | re.DOTALL)
    known = [one for one in blocks if one.split()[1] in registry.names("task")]
    assert known or name == "extending.md"  # its task is one to be added
    for number, block in enumerate(known):
        file = tmp_path / f"{number}.yaml"
        file.write_text(block, encoding="utf-8")
        load_spec(str(file))


def test_page_of_search_spaces_explains_every_decoder_and_key() -> None:
    told = text_of("search-spaces.md")
    decoders = (*segmenters.DECODERS, *detectors.DECODERS, *anomaly.DECODERS)
    keys = (*ArchitecturesModel.model_fields, *RecipeModel.model_fields)
    assert [name for name in (*decoders, *keys) if f"`{name}`" not in told] == []


def test_drawing_of_packages_agrees_with_the_layers_that_are_checked() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    drawn = [line.strip() for line in section(text_of("architecture.md"), "Packages").splitlines()]
    for layer in layers:
        names = layer.replace("automl.", "")
        assert any(line == names or line.startswith(f"{names}  ") for line in drawn), names
