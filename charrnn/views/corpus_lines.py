"""The lines of a corpus, counted as a reader of its files counts them."""

import bisect
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate

import numpy as np

from charrnn.evaluation.shared_stretches import line_numbers
from charrnn.nn.parameters import Array
from charrnn.text.corpus import Corpus
from charrnn.text.documents import file_order
from charrnn.text.reading import lines_per_file


def find_lines(
    corpus: Corpus, places: Sequence[int]
) -> Iterator[tuple[int | None, str]]:
    """Yield the line, from 1, that each place of a corpus is in, and its file.

    The file is "" unless the corpus has several. In a corpus of documents, the line is
    None if the documents are too many to tell. Raises TextError if one of several files
    is gone.
    """
    end_id = corpus.vocab.end_id
    if end_id is None:
        yield from _in_files(corpus, line_numbers(corpus.pieces(), places))
        return
    order = file_order(corpus.ids, end_id, corpus.info.seed)
    if order is None:
        yield from [(None, "")] * len(places)
        return
    at = np.empty(len(corpus.ids), np.intp)
    at[0], at[order] = 0, np.arange(len(order))
    ordered: Array = corpus.ids[order]
    pieces = replace(corpus, ids=ordered).pieces()
    for line in line_numbers(pieces, at[[*places]].tolist()):
        yield line, ""


def _in_files(corpus: Corpus, lines: Sequence[int]) -> Iterator[tuple[int, str]]:
    files = corpus.info.files
    if len(files) < 2 or not lines:
        yield from ((line, "") for line in lines)
        return
    ends = [*accumulate(lines_per_file(corpus.info))]
    for line in lines:
        file = bisect.bisect_left(ends, line)
        yield line - (ends[file - 1] if file else 0), files[file]
