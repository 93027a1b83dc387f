"""Copies and their lines, against a search in the text as it stands in its files."""

from pathlib import Path

import pytest
from texts import sentences

from charrnn.config import TextConfig
from charrnn.errors import TextError
from charrnn.generation.language_model import LanguageModel
from charrnn.run import start_run
from charrnn.text.reading import from_text, lines_per_file, read_corpus
from charrnn.views.novelty import LENGTHS, NGRAMS, novelty

CORPUS = from_text(sentences(300), name="lines")
TRAIN = sentences(300)[: int(len(sentences(300)) * 0.9)]


def model_of(corpus, **settings):
    run = start_run(
        corpus,
        {"hidden": 6, "batch": 2, "window": 4, "steps": 2, "threads": 1} | settings,
    )
    for _ in run.events():
        pass
    return LanguageModel.from_checkpoint(run.best_checkpoint())


@pytest.fixture(scope="module")
def model():
    return model_of(CORPUS)


def share_in_copies(text, corpus, length):
    inside = [False] * len(text)
    for i in range(len(text) - length + 1):
        if text[i : i + length] in corpus:
            inside[i : i + length] = [True] * length
    return sum(inside) / len(text)


def share_of_novel(text, corpus, n):
    grams = [text[i : i + n] for i in range(len(text) - n + 1)]
    return sum(gram not in corpus for gram in grams) / len(grams)


def test_shares_are_those_of_a_search_in_the_training_part(model):
    text = sentences(12, seed=5) + TRAIN[1000:1100]
    val = sentences(300)[len(TRAIN) :]
    for each, part in zip(
        novelty(model, CORPUS, text), (text, val[: len(text)]), strict=True
    ):
        assert each.characters == len(part)
        for length in LENGTHS:
            expected = share_in_copies(part, TRAIN, length)
            assert each.copied[length] == pytest.approx(expected)
        for n in NGRAMS:
            assert each.novel[n] == pytest.approx(share_of_novel(part, TRAIN, n))
        assert each.longest == len(each.copies[0].text)
        for copy in each.copies:
            line = part.splitlines()[copy.line - 1]
            own = TRAIN.splitlines()[copy.corpus_line - 1]
            assert copy.text in part
            assert copy.text in TRAIN
            start = copy.text.split("\n")[0]
            assert start in line
            assert start in own


def test_copies_are_the_longest_that_do_not_overlap(model):
    pieces = TRAIN[3000:3150], TRAIN[500:560], TRAIN[8000:8090]
    text = "\n~\n".join(pieces)
    own, _ = novelty(model, CORPUS, text, most=3)
    assert [copy.text.strip("\n") for copy in own.copies] == [
        each.strip("\n") for each in sorted(pieces, key=len, reverse=True)
    ]
    assert [copy.line for copy in own.copies] == [
        text.count("\n", 0, text.index(copy.text)) + 1 for copy in own.copies
    ]
    assert [copy.corpus_line for copy in own.copies] == [
        TRAIN.count("\n", 0, TRAIN.index(copy.text)) + 1 for copy in own.copies
    ]


def test_the_training_part_itself_is_one_copy(model):
    own, held_out = novelty(model, CORPUS, TRAIN)
    assert {*own.copied.values()} == {1.0}
    assert {*own.novel.values()} == {0.0}
    assert own.longest == len(TRAIN)
    (copy,) = own.copies
    assert (copy.line, copy.corpus_line) == (1, 1)
    assert held_out.characters == len(sentences(300)) - len(TRAIN)


def test_a_text_too_short_for_copies(model):
    own, held_out = novelty(model, CORPUS, "Ann")
    for each in (own, held_out):
        assert {*each.copied.values()} == {None}
        assert [n for n in NGRAMS if each.novel[n] is None] == [*range(4, 11)]
        assert each.longest == 0
        assert each.copies == []
    with pytest.raises(TextError, match="the text is empty"):
        novelty(model, CORPUS, "")


def test_without_a_validation_part_there_is_no_yardstick():
    whole = model_of(CORPUS, val_fraction=0.0)
    own, held_out = novelty(whole, CORPUS, sentences(300)[-200:])
    assert own.copied[50] == 1.0
    assert held_out is None


def test_lines_of_a_corpus_of_several_files_count_from_each_files_start(tmp_path):
    parts = sentences(90, seed=7).split("\n")
    files = [tmp_path / f"{name}.txt" for name in "abc"]
    files[0].write_bytes("\r\n".join(parts[:30]).encode())  # no line end at its end
    files[1].write_text("\n".join(parts[30:60]) + "\n")
    files[2].write_text("\n".join(parts[60:]))
    corpus = read_corpus(files)
    assert lines_per_file(corpus.info) == [30, 30, 30]
    model = model_of(corpus, val_fraction=0.0)
    text = "\n~\n".join(files[i].read_text()[200:300] for i in (2, 0, 1))
    own, _ = novelty(model, corpus, text, most=3)
    assert {copy.corpus_file for copy in own.copies} == {*map(str, files)}
    for copy in own.copies:
        text = Path(copy.corpus_file).read_text(encoding="utf-8")
        before = text.split(copy.text)[0]
        assert copy.corpus_line == before.count("\n") + 1


def test_lines_of_a_corpus_of_documents_are_those_of_the_file():
    names = "".join(f"document number {n * 7919 % 1000} of many\n" for n in range(200))
    corpus = from_text(names, TextConfig(documents="lines"), seed=3)
    model = model_of(corpus)
    wanted = corpus.text.splitlines()[5]
    own, held_out = novelty(model, corpus, f"{wanted}\n")
    assert own.copied[20] == 1.0
    assert own.copies[0].corpus_line == names.splitlines().index(wanted) + 1
    assert held_out.characters == len(wanted) + 1
