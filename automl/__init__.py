"""AutoML for machine vision: state requirements, get the best model that was measured to fit."""

__version__ = "0.1.0"
