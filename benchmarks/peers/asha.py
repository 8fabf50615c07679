"""Let Optuna propose candidates and ASHA end weak ones; penalise those that turn out too slow.

    python -m benchmarks.peers.asha SETTING.json --seed 0 --samples 30

Of a candidate that reaches the last epoch the latency is looked up; one that misses the budget reports a
score that is lower by one than its own, so that Optuna turns away from its kind. Prints a JSON line for every
candidate that was trained to the end.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.peers.fifo import print_line
from benchmarks.peers.setting import Setting, named, read_setting

_PENALTY = 1.0


def main() -> None:
    """Search with what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("setting", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--samples", type=int, default=30)
    options = parser.parse_args()
    search(read_setting(options.setting), samples=options.samples, seed=options.seed)


def search(setting: Setting, *, samples: int, seed: int) -> None:
    """Search until so many candidates were begun."""
    from ray import tune
    from ray.tune import RunConfig, TuneConfig, Tuner
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search import ConcurrencyLimiter
    from ray.tune.search.optuna import OptunaSearch

    from benchmarks.peers.training import start_ray

    start_ray(setting)

    def train(config: dict[str, Any]) -> None:
        from benchmarks.peers.training import Training

        candidate = named(setting, config)
        training = Training(setting, candidate, seed=seed)
        for epoch in range(1, setting.epochs + 1):
            training.run_epoch()
            val = training.score("val")
            if epoch < setting.epochs:
                tune.report({"objective": val, "epoch": epoch})
        fits = setting.p95_ms[candidate.architecture.key] <= setting.latency_ms
        tune.report(
            {
                "objective": val if fits else val - _PENALTY,
                "epoch": setting.epochs,
                "val": val,
                "test": training.score("test"),
            }
        )

    searcher = OptunaSearch(space=_space(setting), metric="objective", mode="max", seed=seed)
    with tempfile.TemporaryDirectory(prefix="peer-asha-") as scratch:
        Tuner(
            tune.with_resources(train, {"cpu": 1}),
            tune_config=TuneConfig(
                metric="objective",
                mode="max",
                num_samples=samples,
                search_alg=ConcurrencyLimiter(searcher, max_concurrent=setting.cores),
                scheduler=ASHAScheduler(
                    time_attr="epoch", max_t=setting.epochs, grace_period=1, reduction_factor=3
                ),
            ),
            run_config=RunConfig(storage_path=scratch, verbose=0, callbacks=[_printer(setting)]),
        ).fit()


def _space(setting: Setting) -> dict[str, Any]:
    from ray import tune

    space = setting.space
    return {
        "architecture": tune.choice([a.key for a in space.architectures]),
        "learning_rate": tune.loguniform(*space.learning_rate),
        "weight_decay": tune.loguniform(*space.weight_decay),
        "batch_size": tune.choice(space.batch_sizes),
        "freeze": tune.choice(space.freezes),
        "label_smoothing": tune.choice(space.label_smoothings),
        "augmentation": tune.choice([a.name for a in space.augmentations]),
    }


def _printer(setting: Setting) -> Any:
    from ray.tune import Callback

    class Printer(Callback):  # type: ignore[misc]
        """Says when a candidate is trained to the end."""

        def on_trial_result(
            self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any
        ) -> None:
            if result["epoch"] == setting.epochs:
                print_line(
                    architecture=trial.config["architecture"],
                    epochs=result["epoch"],
                    val=result["val"],
                    test=result["test"],
                )

    return Printer()


if __name__ == "__main__":
    main()
