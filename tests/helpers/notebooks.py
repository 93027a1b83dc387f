"""Notebooks, executed by a real kernel."""

import os
from importlib.util import find_spec

import pytest
from places import ROOT

needs_jupyter = pytest.mark.skipif(
    not all(map(find_spec, ("nbclient", "nbformat", "ipykernel"))),
    reason="Jupyter's executor is not installed (pip install nbclient ipykernel)",
)


def executed(path, folder, monkeypatch):
    """Run a notebook in a folder with this clone's charrnn; return its cells."""
    import nbformat
    from nbclient import NotebookClient

    paths = [str(ROOT), os.environ.get("PYTHONPATH")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    found = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(
        found, kernel_name="python3", timeout=300, resources=resources
    ).execute()
    return found.cells
