"""How good a model and its text are: losses, the n-gram, calibration, statistics."""
