"""Small decision trees, pruned to what they decide, and put into words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Node", "fit_tree", "tree_words"]

Say = Callable[[int, float | None], str]
"""Of a column: its name (``None``), or a value of it in words."""
Limits = dict[int, tuple[float, float]]
"""For each column, what it is more than and at most."""


@dataclass(frozen=True)
class Node:
    """A question (``values[column] > limit``?) with two answers, or a leaf without."""

    shares: tuple[float, ...]
    """Share of each class, classes weighted alike."""
    column: int = -1
    limit: float = 0.0
    below: Node | None = None
    above: Node | None = None

    @property
    def label(self) -> int:
        """The most probable class."""
        return int(np.argmax(self.shares))

    def find(self, values: NDArray[np.float64]) -> Node:
        """Return the leaf that values ``(columns,)`` lead to."""
        if self.below is None or self.above is None:
            return self
        return (self.above if values[self.column] > self.limit else self.below).find(values)


def fit_tree(
    values: NDArray[np.float64],
    labels: NDArray[np.int64],
    *,
    classes: int,
    depth: int,
    seed: int,
    balanced: bool = True,
) -> Node:
    """Return a tree of at most so many questions in a row, learnt from ``(n, columns)``."""
    from sklearn.tree import DecisionTreeClassifier

    model = DecisionTreeClassifier(
        max_depth=depth,
        min_samples_leaf=max(2, len(labels) // 100),
        class_weight="balanced" if balanced else None,
        random_state=seed,
    ).fit(values, labels)
    return _pruned(_read(model.tree_, model.classes_, 0, classes))


def tree_words(tree: Node, classes: Sequence[str], say: Say, *, subject: str) -> str:
    """Return the whole tree as one sentence, without its full stop.

    Args:
        tree: with at least one question, or a single leaf.
        classes: names.
        say: name of a column, and a limit of it in words.
        subject: ``an image``.
    """
    paths = list(_paths(tree, {}))
    if len(paths) == 1:
        return f"{subject} is always `{classes[tree.label]}`"
    labels = [label for label, _ in paths]
    # The class that takes the most words is what is left.
    rest = max(sorted(set(labels)), key=lambda one: (labels.count(one), _length(paths, one)))
    parts = []
    for label in sorted(set(labels) - {rest}):
        ways = [_condition(limits, say) for own, limits in paths if own == label]
        parts.append(f"`{classes[label]}` when {', or when '.join(ways)}")
    return f"{subject} is {'; '.join(parts)}; otherwise it is `{classes[rest]}`"


def _length(paths: Sequence[tuple[int, Limits]], label: int) -> int:
    return sum(len(limits) for own, limits in paths if own == label)


def _paths(node: Node, limits: Limits) -> list[tuple[int, Limits]]:
    if node.below is None or node.above is None:
        return [(node.label, limits)]
    low, high = limits.get(node.column, (-np.inf, np.inf))
    under = limits | {node.column: (low, min(high, node.limit))}
    over = limits | {node.column: (max(low, node.limit), high)}
    return [*_paths(node.above, over), *_paths(node.below, under)]


def _condition(limits: Limits, say: Say) -> str:
    words = []
    for column, (low, high) in limits.items():
        name = say(column, None)
        over = f"more than {say(column, low)}" if np.isfinite(low) else ""
        under = f"at most {say(column, high)}" if np.isfinite(high) else ""
        words.append(f"{name} is {' and '.join(one for one in (over, under) if one)}")
    return " and ".join(words)


def _read(tree: object, known: NDArray[np.int64], number: int, classes: int) -> Node:
    """Take a node over from scikit-learn's arrays."""
    values = tree.value[number][0]  # type: ignore[attr-defined]  # sklearn is untyped
    shares = np.zeros(classes)
    shares[known] = values / max(float(values.sum()), 1e-12)
    own = tuple(shares.tolist())
    left = int(tree.children_left[number])  # type: ignore[attr-defined]
    if left < 0:
        return Node(own)
    right = int(tree.children_right[number])  # type: ignore[attr-defined]
    column, limit = int(tree.feature[number]), float(tree.threshold[number])  # type: ignore[attr-defined]
    return Node(
        own, column, limit, _read(tree, known, left, classes), _read(tree, known, right, classes)
    )


def _pruned(node: Node) -> Node:
    """Take back questions whose answers lead to the same class."""
    if node.below is None or node.above is None:
        return node
    below, above = _pruned(node.below), _pruned(node.above)
    if below.below is None and above.below is None and below.label == above.label:
        return Node(node.shares)
    return Node(node.shares, node.column, node.limit, below, above)
