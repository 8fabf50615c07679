"""Searches as a user would write them with Ray Tune alone, to compare automl with.

They choose among the same networks and recipes, start from the same weights, learn from the same split on
the same cores, and are as fast as plain PyTorch code is: images decoded once and kept in memory,
``channels_last``, bfloat16 where it is measured to be faster, one trial a core. Each prints a JSON line for
every candidate that it trained to the end; :mod:`benchmarks.search_cost` notes when, and what it had cost.
"""
