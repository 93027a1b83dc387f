"""The quickstart notebook runs from top to bottom, and shows what it promises."""

import json

import pytest
from notebooks import executed, needs_jupyter
from places import ROOT

NOTEBOOK = ROOT / "examples" / "quickstart.ipynb"


def test_it_is_kept_without_outputs():
    found = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    code = [cell for cell in found["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] for cell in code)
    assert all(cell["execution_count"] is None for cell in code)


def html_of(cell):
    """Return what a cell shows as HTML, the last version of each picture."""
    datas = [output.get("data", {}) for output in cell.outputs]
    return [data["text/html"] for data in datas if "text/html" in data]


def printed(cell):
    texts = [o.text for o in cell.outputs if o.output_type == "stream"]
    return "".join(texts)


@needs_jupyter
@pytest.mark.filterwarnings("default")  # Jupyter's own are not ours to mend
@pytest.mark.slow
def test_it_runs(tmp_path, monkeypatch):
    cells = {cell["id"]: cell for cell in executed(NOTEBOOK, tmp_path, monkeypatch)}
    assert "LanguageModel: ensemble of 3 networks" in html_of(cells["write-load"])[0]
    assert printed(cells["write"]).startswith("ROMEO:\n")
    assert ">&#x27;O&#x27;</td>" in html_of(cells["next"])[0]
    assert "temperature 0.3" in html_of(cells["compare"])[0]
    assert "default-src 'none'" in (tmp_path / "temperatures.html").read_text()
    curve, card = html_of(cells["train"])
    assert curve.count("polyline") == card.count("polyline") == 2
    assert "char/s" in printed(cells["train"])
    assert "interrupted at step" in printed(cells["stop"])
    assert "LanguageModel: mgru" in html_of(cells["resume"])[-1]
    assert (tmp_path / "checkpoints/python/best.npz").is_file()
    nats = [float(line.split()[1]) for line in printed(cells["score"]).splitlines()]
    assert nats[1] < nats[0]
