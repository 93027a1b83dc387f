"""Two views of the gates: as columns of an array, and as blocks.

At each time step, the inputs `a` of the gates are side by side, (N, G·H): gate g has
the columns g·H to (g + 1)·H. NumPy works on a contiguous block three to five times as
fast as on columns of a wider array. So forward reads the columns of `a` and writes the
gates into the same memory as G blocks (N, H). Backward turns the blocks into `da`,
again as columns, ready for one large product over all steps.
"""

from charrnn.nn.parameters import Array


def columns(a: Array, G: int) -> Array:
    """Return a view (…, G, N, H) of a (…, N, G·H): the columns of each gate."""
    *steps, N, GH = a.shape
    gates: Array = a.reshape(*steps, N, G, GH // G).swapaxes(-3, -2)
    return gates


def blocks(a: Array, G: int) -> Array:
    """Return a view (…, G, N, H) of the memory of a (…, N, G·H), a block per gate."""
    *steps, N, GH = a.shape
    gates: Array = a.reshape(*steps, G, N, GH // G)
    return gates
