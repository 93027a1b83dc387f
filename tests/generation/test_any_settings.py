"""What holds for every setting of the samplers: Hypothesis looks for exceptions."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from texts import trained

from charrnn.config import SampleConfig
from charrnn.generation.sampling import sample
from charrnn.generation.stops import Ending, cut
from charrnn.nn.filters import Filters, distribution

shares = st.floats(1e-9, 1)
filters = st.builds(Filters, st.integers(0, 9), shares, st.floats(0, 1), shares)
temperatures = st.just(0.0) | st.floats(1e-300, 100)
logits = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 3), st.integers(1, 8)),
    elements=st.floats(-(2.0**99), 2.0**99, width=32) | st.just(float("-inf")),
).filter(lambda z: np.isfinite(z).any(axis=1).all())


@given(logits, temperatures, filters)
def test_what_is_drawn_from_is_a_distribution(z, temperature, chosen):
    before = z.copy()
    p = distribution(z, np.full((len(z), 1), temperature), chosen)
    np.testing.assert_array_equal(z, before)
    assert (p >= 0).all()
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert not p[np.isneginf(z)].any(), "what is never drawn"
    for row, found in zip(z, p, strict=True):
        likeliest = np.flatnonzero(row == row.max())
        if chosen.typical == 1:  # it may leave out the likeliest
            assert found[likeliest].any()
        if temperature == 0:
            assert found[likeliest[0]] == 1
        if chosen.top_k:
            assert np.count_nonzero(found) <= max(chosen.top_k, len(likeliest))


@given(logits, st.floats(0.1, 10), filters)
def test_a_filter_never_adds_a_character(z, temperature, chosen):
    heat = np.full((len(z), 1), temperature)
    assert not (distribution(z, heat, chosen) > 0)[distribution(z, heat) == 0].any()


@settings(max_examples=30)
@given(
    st.builds(
        SampleConfig,
        length=st.integers(0, 20),
        temperature=st.just(0.0) | st.floats(0.1, 5),
        top_k=st.integers(0, 40),
        top_p=shares,
        min_p=st.floats(0, 1),
        typical=shares,
        loop_penalty=st.sampled_from([0.0, 0.5, 100.0]),
        seed=st.integers(0, 2**64),
        kernels=st.just("numpy"),
    ),
    st.text("ABJO dehn.\n", min_size=1, max_size=10),
    st.sets(st.integers(0, 20), max_size=5),
)
def test_a_sample_obeys_its_settings_and_its_seed(config, prime, never):
    model, vocab = trained().to_checkpoint().model, trained().vocab
    prime = vocab.encode("".join(c for c in prime if c in vocab) or "A")

    def drawn(texts):
        ids = [*sample(model, prime, config, texts=texts, never=sorted(never))]
        return np.array(ids).reshape(config.length, len(texts))

    found = drawn([0, 1])
    assert found.max(initial=0) < len(vocab)
    assert not never & {*found.reshape(-1).tolist()}
    np.testing.assert_array_equal(drawn([1, 0]), found[:, ::-1])


few = st.text("ab", max_size=12)
stops = st.lists(st.text("ab", min_size=1, max_size=4), max_size=3)


def joined(rows):
    return "".join(piece for (piece,) in rows)


@given(few, stops)
def test_a_text_ends_before_the_first_stop(text, stops):
    expected = min(
        (text[: text.index(s)] for s in stops if s in text), key=len, default=text
    )
    assert joined(cut([[c] for c in text], Ending(tuple(stops)))) == expected


@given(st.lists(few, min_size=1, max_size=4), stops)
def test_texts_side_by_side_end_as_each_alone(texts, stops):
    length = max(map(len, texts))
    rows = [[text[i] if i < len(text) else "" for text in texts] for i in range(length)]
    together = [*cut(rows, Ending(tuple(stops)))]
    for i, text in enumerate(texts):
        alone = joined(cut([[c] for c in text], Ending(tuple(stops))))
        assert "".join(row[i] for row in together) == alone
