"""The page that lies beside a delivered model, for people who were not there when it was made."""

from __future__ import annotations

from dataclasses import dataclass

from automl.export.card import BundleCard
from automl.records import Claim, Provider, split_device
from automl.units import format_size

__all__ = ["render_readme"]

_MOST_LABELS = 40

_TEMPLATE = """\
# {name}

This folder holds a model that looks at an image and {says}
({count} {class_word}: {labels}).

## Use it

It needs Python with three packages, and nothing of automl:

    pip install {runtime} numpy pillow
    python predict.py image.jpg{option}
{elsewhere}
Several images at once, and answers for programs:

    python predict.py *.jpg --format json{option}
    python predict.py *.jpg --format csv --threads 2{option}

In a program:

    from predict import Model
    model = Model("model.onnx", threads={threads}{argument})
    result = model.predict("image.jpg")      # or bytes, or a (height, width, 3) uint8 RGB array
    {example}

{title}

Target: {target} (device {device}, {threads} {thread_word}).

| asked | got | holds | how |
|---|---|---|---|
{claims}

Check these claims again, here or on another machine: `automl verify` and the path of this folder.

## Limits

- Give the image as it is: the model brings it to the size that it needs and scales it itself.
{knows}
- It was trained on images like those of its data set. With another camera, light or product, test
  it again before relying on it.
- Latency {holds} for the machine named above; another one is faster or slower.

## What is inside

| file | what |
|---|---|
| `model.onnx` | {architecture}, {scheme}, {size}: a uint8 RGB frame in, {gives} out |
| `model.json` | everything known of it: claims, measurement, test scores, versions |
| `labels.txt` | the classes, one a line, in the order of the model's output |
| `predict.py` | reads images and runs the model |

SHA-256 of `model.onnx`: `{sha256}`
"""


@dataclass(frozen=True)
class _Words:
    """What differs from task to task."""

    says: str
    example: str
    gives: str
    knows: str


_ESTIMATE = "- A confidence is the model's own estimate. It is not the probability that the answer is right."
_WORDS = {
    "classification": _Words(
        "says which class it shows",
        "print(result.label, result.confidence)",
        "probabilities",
        "- The model knows only the classes above. It gives one of them for any image, also for one "
        "that\n  shows something else.\n" + _ESTIMATE,
    ),
    "segmentation": _Words(
        "says for every pixel which class it belongs to",
        "print(result.shares, result.mask.shape)   # the mask is (height, width), one class a pixel",
        "a mask of the frame's size",
        "- The model knows only the classes above. It gives one of them to every pixel.\n"
        "- `--save FOLDER` writes the masks as gray PNG files.",
    ),
    "detection": _Words(
        "finds the objects in it",
        "print(result.objects)   # label, score and box (left, top, right, bottom in pixels) of each",
        "boxes, labels and scores",
        "- The model finds only objects of the classes above. Overlapping boxes of one object are "
        "merged\n  inside the file.\n" + _ESTIMATE,
    ),
    "anomaly": _Words(
        "says whether it is unlike the good ones it has learnt from",
        "print(result.label, result.score)   # a score of 1 and more is a defect",
        "score, decision and heat map",
        "- Anything unlike the good images is called a defect: also a new light, a new camera or "
        "dirt on\n  the lens.\n- `--save FOLDER` writes the heat maps as gray PNG files.",
    ),
}


def render_readme(card: BundleCard) -> str:
    """Return the page as Markdown. Names of classes and specs are made harmless."""
    shown = ", ".join(_plain(label) for label in card.labels[:_MOST_LABELS])
    more = len(card.labels) - _MOST_LABELS
    _, provider = split_device(card.target.device)
    rows = [
        f"| {_plain(c.requirement)} | {_plain(c.got)} | {_holds(c)} | {_plain(c.how)} |"
        for c in card.claims
    ]
    return _TEMPLATE.format(
        name=_plain(card.name),
        says=_WORDS[card.task].says,
        example=_WORDS[card.task].example,
        gives=_WORDS[card.task].gives,
        knows=_WORDS[card.task].knows,
        count=len(card.labels),
        class_word="class" if len(card.labels) == 1 else "classes",
        labels=f"{shown} and {more} more (labels.txt)" if more > 0 else shown,
        **_runtime_words(provider),
        threads=card.target.threads,
        thread_word="thread" if card.target.threads == 1 else "threads",
        target=_plain(card.target.name),
        device=_plain(card.target.device),
        claims="\n".join(rows) or "| nothing | | | |",
        architecture=_plain(card.architecture),
        scheme=card.scheme,
        size=format_size(card.model_size_bytes),
        sha256=card.model_sha256,
        holds="holds" if card.forecast is None else "is predicted, and not proven,",
        title="## What was asked, and what was measured"
        if card.forecast is None
        else "## What was asked, and what was predicted: nothing was measured on the device",
    )


def _runtime_words(provider: Provider) -> dict[str, str]:
    """Return what differs where an accelerator runs the model."""
    if provider == "cpu":
        return {"runtime": "onnxruntime", "option": "", "argument": "", "elsewhere": ""}
    return {
        "runtime": "'onnxruntime-gpu[cuda,cudnn]'"
        + (" tensorrt" if provider == "tensorrt" else ""),
        "option": f" --provider {provider}",
        "argument": f', provider="{provider}"',
        "elsewhere": f"\nIt was measured with `--provider {provider}`. Without it the model gives the "
        "same answers on the processor,\nat another speed, and `pip install onnxruntime` is enough.\n",
    }


def _holds(claim: Claim) -> str:
    answer = "yes" if claim.holds else "no"
    return answer if claim.proven else f"{answer}, predicted, not proven"


def _plain(text: str) -> str:
    """Return text in one line that neither Markdown nor HTML reads as anything else."""
    line = " ".join(text.split())
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for mark in ("\\", "|", "`", "*", "_", "[", "]", "#"):
        line = line.replace(mark, f"\\{mark}")
    return line
