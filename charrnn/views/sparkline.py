"""A line of numbers as a line of text: one block character for each."""

from collections.abc import Sequence
from statistics import median

BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(points: Sequence[tuple[float, float]], width: int) -> str:
    """Return points (x, y), in ascending order of x, as up to `width` blocks.

    If there are more points, each block is the mean over its share of the x-axis, or
    the block before it if there are none. The scale begins at the lowest, and ends far
    above the median, so that the first losses of a run do not make the others flat.
    """
    heights = [y for _, y in points]
    if len(points) > width:
        heights = _means(points, width)
    if not heights:
        return ""
    low, high = min(heights), max(heights)
    usual = median(heights)
    if usual > low:
        high = min(high, low + 3 * (usual - low))
    scale = (len(BLOCKS) - 1) / (high - low) if high > low else 0.0
    return "".join(BLOCKS[round((min(y, high) - low) * scale)] for y in heights)


def _means(points: Sequence[tuple[float, float]], width: int) -> list[float]:
    """Return the means over `width` equal parts of the x-axis."""
    first, last = points[0][0], points[-1][0]
    parts: list[list[float]] = [[] for _ in range(width)]
    for x, y in points:
        share = (x - first) / (last - first) if last > first else 0.0
        parts[min(width - 1, int(share * width))].append(y)
    means: list[float] = []
    for part in parts:
        means.append(sum(part) / len(part) if part else means[-1])
    return means
