"""Spoils one epoch of a real training. Copied to a ``sitecustomize.py``; never imported from here."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
import resource
import sys
import time
from collections.abc import Sequence
from types import ModuleType
from typing import Any

_FOLDER = "FAULTS"
"""A file in it is one fault to happen once: ``hang``, ``nan`` or ``memory``."""
_MODULE = "automl.training.loop"


class _Loader(importlib.abc.Loader):
    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        made: ModuleType | None = self._inner.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        self._inner.exec_module(module)
        for kind in list(vars(module).values()):
            if isinstance(kind, type) and "run_epoch" in vars(kind):
                _sabotage(kind)


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != _MODULE:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None:
            spec.loader = _Loader(spec.loader)
        return spec


def _sabotage(kind: Any) -> None:
    run_epoch = kind.run_epoch

    def spoilt_epoch(self: Any) -> Any:
        if _is_due("hang"):
            while True:
                time.sleep(1e6)
        if _is_due("nan"):
            next(self._module.parameters()).data.fill_(float("nan"))
        if _is_due("memory"):
            _use_up_memory()
        return run_epoch(self)

    kind.run_epoch = spoilt_epoch


def _is_due(fault: str) -> bool:
    try:
        os.unlink(os.path.join(_FOLDER, fault))
    except FileNotFoundError:
        return False
    return True


def _use_up_memory() -> None:
    """Ask for more memory than this process may have; the limit is lifted again for trials after it."""
    import torch

    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (2**34, before[1]))
    try:
        torch.ones(2**33)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


sys.meta_path.insert(0, _Finder())
