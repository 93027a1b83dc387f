"""From text to text, from a model to files and back, and what notebooks show."""

import copy
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from texts import sentences, small_config, small_run, trained

from charrnn.config import ModelConfig, SampleConfig, TextConfig
from charrnn.errors import CharRNNWarning, ConfigError, TextError
from charrnn.evaluation.loss import evaluate
from charrnn.generation.language_model import LanguageModel
from charrnn.generation.sampling import read_prime
from charrnn.generation.text_model import TextModel
from charrnn.nn.model import Model
from charrnn.run import start_run
from charrnn.text.reading import read_corpus
from charrnn.text.vocab import Vocabulary


def knowing(characters):
    """Return an untrained model that knows these characters and no others."""
    run = small_run(text=characters * 40)
    assert run.vocab == Vocabulary.of(characters)
    return LanguageModel.from_checkpoint(run.checkpoint)


@pytest.fixture(scope="module")
def bytes_model(tmp_path_factory):
    """Return a model of bytes, trained a little on UTF-8 text with accents."""
    path = tmp_path_factory.mktemp("bytes") / "text.bin"
    path.write_bytes(("Le café où l’été dort. " * 60).encode())
    corpus = read_corpus([path], TextConfig("bytes"))
    run = start_run(corpus, asdict(small_config()))
    for _ in run.events():
        pass
    return LanguageModel.from_checkpoint(run.best_checkpoint())


def mapped(text, characters):
    model = knowing(characters)
    return model.vocab.decode(model.encode(text, "map"))


def test_a_text_is_its_prime_and_as_many_characters_as_asked():
    text = trained().generate("Ann ", length=50, seed=1)
    assert text.startswith("Ann ")
    assert len(text) == 4 + 50
    assert trained().generate("Ann ", length=0) == "Ann "


def test_a_trained_model_writes_words_of_its_text():
    known = set(sentences(300).split())
    written = trained().generate("Ann ", length=400, temperature=0.2, seed=1).split()
    assert sum(word in known for word in written) > 0.6 * len(written)


def test_without_a_prime_a_text_starts_as_a_line_does():
    text = trained().generate(length=60, seed=2)
    assert len(text) == 60
    assert text == trained().generate("\n", length=60, seed=2)[1:]


def test_without_line_ends_a_text_starts_after_the_first_character():
    model = knowing("cab")
    assert model.default_prime() == "c"
    assert model.generate(length=5, seed=1) == model.generate("c", length=5, seed=1)[1:]
    older = TextModel(model.model, model.vocab)
    assert older.default_prime() == "a"


def test_the_text_is_the_same_for_the_same_seed_alone():
    a, b, c = (trained().generate("Ann ", length=80, seed=s) for s in (1, 1, 2))
    assert a == b != c


def test_a_stream_gives_a_character_of_each_text_at_a_time():
    steps = [*trained().stream("Ben ", n=3, length=70, seed=4)]
    assert {len(step) for step in steps} == {3}
    texts = ["".join(text) for text in zip(*steps, strict=True)]
    assert "Ben " + texts[0] == trained().generate("Ben ", length=70, seed=4)
    assert len({*texts}) == 3


def test_a_text_ends_before_its_stop():
    whole = trained().generate("Ann ", length=200, seed=1)
    written = whole[4:]
    for stop in (written[0], written[10:13], written[50:58]):
        cut = written[: written.index(stop)]
        found = trained().generate("Ann ", length=200, seed=1, stop=stop)
        assert found == "Ann " + cut


def test_a_stop_that_never_comes_changes_nothing():
    whole = trained().generate("Ann ", length=90, seed=1)
    assert trained().generate("Ann ", length=90, seed=1, stop="Ann Ann") == whole


def test_a_stop_in_the_prime_does_not_count():
    assert len(trained().generate("Ann ", length=30, seed=1, stop="Ann ")) > 4


def test_unknown_characters_are_named():
    with pytest.raises(TextError, match=r"'#', 'é' \(nearest: 'e'\), '漢'") as error:
        trained().encode("Ann é#漢#")
    assert "\n" not in str(error.value)


def test_unknown_characters_are_left_out_on_request():
    model = trained()
    np.testing.assert_array_equal(model.encode("A#n§n", "skip"), model.encode("Ann"))
    assert model.generate("A#n ", length=9, seed=1, on_unknown="skip").startswith(
        "A#n "
    )


@pytest.mark.parametrize(
    ("text", "characters", "expected"),
    [
        ("é", "abe", "e"),
        ("É", "abe", "e"),
        ("É", "abE", "E"),
        ("Q", "qr", "q"),
        ("q", "QR", "Q"),
        ("“a”", 'ab"', '"a"'),
        ("it’s ‘a’", "abist' ", "it's 'a'"),
        ("a–b—c", "abc-", "a-b--c"),
        ("a…", "ab.", "a..."),
        ("ﬁne", "efin", "fine"),
        ("Å", "Aa", "A"),
        ("漢a字", "ab", "a"),
        ("a\tb", "ab ", "a b"),
        ("ab", "ab", "ab"),
    ],
)
def test_unknown_characters_map_to_the_nearest_known(text, characters, expected):
    assert mapped(text, characters) == expected


def test_an_unknown_way_with_unknown_characters():
    with pytest.raises(ConfigError, match="'drop'; expected error, skip, map"):
        trained().encode("a", "drop")


@pytest.mark.parametrize("way", ["skip", "map"])
def test_a_prime_of_which_nothing_is_left_is_an_error(way):
    with pytest.raises(TextError, match="no character of the prime '漢字'"):
        trained().generate("漢字", on_unknown=way)


def test_next_ranks_every_character_and_sums_to_1():
    ranked = trained().next("Ann mends the moon, at daw")
    characters, chances = zip(*ranked, strict=True)
    assert sorted(characters) == list(trained().vocab.characters)
    assert list(chances) == sorted(chances, reverse=True)
    assert sum(chances) == pytest.approx(1, abs=1e-9)
    assert characters[0] == "n"
    assert chances[0] > 0.9


def test_next_without_a_prefix_is_what_a_line_starts_with():
    assert trained().next("") == trained().next("\n")


def test_next_is_what_temperature_0_takes():
    best = trained().next("Old Joan ")[0][0]
    text = trained().generate("Old Joan ", length=1, temperature=0)
    assert text == "Old Joan " + best


def test_a_series_is_learned_and_continued():
    series = "".join(f"{n % 10} " for n in range(1, 400))
    run = small_run(series, steps=300, eval_every=100, lr=1e-2, shape={"hidden": 16})
    for _ in run.events():
        pass
    model = LanguageModel.from_checkpoint(run.best_checkpoint())
    assert model.next("1 2 3 4 5 ")[0][0] == "6"
    assert model.generate("5 6 7 ", length=8, temperature=0) == "5 6 7 8 9 0 1 "


def test_evaluating_is_the_mean_over_the_text():
    score = trained().evaluate(sentences(20, seed=9))
    ids = trained().vocab.encode(sentences(20, seed=9))
    expected = evaluate(trained().model, ids)
    assert score.nats == pytest.approx(expected.nats, rel=1e-6)
    assert score.characters == len(ids) - 1
    assert 0 < score.nats < 1


def test_a_model_of_bytes_has_a_character_for_each_byte(bytes_model):
    assert bytes_model.reads_bytes
    ids = bytes_model.encode("é→".encode().decode("latin-1"))
    assert bytes(ids.tolist()) == "é→".encode()


def test_a_model_of_characters_reads_none():
    assert not trained().reads_bytes


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"n": 0}, "n is 0; expected at least 1"),
        ({"temperature": -1.0}, "temperature is -1; expected 0 to 100"),
        ({"length": -1}, "length is -1; expected at least 0"),
        ({"top_k": -1}, "top_k is -1"),
        ({"kernels": "fortran"}, "kernels is 'fortran'; expected one of"),
        ({"on_unknown": "drop"}, "'drop'; expected error, skip, map"),
    ],
)
@pytest.mark.parametrize("method", ["stream", "generate"])
def test_settings_that_make_no_sense_are_refused_at_once(method, settings, said):
    with pytest.raises(ConfigError, match=said):
        getattr(trained(), method)("Ann ", **settings)


def test_a_temperature_per_text_or_none():
    with pytest.raises(ConfigError, match="2 temperatures for 1 texts; expected one"):
        trained().draw("Ann ", SampleConfig(), temperatures=[0.5, 0.8])


def test_several_texts_are_a_list_and_each_depends_on_the_seed_and_its_number():
    three = trained().generate("Ben ", n=3, length=70, seed=4)
    assert [text[:4] for text in three] == ["Ben "] * 3
    assert len({*three}) == 3
    assert three[:2] == trained().generate("Ben ", n=2, length=70, seed=4)
    assert three[:1] == trained().generate("Ben ", n=1, length=70, seed=4)
    assert three[0] == trained().generate("Ben ", length=70, seed=4)


def test_without_a_seed_every_text_is_another():
    texts = {trained().generate("Ann ", length=60) for _ in range(4)}
    assert len(texts) == 4


def test_a_stream_of_one_text_gives_its_characters():
    characters = [*trained().stream("Ann ", length=70, seed=4)]
    assert {len(character) for character in characters} == {1}
    assert "Ann " + "".join(characters) == trained().generate("Ann ", length=70, seed=4)


def test_a_stream_ends_at_its_stop_and_never_shows_the_start_of_it():
    whole = trained().generate("Ann ", length=200, seed=1)[4:]
    stop = whole[50:58]
    seen = ""
    for piece in trained().stream("Ann ", length=200, seed=1, stop=stop):
        seen += piece
        assert whole[: whole.index(stop)].startswith(seen)
    assert seen == whole[: whole.index(stop)]


def test_each_of_several_texts_ends_at_its_own_stop():
    whole = trained().generate(n=3, length=300, seed=1, temperature=1.3)
    cut = trained().generate(n=3, length=300, seed=1, temperature=1.3, stop=".\n")
    assert cut == [text.split(".\n")[0] for text in whole]
    assert len({*map(len, cut)}) == 3


def test_length_0_of_several_texts():
    assert trained().generate("Ann ", n=2, length=0) == ["Ann ", "Ann "]


def test_numpy_numbers_are_numbers():
    plain = trained().generate(
        "Ann ", length=30, temperature=0.5, top_k=5, top_p=0.5, seed=3, n=2
    )
    settings = {
        "length": np.int64(30),
        "temperature": np.float32(0.5),
        "top_k": np.uint8(5),
        "top_p": np.float64(0.5),
        "seed": np.int32(3),
        "n": np.int64(2),
    }
    assert trained().generate("Ann ", **settings) == plain
    assert len(trained().next("Ann ", np.int64(3))) == 3


def test_the_top_of_what_comes_next():
    assert trained().next("Old Joan ", 3) == trained().next("Old Joan ")[:3]
    with pytest.raises(ConfigError, match="top is 0; expected at least 1"):
        trained().next("Old Joan ", 0)


def test_decoding_undoes_encoding():
    text = sentences(3)
    ids = trained().encode(text)
    assert trained().decode(ids) == text
    assert trained().decode(ids.tolist()) == text
    assert trained().decode([]) == ""


@pytest.mark.parametrize("ids", [[-1], [0, 999]])
def test_ids_outside_the_vocabulary_are_refused(ids):
    with pytest.raises(TextError, match="expected 0 to 32"):
        trained().decode(ids)


def test_a_text_must_be_a_string():
    with pytest.raises(TextError, match="bytes; expected a str"):
        trained().encode(b"Ann")


def test_losses_are_those_of_each_character_after_the_first():
    text = sentences(2)
    found = trained().losses(text)
    assert found.shape == (len(text) - 1,)
    for i in (0, 1, 30):
        chances = dict(trained().next(text[: i + 1]))
        assert found[i] == pytest.approx(-np.log(chances[text[i + 1]]), abs=1e-4)
    assert trained().evaluate(text).nats == pytest.approx(found.mean(), rel=1e-12)


def test_unknown_characters_of_a_text_to_score_can_be_left_out():
    with pytest.raises(TextError, match="never seen '#'"):
        trained().evaluate("Ann# mends")
    skipped = trained().evaluate("Ann# mends", on_unknown="skip")
    assert skipped == trained().evaluate("Ann mends")


def test_the_history_is_rows_with_names():
    history = trained().history
    assert [row["step"] for row in history] == [100, 200, 300, 400, 500]
    for row in history:
        assert list(row) == ["step", "train_loss", "val_loss"]
    assert history[-1]["val_loss"] < history[0]["val_loss"]


def test_its_shape_and_size():
    config = trained().config
    assert (config.cell, config.hidden, config.layers) == ("rnn", 24, 1)
    V, H = config.vocab, 24
    assert trained().parameters == V * H + H * H + H + H * V + V


def test_its_name_is_one_line():
    assert repr(trained()) == (
        "LanguageModel(rnn, 1 x 24 units, 33 characters, from memory)"
    )
    model = copy.copy(trained())
    model.path = Path("run/best.npz")
    assert repr(model).endswith("33 characters, from run/best.npz)")


@pytest.fixture(scope="module")
def documents():
    """Return an untrained model of documents that has all special symbols."""
    vocab = Vocabulary("abc", unknown=True, end=True)
    model = Model(ModelConfig(len(vocab), 12))
    model.init(rng=np.random.default_rng(3))
    model.params["output.b"][:] = [0, 0, 0, 2, 0.5]  # the unknown symbol is likely
    return LanguageModel(model, vocab)


def test_a_document_ends_at_its_end_mark_and_is_never_empty(documents):
    texts = documents.generate(n=400, length=40, temperature=1, seed=1)
    assert {len(text) for text in texts} > {1, 2, 3, 4, 5}
    assert min(map(len, texts)) == 1
    assert max(map(len, texts)) <= 40
    assert set("".join(texts)) == set("abc")


def test_a_document_is_at_most_as_long_as_asked(documents):
    texts = documents.generate(n=100, length=3, temperature=1, seed=1)
    assert {len(text) for text in texts} == {1, 2, 3}


def test_a_document_that_has_begun_may_end_at_once(documents):
    texts = documents.generate("b", n=100, length=5, temperature=1, seed=1)
    assert "b" in texts
    assert all(text.startswith("b") for text in texts)


def test_the_end_mark_stands_before_a_document(documents):
    end = documents.vocab.end_id
    assert documents.default_prime() == ""
    np.testing.assert_array_equal(documents.encode_prime(""), [end])
    np.testing.assert_array_equal(documents.encode_prime("ab"), [end, 0, 1])
    ranked = documents.next("ab")
    assert {character for character, _ in ranked} == {*"abc", "\ufffd", ""}
    assert sum(p for _, p in ranked) == pytest.approx(1)


def test_lengths_of_documents_follow_the_model(documents):
    """The first characters are as likely as without the end mark and the unknown."""
    n = 4000
    texts = documents.generate(n=n, length=1, temperature=1, seed=2)
    logits, _ = read_prime(documents.model, documents.encode_prime(""))
    p = np.exp(logits[0, :3]) / np.exp(logits[0, :3]).sum()
    found = np.array([texts.count(c) for c in "abc"])
    assert ((found - n * p) ** 2 / (n * p)).sum() < 13.8  # 0.1 % of chance


def test_unknown_characters_are_read_as_their_symbol(documents):
    ids = documents.encode("aXb")
    np.testing.assert_array_equal(ids, [0, documents.vocab.unknown_id, 1])
    with pytest.raises(TextError, match="never seen 'X'"):
        documents.generate(stop="X")


def test_only_new_texts_on_request(documents):
    options = {"length": 2, "temperature": 1, "seed": 3, "n": 8}
    plain = documents.generate(**options)
    assert len(set(plain)) < 8
    unique = documents.generate(**options, unique=True)
    assert len(set(unique)) == len(unique) == 8
    shorter = list(dict.fromkeys(plain))
    assert unique[: len(shorter)] == shorter
    known = plain[0]
    found = documents.generate(**options, is_known=known.__eq__)
    assert found[:1] == [text for text in plain if text != known][:1]
    assert known not in found
    with pytest.warns(CharRNNWarning, match="0 of 8 texts"):
        assert documents.generate(**options, is_known=lambda text: True) == []


def test_one_text_cannot_be_chosen_from():
    with pytest.raises(ConfigError, match="among several texts; give n"):
        trained().generate(unique=True)


def test_texts_in_batches_are_those_of_one_batch():
    options = {"length": 30, "seed": 4, "kernels": "numpy"}
    many = trained().generate("Ben ", n=600, **options)
    assert many[:3] == trained().generate("Ben ", n=3, **options)
    rows = trained().draw("Ben ", SampleConfig(**options), texts=[299, 599])
    drawn = ["".join(text) for text in zip(*rows, strict=True)]
    assert [many[299], many[599]] == ["Ben " + text for text in drawn]


def test_several_stops():
    whole = trained().generate("Ann ", length=200, seed=1)[4:]
    stops = [whole[50:58], whole[30:33], whole[90:95]]
    first = min(whole.index(stop) for stop in stops)
    found = trained().generate("Ann ", length=200, seed=1, stop=stops)
    assert found == "Ann " + whole[:first]


def test_a_text_that_goes_on_until_a_sentence_ends():
    for seed in range(5):
        short = trained().generate("Ann ", length=60, seed=seed)
        found = trained().generate("Ann ", length=60, seed=seed, until="sentence")
        assert found.startswith(short)
        assert found[-1] in ".!?"
        assert "\n" not in found[64:]
    texts = trained().generate(n=20, length=60, seed=1, until="line")
    whole = trained().generate(n=20, length=2060, seed=1)
    for text, longer in zip(texts, whole, strict=True):
        end = longer.index("\n", 60)
        assert text == longer[: 60 if longer[59] == "\n" else end]


def test_a_recorded_start_is_read_if_no_prime_is_given():
    model = copy.copy(trained())
    model.corpus = replace(model.corpus, start="Old Joan")
    assert model.default_prime() == "Old Joan"
    text = model.generate(length=30, seed=1)
    assert "Old Joan" + text == trained().generate("Old Joan", length=30, seed=1)
    model.corpus = replace(model.corpus, start="#")  # not among its characters
    assert model.default_prime() == "\n"


def test_a_model_of_documents_predicts_the_first_character_too(documents):
    found = documents.losses("ab")
    assert found.shape == (2,)
    ranked = dict(documents.next(""))
    assert found[0] == pytest.approx(-np.log(ranked["a"]), abs=1e-6)
    ranked = dict(documents.next("a"))
    assert found[1] == pytest.approx(-np.log(ranked["b"]), abs=1e-6)
