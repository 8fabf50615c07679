"""The page that lies beside a delivered model, for people who were not there when it was made."""

from __future__ import annotations

from automl.export.card import BundleCard
from automl.units import format_size

__all__ = ["render_readme"]

_MOST_LABELS = 40

_TEMPLATE = """\
# {name}

This folder holds a model that looks at an image and says which of {count} classes it shows:
{labels}.

## Use it

It needs Python with three packages, and nothing of automl:

    pip install onnxruntime numpy pillow
    python predict.py image.jpg

Several images at once, and answers for programs:

    python predict.py *.jpg --format json
    python predict.py *.jpg --format csv --threads 2

In a program:

    from predict import Model
    model = Model("model.onnx", threads={threads})
    result = model.predict("image.jpg")      # or bytes, or a (height, width, 3) uint8 RGB array
    print(result.label, result.confidence)

## What was asked, and what was measured

Target: {target} (device {device}, {threads} {thread_word}).

| asked | got | holds | how |
|---|---|---|---|
{claims}

Check these claims again, here or on another machine: `automl verify` and the path of this folder.

## Limits

- Give the image as it is: the model brings it to the size that it needs and scales it itself.
- The model knows only the classes above. It gives one of them for any image, also for one that
  shows something else.
- It was trained on images like those of its data set. With another camera, light or product, test
  it again before relying on it.
- A confidence is the model's own estimate. It is not the probability that the answer is right.
- Latency holds for the machine named above; another one is faster or slower.

## What is inside

| file | what |
|---|---|
| `model.onnx` | {architecture}, {scheme}, {size}: a uint8 RGB frame in, probabilities out |
| `model.json` | everything known of it: claims, measurement, test scores, versions |
| `labels.txt` | the classes, one a line, in the order of the model's output |
| `predict.py` | reads images and runs the model |

SHA-256 of `model.onnx`: `{sha256}`
"""


def render_readme(card: BundleCard) -> str:
    """Return the page as Markdown. Names of classes and specs are made harmless."""
    shown = ", ".join(_plain(label) for label in card.labels[:_MOST_LABELS])
    more = len(card.labels) - _MOST_LABELS
    rows = [
        f"| {_plain(c.requirement)} | {_plain(c.got)} | {'yes' if c.holds else 'no'} | {_plain(c.how)} |"
        for c in card.claims
    ]
    return _TEMPLATE.format(
        name=_plain(card.name),
        count=len(card.labels),
        labels=f"{shown} and {more} more (labels.txt)" if more > 0 else shown,
        threads=card.target.threads,
        thread_word="thread" if card.target.threads == 1 else "threads",
        target=_plain(card.target.name),
        device=_plain(card.target.device),
        claims="\n".join(rows) or "| nothing | | | |",
        architecture=_plain(card.architecture),
        scheme=card.scheme,
        size=format_size(card.model_size_bytes),
        sha256=card.model_sha256,
    )


def _plain(text: str) -> str:
    """Return text in one line that neither Markdown nor HTML reads as anything else."""
    line = " ".join(text.split())
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for mark in ("\\", "|", "`", "*", "_", "[", "]", "#"):
        line = line.replace(mark, f"\\{mark}")
    return line
