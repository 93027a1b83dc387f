"""Checkpoints, run folders, and PyTorch's files."""
