"""The mathematics: cells, the model, gradients. NumPy only, no files and no clock."""
