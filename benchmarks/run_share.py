"""Which share of a run's time was no work: neither reading images, nor training, exporting and measuring.

    python -m benchmarks.run_share RUN [RUN ...]

Work is what the stages before and after the search took, and what trials say that their own parts took. The
rest of the search is orchestration, and so are choosing and the report; what passes before the run's first
line, imports mostly, is not seen. Right where one trial runs at a time, as on two cores.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from automl.pipeline.folder import RunFolder

__all__ = ["main"]

_WORKING = ("data", "quality", "plan", "proof")
"""Stages that read, look at, export or measure; the search is taken apart, the report is no work."""
_ASKED = 0.1


@dataclass(frozen=True)
class Share:
    """Where the time of one run went, seconds."""

    name: str
    whole_s: float
    stages_s: float
    trials_s: float

    @property
    def orchestration_s(self) -> float:
        return self.whole_s - self.stages_s - self.trials_s


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+")
    options = parser.parse_args(arguments)
    print(
        "| run | whole | stages that work | work in trials | orchestration | share | asked | ok |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for path in options.runs:
        share = share_of(path)
        part = share.orchestration_s / share.whole_s
        word = "yes" if part <= _ASKED else "**no**"
        print(
            f"| {share.name} | {share.whole_s:.0f} s | {share.stages_s:.0f} s | {share.trials_s:.0f} s "
            f"| {share.orchestration_s:.1f} s | {part:.1%} | {_ASKED:.0%} | {word} |"
        )
    return 0


def share_of(path: Path) -> Share:
    """Return where a run's time went, by what its folder says.

    Raises:
        SystemExit: of a run that was resumed or has not ended.
    """
    folder = RunFolder(path)
    events = [json.loads(line) for line in (path / "events.jsonl").read_text().splitlines()]
    names = [event["event"] for event in events]
    if names.count("begin") != 1 or names[-1] != "end":
        raise SystemExit(f"'{path}' was resumed or has not ended; its time cannot be told apart.")
    stages = [event for event in events if event["event"] in ("stage", "end")]
    moments = [datetime.fromisoformat(event["at"]).timestamp() for event in stages]
    parts = [event.get("name", "") for event in stages]
    took = {
        name: after - before
        for name, before, after in zip(parts, moments, moments[1:], strict=False)
    }
    seconds = [one.seconds for one in (*folder.read_trials(), *folder.read_unfinished())]
    seconds += [probe.seconds for probe in folder.read_probes()]
    return Share(
        name=path.name,
        whole_s=moments[-1] - datetime.fromisoformat(events[0]["at"]).timestamp(),
        stages_s=sum(took.get(name, 0.0) for name in _WORKING),
        trials_s=sum(sum(one.values()) for one in seconds),
    )


if __name__ == "__main__":
    sys.exit(main())
