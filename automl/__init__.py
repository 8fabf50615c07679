"""AutoML for machine vision: state requirements, get the best model that was measured to fit.

import automl

spec = automl.load_spec("spec.yaml")
plan = automl.plan(spec)            # what would fit, before any training
record = automl.run(spec)           # search, prove, deliver; record.folder holds everything
bundle = automl.load_bundle("runs/spec/bundle/local")
print(bundle.predict("image.jpg").label)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from automl.export.bundle import Bundle, load_bundle
    from automl.pipeline.engine import plan_only as plan
    from automl.pipeline.engine import resume, run
    from automl.pipeline.planner import plan_hardware
    from automl.records import Plan, RunRecord, Spec
    from automl.spec import load_spec

__all__ = [
    "Bundle",
    "Plan",
    "RunRecord",
    "Spec",
    "__version__",
    "load_bundle",
    "load_spec",
    "plan",
    "plan_hardware",
    "resume",
    "run",
]

__version__ = "0.1.0"

_LAZY = {
    "Bundle": "automl.export.bundle:Bundle",
    "Plan": "automl.records:Plan",
    "RunRecord": "automl.records:RunRecord",
    "Spec": "automl.records:Spec",
    "load_bundle": "automl.export.bundle:load_bundle",
    "load_spec": "automl.spec:load_spec",
    "plan": "automl.pipeline.engine:plan_only",
    "plan_hardware": "automl.pipeline.planner:plan_hardware",
    "resume": "automl.pipeline.engine:resume",
    "run": "automl.pipeline.engine:run",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for, so that ``import automl`` stays light."""
    import importlib

    if name not in _LAZY:
        raise AttributeError(f"module 'automl' has no attribute '{name}'")
    module, _, attribute = _LAZY[name].partition(":")
    value: object = getattr(importlib.import_module(module), attribute)
    globals()[name] = value
    return value
