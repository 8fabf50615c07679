"""The tasks of machine vision, one file each: what a network is trained for and how it is judged."""

from automl.tasks.base import Comparison, Encoded, Judged, Scorer, Task, open_task

__all__ = ["Comparison", "Encoded", "Judged", "Scorer", "Task", "open_task"]
