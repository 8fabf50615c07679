"""Boxes end within their image, each once, and what was done is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from truth_makers import HEIGHT, WIDTH, Bench, Compiled

from automl.data.truth import BoxTruth
from automl.errors import DataError

GOOD = (3.0, 4.0, 13.0, 14.0)


def _boxes(compiled: Compiled, position: int = 0) -> list[tuple[str, list[float], bool]]:
    truth = compiled.of(position)
    assert isinstance(truth, BoxTruth)
    assert (truth.corners.dtype, truth.labels.dtype) == (np.float32, np.int64)
    names = [compiled.truth.classes[label] for label in truth.labels]
    return list(zip(names, truth.corners.tolist(), truth.ignored.tolist(), strict=True))


@pytest.mark.parametrize(
    ("corners", "kept", "message"),
    [
        (GOOD, [3, 4, 13, 14], None),
        ((0, 0, WIDTH, HEIGHT), [0, 0, WIDTH, HEIGHT], None),
        ((0, 0, WIDTH + 0.4, HEIGHT), [0, 0, WIDTH, HEIGHT], None),
        (
            (-5, 4, 13, 24),
            [0, 4, 13, 20],
            "Cut at the edge: 1 object that reaches beyond the image: 'a.png'.",
        ),
        ((31, 4, 40, 14), None, "Left out: 1 object wholly outside the image: 'a.png'."),
        ((-9, 4, 0.5, 14), None, "Left out: 1 object wholly outside the image: 'a.png'."),
        ((3, 4, 3, 14), None, "Left out: 1 object less than one pixel wide or high: 'a.png'."),
        ((3, 4, 13, 4.5), None, "Left out: 1 object less than one pixel wide or high: 'a.png'."),
        (
            (13, 14, 3, 4),
            [3, 4, 13, 14],
            "Turned round: 1 box whose corners were given in another order: 'a.png'.",
        ),
    ],
)
def test_a_box_is_cut_turned_or_left_out_and_counted(
    tmp_path: Path,
    corners: tuple[float, float, float, float],
    kept: list[float] | None,
    message: str | None,
) -> None:
    bench = Bench(tmp_path, "boxes")
    image = bench.image()
    bench.builder.box(image, "cat", (20.0, 1.0, 29.0, 9.0), where="")
    bench.builder.box(image, "cat", corners, where="")
    compiled = bench.compiled()
    boxes = [corners for _, corners, _ in _boxes(compiled)]
    assert boxes == [[20, 1, 29, 9], *([kept] if kept else [])]
    assert compiled.messages == ([message] if message else [])


def test_shares_outlines_and_runs_become_boxes_too(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "boxes")
    image = bench.image()
    bench.builder.relative_box(image, "a", 0.5, 0.5, 0.2, 0.5, where="")
    bench.builder.polygon(image, "b", [5, 6, 9, 2, 12, 8], where="", ignored=True)
    bench.builder.polygon(image, "c", [0.1, 0.1, 0.2, 0.1, 0.2, 0.4], where="", relative=True)
    bench.builder.rings(
        image, "d", [[1, 1, 3, 1, 3, 4], [8, 9, 10, 9, 10, 12], [1, 1, 2, 2]], where=""
    )
    runs = [HEIGHT * 2 + 3, 5, HEIGHT - 5, 5, HEIGHT * (WIDTH - 4) - 8 + 5 - 5]
    runs[-1] = HEIGHT * WIDTH - sum(runs[:-1])
    bench.builder.run_lengths(image, "e", runs, (HEIGHT, WIDTH), where="")
    bench.builder.run_lengths(image, "e", [5], (1, 5), where="")
    compiled = bench.compiled()
    assert [
        (name, np.round(box, 3).tolist(), ignored) for name, box, ignored in _boxes(compiled)
    ] == [
        ("a", [12, 5, 18, 15], False),
        ("c", [3, 2, 6, 8], False),
        ("d", [1, 1, 10, 12], False),
        ("e", [2, 3, 4, 8], False),
    ]  # b has nothing but ignored outlines, so there is no class to learn
    assert compiled.messages == [
        "Passed over: 1 class of which 'boxes.json' has no object: 'b'.",
        "Left out: 1 outline of fewer than three points: 'a.png'.",
        "Left out: 1 object given as runs for an image of another size: 'a.png'.",
    ]


def test_the_same_object_drawn_twice_counts_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "boxes")
    first, second = bench.image(), bench.image("b.png")
    for image, label in ((first, "cat"), (first, "cat"), (first, "dog"), (second, "cat")):
        bench.builder.box(image, label, GOOD, where="")
    compiled = bench.compiled()
    assert [name for name, _, _ in _boxes(compiled)] == ["cat", "dog"]
    assert [name for name, _, _ in _boxes(compiled, 1)] == ["cat"]
    assert compiled.messages == [
        "Counted once: 1 object drawn again at the same place with the same class: 'a.png'."
    ]


def test_images_without_objects_are_background_and_ignored_objects_do_not_count(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, "boxes")
    bench.builder.box(bench.image(), "cat", GOOD, where="")
    bench.builder.box(bench.image("b.png"), "cat", GOOD, where="", ignored=True)
    bench.image("c.png")
    compiled = bench.compiled()
    assert compiled.truth.shown == ((0,), (), ())
    assert _boxes(compiled, 1) == [("cat", list(GOOD), True)]
    assert _boxes(compiled, 2) == []
    assert compiled.messages == [
        "2 images with no object on them: 'b.png', 'c.png': they teach what not to find."
    ]


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_boxes_drawn_on_the_stored_image_are_turned_with_it(
    tmp_path: Path, orientation: int
) -> None:
    bench = Bench(tmp_path, "boxes")
    image = bench.image("a.jpg", orientation=orientation, claimed=(HEIGHT, WIDTH))
    bench.builder.box(image, "cat", (2, 3, 12, 7), where="")
    compiled = bench.compiled()
    assert (compiled.facts[0].height, compiled.facts[0].width) == (WIDTH, HEIGHT)
    expected = {5: [3, 2, 7, 12], 6: [13, 2, 17, 12], 7: [13, 18, 17, 28], 8: [3, 18, 7, 28]}
    assert _boxes(compiled)[0][1] == expected[orientation]
    assert compiled.messages == [
        "Turned upright together with what is drawn on it: 1 image with a rotation in the EXIF "
        "data, annotated as stored (its size shows it): 'a.jpg'."
    ]


@pytest.mark.parametrize(
    ("claimed", "messages"),
    [
        ((WIDTH, HEIGHT), []),
        (
            None,
            [
                "Annotations taken as drawn on the upright image: 1 image with a rotation in the "
                "EXIF data, and no size that tells how it was annotated: 'a.jpg'."
            ],
        ),
        (
            (99, 77),
            [
                "1 image of another size than the annotations say: 'a.jpg: 20 x 30, annotated 77 x "
                "99'. Boxes and outlines were kept where they are."
            ],
        ),
    ],
)
def test_a_claimed_size_is_compared_with_the_upright_image(
    tmp_path: Path, claimed: tuple[int, int] | None, messages: list[str]
) -> None:
    bench = Bench(tmp_path, "boxes")
    image = bench.image("a.jpg", orientation=6, claimed=claimed)
    bench.builder.box(image, "cat", (2, 3, 12, 7), where="")
    compiled = bench.compiled()
    assert _boxes(compiled)[0][1] == [2, 3, 12, 7]
    assert compiled.messages == messages


def test_more_images_than_are_taken_at_once_keep_their_boxes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("automl.data.truth_compilation._AT_ONCE", 3)
    bench = Bench(tmp_path, "boxes")
    for number in range(8):
        image = bench.image(f"{number}.png")
        for left in range(number):
            bench.builder.box(image, f"c{left % 2}", (left, 0, left + 2, 5), where="")
    compiled = bench.compiled()
    for number in range(8):
        assert [box[0] for _, box, _ in _boxes(compiled, number)] == list(range(number))
    amounts = compiled.truth.amounts
    assert amounts[amounts["row"] == 7]["amount"].tolist() == [4, 3]


def test_a_cache_that_cannot_be_written_is_an_error_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path / "data", "boxes")
    bench.builder.box(bench.image(), "cat", GOOD, where="")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AUTOML_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError) as caught:
        bench.compiled()
    assert str(caught.value) == (
        "What was annotated could not be written to the cache (Not a directory). Free some disk, or "
        "set AUTOML_CACHE to a folder that can be written."
    )
