"""`charrnn neurons`: a table, JSON, one unit on a terminal, and a page."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from runner import CliRunner
from terminal import on_terminal
from texts import save_trained, sentences, trained

from charrnn.cli import main
from charrnn.views.neurons import activations, rank


@pytest.fixture(autouse=True)
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return save_trained(Path("checkpoints/lines").absolute())


def neurons(*arguments, status=0, **environ):
    result = CliRunner(env=environ).invoke(main, ["neurons", *map(str, arguments)])
    assert result.exit_code == status, (result.output, result.exception)
    return result


def refused(*arguments, status=1):
    result = neurons(*arguments, status=status)
    assert result.stdout == ""
    return result.stderr.strip().split("\n")[-1]


def validation():
    """Return the ids of the validation part of the model's text."""
    ids = trained().encode(sentences(300))
    return ids[int(len(ids) * (1 - trained().split.val_fraction)) :]


def test_the_table_has_the_best_unit_for_each_feature_of_the_validation_part():
    found = rank(trained(), validation())
    lines = neurons().stdout.splitlines()
    assert lines[0].split() == ["unit", "feature", "chosen", "checked", "untrained"]
    for line, each in zip(lines[1:11], found.of_features(), strict=False):
        numbers = each.chosen, each.checked, found.untrained_of(each.feature)
        expected = [f"0:{each.unit}", each.feature]
        expected += [f"{round(x, 2) + 0:.2f}" for x in numbers]
        expected += [] if each.holds else ["?"]
        assert re.split(r"  +", line) == expected
    assert lines[11] == ""
    assert f"chosen on {found.characters:,} characters" in lines[12]


def test_per_unit_and_top():
    found = rank(trained(), validation())
    lines = neurons("--per", "unit", "--top", 3).stdout.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == [
        f"0:{each.unit}" for each in found.followers[:3]
    ]
    assert lines[4] == ""


def test_json_holds_the_whole_ranking(run):
    Path("other.txt").write_text(sentences(80, seed=4), encoding="utf-8")
    found = json.loads(neurons(run, "other.txt", "--json").stdout)
    model = trained()
    prime = model.encode_prime("")
    ids = np.concatenate([prime, model.encode(sentences(80, seed=4))])
    expected = rank(model, ids, start=len(prime)).to_dict()
    assert found == {"text": "other"} | json.loads(json.dumps(expected))
    assert len(found["units"]) == 24
    assert {"layer", "unit", "feature", "chosen", "checked", "holds"} == {
        *found["units"][0]
    }


def test_one_unit_as_json():
    found = json.loads(neurons("--text", "Ann, Ben", "--unit", "0:3", "--json").stdout)
    model = trained()
    prime = model.encode_prime("")
    ids = np.concatenate([prime, model.encode("Ann, Ben")])
    expected = activations(model, ids, [(0, 3)], start=len(prime))[:, 0]
    assert found.pop("activations") == expected.tolist()
    assert found == {"layer": 0, "unit": 3, "text": "Ann, Ben", "features": []}


def test_one_unit_has_signs_below_its_lines_without_colours():
    text = "Ann mends the moon, in June.\nBen"
    arguments = ("--text", text, "--unit", "0:3")
    found = json.loads(neurons(*arguments, "--json").stdout)["activations"]
    lines = neurons(*arguments).stdout.splitlines()
    levels = [round(8 * value) for value in found]
    signs = ["+" if x >= 4 else "-" if x <= -4 else " " for x in levels]
    assert {"+", "-"} & {*signs}
    assert lines[:4] == [
        text[:28] + "↵",
        "".join(signs[:29]).rstrip(),
        "Ben",
        "".join(signs[29:]).rstrip(),
    ]
    assert "\x1b" not in "".join(lines)


def test_colours_if_asked_for_or_on_a_terminal(tmp_path):
    arguments = ("--text", "Ann mends the moon.", "--unit", "0:3")
    colored = neurons(*arguments, "--color", "always", NO_COLOR="1").stdout
    assert "\x1b[38;5;" in colored
    plain = re.sub(r"\x1b\[[\d;]*m", "", colored)
    assert plain.startswith("Ann mends the moon.\n")
    for settings, expected in (({}, True), ({"NO_COLOR": "1"}, False)):
        settings = {"TERM": "xterm", "NO_COLOR": ""} | settings
        arguments = ("neurons", *arguments[-4:])
        status, shown = on_terminal(*arguments, cwd=tmp_path, columns=60, **settings)
        assert status == 0
        assert (b"\x1b[38;5;" in shown) == expected


def test_a_terminal_of_60_columns_has_room(tmp_path):
    status, shown = on_terminal(
        "neurons", "--top", "30", cwd=tmp_path, columns=60, COLUMNS=""
    )
    assert status == 0
    assert max(map(len, shown.decode().splitlines())) <= 60


def test_a_page_of_the_best_units_and_of_one(run):
    result = neurons("--html", "page.html", "--top", 2, "--length", 50)
    assert result.stdout == ""
    assert "wrote page.html" in result.stderr
    page = Path("page.html").read_text(encoding="utf-8")
    assert page.count("<details") == 2
    assert page.count("<i>") + page.count("<i class") >= 100
    neurons("--html", "one.html", "--text", "Ann", "--unit", "0:3")
    one = Path("one.html").read_text(encoding="utf-8")
    assert one.count("<details") == 1
    assert "Layer 0, unit 3" in one
    assert "already exists" in refused("--html", "page.html")
    assert Path("page.html").read_text(encoding="utf-8") == page
    neurons("--html", "page.html", "--force", "--top", 1)
    assert Path("page.html").read_text(encoding="utf-8") != page


def test_the_cell_state_needs_an_lstm():
    assert "has no cell state" in refused("--cell-state")


def test_mistakes(run):
    assert "0:17" in refused("--unit", "17", status=2)
    assert "no unit 0:24; expected a layer from 0 to 0" in refused("--unit", "0:24")
    assert "too few to rank units" in refused("--text", "Ann")
    assert "charrnn neurons" in refused(run, "Ann", status=2)
    assert "has never seen" in refused("--text", "Ωm", "--unit", "0:1")
