"""The recurrent cells, by name."""

from charrnn.nn.cell import Cell, State
from charrnn.nn.gru import GRU
from charrnn.nn.lstm import LSTM
from charrnn.nn.rnn import RNN

CELLS: dict[str, Cell] = {"rnn": RNN(), "gru": GRU(), "lstm": LSTM()}

__all__ = ["CELLS", "GRU", "LSTM", "RNN", "Cell", "State"]
