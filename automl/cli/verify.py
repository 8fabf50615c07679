"""``automl verify``: does a bundle keep what it promises, here and now?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from automl.records import Claim

__all__ = ["verify"]


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True),
    help="Where the data set is now. Default: where it was when the bundle was made.",
)
@click.option(
    "--device",
    help="Where to measure: 'local', or the address of an agent (http://HOST:PORT). Default: the "
    "device that the bundle was made for.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the claims as JSON.")
def verify(bundle: Path, data: Path | None, device: str | None, as_json: bool) -> None:
    """Check the file of BUNDLE, its answers, its latency and its test scores.

    Exit code 3 when a claim does not hold.
    """
    from automl.errors import NotAttainableError
    from automl.pipeline.verify import verify_bundle

    claims = verify_bundle(
        bundle,
        data=None if data is None else data.resolve(),
        device=device,
        progress=lambda text: click.echo(text, err=True),
    )
    broken = [claim for claim in claims if not claim.holds]
    if as_json:
        rows = [asdict(claim) for claim in claims]
        click.echo(json.dumps({"holds": not broken, "claims": rows}, indent=1, ensure_ascii=False))
    else:
        click.echo(render_claims(claims))
    if broken:
        listed = "\n".join(f"  {c.requirement}: asked {c.asked}, got {c.got}" for c in broken)
        raise NotAttainableError(f"{len(broken)} of {len(claims)} claims do not hold:\n{listed}")


def render_claims(claims: Sequence[Claim]) -> str:
    """Return two lines a claim: whether it holds and what was got, then how that was found."""
    from automl.pipeline.verify import NOT_CHECKED

    lines = []
    for claim in claims:
        checked = not claim.got.startswith(NOT_CHECKED)
        mark = "--" if not checked else "ok" if claim.holds else "NO"
        lines.append(f"{mark}  {claim.requirement}: {claim.got} (asked: {claim.asked})")
        lines.append(f"    {claim.how}")
    return "\n".join(lines)
