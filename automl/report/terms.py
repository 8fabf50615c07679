"""The terms that the report explains, in plain words, and how a text spells them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TERMS", "Term"]


@dataclass(frozen=True)
class Term:
    """One entry: ``slug`` is its anchor, ``spellings`` what is linked to it, lower case."""

    slug: str
    name: str
    text: str
    spellings: tuple[str, ...]
    tasks: tuple[str, ...] = ()
    """The tasks whose reports need it; empty: all."""


TERMS: tuple[Term, ...] = (
    Term(
        "accuracy",
        "accuracy",
        "The share of images that are judged right.",
        ("accuracy",),
        ("classification",),
    ),
    Term(
        "backbone",
        "backbone",
        "The part of a network that turns pixels into features. Known designs are reused; only the "
        "last layer is made for your classes.",
        ("backbone", "backbones"),
    ),
    Term(
        "balanced-accuracy",
        "balanced accuracy",
        "The share judged right, worked out for each class on its own and then averaged, so that a "
        "rare class counts as much as a common one.",
        ("balanced accuracy",),
        ("classification", "anomaly"),
    ),
    Term(
        "calibration",
        "calibration",
        "Showing training images to a network to learn which range of numbers int8 has to cover.",
        ("calibration",),
    ),
    Term(
        "depth",
        "depth",
        "How much of the backbone is used: the stages that are kept, the levels of a pyramid, the "
        "layers that features are taken from. Less is faster; 'full' or 'all' is the whole.",
        ("depth",),
    ),
    Term("epoch", "epoch", "One pass over all training images.", ("epoch", "epochs")),
    Term(
        "float32",
        "float32",
        "Numbers of 32 bits: the form in which a network is trained.",
        ("float32",),
    ),
    Term(
        "float16",
        "float16",
        "Numbers of 16 bits: half the size of float32 and hardly less exact; faster on graphics "
        "processors, seldom elsewhere.",
        ("float16",),
    ),
    Term(
        "int8",
        "int8",
        "Whole numbers of 8 bits. A network in int8 is about a quarter of the size and often "
        "faster, at a small cost in accuracy. int8-static fixes the ranges beforehand, "
        "int8-dynamic finds them for each image, int8-mixed keeps the most delicate parts in "
        "float32.",
        ("int8", "int8-static", "int8-dynamic", "int8-mixed"),
    ),
    Term(
        "interval",
        "95 % interval",
        "Where the true value lies in 95 of 100 repetitions. It is wide when little was measured.",
        ("95 % interval",),
    ),
    Term(
        "latency",
        "latency",
        "The time from handing over one image to having the answer.",
        ("latency", "latencies"),
    ),
    Term(
        "loss",
        "loss",
        "What training makes smaller: how wrong, and how sure of it, the network is.",
        ("loss",),
    ),
    Term("median", "median", "The middle value: half are smaller, half are larger.", ("median",)),
    Term(
        "percentile",
        "p50, p90, p95, p99",
        "p95 = 10 ms means that 95 of 100 runs take 10 ms or less. p50 is the middle value.",
        ("p50", "p90", "p95", "p99"),
    ),
    Term(
        "pareto",
        "Pareto front",
        "The candidates for which no other is both faster and better.",
        ("pareto front",),
    ),
    Term(
        "parity",
        "parity",
        "Whether the delivered file answers as the trained network did.",
        ("parity",),
    ),
    Term(
        "pretrained",
        "pretrained weights",
        "What a network has learnt from other, general images; training on yours starts from there "
        "and needs fewer of them.",
        ("pretrained weights",),
    ),
    Term(
        "recall",
        "recall",
        "Of all that belongs to one class (images, or objects), the share that is found.",
        ("recall",),
        ("classification", "detection"),
    ),
    Term(
        "scheme",
        "scheme",
        "How the numbers inside a network are stored: float32 or one of the int8 forms.",
        ("scheme", "schemes"),
    ),
    Term(
        "split",
        "training, validation and test images",
        "Your images are divided in three: the first teach the network, the second choose among "
        "networks, the third are used once, at the end, to say how good the choice is.",
        ("test images", "validation images", "training images"),
    ),
    Term(
        "trial",
        "trial",
        "One network trained once with one set of settings.",
        ("trial", "trials"),
    ),
    Term(
        "ap",
        "average precision",
        "One number for how many objects of a class are found and how many of the finds "
        "are right: the average of the precision over all shares that can be found. 100 %"
        " is every object found and nothing else.",
        ("average precision",),
        ("detection",),
    ),
    Term(
        "auroc",
        "AUROC",
        "The probability that an image (or a pixel) with a defect gets a higher score "
        "than a good one. 100 % is perfect order, 50 % is guessing. It does not depend on"
        " a threshold.",
        ("auroc", "image auroc", "pixel auroc"),
        ("anomaly",),
    ),
    Term(
        "aupro",
        "AUPRO",
        "How much of each defect's area the heat map finds, where few good pixels are "
        "marked too; a small defect counts as much as a large one.",
        ("aupro",),
        ("anomaly",),
    ),
    Term(
        "decoder",
        "decoder",
        "What turns the features of the backbone into an answer for every place of the "
        "image. Its width is how many numbers it keeps for each place: more is slower.",
        ("decoder", "decoders"),
        ("segmentation", "detection", "anomaly"),
    ),
    Term(
        "dice",
        "Dice overlap",
        "Twice the area that answer and truth share, divided by the sum of both areas. "
        "100 % is the same area; it is always a little higher than IoU.",
        ("dice overlap", "dice"),
        ("segmentation",),
    ),
    Term(
        "doubt",
        "doubt",
        "The estimated probability that a label is wrong, by models that had not seen the image.",
        ("doubt",),
    ),
    Term(
        "false-alarm",
        "false alarm",
        "A good part that is called defective.",
        ("false alarm", "false alarms"),
        ("anomaly",),
    ),
    Term(
        "heat-map",
        "heat map",
        "For every pixel, how unlike the good parts it is.",
        ("heat map", "heat maps"),
        ("anomaly",),
    ),
    Term(
        "iou",
        "IoU, overlap",
        "Intersection over union: the area (of pixels, or of two boxes) that answer and "
        "truth share, divided by the area that either covers. 100 % is the same area, 0 %"
        " no overlap. Thin or small things reach high values only when they are met to "
        "the pixel.",
        ("iou", "mean iou"),
        ("segmentation", "detection"),
    ),
    Term(
        "leak",
        "leak",
        "An image in the test split that the model has, in effect, seen before: a copy, "
        "or another picture of the same part. It makes scores look better than they are.",
        ("leak", "leaks"),
    ),
    Term(
        "map",
        "mAP",
        "Mean average precision: the average precision over all classes and, unless an "
        "overlap is named, over demands on the overlap of 50 to 95 %. With the strictest "
        "demands in it, values of 50 to 60 % can be good.",
        ("map",),
        ("detection",),
    ),
    Term(
        "outline",
        "outline match",
        "How much of the outlines of answer and truth lie within a few pixels of each other.",
        ("outline match", "mean outline match"),
        ("segmentation",),
    ),
    Term(
        "precision",
        "precision",
        "Of all that is found, the share that is right.",
        ("precision",),
    ),
    Term(
        "pyramid",
        "pyramid levels",
        "Coarser and coarser copies of the features, in each of which objects of one "
        "range of sizes are looked for.",
        ("pyramid levels", "pyramid level"),
        ("detection",),
    ),
    Term(
        "rule",
        "plain rule",
        "A rule without a network, such as 'defective when more than 1 % of the image is "
        "dark': faster, and easier to explain, where it does.",
        ("plain rule", "plain rules"),
    ),
    Term(
        "threshold",
        "threshold",
        "The score from which on a part is called defective. It is set on good validation"
        " images by the delivered file.",
        ("threshold",),
        ("anomaly",),
    ),
)
