"""The penalty on loops: what is lowered, by how much, and that it helps."""

import random

import numpy as np
import pytest
from texts import trained

from charrnn.config import SampleConfig
from charrnn.errors import ConfigError
from charrnn.evaluation.textstats import repetition
from charrnn.generation import repeats
from charrnn.generation.repeats import FREE, Repeats

V = 4


def naive(text, penalty):
    """Return the penalties (V,), from every earlier place in the text."""
    found = np.zeros(V)
    for i in range(len(text)):
        n = 0
        while n < i and text[i - 1 - n] == text[-1 - n]:
            n += 1
        if n >= FREE:
            found[text[i]] = max(found[text[i]], penalty * (n + 1 - FREE))
    return found


def lowered(repeats, n=1):
    logits = np.zeros((n, V))
    repeats.lower(logits)
    return -logits


def looping_text(seed):
    rng = random.Random(seed)
    stretches = [[rng.randrange(V) for _ in range(n)] for n in (3, 17, 20, 31)]
    return [id_ for _ in range(12) for id_ in rng.choice(stretches)]


@pytest.mark.parametrize("seed", range(5))
def test_what_would_lengthen_a_repetition_is_lowered_by_its_length(seed):
    text = looping_text(seed)
    found = Repeats(0.5, np.array(text[:1]), 1)
    penalised = 0
    for end in range(1, len(text)):
        np.testing.assert_allclose(lowered(found)[0], naive(text[:end], 0.5))
        penalised += lowered(found).any()
        found.append(np.array([text[end]]))
    assert penalised


def test_each_text_has_its_own_past():
    texts = [looping_text(seed) for seed in range(3)]
    length = min(map(len, texts))
    found = Repeats(0.5, np.array([], int), 3)
    for ids in np.array([text[:length] for text in texts]).T:
        found.append(ids)
    expected = [naive(text[:length], 0.5) for text in texts]
    np.testing.assert_allclose(lowered(found, 3), expected)


def test_the_prime_belongs_to_the_text():
    text = looping_text(1)
    np.testing.assert_allclose(
        lowered(Repeats(0.5, np.array(text), 2), 2), [naive(text, 0.5)] * 2
    )


def test_what_is_long_past_is_forgotten(monkeypatch):
    monkeypatch.setattr(repeats, "_MEMORY", 60)
    text = looping_text(2) * 4
    found = Repeats(0.5, np.array([], int), 1)
    for end, id_ in enumerate(text, 1):
        found.append(np.array([id_]))
        mine = lowered(found)[0]
        assert (mine <= naive(text[:end], 0.5) + 1e-9).all()
        near = naive(text[max(0, end - 60) : end], 0.5)
        assert ((mine > 0) >= (near > 0)).all()


def test_a_penalty_ends_loops_at_temperature_0():
    def text(penalty):
        return trained().generate(
            "Ann ", length=600, temperature=0, loop_penalty=penalty
        )

    assert repetition(text(0)) > 0.7
    assert repetition(text(1.0)) < 0.2
    # Until the first repetition, both are the same.
    assert text(0)[: 4 + FREE] == text(1.0)[: 4 + FREE]


def test_the_first_character_is_penalised_as_well():
    stretch = "Old Joan mends the moon, at daw"
    prime = f"{stretch}n.\n{stretch}"
    free, kept = (
        trained().generate(prime, length=1, temperature=0, loop_penalty=penalty)[-1]
        for penalty in (0, 100)
    )
    assert free == "n"
    assert kept != "n"


def test_blocks_and_batches_make_no_difference():
    def texts(n, length):
        options = {"temperature": 0.3, "loop_penalty": 1.0, "seed": 3}
        return trained().generate("Ann ", n=n, length=length, **options)

    long = texts(3, 400)
    assert [text[:154] for text in long] == texts(3, 150)
    assert long[0] == texts(1, 400)[0]


def test_compiled_kernels_know_no_penalty():
    with pytest.raises(ConfigError, match="NumPy only; choose --kernels numpy or auto"):
        SampleConfig(loop_penalty=0.5, kernels="numba")
