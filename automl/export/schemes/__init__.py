"""Quantization schemes, one file each, registered in :mod:`automl.registry`."""

from automl.export.schemes.base import QuantizationContext, Scheme, SchemeOutcome

__all__ = ["QuantizationContext", "Scheme", "SchemeOutcome"]
