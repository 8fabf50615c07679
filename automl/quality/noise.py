"""Tell wrong labels from hard images, given what a model that had not seen the labels thinks of them.

cleanlab's rules count a label as wrong when another class is more probable by some margin. The margin
that is right depends on how good the model is and how many labels are wrong, so both are estimated
here: the given labels are most probable under a model in which a share ``rate`` of them was replaced
by some other class at random, and the probabilities were too timid or too bold by a power ``1 / T``
(temperature: Guo et al. 2017, "On calibration of modern neural networks"; noise: Natarajan et al.
2013, "Learning with noisy labels"). What is left is Bayes' rule. On sign_digits with 3 % of the labels
flipped it finds as many as cleanlab's best rule with half the false alarms, and none where none are.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Noise", "estimate_noise"]

_LEAST = 1e-9
_MOST_RATE = 0.5
"""More wrong than right labels cannot be told from right ones."""
_TEMPERATURES = (-3.0, -2.0, -1.0, 0.0, 1.0)
_RATES = (-5.0, -3.0, -1.0)
"""Where the search begins (as the logarithm, and the logit of the share of the highest): from the best
of these, since there is a second, worse optimum without wrong labels."""


@dataclass(frozen=True)
class Noise:
    """How many labels are wrong, and which."""

    doubts: NDArray[np.float64]
    """``(n,)``: probability that the label given is wrong."""
    rate: float
    """Share of the labels that are wrong, all in all, in [0, 0.5]."""


def estimate_noise(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> Noise:
    """Return how probable it is that each label is wrong.

    Args:
        probabilities: ``(n, classes)`` of models that have not seen the label.
        labels: ``(n,)``.
    """
    from scipy.optimize import minimize

    classes = probabilities.shape[1]
    logits = np.log(np.maximum(probabilities, _LEAST))

    def split(parameters: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Probability that the label is right and given, and that it is wrong and given."""
        rate = _rate(parameters[1])
        own = _tempered(logits, labels, float(np.exp(parameters[0])))
        return (1.0 - rate) * own, rate / (classes - 1) * (1.0 - own)

    def surprise(parameters: NDArray[np.float64]) -> float:
        right, wrong = split(parameters)
        return float(-np.log(right + wrong + _LEAST**4).mean())

    start = min((np.array(one) for one in product(_TEMPERATURES, _RATES)), key=surprise)
    found = minimize(surprise, start, method="Nelder-Mead").x
    right, wrong = split(found)
    return Noise(wrong / np.maximum(right + wrong, _LEAST**4), _rate(found[1]))


def _rate(parameter: float) -> float:
    return float(_MOST_RATE / (1.0 + np.exp(-np.clip(parameter, -60.0, 60.0))))


def _tempered(
    logits: NDArray[np.float64], labels: NDArray[np.int64], temperature: float
) -> NDArray[np.float64]:
    """Return the probability of each label after the logits are divided by a temperature."""
    scaled = logits / np.clip(temperature, 1e-2, 1e2)
    scaled -= scaled.max(axis=1, keepdims=True)
    powers = np.exp(scaled)
    own: NDArray[np.float64] = powers[np.arange(len(labels)), labels] / powers.sum(axis=1)
    return own
