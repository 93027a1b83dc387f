"""Paths of the repository and of tiny Shakespeare."""

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]


def find_tinyshakespeare():
    """Return the path of tiny Shakespeare, or None if it is not on this machine."""
    for place in (
        os.environ.get("CHARRNN_TINYSHAKESPEARE"),
        ROOT / "data" / "tinyshakespeare.txt",
        ROOT.parent / "shared" / "data" / "tinyshakespeare.txt",
    ):
        if place and Path(place).is_file():
            return Path(place)
    return None
