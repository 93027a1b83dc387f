"""Tables and columns on a page: aligned, within the width, nothing lost."""

import math
import random
import re
from dataclasses import replace
from itertools import pairwise

import pytest
from texts import sentences, trained
from wcwidth import wcswidth

from charrnn.cli.format import comparison_page, scoreboard_table, table, wrapped
from charrnn.evaluation.loss import Score
from charrnn.evaluation.scoreboard import Scoreboard
from charrnn.text.characters import is_mark
from charrnn.text.reading import from_text
from charrnn.views.compare import Column, Comparison, compare

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


def test_a_scoreboard_names_what_was_scored_and_counted_if_not_all():
    whole = replace(board(1.0, 1.25), fitted=900, train_part=900, val_part=101)
    names = ("train", "validation")
    assert scoreboard_table(whole, names) == scoreboard_table(board(1.0, 1.25), names)
    part = replace(whole, val_part=5000, train_part=45_000)
    lines = scoreboard_table(part, names).split("\n")
    assert lines[4:7] == [
        "Scored on 100 of 5,000 characters (validation) and",
        "100 of 45,000 (train), spread evenly.",
        "The 4-gram was fitted on the last 900 of 45,000 characters.",
    ]
    assert lines[7:] == ["The network beats counting by 0.250 nats per character."]


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
        # Terminals that do not join emoji show this one on six columns.
        (FAMILY * 3, 12, [FAMILY * 2, FAMILY]),
        (FAMILY * 2, 5, [FAMILY, FAMILY]),
        ("1\ufe0f\u20e3漢字", 4, ["1\ufe0f\u20e3漢", "字"]),
        ("ab\N{RIGHT-TO-LEFT OVERRIDE}", 9, ["ab\N{REPLACEMENT CHARACTER}"]),
        ("\x1b[31m\x9b\ud800\u0378", 9, ["\ufffd[31m\ufffd\ufffd\ufffd"]),
        ("a\tbc\t漢\td", 20, ["a   bc  漢  d"]),
        ("ab\u00adc\u200bd\u2060\ufeff\u200e\u3164", 9, ["abcd"]),
        ("a\u00a0b c", 4, ["a\u00a0b", "c"]),  # a no-break space does not break
        ("漢\u3000字", 4, ["漢", "字"]),
        ("\u0301a \u0301", 9, ["\u25cc\u0301a \u25cc\u0301"]),
        ("क्षि" * 3, 8, ["क्षि" * 2, "क्षि"]),  # up to three columns each
        ("မာမာမာ", 4, ["မာမာ", "မာ"]),
        ("กำกำกำ", 4, ["กำกำ", "กำ"]),
        ("\u1112\u1161\u11ab" * 3, 4, ["\u1112\u1161\u11ab" * 2, "\u1112\u1161\u11ab"]),
        ("\u06dd١٢", 9, ["\u06dd١٢"]),
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


def places(line):
    """Return what a line for a terminal shows, by the column where it is put."""
    first, *rest = re.split("\x1b\\[(\\d+)G", line)
    cells = [first, *rest[1::2]]
    starts = [0, *(int(start) - 1 for start in rest[::2])]
    return {start: cell.rstrip() for start, cell in zip(starts, cells, strict=True)}


def test_on_a_terminal_every_column_is_put_at_its_place():
    texts = ["हिन्दी " * 9, FAMILY * 9, "plain " * 9]
    columns = [Column(t, text, -1, 1, 1, 0, None, None) for t, text in enumerate(texts)]
    comparison = Comparison("", 1, columns, None)
    page = comparison_page(comparison, 46, place=True).split("\n")
    assert [*places(page[0])] == [*places(page[1])] == [*places(page[2])] == [0, 16, 32]
    assert places(page[2])[32] == "plain plain"
    assert places(page[5]) == {0: "हिन्दी हिन्दी", 16: FAMILY * 2, 32: "plain plain"}
    # Without the control sequences, the same cells are padded.
    bare = [re.sub("\x1b[^G]*G", "", line).rstrip() for line in page]
    assert bare == comparison_page(comparison, 46).split("\n")


def test_a_table_for_a_terminal_puts_its_columns_at_their_places():
    rows = [("ab", "1", "x"), ("c", FAMILY, "y")]
    first, second = table(rows, heads=3, place=True).split("\n")
    assert places(first) == {0: "ab", 4: "1", 8: "x"}
    assert places(second) == {0: "c", 4: FAMILY, 8: "y"}


@pytest.mark.parametrize("text", ["שלום עולם", "مرحبا", "١٢٣"])
def test_texts_from_right_to_left_have_no_neighbours(text):
    columns = [Column(t, text, -1, 1, 1, 0, None, None) for t in range(3)]
    lines = comparison_page(Comparison("", 1, columns, None), 100).split("\n")
    assert lines.count(text) == 3
    titles = [line for line in lines if line.startswith("temperature")]
    assert titles == ["temperature 0", "temperature 1", "temperature 2"]


@pytest.mark.parametrize("width", [8, 11, 30])
def test_no_line_is_wider_than_its_column_and_no_letter_is_cut(width):
    rng = random.Random(1)
    letters = ["a", " ", ACUTE, "漢", FAMILY, "กำ", "क्षि", "🇩🇪", "1\ufe0f\u20e3", "각"]
    text = "".join(rng.choices(letters, k=400))
    lines = wrapped(text, width)
    assert max(map(wcswidth, lines)) <= width
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(not is_mark(line[0]) for line in lines if line)


def test_a_page_names_the_share_of_the_corpus_that_was_searched(comparison):
    page = comparison_page(replace(comparison, searched=0.0163), 100)
    assert "known and copied refer to 1.6% of the corpus. Held-out" in page
    assert "refer to" not in comparison_page(comparison, 100)


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
