"""What comes next: a list like any other, which a notebook shows as bars."""

import re
from xml.etree import ElementTree

from texts import trained

from charrnn.generation.choices import Choices


def test_it_is_a_list_of_characters_and_probabilities():
    found = trained().next("Ann ", top=3)
    assert isinstance(found, list)
    assert found == [(character, p) for character, p in found]
    assert len(found) == 3


def test_a_notebook_shows_a_bar_as_long_as_each_probability():
    found = Choices([("a", 0.75), ("<", 0.2), ("\n", 0.04), ("", 0.01)])
    table = ElementTree.fromstring(found._repr_html_())
    rows = [["".join(cell.itertext()) for cell in row] for row in table.iter("tr")]
    assert [row[0] for row in rows] == ["'a'", "'<'", r"'\n'", "end"]
    assert [row[1] for row in rows] == ["0.7500", "0.2000", "0.0400", "0.0100"]
    bars = re.findall(r";width:([\d.]+%)", found._repr_html_())
    assert bars == ["75.00%", "20.00%", "4.00%", "1.00%"]
