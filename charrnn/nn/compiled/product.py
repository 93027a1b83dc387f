"""Matrix products of recurrent networks, for which a general BLAS is not a good fit.

`h[t] Wh` has few rows, 8 to 64, and the same right-hand matrix in every step of a
window. A BLAS copies that matrix into its own block layout at each call, which for so
few rows takes as long as the arithmetic. Here it is packed once per window, into panels
that are as wide as two vector registers. The product then runs at the speed of the
multipliers: a tile of C, a few rows by one panel, stays in registers while k runs from
0 to K, and each k takes one load per vector of the panel and one multiply-add per
vector of the tile. This is the idea of GotoBLAS (Goto & van de Geijn 2008) without the
packing of A, which so few rows do not need.

The products over all steps of a window use the same tiles. Their sizes are few as well,
so that blocks can fit the caches without a plan for every shape.

float32 only, except that panels may hold integers of 16 bits, which become float32 in
registers. Compilers do not keep such a tile in registers by themselves, so its loop
is written in LLVM's intermediate representation; all the rest is Python.
"""

from itertools import chain
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from charrnn.errors import ConfigError
from charrnn.nn.compiled.jit import compiled, inlined
from charrnn.nn.parameters import Array


def _shape_of_tile() -> tuple[int, int]:
    """Return rows and floats per vector, so that tile and operands fit in registers."""
    try:
        features = binding.get_host_cpu_features()
    except RuntimeError:  # not known on every system
        features = {}
    if features.get("avx512f"):
        return 8, 16  # 16 of 32 registers hold the tile
    if features.get("avx"):
        return 4, 8  # 8 of 16 registers
    return 4, 4


ROWS, WIDTH = _shape_of_tile()
VECTORS = 2  # vectors in the width of a panel
PANEL = VECTORS * WIDTH
_FLOAT = 4  # bytes


def tile(rows: int, width: int = WIDTH, panels: int = 1) -> Any:
    """Return an intrinsic that computes C = A P, for fixed numbers of rows and panels.

    Its arguments are a, row, column, P, p, K, c, ldc and add. a and c are addresses of
    float32 arrays; row and column are the strides of A, and ldc that of the rows of C,
    in floats. If add is not 0, the product is added to C. P is an array of float32 or
    int16, and p the index of its first number, counted flat. The panels, each
    (K, VECTORS · width), are contiguous in memory, and their columns of C are adjacent.
    """
    f32, i64, lane = ir.FloatType(), ir.IntType(64), ir.IntType(32)
    byte, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
    vector = ir.VectorType(f32, width)
    all_first = ir.Constant(ir.VectorType(lane, width), [0] * width)
    undefined = ir.Constant(vector, ir.Undefined)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        insert: Any = cgutils.get_or_insert_function  # untyped
        multiply_add = insert(
            builder.module,
            ir.FunctionType(vector, [vector] * 3),
            f"llvm.fma.v{width}f32",
        )
        prefetch = builder.module.declare_intrinsic(
            "llvm.prefetch",
            [byte],
            ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag]),
        )
        a, row, column, P, first, K, c, ldc, add = args
        a, c = (builder.inttoptr(x, f32.as_pointer()) for x in (a, c))
        kind = signature.args[3]
        data = context.make_array(kind)(context, builder, P).data
        p, is_short = builder.gep(data, [first]), kind.dtype == types.int16
        starts = [builder.gep(a, [builder.mul(row, i64(r))]) for r in range(rows)]

        def load(address: Any, align: int = _FLOAT) -> Any:
            found = builder.load(address)
            found.align = align
            return found

        def part(address: Any, v: int, kind: Any = vector) -> Any:
            address = builder.gep(address, [i64(v * width)])
            return builder.bitcast(address, kind.as_pointer())

        def weights(row: Any, v: int) -> Any:
            if not is_short:
                return load(part(row, v))
            found = load(part(row, v, ir.VectorType(ir.IntType(16), width)), 2)
            return builder.sitofp(
                builder.sext(found, ir.VectorType(lane, width)), vector
            )

        panel = i64(VECTORS * width)
        starts_p = [
            builder.gep(p, [builder.mul(builder.mul(K, panel), i64(i))])
            for i in range(panels)
        ]
        vectors = range(panels * VECTORS)
        rows_of_c = [builder.gep(c, [builder.mul(ldc, i64(r))]) for r in range(rows)]
        tile = [[part(row_of_c, v) for v in vectors] for row_of_c in rows_of_c]
        for address in chain(*tile):  # C is on its way to the cache meanwhile
            builder.call(
                prefetch, [builder.bitcast(address, byte), *map(flag, (1, 3, 1))]
            )

        entry = builder.block
        loop = builder.append_basic_block("k")
        done = builder.append_basic_block("stored")
        builder.branch(loop)
        builder.position_at_end(loop)
        k = builder.phi(i64)
        sums = [[builder.phi(vector) for _ in vectors] for _ in range(rows)]
        rows_of_p = [builder.gep(p, [builder.mul(k, panel)]) for p in starts_p]
        p_k = [weights(row, v) for row in rows_of_p for v in range(VECTORS)]
        at_k, added = builder.mul(k, column), []
        for start, row in zip(starts, sums, strict=True):
            one = builder.insert_element(
                undefined, load(builder.gep(start, [at_k])), lane(0)
            )
            a_k = builder.shuffle_vector(one, undefined, all_first)
            added.append(
                [
                    builder.call(multiply_add, [a_k, p_kv, s])
                    for p_kv, s in zip(p_k, row, strict=True)
                ]
            )
        following = builder.add(k, i64(1))
        k.add_incoming(i64(0), entry)
        k.add_incoming(following, loop)
        for row, more in zip(sums, added, strict=True):
            for s, m in zip(row, more, strict=True):
                s.add_incoming(ir.Constant(vector, [0.0] * width), entry)
                s.add_incoming(m, loop)
        builder.cbranch(builder.icmp_signed("<", following, K), loop, done)
        builder.position_at_end(done)
        with builder.if_else(builder.icmp_signed("!=", add, i64(0))) as (then, no):
            for branch, adds in ((then, True), (no, False)):
                with branch:
                    for address, total in zip(chain(*tile), chain(*added), strict=True):
                        if adds:
                            total = builder.fadd(load(address), total)
                        builder.store(total, address).align = _FLOAT
        return context.get_dummy_value()

    # Numba asks for the names of all arguments.
    def typed(  # type: ignore[no-untyped-def]
        context: Any,
        a: Any,
        row: Any,
        column: Any,
        P: Any,
        p: Any,
        K: Any,
        c: Any,
        ldc: Any,
        add: Any,
    ):
        i = types.intp
        return types.void(i, i, i, P, i, i, i, i, i), generate

    return intrinsic(typed)


# With a single row, each multiply-add would wait for the one before, so a tile of one
# row covers several panels.
_ROW_PANELS = 4
_tile, _row, _long_row = tile(ROWS), tile(1), tile(1, panels=_ROW_PANELS)
# Blocks that fit the caches of most processors: rows and columns of W that are packed
# together, and rows of a transposed matrix.
_DEPTH, _COLUMNS, _LINES = 1024, 4 * PANEL, 128


def panels(K: int, N: int, dtype: Any = np.float32) -> Array:
    """Allocate the panels into which `pack` copies a matrix (K, N)."""
    if np.dtype(dtype) != np.float32:
        raise ConfigError(
            f"dtype is {np.dtype(dtype)}; expected float32, or kernels='numpy'"
        )
    return np.zeros((-(-N // PANEL), K, PANEL), np.float32)


def shared_panels(K: int, N: int, dtype: Any = np.float32) -> tuple[Array, Array]:
    """Allocate panels for a matrix (K, N), and in the same memory for its transpose."""
    both = panels(K, N, dtype), panels(N, K, dtype)
    memory = max(both, key=np.size).reshape(-1)
    first, second = (memory[: one.size].reshape(one.shape) for one in both)
    return first, second


def _copy_floats(typing_context: Any, to: Any, source: Any, count: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        copy: Any = cgutils.raw_memcpy  # untyped
        *addresses, count = args
        byte = ir.IntType(8).as_pointer()
        pointers = [builder.inttoptr(address, byte) for address in addresses]
        copy(builder, *pointers, count, _FLOAT)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 3), generate


# Copies `count` floats from one address to another. A loop over a slice would take
# several times as long, and an assigned slice would take seconds to compile.
_copy: Any = intrinsic(_copy_floats)


def pack(W: Array, out: Array) -> Array:
    """Copy W (K, N) into out, panels of columns (panels, K, PANEL); return out."""
    (K, N), (w, row, column) = W.shape, _layout(W)
    _pack(K, N, w, row, column, out.ctypes.data)
    return out


def multiply(A: Array, W: Array, out: Array) -> None:
    """Write A W into out (M, N): A (M, K) and W (K, N), which may be transposed."""
    (M, K), N = A.shape, W.shape[1]
    (a, row, column), (c, ldc, _) = _layout(A), _layout(out)
    w, w_row, w_column = _layout(W)
    block = np.empty((1, _DEPTH, _COLUMNS), np.float32)  # of W, packed
    p = block.ctypes.data
    for k in range(0, K, _DEPTH):
        depth, a_k = min(_DEPTH, K - k), a + k * column * _FLOAT
        for n in range(0, N, _COLUMNS):
            columns, c_n = min(_COLUMNS, N - n), c + n * _FLOAT
            w_kn = w + (k * w_row + n * w_column) * _FLOAT
            _pack(depth, columns, w_kn, w_row, w_column, p)
            _product(M, depth, columns, a_k, row, column, block, c_n, ldc, int(k > 0))


def _layout(array: Array) -> tuple[int, int, int]:
    """Return the address, and the strides of rows and columns in floats.

    Functions of these are compiled once, and not for each layout of the arrays.
    """
    row, column = array.strides
    return array.ctypes.data, row // _FLOAT, column // _FLOAT


@inlined
def product(A: Array, P: Array, C: Array) -> None:
    """Compute C = A W, with A (M, K), C (M, N), and P the panels of W (K, N)."""
    (M, K), N = A.shape, C.shape[1]
    row, column, ldc = A.strides[0], A.strides[1], C.strides[0]
    a, c = np.intp(A.ctypes.data), np.intp(C.ctypes.data)
    _product(M, K, N, a, row // _FLOAT, column // _FLOAT, P, c, ldc // _FLOAT, 0)


@compiled
def _pack(K: int, N: int, w: int, row: int, column: int, p: int) -> None:
    full, size = N // PANEL, K * PANEL
    if column == 1:
        for first in range(0, full, _COLUMNS // PANEL):
            for k in range(K):
                w_k, p_k = w + k * row * _FLOAT, p + k * PANEL * _FLOAT
                for i in range(first, min(first + _COLUMNS // PANEL, full)):
                    to, source = p_k + i * size * _FLOAT, w_k + i * PANEL * _FLOAT
                    _copy(to, source, PANEL)
        for k in range(K if full * PANEL < N else 0):
            to, source = full * size + k * PANEL, k * row + full * PANEL
            _copy(p + to * _FLOAT, w + source * _FLOAT, N - full * PANEL)
    else:
        # A transposed matrix: so many rows at a time as fit in the L1 cache with their
        # part of the panel.
        for start in range(0, N, PANEL):
            columns = min(PANEL, N - start)
            for first in range(0, K, _LINES):
                for j in range(columns):
                    source = w + (start + j) * column * _FLOAT
                    to = p + (start * K + j) * _FLOAT
                    for k in range(first, min(first + _LINES, K)):
                        _copy(to + k * PANEL * _FLOAT, source + k * row * _FLOAT, 1)


@compiled
def _product(
    M: int,
    K: int,
    N: int,
    a: int,
    row: int,
    column: int,
    P: Array,
    c: int,
    ldc: int,
    add: int,
) -> None:
    full, tiled = N // PANEL, M - M % ROWS
    long = full - full % _ROW_PANELS
    for i in range(tiled, M):
        a_i = a + i * row * _FLOAT
        for n in range(0, long, _ROW_PANELS):
            p_n, c_in = n * K * PANEL, c + (i * ldc + n * PANEL) * _FLOAT
            _long_row(a_i, row, column, P, p_n, K, c_in, ldc, add)
    part = np.empty((ROWS, PANEL), np.float32)
    for n in range(-(-N // PANEL)):
        p_n, columns = n * K * PANEL, min(PANEL, N - n * PANEL)
        for i in range(0, tiled if n < long else M, ROWS):
            rows = min(ROWS, M - i)
            a_i, c_in = a + i * row * _FLOAT, c + (i * ldc + n * PANEL) * _FLOAT
            to, ldt = c_in, ldc
            if columns < PANEL:  # the last panel is not full
                to, ldt = np.intp(part.ctypes.data), PANEL
                for r in range(rows if add else 0):
                    _copy(to + r * ldt * _FLOAT, c_in + r * ldc * _FLOAT, columns)
            if rows == ROWS:
                _tile(a_i, row, column, P, p_n, K, to, ldt, add)
            else:
                for r in range(rows):
                    a_r, to_r = a_i + r * row * _FLOAT, to + r * ldt * _FLOAT
                    _row(a_r, row, column, P, p_n, K, to_r, ldt, add)
            for r in range(rows if columns < PANEL else 0):
                _copy(c_in + r * ldc * _FLOAT, to + r * ldt * _FLOAT, columns)
