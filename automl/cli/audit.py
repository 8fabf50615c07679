"""`automl audit`: what is wrong with the images and their labels, before anything is planned."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import click

from automl.cli.progress import open_progress
from automl.errors import SpecError

if TYPE_CHECKING:
    from automl.records import Audit, LabelErrors, Leakage, PreparedData, Spec

__all__ = ["audit"]

_SHOWN = 10
_COLUMNS = ("path", "given", "suggested", "doubt", "left", "top", "right", "bottom")


@click.command()
@click.argument("spec")
@click.option("--labels", is_flag=True, help="Look for wrong labels too: seconds to minutes.")
@click.option(
    "--output", type=click.Path(), help="Write the labels doubted to a CSV file (with --labels)."
)
@click.option("--quiet", is_flag=True, help="Print no progress.")
def audit(spec: str, labels: bool, output: str | None, quiet: bool) -> None:
    """Check the images of SPEC, what its splits share and, with --labels, its labels."""
    from automl.quality import check_labels, find_leakage
    from automl.spec import load_spec

    if output is not None and not labels:
        raise click.UsageError("--output lists the labels doubted, so it needs --labels.")
    if output is not None and Path(output).exists():
        raise SpecError(f"{output!a} exists and is not overwritten. Use --output FILE.")
    loaded = load_spec(spec)
    with open_progress(quiet=quiet) as progress:
        progress.stage("data")
        data = _prepare(loaded, progress.progress)
        found: LabelErrors | None = None
        notes: tuple[str, ...] = ()
        if labels:
            from automl.data.frames import FrameStore

            progress.stage("quality")
            found, notes = check_labels(
                FrameStore(data.dataset),
                weights=loaded.weights,
                seconds=None,
                seed=loaded.search.seed,
            )
    for line in [*_audit_lines(data.audit), *_leak_lines(find_leakage(data))]:
        click.echo(line)
    for line in [*([] if found is None else _label_lines(found)), *notes]:
        click.echo(line)
    if output is not None:
        _write(Path(output), found)
        click.echo(f"Wrote {output!a}.")


def _prepare(spec: Spec, say: object) -> PreparedData:
    from automl.data import prepare
    from automl.data.cache import side_to_store
    from automl.pipeline.planning import read_space
    from automl.spec.metrics import METRICS

    largest = max(one.image_size for one in read_space(spec).architectures)
    return prepare(
        spec.require_data(),
        truth=METRICS[spec.task].truth,
        stored_side=side_to_store(largest, native=spec.options.input == "tiles"),
        progress=say,  # type: ignore[arg-type]  # takes more than it is given here
    )


def _audit_lines(audit: Audit) -> list[str]:
    from automl.units import plural

    classes = ", ".join(f"{name!a}" for name in audit.classes)
    lines = [
        f"{audit.root!a} is read as '{audit.format}': {audit.format_reason}",
        f"{plural(audit.files_used, 'image')}, {plural(len(audit.classes), 'class', 'classes')}: "
        f"{classes}.",
    ]
    for one in audit.findings:
        lines.append(f"{one.severity:<8}{one.rule}: {one.message}")
        if one.severity != "info":
            lines.append(f"        -> {one.remedy}")
    return lines


def _leak_lines(leakage: Leakage) -> list[str]:
    from automl.units import plural

    if not leakage.pairs and not leakage.groups:
        return ["No image lies in two splits, and no group does."]
    return [
        f"{plural(len(leakage.pairs), 'pair')} of copies and {plural(len(leakage.groups), 'group')} "
        f"lie in more than one split: {leakage.affected:,} of {leakage.test_images:,} test images "
        "are no proof.",
        *(f"  {first!a} is like {second!a}" for first, second in leakage.pairs[:_SHOWN]),
    ]


def _label_lines(found: LabelErrors) -> list[str]:
    head = (
        f"Labels: {found.checked:,} {found.unit} checked, about {found.expected:.0f} labels wrong; "
        f"{len(found.suspects):,} doubted"
    )
    if not found.suspects:
        return [f"{head}."]
    lines = [f"{head}, the most doubtful first:"]
    for one in found.suspects[:_SHOWN]:
        lines.append(f"  {one.doubt:6.1%}  {one.path!a}: {one.given!a}, rather {one.suggested!a}")
    rest = len(found.suspects) - _SHOWN
    return [*lines, f"  and {rest:,} more; --output FILE.csv lists all"] if rest > 0 else lines


def _write(path: Path, found: LabelErrors | None) -> None:
    try:
        with path.open("x", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(_COLUMNS)
            for one in () if found is None else found.suspects:
                place = one.place or ("", "", "", "")
                writer.writerow((one.path, one.given, one.suggested, f"{one.doubt:.4f}", *place))
    except OSError as error:
        raise SpecError(f"Cannot write {str(path)!a}: {error.strerror}.") from error
