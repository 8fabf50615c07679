"""Which epochs of a training look at less, and how much of a training counts as done.

ASHA first compares trainings when a part of each is done. Until then they only have to get under way,
which on large sets smaller images, and fewer of them, do at a fraction of the cost (progressive
resizing: Tan & Le 2021, https://arxiv.org/abs/2104.00298, section 4). The epoch that is compared and
all after it look at everything, so that scores stay comparable and every network learns at its own
size before it is delivered.

Imports nothing: the scheduler knows no torch.
"""

from __future__ import annotations

__all__ = ["FIRST_JUDGED_PERCENT", "early_epochs", "early_side", "percent_done"]

FIRST_JUDGED_PERCENT = 40
"""No trial is judged before so much of its training is done: the first quarter is its warm-up. Trials
of different length are compared at the same part of their schedule; by epochs, a longer training
always looked worse than a shorter one that was cooling down already."""
_EARLY_SIDE = 0.85
"""Of the image size: three quarters of the pixels."""
_MULTIPLE = 16


def early_epochs(total: int, *, planned: int) -> int:
    """Return how many epochs, the first of a training, end before trainings are first compared.

    Args:
        total: epochs that make the whole training now.
        planned: those that made it when it began. After its first epoch a training may be made
            shorter; by then this one has been early, or not.
    """
    return max(min(1, _before_judging(planned)), _before_judging(total))


def early_side(side: int) -> int:
    """Return the side of the images that early epochs look at in place of ``side`` pixels."""
    return max(_MULTIPLE, round(side * _EARLY_SIDE / _MULTIPLE) * _MULTIPLE)


def percent_done(epoch: int, total: int, *, is_early: bool) -> int:
    """Return how much of a training is done after an epoch, 1 to 100.

    What looked at less is never compared, also where a training was made so short that its first
    epoch is a large part of it.
    """
    percent = max(1, 100 * epoch // total)
    return min(percent, FIRST_JUDGED_PERCENT - 1) if is_early else percent


def _before_judging(total: int) -> int:
    """Return how many epochs n have ``100 * n // total`` below the first judging."""
    return max(0, (FIRST_JUDGED_PERCENT * total - 1) // 100)
