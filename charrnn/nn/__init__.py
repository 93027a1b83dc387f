"""The mathematics: cells, the model and gradients, without files or clocks."""
