"""A model's losses next to those of an n-gram fitted on the same split."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from charrnn.evaluation.loss import Score, cut, evaluate
from charrnn.evaluation.ngram import FIT_LIMIT, WittenBell
from charrnn.nn.parameters import Array
from charrnn.nn.predictor import Predictor

_ORDER = 6  # characters in the longest n-gram

OnScore: TypeAlias = Callable[[int, int], object]
"""Called with how many characters are done, and how many there are in all."""


@dataclass(frozen=True)
class Scoreboard:
    """Losses on the two parts of a split; the n-gram is fitted on the first part."""

    train: Score  # on the end of the first part, of the same length as the second
    val: Score  # on the whole second part, unless `score` had a limit
    ngram: Score  # on the same characters, with the order that does best there
    ngram_order: int
    fitted: int = 0  # characters that the n-gram was fitted on, the last of the first
    train_part: int = 0  # characters in the first part
    val_part: int = 0  # characters in the second part

    @property
    def is_spread(self) -> bool:
        """Whether `train` and `val` are on segments spread evenly over the parts."""
        return 0 < self.val.characters < self.val_part - 1


def score(
    model: Predictor,
    train: Array,
    val: Array,
    *,
    limit: int = 0,
    on_progress: OnScore | None = None,
) -> Scoreboard:
    """Evaluate a model on both parts of a text, and an n-gram fitted on the first.

    train and val are ids. Only the end of the first part is scored, of the same length
    as the second part: the mean over the whole first part would be much the same, and
    take many times longer. If `limit` is not 0 and the second part is longer, that many
    characters of each part are scored, in segments spread evenly over it.
    """
    is_spread = 0 < limit < len(val) - 1
    scored = train if is_spread else train[-max(2, len(val)) :]
    streams = cut(max(1, len(val) - 1), limit=limit)
    counted = train[-FIT_LIMIT:]
    total = cut(max(1, len(scored) - 1), limit=limit).characters
    total += 2 * streams.characters + len(counted)
    done = 0

    def advance(characters: int) -> None:
        nonlocal done
        done += characters
        if on_progress:
            on_progress(done, total)

    # A whole text stays in one piece, so that its sum is rounded in the same way.
    spans = streams.spans if is_spread else ()
    # The n-gram is not kept: it takes more memory than anything else.
    by_order = WittenBell.fit(
        counted, model.vocab, order=_ORDER, on_progress=advance
    ).mean_losses(val, spans, on_progress=advance)
    best = int(by_order.argmin())
    found = [
        evaluate(model, ids, limit=limit, threads=0, on_progress=advance)
        for ids in (scored, val)
    ]
    return Scoreboard(
        train=found[0],
        val=found[1],
        ngram=Score(float(by_order[best]), streams.characters),
        ngram_order=best + 1,
        fitted=len(counted),
        train_part=len(train),
        val_part=len(val),
    )
