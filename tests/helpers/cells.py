"""Registering a cell for the duration of a test."""

import sys
from types import ModuleType

from charrnn.config import CELLS
from charrnn.nn.cell import load_cell


def register_cell(monkeypatch, name, kind):
    """Register the class `kind` as the cell called `name`."""
    module = ModuleType("cell_of_a_test")
    module.Cell = kind
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(CELLS, name, f"{module.__name__}:Cell")
    load_cell.cache_clear()
