"""Rules of a spec that span several keys or sections.

They look at the raw values, so that they speak up even when another section is invalid, and keep
silent about values that have a wrong type (the models in :mod:`automl.spec.schema` name those).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from automl.errors import did_you_mean
from automl.spec.devices import default_name, full_name
from automl.spec.expected import check_images
from automl.spec.metrics import METRICS, TaskMetrics, split_key
from automl.spec.problems import Problem, escape, shown
from automl.spec.yaml_source import Document, Location, Plain

__all__ = ["check_spec", "targets_of"]

WEIGHT_WORDS = ("auto", "require", "none")


def check_spec(document: Document) -> Iterator[Problem]:
    """Yield each violation of a rule that spans sections."""
    yield from check_images(document)
    yield from _check_targets(document)
    yield from _check_require(document)
    yield from _check_classes(document)
    yield from _check_weights(document)
    yield from _check_space(document)
    yield from _check_gpus(document)
    yield from _check_objective(document)
    yield from _check_options(document)


def targets_of(root: dict[str, Plain]) -> list[tuple[Location, dict[str, Plain]]]:
    """Return the raw targets with their places, under either key."""
    found: list[tuple[Location, dict[str, Plain]]] = []
    for key in ("target", "targets"):
        value = root.get(key)
        if isinstance(value, dict):
            found.append(((key,), value))
        elif isinstance(value, list):
            pairs = enumerate(value)
            found.extend(((key, index), item) for index, item in pairs if isinstance(item, dict))
    return found


def _check_targets(document: Document) -> Iterator[Problem]:
    root = document.root
    has = [key for key in ("target", "targets") if root.get(key) is not None]
    example = "'target: {device: local, latency: 20ms}'"
    if not has and not any(key in root for key in ("target", "targets")):
        yield document.problem((), f"is missing. Add it, for example {example}.", missing="target")
    elif not has or root[has[0]] == []:
        place = next(key for key in ("target", "targets") if key in root)
        yield document.problem((place,), f"names no device. Write for example {example}.")
    if len(has) == 2:
        message = "give 'target' or 'targets', not both. Move all into 'targets', as a list."
        yield document.problem(("targets",), message)
        return
    names: set[str] = set()
    for location, target in targets_of(root):
        device = target.get("device") or "local"
        provider = target.get("provider")
        if isinstance(device, str) and isinstance(provider, str):
            device = full_name(device, provider)
        name = target.get("name") or (default_name(device) if isinstance(device, str) else None)
        if isinstance(name, str) and name.lower() in names:
            message = f"two targets are called {shown(name)}. Give each its own 'name'."
            yield document.problem((*location, "name"), message)
        elif isinstance(name, str):
            names.add(name.lower())


def _check_require(document: Document) -> Iterator[Problem]:
    task, require = _task_meant(document.root), document.root.get("require")
    if not isinstance(require, dict) or task is None:
        return
    for key in require:
        message = _metric_message(key, METRICS[task], task) or _class_message(document, key)
        if message:
            yield document.problem(("require", key), message)


def _task_meant(root: dict[str, Plain]) -> str | None:
    task = root.get("task")
    close = difflib.get_close_matches(task[:100], METRICS, n=1) if isinstance(task, str) else []
    return close[0] if close else None


def _metric_message(key: str, metrics: TaskMetrics, task: str) -> str:
    metric, class_name = split_key(key)
    per_class = ", ".join(f"{name}[CLASS]" for name in metrics.per_class)
    if class_name is not None and metric in metrics.per_class:
        return ""
    if class_name is None and metric in metrics.overall:
        return ""
    if class_name is not None and metric in metrics.overall:
        return f"'{metric}' is not counted per class. Per class there are {per_class}."
    if class_name is None and metric in metrics.per_class:
        macro = f" or '{metric}-macro'" if f"{metric}-macro" in metrics.overall else ""
        return f"'{metric}' is counted per class. Write '{metric}[CLASS]'{macro}."
    known = metrics.per_class if class_name is not None else metrics.overall
    return f"unknown metric of {task}.{did_you_mean(escape(metric[:100]), known)}"


def _class_message(document: Document, key: str) -> str:
    data, (_, class_name) = document.root.get("data"), split_key(key)
    place = "data.classes" if isinstance(data, dict) else "classes"
    classes = data.get("classes") if isinstance(data, dict) else document.root.get("classes")
    if class_name is None or not isinstance(classes, list) or class_name in classes:
        return ""
    known = [escape(name) for name in classes if isinstance(name, str)]
    rule = f"{shown(class_name)} is not one of '{place}'."
    return rule + did_you_mean(escape(class_name[:100]), known) if known else ""


def _check_classes(document: Document) -> Iterator[Problem]:
    data = document.root.get("data")
    classes = data.get("classes") if isinstance(data, dict) else None
    is_classification = document.root.get("task") == "classification"
    if is_classification and isinstance(classes, list) and len(classes) == 1:
        message = f"classification needs two classes or more; got {shown(classes[0])} alone."
        yield document.problem(("data", "classes"), message)


def _check_objective(document: Document) -> Iterator[Problem]:
    task, objective = _task_meant(document.root), document.root.get("objective")
    if task is None or not isinstance(objective, str):
        return
    known = [name for name in METRICS[task].overall if name not in METRICS[task].lower]
    everywhere = {name for metrics in METRICS.values() for name in metrics.overall}
    if objective in everywhere and objective not in known:
        message = f"{shown(objective)} is no objective of {task}. Choose {', '.join(known)}."
        yield document.problem(("objective",), message)


_OPTIONS = {"max_false_alarm": "anomaly", "input": "segmentation", "precision": "detection"}


def _check_options(document: Document) -> Iterator[Problem]:
    task = _task_meant(document.root)
    for key, owner in _OPTIONS.items():
        value = document.root.get(key)
        if value is not None and task is not None and task != owner:
            yield document.problem((key,), f"is only for {owner}, not for {task}. Delete it.")
        elif key != "input" and value in (0, "0", "0%", 1, "1", "100%"):
            yield document.problem((key,), f"must be between 0 and 100 %; got {shown(str(value))}.")


def _check_weights(document: Document) -> Iterator[Problem]:
    weights = document.root.get("weights")
    if not isinstance(weights, str) or weights in WEIGHT_WORDS or looks_like_path(weights):
        return
    remedy = did_you_mean(escape(weights[:100]), WEIGHT_WORDS)
    message = f"unknown source {shown(weights)}.{remedy} A path begins with './' or '/'."
    yield document.problem(("weights",), message)


def _check_space(document: Document) -> Iterator[Problem]:
    search = document.root.get("search")
    space = search.get("space") if isinstance(search, dict) else None
    if not isinstance(space, str) or not space.strip() or looks_like_path(space):
        return
    known = shipped_spaces()
    task = _task_meant(document.root) or "classification"
    if space not in known and f"{task}-{space}" not in known:
        remedy = did_you_mean(escape(space[:100]), known)
        message = f"unknown search space {shown(space)}.{remedy} A path ends with '.yaml'."
        yield document.problem(("search", "space"), message)


def _check_gpus(document: Document) -> Iterator[Problem]:
    search = document.root.get("search")
    compute = search.get("compute") if isinstance(search, dict) else None
    if not isinstance(compute, dict):
        return
    share, gpus = compute.get("gpus_per_trial"), compute.get("gpus", 0)
    if isinstance(share, (int, float)) and isinstance(gpus, (int, float)) and share > gpus:
        message = (
            f"is more than 'gpus' ({gpus:g}). Raise 'gpus' to what all trials may use together."
        )
        yield document.problem(("search", "compute", "gpus_per_trial"), message)


def looks_like_path(text: str) -> bool:
    """Whether text is meant as a path, not as a name: it has a slash or an extension."""
    return any(mark in text for mark in ("/", "\\", ".")) or text.startswith("~")


def shipped_spaces() -> tuple[str, ...]:
    """Return the names of the search spaces that ship with the program."""
    from automl.resources import shipped

    return tuple(sorted(path.stem for path in shipped("search_spaces").glob("*.yaml")))
