"""Strings of strangers in a page: text, whatever they are."""

import json
import re
from html import unescape
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.markup.escape import data, escaped

EVIL = '</script><script>alert("1")</script><!-- & \u2028'
BAD = "\N{REPLACEMENT CHARACTER}"
any_text = st.text(st.characters(exclude_categories=()))


class Parser(HTMLParser):
    """Notes what a browser would find in a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text += data


def test_a_page_holds_no_control_and_no_half_character():
    text = "a\x00\x1b[31mb\ud800\ufffe\x85\tc\nשלום"
    assert escaped(text) == f"a{BAD}{BAD}[31mb{BAD}{BAD}{BAD}\tc\nשלום"


@given(any_text)
def test_any_text_stays_text(text):
    page = escaped(text)
    page.encode("utf-8")
    found = Parser(f'<b title="{page}">{page}</b>')
    assert found.tags == ["b"]
    assert found.text == unescape(page)
    assert found.attributes == [("title", unescape(page))]


@given(any_text)
def test_any_string_in_a_script_stays_in_it(text):
    found = data([text, EVIL])
    assert not re.search("[<>&\u2028\u2029]", found)
    first, second = json.loads(found)
    assert second == EVIL
    assert first == json.loads(json.dumps(text)) or BAD in first


@pytest.mark.parametrize("value", [None, 1.5, {"a": [1, "é"]}, "\x1b"])
def test_values_survive(value):
    shown = json.loads(data(value))
    assert shown == value


def test_control_characters_of_data_are_escaped_by_json():
    assert data("\x00\x7f") == f'"\\u0000{BAD}"'
