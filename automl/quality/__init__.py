"""What the data itself allows: wrong labels, leaks, what more images would bring, plain rules."""

from automl.quality.assessment import assess, assess_rules, check_labels
from automl.quality.leakage import find_leakage

__all__ = ["assess", "assess_rules", "check_labels", "find_leakage"]
