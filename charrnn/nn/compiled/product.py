"""The matrix product of one time step, for which a general BLAS is not a good fit.

`h[t] Wh` has few rows, 8 to 64, and the same right-hand matrix in every step of a
window. A BLAS copies that matrix into its own block layout at each call, which for so
few rows takes as long as the arithmetic. Here it is packed once per window, into panels
that are as wide as two vector registers. The product then runs at the speed of the
multipliers: a tile of C, a few rows by one panel, stays in registers while k runs from
0 to K, and each k takes one load per vector of the panel and one multiply-add per
vector of the tile. This is the idea of GotoBLAS (Goto & van de Geijn 2008) without the
packing of A, which so few rows do not need.

float32 only. Compilers do not keep such a tile in registers by themselves, so its loop
is written in LLVM's intermediate representation; all the rest is Python.
"""

from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from charrnn.errors import ConfigError
from charrnn.nn.compiled.jit import compiled
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


def tile(rows: int, width: int = WIDTH, panels: int = 1) -> Any:
    """Return an intrinsic that computes C = A P, for fixed numbers of rows and panels.

    Its arguments are a, lda, p, K, c, ldc: the addresses of float32 arrays, the strides
    of the rows of A and C in floats, and K. The panels of P, each (K, VECTORS · width),
    are contiguous in memory, and their columns of C are adjacent.
    """
    f32, i64, lane = ir.FloatType(), ir.IntType(64), ir.IntType(32)
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
        a, lda, p, K, c, ldc = args
        a, p, c = (builder.inttoptr(x, f32.as_pointer()) for x in (a, p, c))
        starts = [builder.gep(a, [builder.mul(lda, i64(r))]) for r in range(rows)]

        def load(address: Any) -> Any:
            found = builder.load(address)
            found.align = 4
            return found

        def part(address: Any, v: int) -> Any:
            address = builder.gep(address, [i64(v * width)])
            return builder.bitcast(address, vector.as_pointer())

        panel = i64(VECTORS * width)
        starts_p = [
            builder.gep(p, [builder.mul(builder.mul(K, panel), i64(i))])
            for i in range(panels)
        ]
        vectors = range(panels * VECTORS)

        entry = builder.block
        loop = builder.append_basic_block("k")
        done = builder.append_basic_block("stored")
        builder.branch(loop)
        builder.position_at_end(loop)
        k = builder.phi(i64)
        sums = [[builder.phi(vector) for _ in vectors] for _ in range(rows)]
        rows_of_p = [builder.gep(p, [builder.mul(k, panel)]) for p in starts_p]
        p_k = [load(part(row, v)) for row in rows_of_p for v in range(VECTORS)]
        added = []
        for start, row in zip(starts, sums, strict=True):
            one = builder.insert_element(
                undefined, load(builder.gep(start, [k])), lane(0)
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
        for r, more in enumerate(added):
            start = builder.gep(c, [builder.mul(ldc, i64(r))])
            for v, m in enumerate(more):
                builder.store(m, part(start, v)).align = 4
        return context.get_dummy_value()

    def typed(typing_context: Any, a: Any, lda: Any, p: Any, K: Any, c: Any, ldc: Any):  # type: ignore[no-untyped-def]
        return types.void(*[types.intp] * 6), generate

    return intrinsic(typed)


# With a single row, each multiply-add would wait for the one before, so a tile of one
# row covers several panels.
_ROW_PANELS = 4
_tile, _row, _long_row = tile(ROWS), tile(1), tile(1, panels=_ROW_PANELS)
_FLOAT = 4  # bytes


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


@compiled
def pack(W: Array, out: Array) -> Array:
    """Copy W (K, N) into out, panels of columns (panels, K, PANEL); return out."""
    K, N = W.shape
    for i in range(len(out)):
        start = i * PANEL
        columns = min(PANEL, N - start)
        for k in range(K):
            for j in range(columns):
                out[i, k, j] = W[k, start + j]
    return out


@compiled
def product(A: Array, P: Array, C: Array) -> None:
    """Compute C = A W, with A (M, K), C (M, N), and P the panels of W (K, N)."""
    M, K = A.shape
    N = C.shape[1]
    lda, ldc = A.strides[0] // _FLOAT, C.strides[0] // _FLOAT
    a, p, c = A.ctypes.data, P.ctypes.data, C.ctypes.data
    full, tiled = N // PANEL, M - M % ROWS
    for n in range(full):
        for i in range(0, tiled, ROWS):
            a_i, c_i = a + i * lda * _FLOAT, c + (i * ldc + n * PANEL) * _FLOAT
            _tile(a_i, lda, p + n * K * PANEL * _FLOAT, K, c_i, ldc)
    for i in range(tiled, M):
        a_i, c_i, n = a + i * lda * _FLOAT, c + i * ldc * _FLOAT, 0
        while n + _ROW_PANELS <= full:
            p_n = p + n * K * PANEL * _FLOAT
            _long_row(a_i, lda, p_n, K, c_i + n * PANEL * _FLOAT, ldc)
            n += _ROW_PANELS
        while n < full:
            p_n = p + n * K * PANEL * _FLOAT
            _row(a_i, lda, p_n, K, c_i + n * PANEL * _FLOAT, ldc)
            n += 1
    if full * PANEL < N:  # the last panel is not full
        start, p_n = full * PANEL, p + full * K * PANEL * _FLOAT
        part = np.empty((ROWS, PANEL), np.float32)
        for i in range(0, tiled, ROWS):
            _tile(a + i * lda * _FLOAT, lda, p_n, K, part.ctypes.data, PANEL)
            # Assigned to a slice, this would take Numba seconds more to compile.
            for r in range(ROWS):
                for j in range(start, N):
                    C[i + r, j] = part[r, j - start]
        for i in range(tiled, M):
            _row(a + i * lda * _FLOAT, lda, p_n, K, part.ctypes.data, PANEL)
            for j in range(start, N):
                C[i, j] = part[0, j - start]
