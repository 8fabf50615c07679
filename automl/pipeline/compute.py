"""How many trials run at once, with how many threads each, and on which machines.

On one machine, trials share its cores. On a cluster a trial gets two cores wherever they are free, and as
many trials run as there is room for, so that a node that joins late takes its part. What a node must see
of this machine's files is asked before a run begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from automl.errors import SpecError
from automl.records import ComputeSpec, Host, Spec
from automl.search.cluster import check_compute
from automl.search.executor import Resources
from automl.search.nodes import Node, SharedPath, check_nodes, nodes_of
from automl.spec.checks import WEIGHT_WORDS
from automl.storage import cache_folder
from automl.units import plural

__all__ = ["check_cluster", "cluster_resources", "search_resources", "shared_paths", "with_address"]

_THREADS_PER_TRIAL = 2
"""Small networks gain little from more threads than this; more trials at once gain more."""
_MEMORY_PER_TRIAL_BYTES = 2_000_000_000
"""Upper end of what a worker was seen to take: torch, a small network, a batch, an export."""
_LATE_TRIALS = 64
"""So many trials may run at once where a spec sets no limit, though there is no room for them yet: a
cluster grows while a search goes on. One of them at a time waits for room."""


def with_address(spec: Spec, address: str | None) -> Spec:
    """Return a spec that searches on the Ray cluster at an address; as it is, where none is given."""
    if address is None:
        return spec
    compute = replace(spec.search.compute, address=address)
    return replace(spec, search=replace(spec.search, compute=compute))


def check_cluster(spec: Spec, folder: Path) -> tuple[Node, ...]:
    """Return the machines of the spec's cluster after each was asked what it sees; none without a cluster.

    Args:
        folder: where the run is, or will be.

    Raises:
        RunError: no cluster answers, or a node lacks something; it names node and path.
        SpecError: a trial fits on no node.
    """
    compute = spec.search.compute
    if compute.address is None:
        return ()
    check_compute(compute)
    nodes = check_nodes(compute.address, shared_paths(spec, folder))
    cluster_resources(compute, nodes)
    return nodes


def shared_paths(spec: Spec, folder: Path) -> tuple[SharedPath, ...]:
    """Return the paths of this machine that trials read or write wherever they run."""
    paths = [SharedPath(spec.require_data().path, "data.path")]
    if spec.weights not in WEIGHT_WORDS:
        paths.append(SharedPath(spec.weights, "weights"))
    cache = str(cache_folder("decoded").parent.resolve())
    paths.append(SharedPath(cache, "the cache (AUTOML_CACHE)", is_written=True))
    paths.append(SharedPath(str(folder.resolve()), "output", is_written=True))
    return tuple(paths)


def search_resources(spec: Spec, host: Host) -> Resources:
    """Fit trials and threads to the cores, the memory and the GPUs that the search may use.

    Raises:
        RunError: no cluster answers at the spec's address.
        SpecError: a trial fits on no node of the cluster.
    """
    compute = spec.search.compute
    if compute.address is not None:
        return cluster_resources(compute, nodes_of(compute.address))
    cpus = max(1, min(compute.cpus or host.cores, host.cores))
    by_memory = max(1, int(host.memory_bytes * 0.8 // _MEMORY_PER_TRIAL_BYTES))
    concurrent = max(1, min(cpus // _THREADS_PER_TRIAL, by_memory, _by_gpus(compute)))
    return Resources(
        concurrent=concurrent,
        threads=max(1, cpus // concurrent),
        gpus_per_trial=_gpus_per_trial(compute),
        address=None,
    )


def cluster_resources(compute: ComputeSpec, nodes: Sequence[Node]) -> Resources:
    """Fit trials to the machines of a cluster: at most two cores each, and each on one machine.

    Raises:
        SpecError: when a trial fits on none of them.
    """
    share = _gpus_per_trial(compute)
    able = [node for node in nodes if node.cpus >= 1 and node.gpus >= share]
    if not able:
        needs = "a core" if not share else f"a core and {share:g} GPU"
        found = ", ".join(
            f"{node.name} {plural(int(node.cpus), 'core')} and {node.gpus:g} GPU" for node in nodes
        )
        raise SpecError(
            f"A trial needs {needs} on one node of the cluster '{compute.address}', and none has "
            f"that: {found}. Add a node, or lower search.compute.gpus_per_trial."
        )
    threads = min(_THREADS_PER_TRIAL, int(max(node.cpus for node in able)))
    if compute.cpus is not None:
        threads = min(threads, compute.cpus)
    room = sum(int(node.cpus) // threads for node in able)
    limit = max(room, _LATE_TRIALS) if compute.cpus is None else compute.cpus // threads
    return Resources(
        concurrent=max(1, min(limit, _by_gpus(compute))),
        threads=threads,
        gpus_per_trial=share,
        address=compute.address,
        room=max(1, min(room, limit, _by_gpus(compute))),
    )


def _gpus_per_trial(compute: ComputeSpec) -> float:
    if compute.gpus_per_trial is not None and compute.gpus > 0:
        return compute.gpus_per_trial
    return min(1.0, compute.gpus)


def _by_gpus(compute: ComputeSpec) -> int:
    """Return how many trials the GPUs allow at once."""
    share = _gpus_per_trial(compute)
    # 0.3 / 0.1 is 2.9999999999999996: what is a whole number but for that counts as it.
    return int(compute.gpus / share + 1e-9) if share else 1_000_000
