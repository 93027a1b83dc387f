"""Files that earlier versions wrote open for ever, and go on where they stopped.

ensemble.npz is of format version 2: the best rnn, gru and lstm below as an ensemble.
The others are of version 1, which has had three layouts so far:

1.  rnn, gru, lstm and unvalidated: last.npz has no best weights.
2.  best: last.npz has them (an RNN of 5 units, RMSProp at 0.01, stopped at step 20).
3.  documents: the header has digests (a GRU of 5 units that learned the lines as
    documents, RMSProp at 0.01, dropout 0.1, average 0.9; stopped at step 25, between
    two validations).

Each folder has the best.npz and the last.npz of a run of `small_config` on
golden/verse.txt, validated every 10 steps. A new layout adds a folder, written by the
first version that has it.
"""

import shutil
from pathlib import Path

import hostile
import numpy as np
import pytest

from charrnn.errors import CheckpointError
from charrnn.evaluation.loss import evaluate
from charrnn.generation.language_model import LanguageModel
from charrnn.run import resume_run
from charrnn.storage.checkpoint import load
from charrnn.text.reopening import reopen_corpus
from charrnn.training.events import Validation
from charrnn.training.resuming import version_notes

GOLDEN = Path(__file__).with_name("golden")
# The best validation loss, and what temperature 0.8 and seed 1 write after "the ".
BEST = {
    "rnn": (2.777218869, "the n kA o rda; n\na oek o w "),
    "gru": (2.950542434, "the n lA r seaa p a;pfmAr w."),
    "lstm": (2.340240575, "the ran  taof e tad rhe wata"),
    "best": (2.893442379, "the n,na r,seba r\nb;rhkAs wa"),
    "documents": (2.834526949, "the n na s te;a p c rim,s "),
}
# Validation losses after resuming, and the step of the lowest of the whole run.
RESUMED = {
    "rnn": ({50: 2.770924874, 60: 2.769289097}, 60),
    "gru": ({40: 2.861225412, 50: 2.821577525, 60: 2.807955291}, 60),
    "lstm": ({70: 2.350851577, 80: 2.391615244, 90: 2.353360031}, 50),
    "unvalidated": (
        {
            **{10: 3.249284294, 20: 3.158643860, 30: 3.074891728},
            **{40: 3.024460131, 50: 3.002994527, 60: 2.997843329},
        },
        60,
    ),
    "best": ({30: 2.775042279, 40: 2.723870173, 50: 2.705485440, 60: 2.702016295}, 60),
    "documents": (
        {30: 2.783575317, 40: 2.765407475, 50: 2.751114375, 60: 2.744820546},
        60,
    ),
}


def validation_part(checkpoint):
    """Return the ids that a checkpoint's run was validated on."""
    corpus = reopen_corpus(checkpoint.corpus, [GOLDEN / "verse.txt"])
    return corpus.split(corpus.ids, checkpoint.split.val_fraction)[1]


def copied(name, tmp_path):
    """Return a copy of a golden folder."""
    return Path(shutil.copytree(GOLDEN / name, tmp_path / name))


@pytest.mark.parametrize("name", BEST)
def test_a_golden_model_has_its_loss_and_writes_its_text(name):
    checkpoint = load(GOLDEN / name / "best.npz")
    loss, written = BEST[name]
    ids = validation_part(checkpoint)
    assert len(ids) == checkpoint.split.val
    assert evaluate(checkpoint.model, ids).nats == pytest.approx(loss, abs=1e-6)
    model = LanguageModel.from_checkpoint(checkpoint)
    assert model.generate("the ", length=24, seed=1, kernels="numpy") == written


def test_the_golden_ensemble_has_its_loss_and_writes_its_text():
    checkpoint = load(GOLDEN / "ensemble.npz")
    nats = evaluate(checkpoint.model, validation_part(checkpoint)).nats
    assert nats == pytest.approx(2.550272970, abs=1e-6)
    written = "the oAi, s,oe c o bTofl s wa"
    model = LanguageModel.from_checkpoint(checkpoint)
    assert model.generate("the ", length=24, seed=1, kernels="numpy") == written
    for member, name in zip(model.members, ("rnn", "gru", "lstm"), strict=True):
        assert member.name == name
        expected = load(GOLDEN / name / "best.npz")
        assert member.training == expected.train
        assert member.to_checkpoint().history == expected.history
        found = evaluate(member.model, validation_part(checkpoint)).nats
        assert found == pytest.approx(BEST[name][0], abs=1e-6)


@pytest.mark.parametrize("name", RESUMED)
def test_a_golden_run_resumes_to_its_known_end(name, tmp_path):
    folder = copied(name, tmp_path)
    run = resume_run(folder, [GOLDEN / "verse.txt"])
    assert run.notes == version_notes(load(folder / "last.npz").versions)
    losses, best_step = RESUMED[name]
    found = {e.step: e.val_loss for e in run.events() if isinstance(e, Validation)}
    assert found == pytest.approx(losses, abs=1e-5)
    assert run.trainer.progress.best_step == best_step
    best = load(folder / "best.npz")
    np.testing.assert_array_equal(
        best.model.params.flat, run.best_checkpoint().model.params.flat
    )
    assert evaluate(best.model, run.val_ids).nats == run.trainer.progress.best_loss


def test_the_golden_files_are_of_the_kind_that_they_are_kept_for():
    kinds = {
        "rnn": (),
        "gru": ("good",),
        "lstm": ("good",),
        "unvalidated": ("good",),
        "best": ("best",),
        "documents": ("best", "good", "digests", "end mark"),
    }
    assert kinds.keys() == {path.name for path in GOLDEN.iterdir() if path.is_dir()}
    for name, expected in kinds.items():
        parts = hostile.members(GOLDEN / name / "last.npz")
        header = hostile.header_of(parts)
        found = {member.split("/")[0] for member in parts} & {"best", "good"}
        found |= header.keys() & {"digests"}
        found |= {"end mark"} if header["model"].get("end", -1) >= 0 else set()
        assert found == {*expected}
        nothing = header["progress"]["best_loss"] == float("inf")
        assert nothing == (name == "unvalidated")


def test_a_file_of_a_newer_version_is_refused_with_advice(tmp_path):
    parts = hostile.members(GOLDEN / "documents" / "best.npz")
    newer = hostile.header_of(parts) | {"version": 3}
    hostile.write_members(tmp_path / "a.npz", hostile.with_header(parts, newer))
    with pytest.raises(CheckpointError) as error:
        load(tmp_path / "a.npz")
    assert str(error.value) == (
        f"{tmp_path / 'a.npz'}: format version 3; expected 1 or 2: upgrade charrnn to "
        "read this file"
    )
