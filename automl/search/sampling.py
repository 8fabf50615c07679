"""Optuna's sampler, drawn anew for each trial's number: the same seed, number and past give the same trial.

Decides that a search that was killed and resumed proposes what it would have proposed: a sampler's own
stream of random numbers would depend on how many were drawn since its process began.

Imported only where a search begins, because it needs Optuna.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any, cast

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

__all__ = ["NumberedSampler"]

_STARTUP_TRIALS = 6
"""Trials that are drawn at random before the model (TPE) takes over."""
_STRIDE = 1_000_003
"""A prime: keeps the seeds of neighbouring runs and numbers apart."""
_MOST_PAST = 250
"""Past trials that the model is made of. Its cost grows with them, and with more than this a proposal took
longer than all else that a search does for a trial (40 ms of 60 after a thousand)."""
_BEST_PAST = 50
"""Of these the best; the others are the latest. With 250 trials TPE calls 25 good, and never
more (Optuna's default), so that it sees the same good ones as if it saw all."""
_LARGEST_SEED = 2**32


class NumberedSampler(BaseSampler):
    """A TPE sampler (Bergstra et al. 2011) whose draws follow from seed, trial number and past trials."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._past: _Past | None = None
        self.begin(0)

    def begin(self, number: int) -> None:
        """Get ready to propose the trial with this number."""
        seed = (self._seed * _STRIDE + number) % _LARGEST_SEED
        self._past = None
        self._inner = TPESampler(seed=seed, n_startup_trials=_STARTUP_TRIALS, constant_liar=True)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Ask the trial's own sampler."""
        return self._inner.infer_relative_search_space(self._remembered(study), trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Ask the trial's own sampler."""
        return self._inner.sample_relative(self._remembered(study), trial, search_space)

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

    def _remembered(self, study: Study) -> Study:
        """Return the study as the model is to see it, the same for all parameters of a trial."""
        if self._past is None:
            self._past = _Past(study)
        return cast(Study, self._past)


class _Past:
    """A study that remembers the best and the latest of its trials, and is that study in all else.

    Which ones follows from the past alone. Optuna's sampler asks ``_get_trials``; should it ask
    otherwise one day, it sees all trials again, which is slower and not wrong.
    """

    def __init__(self, study: Study) -> None:
        self._study = study
        trials = study.get_trials(deepcopy=False)
        cut = max(0, len(trials) - (_MOST_PAST - _BEST_PAST))
        earlier, latest = trials[:cut], trials[cut:]
        if len(trials) <= _MOST_PAST:
            earlier, latest = [], trials
        scored = [trial for trial in earlier if trial.state is TrialState.COMPLETE]
        best = sorted(scored, key=lambda trial: (-(trial.value or 0.0), trial.number))[:_BEST_PAST]
        self._kept = [*sorted(best, key=lambda trial: trial.number), *latest]

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        return [trial for trial in self._kept if states is None or trial.state in states]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)
