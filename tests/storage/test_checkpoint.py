"""Checkpoints: a documented schema, nothing executed, a clear word on any damage."""

import json
import pickle
import subprocess
import sys
import textwrap
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from texts import environment_of_a_full_disk, sentences, small_run, trained

from charrnn.config import CELLS
from charrnn.errors import CheckpointError
from charrnn.generation.language_model import LanguageModel
from charrnn.storage.checkpoint import load, save
from charrnn.text.corpus_info import CorpusInfo, SplitInfo

NOISE = np.random.default_rng(1).bytes(3000)
GATES = {"rnn": 1, "gru": 3, "lstm": 4}
HEADER = [
    "format",
    "version",
    "model",
    "vocab",
    "split",
    "corpus",
    "train",
    "history",
    "versions",
    "digests",
]


@pytest.fixture
def small(tmp_path):
    """Return the path of a valid checkpoint of hidden 8 and 2 layers."""
    path = tmp_path / "small.npz"
    save(small_run(shape={"layers": 2}).best_checkpoint(), path)
    return path


def members(path):
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def rewritten(path, *, drop=(), header=None, **changes):
    """Write a checkpoint anew with members and entries of its header changed.

    The digests of the arrays are left out, unless only the header changes.
    """
    kept = members(path)
    entries = json.loads(kept["header"].tobytes()) | (header or {})
    if drop or changes:
        del entries["digests"]
    entries = {key: value for key, value in entries.items() if value is not ...}
    kept["header"] = np.frombuffer(json.dumps(entries).encode(), np.uint8)
    for name in drop:
        del kept[name]
    np.savez(path, **kept | {name.replace("__", "/"): a for name, a in changes.items()})
    return path


def refusal(path):
    """Return the one line with which a file is refused."""
    with pytest.raises(CheckpointError) as error:
        load(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def test_what_is_saved_comes_back_exactly(tmp_path):
    checkpoint = trained().to_checkpoint()
    save(checkpoint, tmp_path / "a.npz")
    back = load(tmp_path / "a.npz")
    assert back.model.config == checkpoint.model.config
    np.testing.assert_array_equal(back.model.params.flat, checkpoint.model.params.flat)
    assert back.vocab == checkpoint.vocab
    for name in ("corpus", "split", "train", "history"):
        assert getattr(back, name) == getattr(checkpoint, name)
    assert back.snapshot is None


@pytest.mark.parametrize("cell", CELLS)
def test_every_member_has_its_documented_name_shape_and_type(tmp_path, cell):
    run = small_run(shape={"cell": cell, "layers": 2, "hidden": 5})
    save(run.best_checkpoint(), tmp_path / "best.npz")
    plain = cell.removeprefix("m")
    V, H, G = len(run.checkpoint.vocab), 5, GATES[plain]
    expected = {
        "params/layer0.Wx": (V, G * H),
        "params/layer0.Wh": (H, G * H),
        "params/layer0.b": (G * H,),
        "params/layer1.Wx": (H, G * H),
        "params/layer1.Wh": (H, G * H),
        "params/layer1.b": (G * H,),
        "params/output.W": (H, V),
        "params/output.b": (V,),
    }
    if plain == "gru":  # the recurrent bias of its candidate
        expected |= {"params/layer0.c": (H,), "params/layer1.c": (H,)}
    if cell != plain:
        expected |= {"params/layer0.Q": (V, H), "params/layer1.Q": (H, H)}
    found = members(tmp_path / "best.npz")
    assert found.pop("header").dtype == np.uint8
    assert {name: array.shape for name, array in found.items()} == expected
    assert {array.dtype for array in found.values()} == {np.dtype(np.float32)}


def test_a_checkpoint_to_resume_from_adds_moments_state_and_best_weights(tmp_path):
    run = small_run(shape={"cell": "lstm", "layers": 2, "hidden": 5}, folder=tmp_path)
    for _ in run.events():
        pass
    best, last = members(tmp_path / "best.npz"), members(tmp_path / "last.npz")
    added = {name: last[name].shape for name in last.keys() - best.keys()}
    expected = {f"state/layer{i}.{part}": (4, 5) for i in (0, 1) for part in (0, 1)}
    for name, array in best.items():
        if name != "header":
            for moment in ("m", "v"):
                renamed = name.replace("params", f"optimizer/{moment}")
                expected[renamed] = array.shape
            expected[name.replace("params", "best")] = array.shape
    assert added == expected


def test_the_header_is_json_with_its_documented_keys(tmp_path):
    run = small_run(folder=tmp_path)
    for _ in run.events():
        pass
    best = json.loads(members(tmp_path / "best.npz")["header"].tobytes())
    last = json.loads(members(tmp_path / "last.npz")["header"].tobytes())
    assert list(best) == HEADER
    assert list(last) == [*HEADER[:-1], "progress", "digests"]
    assert (best["format"], best["version"]) == ("charrnn", 1)
    assert best["model"] == {
        "vocab": len(best["vocab"]),
        "hidden": 8,
        "layers": 1,
        "cell": "rnn",
        "end": -1,
    }
    assert best["vocab"] == sorted(set(sentences()))
    assert list(best["split"]) == ["val_fraction", "train", "val", "val_text"]
    assert list(best["corpus"]) == [
        *("name", "sha256", "characters", "bytes", "encoding", "normalize"),
        *("documents", "max_vocab", "seed", "start", "files", "relative"),
        "signature",
    ]
    assert list(best["versions"]) == ["charrnn", "numpy", "python"]
    assert set(best["train"]) >= {"lr", "batch", "window", "optimizer", "seed", "plan"}
    assert last["progress"]["step"] == 40


def test_a_temperature_of_its_own_is_kept_apart_from_the_weights(tmp_path):
    run = small_run(folder=tmp_path)
    for _ in run.events():
        pass
    checkpoint = run.best_checkpoint()
    checkpoint.model.temperature = 1.25
    path = tmp_path / "other.npz"
    save(checkpoint, path)
    assert json.loads(members(path)["header"].tobytes())["temperature"] == 1.25
    found = load(path).model
    assert found.temperature == 1.25
    assert found.params.flat.tobytes() == checkpoint.model.params.flat.tobytes()
    for copied in (found.copy(), pickle.loads(pickle.dumps(found))):
        assert copied.temperature == 1.25


def test_nothing_inside_is_pickled(tmp_path):
    run = small_run(folder=tmp_path)
    for _ in run.events():
        pass
    for name in ("best.npz", "last.npz"):
        with zipfile.ZipFile(tmp_path / name) as archive:
            for info in archive.infolist():
                assert info.filename.endswith(".npy")
                with archive.open(info) as file:
                    assert np.lib.format.read_magic(file) == (1, 0)
                    _, _, dtype = np.lib.format.read_array_header_1_0(file)
                    assert not dtype.hasobject


def test_any_character_survives_in_the_vocabulary(tmp_path):
    strange = "\x00\n\r\t\"'\\ é→漢🙂\u0301\u2028\ufeff"
    run = small_run(text=strange * 20)
    save(run.best_checkpoint(), tmp_path / "a.npz")
    assert load(tmp_path / "a.npz").vocab.characters == tuple(sorted(strange))


@pytest.mark.parametrize("kind", ["float16", "float64", ">f4"])
def test_weights_of_another_width_load(small, kind):
    weights = {
        name.replace("/", "__"): array.astype(kind)
        for name, array in members(small).items()
        if name != "header"
    }
    exact = load(small).model.params.flat
    found = load(rewritten(small, **weights)).model.params.flat
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, exact, rtol=1e-3, atol=1e-4)


def test_extra_members_and_header_keys_are_ignored(small):
    rewritten(small, notes=np.arange(3), header={"notes": "mine"})
    assert load(small).model.config.hidden == 8


def test_what_older_and_imported_files_lack_has_defaults(small):
    found = load(rewritten(small, header={"corpus": {}, "split": {}, "train": {}}))
    assert found.corpus == CorpusInfo(encoding="utf-8", normalize="none")
    assert found.split == SplitInfo(0.1, 0, 0)
    with pytest.raises(CheckpointError, match="its configuration cannot be read"):
        found.settings()


def test_a_missing_file(tmp_path):
    assert "no such file" in refusal(tmp_path / "none.npz")


def test_a_folder_is_not_a_checkpoint(tmp_path):
    assert "cannot be read" in refusal(tmp_path)


@pytest.mark.parametrize("content", [b"", b"ROMEO: a text", b"PK\x03\x04", NOISE])
def test_a_file_that_is_no_archive(tmp_path, content):
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    assert "not a readable .npz archive" in refusal(path)


def test_an_array_of_numpy_alone(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, a=np.arange(3))
    assert "no member 'header'" in refusal(path)


def test_a_file_cut_short_anywhere(small):
    whole = small.read_bytes()
    for length in range(0, len(whole), 97):
        small.write_bytes(whole[:length])
        refusal(small)


def test_a_flipped_byte_anywhere_is_harmless_or_refused(small):
    whole, intact = small.read_bytes(), load(small)
    refused = 0
    for at in range(0, len(whole), 23):
        small.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        try:
            found = load(small)
        except CheckpointError as error:
            refused += 1
            assert "\n" not in str(error)  # noqa: PT017
        else:  # a byte that says nothing, such as a date
            np.testing.assert_array_equal(
                found.model.params.flat, intact.model.params.flat
            )
            assert found.vocab == intact.vocab
    assert refused > len(whole) / 23 / 2


def test_a_flipped_weight_is_found_by_its_checksum(small):
    data = small.read_bytes()
    weight = members(small)["params/layer1.Wh"].tobytes()
    at = data.index(weight) + 5
    small.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    assert "params/layer1.Wh" in refusal(small)


@pytest.mark.parametrize(
    "name",
    ["params/layer0.Wx", "params/layer1.Wh", "params/layer1.b", "params/output.W"],
)
def test_a_missing_member_is_named(small, name):
    expected = members(small)[name].shape
    message = refusal(rewritten(small, drop=[name]))
    assert f"'{name}'" in message
    assert str(expected) in message


def test_a_wrong_shape_names_the_member(small):
    changed = rewritten(small, **{"params__layer0.Wh": np.zeros((8, 9), np.float32)})
    message = refusal(changed)
    assert "'params/layer0.Wh'" in message
    assert "(8, 9)" in message
    assert "(8, 8)" in message


@pytest.mark.parametrize("dtype", [np.int32, np.complex64, "U3", bool])
def test_a_member_that_is_not_floats_is_named(small, dtype):
    changed = rewritten(small, **{"params__layer0.Wh": np.zeros((8, 8), dtype)})
    assert "'params/layer0.Wh'" in refusal(changed)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused(small, value):
    b = np.zeros(8, np.float32)
    b[3] = value
    message = refusal(rewritten(small, **{"params__layer1.b": b}))
    assert "'params/layer1.b' is not finite" in message


def test_weights_too_large_for_float32_are_refused(small):
    changed = rewritten(small, **{"params__layer1.b": np.full(8, 1e300)})
    assert "'params/layer1.b' is not finite" in refusal(changed)


@pytest.mark.parametrize(("largest", "is_refused"), [(9e29, False), (3e30, True)])
def test_weights_that_would_overflow_in_use_are_refused(small, largest, is_refused):
    b = np.full(8, largest, np.float32)
    changed = rewritten(small, **{"params__layer1.b": b})
    if is_refused:
        assert "weights above 1e+30" in refusal(changed)
        return
    model = LanguageModel.from_checkpoint(load(changed))
    with np.errstate(over="raise", invalid="raise"):
        assert np.isfinite(model.evaluate(sentences(9)).nats)


def test_weights_too_large_for_16_bits_are_not_saved_in_them(small, tmp_path):
    checkpoint, path = load(small), tmp_path / "half.npz"
    checkpoint.model.params.flat[5] = 7e4
    with pytest.raises(CheckpointError, match=r"goes up to 7e\+04, too much for 16"):
        save(checkpoint, path, half=True)
    assert not path.exists()


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("member", ["header", "params/layer0.Wh", "params/output.b"])
def test_a_pickle_in_a_member_is_refused_and_never_executed(small, tmp_path, member):
    trap = tmp_path / "executed"
    hidden = np.array([Payload(trap)], object)
    kept = members(small) | {member: hidden}
    np.savez(small, allow_pickle=True, **kept)
    refusal(small)
    assert not trap.exists()
    pickle.loads(pickle.dumps(Payload(trap))).close()
    assert trap.exists(), "the trap must be able to spring"


def test_a_bare_pickle_under_the_name_of_a_checkpoint(tmp_path):
    trap, path = tmp_path / "executed", tmp_path / "a.npz"
    path.write_bytes(pickle.dumps(Payload(trap)))
    refusal(path)
    assert not trap.exists()


CYRILLIC = [chr(0x400 + i) for i in range(33)]


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ({"format": "torch"}, "is not that of a charrnn checkpoint"),
        ({"version": 3}, "format version 3; expected 1 or 2: upgrade charrnn"),
        ({"version": 0}, "format version 0; expected 1 or 2: the file is damaged"),
        ({"version": None}, "version None; expected 1 or 2: the file is damaged"),
        ({"version": 2}, "members is None; expected a list of 2 to 100; the file is"),
        ({"vocab": ["a", "b"]}, "2 characters for a model of 33"),
        ({"vocab": "ab"}, "vocabulary"),
        ({"vocab": ["a", "a"]}, "twice"),
        ({"vocab": ["ab"]}, "one character"),
        ({"model": {"vocab": 33, "hidden": 8, "layers": 2, "cell": "q"}}, "cell"),
        ({"model": {"vocab": 33, "hidden": 0, "layers": 2, "cell": "rnn"}}, "hidden"),
        ({"model": {"vocab": 33, "hidden": 8.5, "layers": 2, "cell": "rnn"}}, "hidden"),
        ({"model": {"vocab": 33, "hidden": "8", "layers": 2, "cell": "rnn"}}, "header"),
        ({"model": {"vocab": 33, "wings": 2}}, "wings"),
        ({"model": 5}, "header"),
        ({"temperature": "hot"}, "temperature is 'hot'; expected 0.1 to 10"),
        ({"temperature": 0}, "temperature is 0; expected 0.1 to 10"),
        ({"temperature": 11}, "temperature is 11; expected 0.1 to 10"),
        ({"model": ...}, "no 'model'"),
        ({"vocab": ...}, "no 'vocab'"),
        ({"corpus": ...}, "no 'corpus'"),
        ({"train": ...}, "no 'train'"),
        ({"history": ...}, "no 'history'"),
        ({"split": ...}, "no 'split'"),
        ({"corpus": None}, "corpus"),
        ({"corpus": {"encoding": 5}}, "encoding is 5; expected a string"),
        ({"corpus": {"encoding": "\x1b[31m"}}, "encoding is '\\x1b[31m'"),
        ({"corpus": {"encoding": "bytes"}, "vocab": CYRILLIC}, "that are no bytes"),
        ({"corpus": {"documents": "lines"}}, "a model of documents has no end mark"),
        ({"corpus": {"files": "a.txt"}}, "files is 'a.txt'; expected a list"),
        ({"corpus": {"files": [1]}}, "files is [1]; expected a list"),
        ({"corpus": {"characters": 1.5}}, "characters is 1.5; expected a whole"),
        ({"corpus": {"name": None}}, "name is None; expected a string"),
        ({"split": {"val_fraction": "0.1"}}, "val_fraction is '0.1'; expected a"),
        ({"split": {"val_fraction": 2}}, "val_fraction is 2; expected 0 to 1"),
        ({"split": {"train": True}}, "train is True; expected a whole"),
        ({"history": [[1, 2]]}, "expected a step and two losses"),
        ({"history": [[1, 2, "x"]]}, "expected a step and two losses"),
        ({"split": [1]}, "split"),
        ({"train": "x"}, "train"),
        ({"history": 3}, "history"),
    ],
)
def test_a_header_that_does_not_hold_says_why(small, header, said):
    assert said in refusal(rewritten(small, header=header))


@pytest.mark.parametrize("key", ["hidden", "layers"])
def test_a_header_that_claims_a_huge_model_is_refused_unallocated(small, key):
    model = {"vocab": 33, "hidden": 8, "layers": 2, "cell": "rnn", key: 10**6}
    message = refusal(rewritten(small, header={"model": model}))
    told = {"hidden": "'params' is too small", "layers": "no member 'params/layer2.Wx'"}
    assert told[key] in message


def test_members_that_claim_a_huge_shape_are_refused_unallocated(small):
    with zipfile.ZipFile(small) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = "params/layer0.Wh.npy"
    huge = parts[name].replace(b"(8, 8), }", b"(8000000000, 8000), }")
    assert huge != parts[name]
    parts[name] = huge
    with zipfile.ZipFile(small, "w") as archive:
        for part, data in parts.items():
            archive.writestr(part, data)
    assert "'params/layer0.Wh'" in refusal(small)


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe{}", b"[1, 2]", b"null", b"7"])
def test_a_header_that_is_not_a_json_object(small, text):
    assert "header" in refusal(_with(small, text))


def _with(path, header):
    kept = members(path) | {"header": np.frombuffer(header, np.uint8)}
    np.savez(path, **kept)
    return path


def test_an_encrypted_or_oddly_compressed_archive_is_refused(small):
    data = bytearray(small.read_bytes())
    central = data.index(b"PK\x01\x02")
    for offset, value in ((8, 1), (10, 77)):  # flags, and the method of compression
        changed = bytearray(data)
        changed[central + offset] = value
        if offset == 8:
            changed[6] = value
        small.write_bytes(changed)
        refusal(small)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_compression_that_no_checkpoint_has_is_refused(small, method):
    rezipped(small, method)
    assert f"'header' is compressed by method {method}" in refusal(small)


def rezipped(path, method, **changes):
    """Write an archive anew with another compression and changed members."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in (parts | changes).items():
            archive.writestr(name, data)


def test_a_member_name_that_is_not_utf8_is_refused(small):
    rezipped(small, zipfile.ZIP_STORED, **{"é": b""})
    data = small.read_bytes()
    assert data.count("é".encode()) == 2
    small.write_bytes(data.replace("é".encode(), b"\xff\xff"))
    assert "not a readable .npz archive" in refusal(small)


def npy(shape, data=b"", kind="'|u1'", version=b"\x01\x00"):
    """Return a .npy file whose description may not be true."""
    text = f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    size = len(text).to_bytes(2 if version == b"\x01\x00" else 4, "little")
    return b"\x93NUMPY" + version + size + text + data


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (npy("(100000000000,)"), "expected up to"),
        (npy("(30000000,)"), "too many for a file of this size"),
        (npy("(-1,)"), "is not an array"),
        (npy("(4,,)", b"null"), "is not an array"),
        (npy("(1 2,)", bytes(12)), "is not an array"),
        (npy("(" + "9" * 19 + ",)"), "is not an array"),
        (npy("(4L,)", b"null"), "is not an array"),
        (npy("(4,)", b"null", kind="[('a', '|u1')]"), "is not an array"),
        (npy("(2, 2)", b"null"), "expected up to"),
        (npy("(4,)", b"null", kind="'<f4'"), "expected up to"),
        (npy("(4,)", b"null", kind="'|O'"), "expected up to"),
        (npy("(5,)", b"null"), "does not have exactly 5 bytes"),
        (npy("(3,)", b"null"), "does not have exactly 3 bytes"),
        (npy("(4,)", b"null", version=b"\x02\x00"), "is not an array"),
        (npy("-" * 9000 + "1"), "is not an array"),
        (npy("("), "is not an array"),
        (b"", "is not an array"),
    ],
)
def test_a_header_whose_description_is_not_true_is_refused(small, header, said):
    rezipped(small, zipfile.ZIP_DEFLATED, **{"header.npy": header})
    message = refusal(small)
    assert "'header'" in message
    assert said in message


def test_a_header_that_is_nested_too_deeply_is_refused(small):
    assert "the header is not JSON" in refusal(_with(small, b"[" * 100_000))


def test_a_member_larger_than_its_shape_is_refused(small):
    b = npy("(8,)", np.zeros(9, np.float32).tobytes(), kind="'<f4'")
    rezipped(small, zipfile.ZIP_STORED, **{"params/layer1.b.npy": b})
    assert "'params/layer1.b' does not have exactly 32 bytes" in refusal(small)


def test_a_bomb_is_refused_before_it_fills_the_memory(tmp_path):
    path, H = tmp_path / "bomb.npz", 1500
    save(small_run(shape={"hidden": 4}).best_checkpoint(), path)
    header = {"vocab": 33, "hidden": H, "layers": 1, "cell": "rnn"}
    shapes = {"Wx": (33, H), "Wh": (H, H), "b": (H,)}
    zeros = {f"params__layer0.{name}": np.zeros(s, "f4") for name, s in shapes.items()}
    zeros |= {"params__output.W": np.zeros((H, 33), "f4")}
    rewritten(path, header={"model": header}, **zeros)
    assert load(path).model.config.hidden == H  # stored as it is, it is fine
    np.savez_compressed(path, **members(path))
    assert path.stat().st_size < 50_000
    assert "bomb.npz: 'params' is too small for 'layer0.Wh'" in refusal(path)


def test_many_members_together_are_no_bomb_either(small):
    """Each is within the limit, and all of them are not."""
    H, L = 256, 6
    model = {"vocab": 33, "hidden": H, "layers": L, "cell": "gru"}
    arrays = {"params__output.W": np.zeros((H, 33), "f8")}
    for i in range(L):
        D = H if i else 33
        shapes = {"Wx": (D, 3 * H), "Wh": (H, 3 * H), "b": (3 * H,), "c": (H,)}
        for name, shape in shapes.items():
            arrays[f"params__layer{i}.{name}"] = np.zeros(shape, "f8")
    rewritten(small, header={"model": model}, **arrays)
    np.savez_compressed(small, **members(small))
    assert "'params' is too small for 'layer1.Wh'" in refusal(small)


def test_compressed_members_load(small):
    exact = load(small).model.params.flat
    np.savez_compressed(small, **members(small))
    np.testing.assert_array_equal(load(small).model.params.flat, exact)


def test_saving_replaces_the_file_in_one_step_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "a.npz"
    save(trained().to_checkpoint(), path)
    with path.open("rb") as reader:
        before = path.read_bytes()
        save(replace(trained().to_checkpoint(), history=[]), path)
        assert reader.read() == before, "an open reader keeps the older file"
    assert path.read_bytes() != before
    assert [found.name for found in tmp_path.iterdir()] == ["a.npz"]


def test_a_checkpoint_is_as_readable_as_any_new_file(tmp_path):
    save(trained().to_checkpoint(), tmp_path / "a.npz")
    (tmp_path / "other").touch()
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1


def test_saving_where_no_folder_can_be_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match=r"a\.npz: cannot be written") as error:
        save(trained().to_checkpoint(), tmp_path / "file" / "a.npz")
    assert "\n" not in str(error.value)


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits on file sizes")
@pytest.mark.parametrize("room", [0, 100, 2000, 6000])
def test_a_full_disk_leaves_the_older_checkpoint_and_nothing_temporary(tmp_path, room):
    path = tmp_path / "a.npz"
    save(trained().to_checkpoint(), path)
    before = path.read_bytes()
    assert len(before) > 6000
    script = f"""
        import resource
        from pathlib import Path
        from charrnn.storage.checkpoint import load, save
        from charrnn.errors import CheckpointError
        checkpoint = load(Path({str(path)!r}))
        resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))
        for path in (Path({str(path)!r}), Path({str(tmp_path / "new.npz")!r})):
            try:
                save(checkpoint, path)
            except CheckpointError as error:
                print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        env=environment_of_a_full_disk(),
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    old, new = done.stdout.splitlines()
    assert "a.npz: cannot be written" in old
    assert "untouched" in old
    assert "new.npz: cannot be written" in new
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == ["a.npz"]
