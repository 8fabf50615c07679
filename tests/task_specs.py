"""The shipped examples of each task, made small for tests."""

from __future__ import annotations

import functools

from automl.records import Spec
from automl.resources import shipped
from automl.spec import load_spec

EXAMPLES = {
    "classification": "quickstart.yaml",
    "segmentation": "segmentation-quickstart.yaml",
    "detection": "detection-quickstart.yaml",
    "anomaly": "anomaly-quickstart.yaml",
}


@functools.cache
def small_spec(task: str) -> Spec:
    """Return the example spec of a task."""
    return load_spec(str(shipped("specs", EXAMPLES[task])))
