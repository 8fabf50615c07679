"""The tasks of machine vision, one file each: what a network is trained for and how it is judged."""

from automl.tasks.base import Task

__all__ = ["Task"]
