"""`automl schema`: the JSON Schema that editors use."""

from __future__ import annotations

import json

import click

__all__ = ["schema"]


@click.command()
@click.option("--space", is_flag=True, help="The schema of a search space instead of a spec.")
def schema(space: bool) -> None:
    """Print the JSON Schema (draft-07) of a spec.

    Save it, and begin a spec with '# yaml-language-server: $schema=FILE': editors then complete and
    check it.
    """
    if space:
        from automl.search.space import json_schema as space_schema

        content = space_schema()
    else:
        from automl.spec import json_schema

        content = json_schema()
    click.echo(json.dumps(content, indent=2, ensure_ascii=False))
