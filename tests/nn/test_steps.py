"""The product of one time step in blocks, and stretches of steps."""

import numpy as np
import pytest

from charrnn.nn.gates import blocks
from charrnn.nn.steps import StepProduct, longest_stretch, stretches_backward


# 16 x 256 x 256 is just too large for one block; 200 leaves a narrow block; 7 and 127
# have no blocks; 512 rows have none that is small enough. Columns of 256, 512 and 1024
# elements are copied in another way.
@pytest.mark.parametrize(
    ("N", "K", "M"),
    [
        *[(16, 256, 256), (16, 200, 200), (3, 7, 7), (40, 127, 127), (512, 300, 200)],
        *[(16, 512, 200), (40, 1024, 127)],
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_product_in_blocks_is_the_product(N, K, M, dtype):
    rng = np.random.default_rng(0)
    out = np.full((N, M), np.nan, dtype)
    product = StepProduct(K, out)
    for _ in range(2):  # a second matrix replaces the first
        x, W = rng.standard_normal((N, K)), rng.standard_normal((M, K)).T
        product.use(W.astype(dtype))
        product(x.astype(dtype))
        np.testing.assert_allclose(out, x @ W, rtol=0, atol=1e-3)


def test_a_product_goes_to_each_gate():
    rng = np.random.default_rng(0)
    u = np.full((5, 3 * 200), np.nan)
    x, W = rng.standard_normal((5, 300)), rng.standard_normal((3, 300, 200))
    product = StepProduct(300, out=blocks(u, 3))
    product.use(W)
    product(x)
    np.testing.assert_allclose(blocks(u, 3), x @ W)


@pytest.mark.parametrize(("T", "N", "H"), [(64, 16, 128), (64, 64, 999), (5, 1, 1)])
def test_stretches_cover_all_steps_backward(T, N, H):
    stretches = stretches_backward(T, N, H)
    steps = [t for s in stretches for t in reversed(range(s.start, s.stop))]
    assert steps == [*reversed(range(T))]
    assert max(s.stop - s.start for s in stretches) == longest_stretch(T, N, H)
