"""The notebook runs from top to bottom, and its page says what it says."""

import json
import re
import runpy

import pytest
from notebooks import executed, needs_jupyter
from places import ROOT

NOTEBOOK = ROOT / "examples" / "from_scratch.ipynb"
PAGE = ROOT / "docs" / "from-scratch.md"
# Importing the script needs no Jupyter; running it does.
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "from_scratch_page.py"))


def notebook():
    return json.loads(NOTEBOOK.read_text(encoding="utf-8"))


def test_page_has_every_cell_of_the_notebook_and_what_it_printed():
    rest = PAGE.read_text(encoding="utf-8").removeprefix(SCRIPT["NOTE"])
    for cell in notebook()["cells"]:
        text = SCRIPT["cell_text"](cell)
        assert rest.startswith(text), (
            f"docs/from-scratch.md differs from the notebook at cell {cell['id']}; "
            "run scripts/from_scratch_page.py"
        )
        rest = rest.removeprefix(text)
        output = re.match(r"```text\n.*?\n```\n\n", rest, re.DOTALL)
        tags = cell["metadata"].get("tags", [])
        prints = cell["cell_type"] == "code" and "naive" not in tags
        assert bool(output) == prints, f"output of cell {cell['id']}"
        rest = rest[output.end() :] if output else rest
    assert re.fullmatch(r"\*Times and speeds: [^\n]+\.\*\n", rest)


def test_notebook_is_kept_without_outputs():
    found = notebook()
    assert (found["nbformat"], found["nbformat_minor"]) == (4, 5)
    ids = [cell["id"] for cell in found["cells"]]
    assert len(ids) == len(set(ids))
    for cell in found["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None


@needs_jupyter
@pytest.mark.filterwarnings("default")  # Jupyter's own are not ours to mend
@pytest.mark.slow
def test_notebook_runs_without_a_corpus(tmp_path, monkeypatch):
    # It finds no data/ where it starts.
    cells = executed(NOTEBOOK, tmp_path, monkeypatch)
    printed = {cell["id"]: SCRIPT["output_text"](cell) for cell in cells}
    assert "after [8, 9, 10]: 1 with" in printed["numbers"]
    assert "after [5, 4, 3]: with memory 2" in printed["memory"]
    clean, *broken = re.findall(r"\de[+-]\d\d.*", printed["sabotage-code"])
    assert max(map(float, clean.split())) < 1e-6
    assert len(broken) == 10
    assert all(max(map(float, row.split())) > 1e-3 for row in broken)
