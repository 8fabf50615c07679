"""Latency of a file that nobody measured: from its operators, and from what was measured of others."""
