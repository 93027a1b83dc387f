"""Pages: one file, nothing fetched, and only the scripts that belong to it."""

import hashlib
import re
from base64 import b64encode

import pytest

from charrnn.markup.page import asset, page


@pytest.fixture
def found():
    return page("<b>&", "<p>body</p>")


def test_its_title_is_text(found):
    assert "<title>&lt;b&gt;&amp;</title>" in found


def test_it_names_nothing_to_fetch(found):
    without = found.replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?:|//[a-z]|url\(|@import|src=|href=", without)


def test_only_its_own_scripts_may_run(found):
    (script,) = re.findall("<script>(.*?)</script>", found, re.S)
    digest = b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'\"" in found
    assert "default-src 'none'" in found


def test_a_page_without_scripts_allows_none():
    found = page("a", "b", scripts=())
    assert "script-src 'none'" in found
    assert "<script" not in found


def test_the_style_sheet_closes_what_it_opens():
    style = re.sub(r"/\*.*?\*/", "", asset("page.css"), flags=re.S)
    assert style.count("{") == style.count("}") > 20
