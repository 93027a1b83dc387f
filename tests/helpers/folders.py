"""The folders of runs, compared."""

import json

import numpy as np


def history(folder):
    """Return a folder's history without its times."""
    lines = (folder / "history.jsonl").read_text(encoding="utf-8").splitlines()
    return [{**json.loads(line), "seconds": 0} for line in lines]


def assert_equal_folders(one, other):
    for name in ("best.npz", "last.npz"):
        with np.load(one / name) as a, np.load(other / name) as b:
            assert a.files == b.files
            for member in a.files:
                if member != "header":
                    np.testing.assert_array_equal(a[member], b[member])
            headers = [json.loads(file["header"].tobytes()) for file in (a, b)]
        for header in headers:
            header.get("progress", {})["seconds"] = 0
            header["corpus"]["files"] = []
        assert headers[0] == headers[1]
    assert history(one) == history(other)
