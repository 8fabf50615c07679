"""Optuna's sampler, drawn anew for each trial's number: the same seed, number and past give the same trial.

Decides that a search that was killed and resumed proposes what it would have proposed: a sampler's own
stream of random numbers would depend on how many were drawn since its process began.

Imported only where a search begins, because it needs Optuna.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

__all__ = ["NumberedSampler"]

_STARTUP_TRIALS = 6
"""Trials that are drawn at random before the model (TPE) takes over."""
_STRIDE = 1_000_003
"""A prime: keeps the seeds of neighbouring runs and numbers apart."""
_LARGEST_SEED = 2**32


class NumberedSampler(BaseSampler):
    """A TPE sampler (Bergstra et al. 2011) whose draws follow from seed, trial number and past trials."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.begin(0)

    def begin(self, number: int) -> None:
        """Get ready to propose the trial with this number."""
        seed = (self._seed * _STRIDE + number) % _LARGEST_SEED
        self._inner = TPESampler(seed=seed, n_startup_trials=_STARTUP_TRIALS, constant_liar=True)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Ask the trial's own sampler."""
        return self._inner.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Ask the trial's own sampler."""
        return self._inner.sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Ask the trial's own sampler."""
        return self._inner.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Tell the sampler that is at hand: none keeps anything of a trial."""
        self._inner.after_trial(study, trial, state, values)
