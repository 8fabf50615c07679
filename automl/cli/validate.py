"""`automl validate`: check a spec without touching data, device or network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from automl.errors import SpecError

if TYPE_CHECKING:
    from automl.records import SearchSpace, Spec, Target

__all__ = ["validate"]


@click.command()
@click.argument("spec")
@click.option("--json", "as_json", is_flag=True, help="Print the spec, or its problems, as JSON.")
def validate(spec: str, as_json: bool) -> None:
    """Check SPEC and say what it asks for, or name every mistake with its line.

    SPEC is a YAML file, or the name of an example (see 'automl examples'). Exits with 2 when it is
    invalid. The images need not be there.
    """
    try:
        checked, space = _check(spec)
    except SpecError as error:
        if not as_json:
            raise
        click.echo(json.dumps({"valid": False, "problems": _problems(error)}, indent=1))
        raise SystemExit(error.exit_code) from error
    if as_json:
        from automl.records import dump_record

        content = {"valid": True, "problems": [], "spec": json.loads(dump_record(checked))}
        click.echo(json.dumps(content, indent=1))
        return
    click.echo(f"{checked.source} is valid.")
    for line in summary(checked, space):
        click.echo(f"  {line}")
    if checked.data is not None and not Path(checked.data.path).exists():
        click.echo(f"Note: there is no '{checked.data.path}' on this machine.", err=True)


def summary(spec: Spec, space: SearchSpace) -> list[str]:
    """Return what a spec asks for, defaults included, one line a subject."""
    from automl.units import format_duration, plural

    trials = f", at most {spec.search.trials} trials" if spec.search.trials else ""
    return [
        f"name      {spec.name}",
        f"task      {spec.task}, best by {spec.objective}",
        *_describe_images(spec),
        *(f"target    {_describe(target)}" for target in spec.targets),
        *(f"require   {r.key!a} {r.relation} {r.bound:g}" for r in spec.requirements),
        f"search    {space.name}: {plural(len(space.architectures), 'network')} as "
        f"{', '.join(space.schemes)}; {format_duration(spec.search.time_s)}{trials}",
    ]


def _describe_images(spec: Spec) -> list[str]:
    from automl.units import plural

    if spec.expected is not None:
        height, width = spec.expected.frame_size
        classes = plural(len(spec.expected.classes), "class", "classes")
        return [f"images    none yet: {width} x {height} pixels, {classes}; to be planned only"]
    data = spec.require_data()
    split = data.split
    grouped = f", kept together by {split.group!a}" if split.group else ""
    return [
        f"data      {data.path!a} (format {data.format})",
        f"split     {split.val:.0%} to choose, {split.test:.0%} to prove{grouped}",
    ]


def _check(path: str) -> tuple[Spec, SearchSpace]:
    from automl.pipeline.device_names import check_devices
    from automl.search.space import apply_spec, load_space
    from automl.spec import load_spec

    spec = load_spec(path)
    check_devices(spec)
    return spec, apply_spec(load_space(spec.search.space, task=spec.task), spec)


def _problems(error: SpecError) -> list[dict[str, object]]:
    from automl.spec import InvalidDocumentError

    if not isinstance(error, InvalidDocumentError):
        return [{"source": None, "line": None, "column": None, "path": "", "message": str(error)}]
    return [
        {
            "source": error.source,
            "line": problem.line,
            "column": problem.column,
            "path": problem.path,
            "message": problem.message,
        }
        for problem in error.problems
    ]


def _describe(target: Target) -> str:
    from automl.units import format_latency, format_size

    limits = [f"{limit.percentile} <= {format_latency(limit.limit_ms)}" for limit in target.latency]
    if target.size_bytes is not None:
        limits.append(f"size <= {format_size(target.size_bytes)}")
    if target.memory_bytes is not None:
        limits.append(f"memory <= {format_size(target.memory_bytes)}")
    threads = "1 thread" if target.threads == 1 else f"{target.threads} threads"
    name = "" if target.name == target.device else f"{target.name}: "
    return f"{name}{target.device}, {threads}, {target.scope}: {', '.join(limits)}"
