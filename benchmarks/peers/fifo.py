"""Train every candidate for all its epochs, one after the other; look at latency afterwards.

    python -m benchmarks.peers.fifo SETTING.json --seed 0 --samples 30 [--done 0,1,2]

Prints one JSON line a candidate when it is trained; whether it fits is looked up when all are.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.peers.setting import Setting, draw, read_setting


def main() -> None:
    """Search with what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("setting", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--samples", type=int, default=30)
    parser.add_argument("--done", default="", help="numbers of candidates trained before")
    options = parser.parse_args()
    done = {int(number) for number in options.done.split(",") if number}
    waiting = [number for number in range(options.samples) if number not in done]
    search(read_setting(options.setting), waiting, samples=options.samples, seed=options.seed)


def search(setting: Setting, waiting: list[int], *, samples: int, seed: int) -> None:
    """Train the candidates of these numbers."""
    from ray import tune
    from ray.tune import RunConfig, TuneConfig, Tuner

    from benchmarks.peers.training import start_ray

    start_ray(setting)
    candidates = draw(setting, samples, seed=seed)

    def train(config: dict[str, Any]) -> None:
        from benchmarks.peers.training import Training

        number = config["number"]
        training = Training(setting, candidates[number], seed=seed * 10_000 + number)
        for epoch in range(1, setting.epochs + 1):
            training.run_epoch()
            scores = {"val": training.score("val")}
            if epoch == setting.epochs:
                scores["test"] = training.score("test")
            tune.report(scores | {"epoch": epoch})

    with tempfile.TemporaryDirectory(prefix="peer-fifo-") as scratch:
        Tuner(
            tune.with_resources(train, {"cpu": 1}),
            param_space={"number": tune.grid_search(waiting)},
            tune_config=TuneConfig(metric="val", mode="max"),
            run_config=RunConfig(
                storage_path=scratch, verbose=0, callbacks=[_printer(setting, samples, seed)]
            ),
        ).fit()


def _printer(setting: Setting, samples: int, seed: int) -> Any:
    from ray.tune import Callback

    candidates = draw(setting, samples, seed=seed)

    class Printer(Callback):  # type: ignore[misc]
        """Says when a candidate is trained."""

        def on_trial_result(
            self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any
        ) -> None:
            if result["epoch"] == setting.epochs:
                number = trial.config["number"]
                print_line(
                    number=number,
                    architecture=candidates[number].architecture.key,
                    epochs=result["epoch"],
                    val=result["val"],
                    test=result["test"],
                )

    return Printer()


def print_line(**fields: object) -> None:
    """Print one JSON line, at once."""
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
