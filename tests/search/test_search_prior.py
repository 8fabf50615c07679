"""What is expected of networks before they are trained, and how observations change it."""

from __future__ import annotations

import csv
import math

import pytest

from automl.records import (
    Architecture,
    PlannedArchitecture,
    RecalledScore,
    Recollection,
    TruthKind,
)
from automl.search.imagenet import TABLE, published_accuracy
from automl.search.prior import combine, expected_scores
from automl.search.space import load_space, space_names
from benchmarks.imagenet_table import make_table, resolution_gains, size_line


def planned(
    backbone: str,
    *,
    depth: int | None = None,
    size: int = 224,
    parameters: int = 5_000_000,
    weights: str | None = "hub",
) -> PlannedArchitecture:
    return PlannedArchitecture(
        Architecture("family", backbone, depth, size), parameters, 1_000_000, weights
    )


def ranked(*networks: PlannedArchitecture, truth: TruthKind = "label") -> list[str]:
    found = expected_scores(networks, truth=truth)
    return sorted(found, key=lambda key: -found[key])


def test_the_published_accuracy_is_what_is_expected_at_its_own_size() -> None:
    found = expected_scores([planned("resnet50.a1_in1k"), planned("resnet18.tv_in1k")])
    assert found == pytest.approx(
        {"resnet50.a1_in1k-full-224": 0.804, "resnet18.tv_in1k-full-224": 0.698}
    )


def test_a_name_without_a_tag_means_the_weights_that_timm_loads() -> None:
    assert {row.weights for row in published_accuracy("resnet50")} == {"resnet50.a1_in1k"}
    assert {row.weights for row in published_accuracy("resnet50.tv_in1k")} == {"resnet50.tv_in1k"}


def test_all_weights_of_a_backbone_stand_in_for_a_tag_that_nobody_tested() -> None:
    tags = {row.weights for row in published_accuracy("resnet50.of_my_own")}
    assert {"resnet50.a1_in1k", "resnet50.tv_in1k"} < tags


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (planned("resnet50"), planned("resnet18")),
        (planned("resnet18", size=224), planned("resnet18", size=128)),
        (planned("resnet18", size=448), planned("resnet18", size=224)),
        (planned("resnet18"), planned("resnet18", depth=4)),
        (planned("resnet18", depth=4), planned("resnet18", depth=3)),
        (planned("lcnet_050"), planned("eva02_large_patch14_448", weights=None)),
        (
            planned("unheard_of", parameters=20_000_000),
            planned("unheard_of_too", parameters=2_000_000),
        ),
        (planned("unheard_of", size=224), planned("unheard_of", size=96)),
    ],
)
def test_the_better_known_the_larger_and_the_pretrained_come_first(
    better: PlannedArchitecture, worse: PlannedArchitecture
) -> None:
    assert ranked(worse, better) == [better.architecture.key, worse.architecture.key]


def test_images_beyond_twice_the_tested_size_bring_nothing_more() -> None:
    found = expected_scores([planned("resnet18", size=size) for size in (576, 1152, 4096)])
    assert len(set(found.values())) == 1


def test_a_memory_of_good_images_loses_nothing_by_a_cut() -> None:
    whole, cut = planned("resnet18"), planned("resnet18", depth=3)
    assert len(set(expected_scores([whole, cut], truth="defect").values())) == 1
    masks, labels = (expected_scores([whole, cut], truth="mask"), expected_scores([whole, cut]))
    assert masks["resnet18-full-224"] - masks["resnet18-d3-224"] < (
        labels["resnet18-full-224"] - labels["resnet18-d3-224"]
    )


def test_masks_and_boxes_gain_more_from_larger_images() -> None:
    def gain(truth: TruthKind) -> float:
        found = expected_scores([planned("resnet18", size=s) for s in (128, 224)], truth=truth)
        return found["resnet18-full-224"] - found["resnet18-full-128"]

    assert gain("mask") == gain("boxes") > gain("label") > 0


def test_nearly_all_backbones_of_the_shipped_spaces_are_in_the_table() -> None:
    names = {
        architecture.backbone
        for name in space_names()
        for architecture in load_space(
            name, task=name.rpartition("-")[0] or "classification"
        ).architectures
    }
    unknown = {name for name in names if not published_accuracy(name)}
    assert len(names) > 40
    assert len(unknown) <= 0.1 * len(names), sorted(unknown)


def test_the_table_is_small_and_names_its_source_and_licence() -> None:
    head = TABLE.read_text(encoding="utf-8")[:400]
    assert TABLE.stat().st_size < 150_000
    assert "results/results-imagenet.csv" in head
    assert "Apache-2.0" in head


RESULTS = """\
model,img_size,top1,top1_err,top5,top5_err,param_count,crop_pct,interpolation
resnet18.a1_in1k,224,71.504,28.496,90.086,9.914,11.69,0.950,bicubic
resnet18.a1_in1k,112,60.000,40.000,90.086,9.914,11.69,0.950,bicubic
resnet18.a1_in1k,448,75.000,25.000,90.086,9.914,11.69,0.950,bicubic
resnet18.tv_in1k,224,69.752,30.248,89.082,10.918,11.69,0.875,bilinear
not_of_timm.in1k,224,80.000,20.000,89.082,10.918,"1,169.00",0.875,bilinear
"""


def test_the_table_is_made_from_published_results() -> None:
    rows = list(csv.DictReader(RESULTS.splitlines()))
    lines = [line for line in make_table(rows).splitlines() if not line.startswith("#")]
    assert lines == [
        "weights,image_size,top1_percent,usual",
        "not_of_timm.in1k,224,80.0,",
        "resnet18.a1_in1k,112,60.0,1",
        "resnet18.a1_in1k,224,71.5,1",
        "resnet18.a1_in1k,448,75.0,1",
        "resnet18.tv_in1k,224,69.8,",
    ]
    gains = resolution_gains(rows)
    assert gains["below"] == pytest.approx(math.log(0.71504 / 0.28496) - math.log(0.6 / 0.4))
    assert gains["above"] == pytest.approx(math.log(3) - math.log(0.71504 / 0.28496))
    level, slope, spread = size_line(rows)
    assert level < math.log(0.8 / 0.2)
    assert slope > 0
    assert spread > 0


PRIOR = {"a": 0.6, "b": 0.7, "c": 0.8, "d": 0.9}


def test_without_observations_the_expectation_stays() -> None:
    assert combine(PRIOR, {}) == PRIOR
    assert combine(PRIOR, {"elsewhere": 0.9}) == PRIOR
    assert combine({}, {"elsewhere": 0.9}) == {}


def test_one_observation_sets_the_level_and_keeps_the_order() -> None:
    found = combine(PRIOR, {"b": 0.95})
    assert sorted(found, key=lambda key: found[key]) == list("abcd")
    assert found["b"] == pytest.approx(0.95)
    assert found["a"] < 0.95 < found["c"]


def test_an_expectation_that_ranked_well_is_believed_of_the_rest() -> None:
    found = combine(PRIOR, {"a": 0.80, "b": 0.85, "c": 0.90})
    assert 0.91 < found["d"] < 0.95


def test_an_expectation_that_ranked_badly_tells_nothing_of_the_rest() -> None:
    found = combine(PRIOR, {"a": 0.95, "b": 0.60, "c": 0.55})
    assert found["d"] == pytest.approx(sum((0.95, 0.60, 0.55)) / 3)
    assert max(found, key=lambda key: found[key]) == "a"


def test_the_worse_it_ranked_the_less_it_moves_an_observation() -> None:
    """Distance of the result from what was observed of ``c``, by how far others lie off the line."""
    moved = []
    for off in (0.0, 0.1, 0.3):
        seen = {"a": 0.80 + off, "b": 0.85 - off, "c": 0.90, "d": 0.95}
        level = combine(PRIOR, seen)
        prior_says = combine(PRIOR, {k: v for k, v in seen.items() if k != "c"})["c"]
        moved.append(abs(level["c"] - 0.90) / max(abs(prior_says - 0.90), 1e-9))
    assert moved[2] < moved[1] <= 1
    assert moved[2] < 0.1


def test_a_vague_observation_counts_less() -> None:
    seen = {"a": 0.80, "b": 0.95, "c": 0.90}
    sharp = combine(PRIOR, seen, noise={"a": 0.02, "b": 0.001, "c": 0.02})
    vague = combine(PRIOR, seen, noise={"a": 0.02, "b": 0.2, "c": 0.02})
    assert sharp["b"] == pytest.approx(0.95, abs=1e-3)
    assert vague["b"] < 0.90


def test_earlier_runs_change_what_is_expected() -> None:
    networks = [planned(name) for name in ("resnet18", "resnet34", "resnet50")]
    keys = [p.architecture.key for p in networks]
    assert ranked(*networks) == keys[::-1]
    told = Recollection(
        scores=(
            (keys[0], RecalledScore(0.05, 0.01)),
            (keys[2], RecalledScore(-0.05, 0.01)),
            ("a network of another space", RecalledScore(1.0, 0.01)),
        )
    )
    found = expected_scores(networks, recollection=told)
    assert sorted(found, key=lambda key: -found[key]) == keys
    assert found.keys() == set(keys)


def test_no_network_no_expectation() -> None:
    assert expected_scores([]) == {}
