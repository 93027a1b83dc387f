"""Compiled twins of the cells and of some functions, by Numba, in float32.

A whole window is one call, which releases the interpreter lock. The elementwise work of
a time step is one pass over rows that stay in the L1 cache, instead of NumPy's ten to
fifteen passes. Loops are short on purpose: the compiler vectorises a loop only if it
can prove, or check, that the few arrays in it do not overlap.

A twin is a subclass of its cell in `charrnn.nn`, with the two loops over time and the
step of generation replaced. Read the cell first.
"""

# Cell name -> class of its compiled twin. A cell without one runs in NumPy.
TWINS = {
    "rnn": "charrnn.nn.compiled.rnn:CompiledRNN",
    "gru": "charrnn.nn.compiled.gru:CompiledGRU",
    "lstm": "charrnn.nn.compiled.lstm:CompiledLSTM",
    "mrnn": "charrnn.nn.compiled.rnn:CompiledMultiplicativeRNN",
    "mgru": "charrnn.nn.compiled.gru:CompiledMultiplicativeGRU",
    "mlstm": "charrnn.nn.compiled.lstm:CompiledMultiplicativeLSTM",
}
