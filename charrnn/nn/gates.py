"""Gates side by side in the columns of one array, and two ways to look at a step of it.

For one time step, the gates' inputs `a` are columns (N, G·H): gate g has columns g·H to
(g + 1)·H. NumPy works on a contiguous block three to five times as fast as on columns
of a wider array. So forward reads the columns of `a`, and writes the gates as G blocks
(N, H) into the same memory; backward turns them into `da`, columns again, ready for
one large product over all steps.
"""

from charrnn.nn.parameters import Array


def columns(a: Array, G: int) -> Array:
    """Return a view (G, N, H) of the gates that are columns of a (N, G·H)."""
    N, GH = a.shape
    gates: Array = a.reshape(N, G, GH // G).transpose(1, 0, 2)
    return gates


def blocks(a: Array, G: int) -> Array:
    """Return a view (G, N, H) of the same memory as a (N, G·H), one block per gate."""
    N, GH = a.shape
    return a.reshape(G, N, GH // G)
