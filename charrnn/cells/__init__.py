"""The recurrent cells, by name."""

from charrnn.cells.contract import Cell, State
from charrnn.cells.gru import GRU
from charrnn.cells.lstm import LSTM
from charrnn.cells.rnn import RNN

CELLS: dict[str, Cell] = {"rnn": RNN(), "gru": GRU(), "lstm": LSTM()}

__all__ = ["CELLS", "GRU", "LSTM", "RNN", "Cell", "State"]
