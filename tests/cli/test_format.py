"""Tables and columns on a page: aligned, within the width, nothing lost."""

import math
import re
from itertools import pairwise

import pytest
from texts import sentences, trained

from charrnn.cli.format import comparison_page, scoreboard_table, table, wrapped
from charrnn.evaluation.loss import Score
from charrnn.evaluation.scoreboard import Scoreboard
from charrnn.generation.compare import Column, Comparison, compare
from charrnn.text.corpus import from_text

ACUTE = "e\N{COMBINING ACUTE ACCENT}"  # one column
FAMILY = "👨\N{ZERO WIDTH JOINER}👩\N{ZERO WIDTH JOINER}👧"  # one emoji, two columns


@pytest.fixture(scope="module")
def comparison():
    corpus = from_text(sentences(300))
    temperatures = (0.2, 0.5, 0.8, 1.0, 1.3)
    return compare(trained(), "Ann ", temperatures, corpus=corpus, length=150, seed=1)


def board(network, counting):
    score = [Score(nats, 100) for nats in (1.5, network, counting)]
    return Scoreboard(*score, ngram_order=4)


def test_a_table_aligns_its_heads_left_and_the_rest_right():
    rows = [("", "a", "long"), ("first", "1.25", "2"), ("x", "10", "3000")]
    assert table(rows).split("\n") == [
        "          a  long",
        "first  1.25     2",
        "x        10  3000",
    ]
    assert table([("a", "b"), ("cc", "dd")], heads=2) == "a   b\ncc  dd"


def test_a_scoreboard_gives_three_units_and_a_verdict():
    text = scoreboard_table(board(1.0, 1.25), ("train", "validation"))
    lines = text.split("\n")
    assert lines[0].split() == ["nats/char", "bits/char", "perplexity"]
    assert lines[1].split() == ["train", "1.5000", "2.1640", "4.482"]
    assert lines[2].split() == ["validation", "1.0000", "1.4427", "2.718"]
    assert lines[3].split()[:3] == ["4-gram,", "validation", "1.2500"]
    assert lines[4] == "The network beats counting by 0.250 nats per character."
    assert len({len(line) for line in lines[:4]}) == 1
    assert max(map(len, lines)) <= 60


def test_a_scoreboard_says_when_counting_wins():
    text = scoreboard_table(board(1.5, 1.2), ("train", "validation"))
    assert text.endswith(
        "Counting still beats the network by 0.300 nats per character."
    )


def test_a_hopeless_score_still_fits_a_scoreboard():
    text = scoreboard_table(board(1e6, math.inf), ("train", "validation"))
    assert "1000000.0000" in text


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("", 5, [""]),
        ("abc", 5, ["abc"]),
        ("abcde", 5, ["abcde"]),
        ("abcdefgh", 3, ["abc", "def", "gh"]),
        ("ab cd ef", 5, ["ab cd", "ef"]),
        ("ab cd ef", 6, ["ab cd", "ef"]),
        ("a\nb\n\nc", 5, ["a", "b", "", "c"]),
        ("one two\nthree", 4, ["one", "two", "thre", "e"]),
        ("a\x07b", 5, ["a\N{REPLACEMENT CHARACTER}b"]),
        ("  in by two", 7, ["  in by", "two"]),
        ("漢字漢字", 3, ["漢", "字", "漢", "字"]),
        ("漢字漢字", 5, ["漢字", "漢字"]),
        ("漢字 ab 漢字", 7, ["漢字 ab", "漢字"]),
        (f"{ACUTE * 5} {ACUTE * 4}", 5, [ACUTE * 5, ACUTE * 4]),
        (ACUTE * 7, 3, [ACUTE * 3, ACUTE * 3, ACUTE]),
        (FAMILY * 3, 5, [FAMILY * 2, FAMILY]),
        ("ab\N{RIGHT-TO-LEFT OVERRIDE}", 9, ["ab\N{REPLACEMENT CHARACTER}"]),
    ],
)
def test_text_is_wrapped_between_words_if_possible(text, width, lines):
    assert wrapped(text, width) == lines


def test_a_joiner_outside_of_an_emoji_stays_as_well():
    persian = "می\N{ZERO WIDTH NON-JOINER}خواهم"
    assert wrapped(persian, 20) == [persian]


@pytest.mark.parametrize(
    ("cell", "columns"),
    [
        ("ab", 2),
        ("漢字", 4),
        (ACUTE * 3, 3),
        (FAMILY, 2),
        ("각", 2),
        ("ﾊﾝ", 2),
        ("ＡＢ", 4),
    ],
)
def test_a_cell_of_a_table_is_as_wide_as_it_looks(cell, columns):
    rows = [(cell, "1"), ("sixsix", cell)]
    left = " " * (6 - columns)
    right = " " * max(columns - 1, 0)
    first, second = table(rows).split("\n")
    assert first == f"{cell}{left}  {right}1"
    assert second == f"sixsix  {cell}"


def test_columns_of_wide_and_combining_text_line_up():
    texts = [
        "漢字漢字漢字漢字漢字",
        f"{ACUTE * 3} {FAMILY} {ACUTE * 9} {ACUTE}",
        "plain",
    ]
    columns = [Column(t, text, -1, 1, 1, 0, None, None) for t, text in enumerate(texts)]
    page = comparison_page(Comparison("", 1, columns, None), 46).split("\n")
    # Three columns of 14 and gaps of 2; what is at the left of each is given by hand.
    assert page[2] == f"{'漢字漢字漢字漢'}  {ACUTE * 3} {FAMILY}{' ' * 8}  plain"
    assert page[3] == f"字漢字{' ' * 8}  {ACUTE * 9} {ACUTE}"


def test_wrapping_loses_no_word():
    text = sentences(30)
    for width in (8, 17, 40):
        joined = "".join("".join(wrapped(text, width)).split())
        assert joined == "".join(text.split())


@pytest.mark.parametrize("width", [8, 20, 30, 40, 60, 80, 100, 200])
def test_no_line_of_a_comparison_is_longer_than_the_page(comparison, width):
    page = comparison_page(comparison, width)
    too_long = [line for line in page.split("\n") if len(line) > width]
    assert too_long == []


@pytest.mark.parametrize("width", [20, 60, 100])
def test_a_page_holds_every_text_and_figure(comparison, width):
    page = comparison_page(comparison, width)
    for column in comparison.columns:
        assert re.search(rf"temp(erature)? {column.temperature:g}\b", page)
        assert f"{column.log_prob:.3f}" in page
        assert f"{column.entropy:.3f}" in page
    assert page.count("copied") == page.count("known") == 5
    assert f"{comparison.calibrated:.2f}" in page


def test_wide_pages_put_columns_side_by_side(comparison):
    def titles(width):
        lines = comparison_page(comparison, width).split("\n")
        heads = [line for line, rule in pairwise(lines) if rule.startswith("─")]
        heads = [line for line in heads if line.startswith("temp")]
        return [len(re.findall(r"temp(?:erature)? \d", line)) for line in heads]

    assert titles(20) == [1] * 5
    assert titles(30) == [2, 2, 1]
    assert titles(60) == [3, 2]
    assert titles(80) == titles(120) == [5]


def test_columns_keep_their_places(comparison):
    lines = comparison_page(comparison, 98).split("\n")
    starts = [i for i in range(98) if lines[0][i:].startswith("temperature")]
    assert len(starts) == 5
    assert starts[0] == 0
    rule = lines[1]
    for start in starts:
        assert rule[start] == "─"
        assert start == 0 or rule[start - 1] == " "


def test_figures_of_the_corpus_are_left_out_without_it(comparison):
    bare = compare(trained(), "Ann ", [0.5], length=40, seed=1)
    page = comparison_page(bare, 60)
    assert "log p" in page
    for name in ("known", "copied", "likeliest"):
        assert name not in page
