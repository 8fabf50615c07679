"""How many trials run at once, and with how many threads each."""

from __future__ import annotations

from dataclasses import replace

from automl.records import Host, Spec
from automl.search.executor import Resources

__all__ = ["search_resources", "with_address"]

_THREADS_PER_TRIAL = 2
"""Small networks gain little from more threads than this; more trials at once gain more."""
_MEMORY_PER_TRIAL_BYTES = 2_000_000_000
"""Upper end of what a worker was seen to take: torch, a small network, a batch, an export."""


def with_address(spec: Spec, address: str | None) -> Spec:
    """Return a spec that searches on the Ray cluster at an address; as it is, where none is given."""
    if address is None:
        return spec
    compute = replace(spec.search.compute, address=address)
    return replace(spec, search=replace(spec.search, compute=compute))


def search_resources(spec: Spec, host: Host) -> Resources:
    """Fit trials and threads to the cores, the memory and the GPUs that the search may use."""
    compute = spec.search.compute
    cpus = max(
        1, min(compute.cpus or host.cores, host.cores if compute.address is None else 10_000)
    )
    by_memory = max(1, int(host.memory_bytes * 0.8 // _MEMORY_PER_TRIAL_BYTES))
    concurrent = max(1, min(cpus // _THREADS_PER_TRIAL, by_memory))
    gpus_per_trial = 0.0
    if compute.gpus > 0:
        concurrent = max(1, min(concurrent, int(compute.gpus) or 1))
        gpus_per_trial = min(1.0, compute.gpus)
    return Resources(
        concurrent=concurrent,
        threads=max(1, cpus // concurrent),
        gpus_per_trial=gpus_per_trial,
        address=compute.address,
    )
