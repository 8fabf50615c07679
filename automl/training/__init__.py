"""Training of one network by one recipe, an epoch at a time."""
