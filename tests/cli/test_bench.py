"""charrnn bench: what it measures and prints. No figure is checked here."""

import json

import numpy as np
import pytest
from extras import HAVE_NUMBA
from runner import CliRunner

from charrnn import presets as recipes
from charrnn.cli import main
from charrnn.cli.bench import preset_row
from charrnn.cli.format import describe_layout
from charrnn.nn.workers import Layout
from charrnn.presets import Preset
from charrnn.training.autotune import Speed, candidate_layouts, preset_speed

REAL = dict(recipes.PRESETS)  # before the fixture below makes one tiny
TINY = {
    "cell": "rnn",
    "hidden": 8,
    "batch": 4,
    "window": 8,
    "minutes": 0.1,
    "dropout": 0.2,
}


@pytest.fixture(autouse=True)
def small_presets(monkeypatch):
    monkeypatch.setitem(recipes.PRESETS, "quick", Preset("a moment", TINY))


def bench(*arguments):
    result = CliRunner().invoke(main, ["bench", *arguments])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


@pytest.mark.slow
def test_the_table_has_products_and_the_preset_in_lines_that_fit():
    page = bench("--preset", "quick")
    lines = page.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].endswith(f"NumPy {np.__version__}")
    (row,) = [line for line in lines if line.startswith("  quick, rnn 1 x 8")]
    plain = row.removeprefix("  quick, rnn 1 x 8").split()[0]
    assert float(plain.replace(",", "")) > 0
    assert ('pip install "charrnn[fast]"' in page) == (not HAVE_NUMBA)


def test_json_has_the_same():
    found = json.loads(bench("--preset", "quick", "--json"))
    assert set(found) == {"cores", "numpy", "products", "presets"}
    assert all(rate > 0 for rate in found["products"].values())
    quick = found["presets"]["quick"]
    assert set(quick) == ({"plain", "compiled"} if HAVE_NUMBA else {"plain"})
    assert quick["plain"]["characters"] > 0


def test_the_layout_is_one_that_training_would_choose_from():
    found = preset_speed("quick", "numpy", seconds=0.01)
    assert found.layout in candidate_layouts(0, TINY["batch"], "numpy")


@pytest.mark.parametrize(
    ("layout", "batch", "networks"),
    [
        (Layout(1, 1), "1", "1"),
        (Layout(1, 128), "128, inside products", "128, inside products"),
        (Layout(128, 1), "128, over the batch", "128, over the networks"),
    ],
)
@pytest.mark.parametrize("preset", REAL)
def test_each_row_fits_with_any_layout(preset, layout, batch, networks, monkeypatch):
    monkeypatch.setitem(recipes.PRESETS, preset, REAL[preset])
    several = REAL[preset].settings.get("members", 1) > 1
    row = preset_row(preset, Speed(123_456.7, layout), Speed(1_234_567.8, layout))
    assert len(row) <= 80
    assert row.endswith(f"123,457  1,234,568  10.00  {networks if several else batch}")


@pytest.mark.parametrize(
    ("layout", "words"),
    [
        (Layout(1, 1), "1 thread"),
        (Layout(1, 4), "4 threads per matrix product"),
        (Layout(3, 1), "batch split over 3 threads"),
    ],
)
def test_a_layout_in_words(layout, words):
    assert describe_layout(layout) == words
