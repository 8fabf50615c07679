"""Bounds on a class are checked as soon as the images are known, before any search."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from bundle_maker import copy_images
from run_maker import write_space

from automl import load_spec
from automl.errors import DataError, SpecError
from automl.pipeline.observer import Silent
from automl.pipeline.planning import prepare_data
from automl.records import Spec

SPEC = """\
task: classification
data: {path: DATA}
target: {latency: 200ms}
require: {"REQUIRE": ">= 0.5"}
search: {space: ./space.yaml}
"""


def make_spec(folder: Path, *, data: str, require: str) -> Spec:
    write_space(folder / "space.yaml")
    path = folder / "paper.yaml"
    path.write_text(SPEC.replace("DATA", data).replace("REQUIRE", require))
    return load_spec(path)


def test_a_class_in_require_that_the_images_do_not_have_is_refused_at_once(
    paper_images: Path, tmp_path: Path
) -> None:
    copy_images(paper_images, tmp_path / "images")
    spec = make_spec(tmp_path, data="./images", require="recall[fial]")
    with pytest.raises(SpecError) as caught:
        prepare_data(spec, Silent())
    assert str(caught.value) == (
        "require: recall[fial]: the images have no class 'fial'. Did you mean 'fail'?"
    )
    assert caught.value.exit_code == 2


def test_a_class_in_require_must_be_in_the_splits_that_judge(
    paper_images: Path, tmp_path: Path
) -> None:
    copy_images(paper_images, tmp_path / "images", each=24)
    rows = []
    for i, image in enumerate(sorted((tmp_path / "images").glob("*/*.jpg"))):
        split = ("train", "val", "test")[i % 3]
        label = "rare" if split == "train" and i % 2 else image.parent.name
        rows.append((f"images/{image.parent.name}/{image.name}", label, split))
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "split"), *rows])
    spec = make_spec(tmp_path, data="./labels.csv", require="recall[rare]")
    with pytest.raises(DataError) as caught:
        prepare_data(spec, Silent())
    assert str(caught.value) == (
        "require: recall[rare] cannot be judged: the val split holds no image of 'rare'. "
        "Add images of 'rare' (of other groups, where groups are kept together), "
        "enlarge data.split.val, or leave the requirement out."
    )
