"""Losses, an n-gram baseline, calibration, and statistics of generated text."""
