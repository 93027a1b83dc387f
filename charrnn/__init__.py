"""charrnn: character-level recurrent networks, written by hand in NumPy."""

__version__ = "0.1.0"
