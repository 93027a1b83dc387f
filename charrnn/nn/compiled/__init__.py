"""Compiled twins of the cells and of some functions, by Numba, in float32.

Here a whole window is one call that holds no interpreter lock, and the elementwise work
of a time step is one pass over rows that stay in the first cache, where NumPy makes ten
to fifteen passes. Loops are short on purpose: the compiler turns one into vector
instructions only if it can prove, or check, that its few arrays do not overlap.

A twin is a subclass of its cell in `charrnn.nn`, with the two loops over time and the
step of generation replaced. Read the cell first.
"""

# Cell name -> class of its compiled twin. A cell without one computes in NumPy.
TWINS = {
    "rnn": "charrnn.nn.compiled.rnn:CompiledRNN",
    "gru": "charrnn.nn.compiled.gru:CompiledGRU",
    "lstm": "charrnn.nn.compiled.lstm:CompiledLSTM",
}
