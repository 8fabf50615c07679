"""What the machines of a Ray cluster have and see, asked of each by a small task before anything is spent.

Trials run on every node and read images, the cache and the run folder by their paths. A node that lacks
one of them would fail every trial that lands on it, in the middle of the night; so each path is looked
for on each node first.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automl.errors import RunError
from automl.search.connection import cluster
from automl.search.sight import Answer, Question, SharedPath, ask_of, look, look_and_leave
from automl.spec.problems import escape
from automl.units import plural

__all__ = ["Node", "SharedPath", "check_nodes", "main", "nodes_of"]

_ANSWER_S = 60.0
"""A node that starts its first process from slow shared storage takes half a minute."""
_MOST_SHOWN = 6


@dataclass(frozen=True)
class Node:
    """One machine of a cluster."""

    id: str
    name: str
    """``worker-2 (10.0.0.3)``."""
    cpus: float
    gpus: float


def nodes_of(address: str) -> tuple[Node, ...]:
    """Return the machines of a cluster that are there now.

    Raises:
        RunError: when no cluster answers.
    """
    with cluster(address) as ray:
        return _alive(ray)


def check_nodes(address: str, paths: Sequence[SharedPath]) -> tuple[Node, ...]:
    """Return the machines of a cluster after each was asked whether it sees what trials need.

    Args:
        paths: looked at here and on every node; those that trials write to are made if need be.

    Raises:
        RunError: naming every node and path where something is missing or differs.
    """
    with cluster(address) as ray, contextlib.ExitStack() as probes:
        questions = [ask_of(path, probes) for path in paths]
        nodes = _alive(ray)
        here = look(tuple(questions))
        problems = []
        for node, answer in zip(nodes, _ask(ray, nodes, questions), strict=True):
            problems += _compared(node, answer, here, paths)
            problems += _unwritten(node, questions, paths) if isinstance(answer, Answer) else []
    if problems:
        more = len(problems) - _MOST_SHOWN
        lines = [*problems[:_MOST_SHOWN], *([f"and {more} more"] if more > 0 else [])]
        raise RunError(
            f"The cluster at '{escape(address)}' cannot run this: trials run on every node, and "
            f"{plural(len(problems), 'thing')} {'is' if len(problems) == 1 else 'are'} missing.\n  "
            + "\n  ".join(lines)
            + "\nMount the same storage at the same path on every node, and install the same "
            "version of automl there."
        )
    return nodes


def _alive(ray: Any) -> tuple[Node, ...]:
    return tuple(
        Node(
            node["NodeID"],
            f"{_name(node)} ({node['NodeManagerAddress']})",
            float(node["Resources"].get("CPU", 0.0)),
            float(node["Resources"].get("GPU", 0.0)),
        )
        for node in ray.nodes()
        if node["Alive"]
    )


def _name(node: dict[str, Any]) -> str:
    """Return the name that a node was started with, else that of its machine."""
    given = str(node.get("NodeName") or "")
    is_name = given not in ("", node["NodeManagerAddress"])
    return given if is_name else str(node["NodeManagerHostname"])


def _ask(
    ray: Any, nodes: Sequence[Node], questions: Sequence[Question]
) -> list[Answer | Exception]:
    """Return the answer of every node, or why there is none."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    asked = ray.remote(num_cpus=0, max_retries=0)(look_and_leave)
    tasks = [
        asked.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node_id=node.id, soft=False)
        ).remote(tuple(questions), node.id)
        for node in nodes
    ]
    ray.wait(tasks, num_returns=len(tasks), timeout=_ANSWER_S)
    answers: list[Answer | Exception] = []
    for task in tasks:
        try:
            answers.append(ray.get(task, timeout=0))
        except (ray.exceptions.RayError, ImportError, AttributeError) as error:
            answers.append(error)
    return answers


def _compared(
    node: Node, answer: Answer | Exception, here: Answer, paths: Sequence[SharedPath]
) -> list[str]:
    """Return what differs between a node and this machine, a line each."""
    if isinstance(answer, Exception):
        return [f"{node.name}: {_no_answer(answer)}"]
    problems = []
    if answer.version != here.version:
        problems.append(
            f"{node.name}: has automl {answer.version}, and this machine {here.version}"
        )
    for path, seen, right in zip(paths, answer.sights, here.sights, strict=True):
        if seen == right:
            continue
        missing = [sight for sight in seen if sight.startswith("!")]
        shown = f"{path.meaning} '{escape(path.path)}'"
        if missing:
            problems.append(f"{node.name}: does not see {shown} ({missing[0][1:].lower()})")
        else:
            problems.append(f"{node.name}: sees other files in {shown}")
    return problems


def _unwritten(node: Node, questions: Sequence[Question], paths: Sequence[SharedPath]) -> list[str]:
    """Return the paths that a node should have written to, and what it wrote is not seen here."""
    return [
        f"{node.name}: what it writes to {path.meaning} '{escape(path.path)}' is not seen here"
        for path, question in zip(paths, questions, strict=True)
        if question.probe is not None and not (Path(question.probe) / node.id).exists()
    ]


def _no_answer(error: Exception) -> str:
    if type(error).__name__ == "GetTimeoutError":
        return f"did not answer within {_ANSWER_S:.0f} s"
    lines = [line for line in str(error).splitlines() if line.strip()]
    if "ModuleNotFoundError" in str(error):
        return "automl is not installed there for the Python that Ray uses"
    return escape(lines[-1].strip() if lines else type(error).__name__)


def main() -> None:
    """Print how many machines a cluster has: for scripts that wait until all are there."""
    print(len(nodes_of(sys.argv[1])))


if __name__ == "__main__":
    main()
