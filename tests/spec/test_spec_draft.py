"""The spec that `automl init` drafts."""

from __future__ import annotations

from pathlib import Path

import pytest

from automl.spec import draft_spec, parse_spec
from automl.spec.draft import GroupGuess, guess_group


def draft(**changes: object) -> str:
    arguments: dict[str, object] = {
        "task": "classification",
        "format_name": "folder",
        "reason": "folders 'a' and 'b' hold images",
        "classes": ("a", "b"),
        "images": 1234,
    }
    return draft_spec("./images", **{**arguments, **changes})  # type: ignore[arg-type] # a table of cases


def test_draft_is_valid_as_it_stands() -> None:
    spec = parse_spec(draft(), source="images.yaml", base=Path("/"))
    assert (spec.name, spec.data.path, spec.data.format) == ("images", "/images", "folder")
    assert (spec.data.split.group, spec.requirements) == (None, ())


def test_draft_says_what_was_seen() -> None:
    text = draft(schema="spec.schema.json")
    assert text.startswith("# yaml-language-server: $schema=spec.schema.json\n")
    assert "format: folder   # folders 'a' and 'b' hold images" in text
    assert "# 1,234 images." in text


def test_draft_is_valid_when_all_its_suggestions_are_taken() -> None:
    guess = guess_group([f"a/sheet{i:02d}_{j}.jpg" for i in range(20) for j in range(4)])
    text = draft(group=guess)
    for line in ("classes:", "size:", "memory:", "require:", "group:"):
        text = text.replace(f"# {line}", line, 1)
    text = text.replace("#   ", "  ")
    spec = parse_spec(text, source="images.yaml", base=Path("/"))
    assert spec.data.classes == ("a", "b")
    assert [requirement.key for requirement in spec.requirements] == [
        "balanced-accuracy",
        "recall[a]",
    ]
    assert guess is not None
    assert spec.data.split.group == guess.expression


@pytest.mark.parametrize("name", ['quo"te', "new\nline: x", "back\\slash", "#hash", "\x1b[31m"])
def test_hostile_names_stay_inside_their_quotes(name: str) -> None:
    text = draft(classes=(name, "b"), reason=f"a folder {name}").replace("# classes:", "classes:")
    spec = parse_spec(text, source="images.yaml", base=Path("/"))
    assert len(spec.data.classes) == 2
    assert all(line.isprintable() for line in text.splitlines())


@pytest.mark.parametrize(
    ("paths", "groups"),
    [
        ([f"a/sheet{i}_{j}.jpg" for i in range(12) for j in range(4)], 12),
        ([f"a/film{i}-{j:04d}.PNG" for i in range(30) for j in range(25)], 30),
        ([f"a/IMG_{i:04d}.jpg" for i in range(500)], None),
        ([f"a/{i:04d}.jpg" for i in range(500)], None),
        ([f"a/part{i}_0.jpg" for i in range(500)], None),
        ([f"a/s{i}_{j}.jpg" for i in range(3) for j in range(4)], None),
        ([f"a/word{i}.jpg" for i in range(40)] + ["a/x_1.jpg"], None),
        ([], None),
    ],
    ids=["tiles", "frames", "counter", "numbers", "single", "few", "mixed", "none"],
)
def test_group_is_guessed_only_from_a_clear_pattern(paths: list[str], groups: int | None) -> None:
    guess = guess_group(paths)
    assert (guess.groups if isinstance(guess, GroupGuess) else None) == groups
