"""The recurrent cells, by name."""

from charrnn.cells.contract import Cell, State
from charrnn.cells.rnn import RNN

CELLS: dict[str, Cell] = {"rnn": RNN()}

__all__ = ["CELLS", "RNN", "Cell", "State"]
