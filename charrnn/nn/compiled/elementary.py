"""tanh and exp in float32, written so that Numba can turn them into vector code.

tanh is x P(x²) / Q(x²) with the coefficients of Eigen's float32 `ptanh` (a minimax fit,
clamped where tanh rounds to 1). Its largest absolute error is 2.6e-7, four units in the
last place of a number just below 1; for small values the relative error is at most
3e-7. exp(x) is 2^n exp(r) with n = round(x / ln 2), r = x - n ln 2 in two parts, and
the Cephes polynomial for exp on |r| <= ln 2 / 2; its largest relative error is 2e-7.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from charrnn.nn.compiled.jit import inlined

_f = np.float32
ONE, HALF = _f(1), _f(0.5)
_LIMIT = _f(7.90531110763549805)
_P0, _P1 = _f(4.89352455891786e-03), _f(6.37261928875436e-04)
_P2, _P3 = _f(1.48572235717979e-05), _f(5.12229709037114e-08)
_P4, _P5 = _f(-8.60467152213735e-11), _f(2.00018790482477e-13)
_P6 = _f(-2.76076847742355e-16)
_Q0, _Q1 = _f(4.89352518554385e-03), _f(2.26843463243900e-03)
_Q2, _Q3 = _f(1.18534705686654e-04), _f(1.19825839466702e-06)


@inlined
def tanh(x: Any) -> Any:
    # Comparisons with NaN are false, so NaN passes through.
    x = _LIMIT if x > _LIMIT else x
    x = -_LIMIT if x < -_LIMIT else x
    y = x * x
    p = ((((((_P6 * y + _P5) * y + _P4) * y + _P3) * y + _P2) * y) + _P1) * y + _P0
    q = ((_Q3 * y + _Q2) * y + _Q1) * y + _Q0
    return x * p / q


@inlined
def sigmoid(x: Any) -> Any:
    return HALF + HALF * tanh(HALF * x)


def _float_of_bits(typing_context: Any, bits: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.FloatType())

    return types.float32(types.int32), generate


_float32_of_bits: Any = intrinsic(_float_of_bits)


_LOWEST, _HIGHEST = _f(-87.3), _f(88.3)  # beyond these, 2^n is not a normal float32
_PER_LN2, _LN2_HIGH, _LN2_LOW = _f(1.44269504), _f(0.693359375), _f(-2.12194440e-4)
_E0, _E1, _E2 = _f(1.9875691500e-4), _f(1.3981999507e-3), _f(8.3334519073e-3)
_E3, _E4, _E5 = _f(4.1665795894e-2), _f(1.6666665459e-1), _f(5.0000001201e-1)


@inlined
def exp(x: Any) -> Any:
    x = _HIGHEST if x > _HIGHEST else x
    x = _LOWEST if x < _LOWEST else x
    n = np.floor(x * _PER_LN2 + HALF)
    r = x - n * _LN2_HIGH - n * _LN2_LOW
    p = ((((_E0 * r + _E1) * r + _E2) * r + _E3) * r + _E4) * r + _E5
    p = p * r * r + r + ONE
    return p * _float32_of_bits((np.int32(n) + np.int32(127)) << np.int32(23))
