"""Images that are not there yet, for planning: one made frame of the size that was said.

What a network costs depends on the frame's size and the number of classes, not on what frames show. So
a plan can be made of them; there is nothing to learn from, and every command that learns refuses.
"""

from __future__ import annotations

from automl.hardware.inputs import make_jpeg
from automl.records import Audit, Dataset, ExpectedImages, PreparedData, Sample, Split
from automl.spec.metrics import METRICS
from automl.storage import cache_folder, sha256_bytes, write_atomic

__all__ = ["stand_in"]


def stand_in(expected: ExpectedImages, *, task: str) -> PreparedData:
    """Return data with one sample: a frame like a photograph, kept as JPEG in the user's cache."""
    height, width = expected.frame_size
    content = make_jpeg(height, width)
    path = cache_folder("frames") / f"{width}x{height}.jpg"
    if not path.exists() or path.read_bytes() != content:
        write_atomic(path, content)
    sha256 = sha256_bytes(content)
    sample = Sample(path.name, (), Split.TRAIN, path.name, sha256, height, width)
    dataset = Dataset(
        root=str(path.parent),
        classes=expected.classes,
        samples=(sample,),
        frame_size=expected.frame_size,
        typical_frame=expected.frame_size,
        fingerprint=sha256,
        cache=None,
        truth_kind=METRICS[task].truth,
    )
    audit = Audit(
        root=dataset.root,
        format="none",
        format_reason="there are no images yet; the spec says how large and of how many classes",
        classes=expected.classes,
        files_seen=0,
        files_used=0,
        counts=(),
        groups=0,
        findings=(),
        seconds=0.0,
    )
    return PreparedData(dataset, audit)
