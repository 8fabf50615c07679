"""What the data itself allows: wrong labels, leaks, what more images would bring, plain rules."""

from automl.quality.assessment import assess, assess_rules, check_labels
from automl.quality.leakage import clean_score, find_leakage, without

__all__ = ["assess", "assess_rules", "check_labels", "clean_score", "find_leakage", "without"]
