"""Measures what docs/measurements.md states. Not part of the package, and no test depends on it."""
