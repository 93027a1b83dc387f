"""Files that earlier versions wrote open for ever, and go on where they stopped.

golden/CELL/best.npz and last.npz were written by the first layout of format version 1,
whose last.npz has no best weights. The text is golden/verse.txt.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from charrnn.evaluation.loss import evaluate
from charrnn.generation.language_model import LanguageModel
from charrnn.run import resume_run
from charrnn.storage.checkpoint import load
from charrnn.training.events import Validation

GOLDEN = Path(__file__).with_name("golden")
# The best validation loss, and what temperature 0.8 and seed 1 write after "the ".
BEST = {
    "rnn": (2.777218869, "the n kA o rda; n\na oek o w "),
    "gru": (2.950542434, "the n lA r seaa p a;pfmAr w."),
    "lstm": (2.340240575, "the ran  taof e tad rhe wata"),
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
}


def text():
    return (GOLDEN / "verse.txt").read_text(encoding="utf-8")


def copied(name, tmp_path):
    """Return a copy of a golden folder."""
    return Path(shutil.copytree(GOLDEN / name, tmp_path / name))


@pytest.mark.parametrize("name", BEST)
def test_a_golden_model_has_its_loss_and_writes_its_text(name):
    checkpoint = load(GOLDEN / name / "best.npz")
    loss, written = BEST[name]
    characters = len(text())
    assert checkpoint.corpus.characters == characters
    assert checkpoint.split.train + checkpoint.split.val == characters
    ids = checkpoint.vocab.encode(text())[checkpoint.split.train :]
    assert evaluate(checkpoint.model, ids).nats == pytest.approx(loss, abs=1e-6)
    model = LanguageModel.from_checkpoint(checkpoint)
    assert model.generate("the ", length=24, seed=1, kernels="numpy") == written


@pytest.mark.parametrize("name", RESUMED)
def test_a_golden_run_resumes_to_its_known_end(name, tmp_path):
    folder = copied(name, tmp_path)
    run = resume_run(folder, [GOLDEN / "verse.txt"])
    assert run.notes == []
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
    for name, has_good in (("rnn", False), ("gru", True), ("lstm", True)):
        with np.load(GOLDEN / name / "last.npz") as file:
            assert any(member.startswith("good/") for member in file.files) == has_good
            assert not any(member.startswith("best/") for member in file.files)
    with np.load(GOLDEN / "unvalidated" / "last.npz") as file:
        header = json.loads(file["header"].tobytes())
    assert header["progress"]["best_loss"] == float("inf")
