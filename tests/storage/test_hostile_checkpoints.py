"""Checkpoints that a stranger edited: refused in one line, in little time and memory.

Random damage, and every wrong value in every field, is in `benchmarks/faults.py`.
"""

import hashlib
import io
import json
import struct
import tracemalloc
import warnings
import zipfile
from dataclasses import asdict
from pathlib import Path

import hostile
import numpy as np
import pytest
from texts import sentences, small_config, small_run

from charrnn import strict_json
from charrnn.config import TextConfig
from charrnn.errors import CharRNNError, CheckpointError
from charrnn.generation.language_model import LanguageModel
from charrnn.run import resume_run, start_run
from charrnn.storage.checkpoint import load, save
from charrnn.text.reading import read_corpus
from charrnn.training.events import Step

MEMORY = 20 << 20  # bytes that refusing a small file may take


@pytest.fixture
def small(tmp_path):
    """Return the path of a valid checkpoint of hidden 8 and 2 layers."""
    path = tmp_path / "small.npz"
    save(small_run(shape={"layers": 2}).best_checkpoint(), path)
    return path


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """Return the last.npz of a run with a value in every field of the header.

    It was stopped between two validations, on documents, with another text to validate
    on.
    """
    folder = tmp_path_factory.mktemp("run")
    text = folder / "text.txt"
    text.write_text(sentences(60), encoding="utf-8")
    corpus = read_corpus([text], TextConfig(documents="lines"))
    settings = asdict(small_config(average=0.9, dropout=0.1, steps=20, eval_every=4))
    run = start_run(
        corpus, settings | {"hidden": 8, "cell": "lstm"}, val=corpus, folder=folder
    )
    for event in run.events():
        if isinstance(event, Step) and event.step == 10:
            run.trainer.stop()
    return folder / "last.npz"


def refusal(path, **options):
    """Return the one line with which a file is refused."""
    with pytest.raises(CheckpointError) as error:
        load(path, **options)
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert message.isprintable()
    assert len(message) < len(str(path)) + 400
    return message


def rezipped(path, method=zipfile.ZIP_STORED, header=None, **changes):
    """Write an archive anew; `a__b` stands for the member a/b."""
    parts = hostile.members(path)
    if header is not None:
        header = hostile.npy(np.frombuffer(header, np.uint8))
        parts["header.npy"] = header
    changes = {name.replace("__", "/") + ".npy": v for name, v in changes.items()}
    hostile.write_members(path, parts | changes, method)


def use(path, work):
    """Do with a checkpoint what the commands do with it."""
    checkpoint = load(path, snapshot=True)
    save(checkpoint, work / "again.npz")
    model = LanguageModel.from_checkpoint(checkpoint)
    model.generate("A", length=5, seed=1, kernels="numpy")
    model.export(work / "a.safetensors", force=True)
    run = resume_run(path.parent)
    for event in run.events():
        if isinstance(event, Step):
            run.trainer.stop()
    run.trainer.close()


@pytest.mark.parametrize(
    "part", ["model", "vocab", "split", "corpus", "train", "history", "progress"]
)
def test_a_wrong_value_in_any_field_is_refused_or_harmless(stopped, tmp_path, part):
    """A fifth of the values in each field; another fifth in the next."""
    parts = hostile.members(stopped)
    header = hostile.header_of(parts)
    path = tmp_path / "run" / "last.npz"
    path.parent.mkdir()
    places = [p for p in hostile.places(header) if part in p[0]]
    refused = 0
    for i, place in enumerate(places):
        for wrong in hostile.WRONG[i % 5 :: 5]:
            changed = hostile.replaced(header, place, wrong)
            hostile.write_members(path, hostile.with_header(parts, changed))
            try:
                use(path, tmp_path)
            except CharRNNError as error:
                refused += 1
                assert str(error).isprintable(), (place, wrong)  # noqa: PT017
                assert len(str(error)) < 700, (place, wrong)  # noqa: PT017
    assert refused > len(places)


@pytest.mark.parametrize("key", ["\x1b]0;x\x07\n", "x" * 100_000])
def test_a_key_that_nobody_expects_is_escaped_and_cut_or_ignored(
    stopped, tmp_path, key
):
    parts = hostile.members(stopped)
    header = hostile.header_of(parts)
    objects = [p for p in hostile.places(header) if isinstance(_at(header, p), dict)]
    assert ("train", "plan", "layout") in objects
    refused = 0
    for place in [(), *objects]:
        changed = hostile.replaced(header, (*place, key), 1)
        hostile.write_members(tmp_path / "a.npz", hostile.with_header(parts, changed))
        for snapshot in (False, True):
            try:
                load(tmp_path / "a.npz", snapshot=snapshot)
            except CheckpointError as error:
                refused += 1
                message = str(error).removeprefix(f"{tmp_path}")
                assert message.isprintable()
                assert len(message) < 500
    assert refused >= 6


def _at(value, place):
    for key in place:
        value = value[key]
    return value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("window", 0),
        ("batch", 0),
        ("eval_every", 0),
        ("steps", -1),
        ("sampled", 10**9),
        ("layout", {"workers": 4, "blas_threads": 10**6}),
        ("layout", {"workers": 10**6, "blas_threads": 1}),
    ],
)
def test_a_plan_has_limits(stopped, tmp_path, name, value):
    parts = hostile.members(stopped)
    changed = hostile.replaced(hostile.header_of(parts), ("train", "plan", name), value)
    path = tmp_path / "a.npz"
    hostile.write_members(path, hostile.with_header(parts, changed))
    message = refusal(path, snapshot=True)
    assert "expected" in message
    assert load(path).snapshot is None, "sampling does not need the plan"


def test_batch_threads_are_limited_even_with_as_large_a_batch(stopped, tmp_path):
    parts = hostile.members(stopped)
    plan = hostile.header_of(parts)["train"]["plan"]
    plan |= {"batch": 10**6, "layout": {"workers": 10**6, "blas_threads": 1}}
    changed = hostile.replaced(hostile.header_of(parts), ("train", "plan"), plan)
    hostile.write_members(tmp_path / "a.npz", hostile.with_header(parts, changed))
    message = refusal(tmp_path / "a.npz", snapshot=True)
    assert "workers is 1000000; expected at most 1,024" in message


# ---- JSON ----


@pytest.mark.parametrize(
    "text",
    [
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1e999}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": -' + b"9" * 41 + b"}",
        b'{"a": 1, "a": 2}',
        b'{"b": [{"a": 1, "a": 2}]}',
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b"[" + b"[]," * 1_300_000 + b"[]]",
        b"[" + b'{"a":1},' * 300_000 + b"1]",
        b'"' + b"a" * strict_json.LARGEST + b'"',
        b"\xff",
        b"\xed\xa0",
        b"",
    ],
)
def test_json_that_no_checkpoint_has_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        strict_json.parse(text)


def test_json_of_checkpoints_is_read():
    value = {"a": [1, -2.5, 1e-300, None, True, 2**128], "\ud800é🙂": ",[{:" * 9}
    text = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
    assert strict_json.parse(text) == value
    assert strict_json.parse(json.dumps(value)) == value
    assert strict_json.parse('{"best_loss": Infinity}') == {"best_loss": np.inf}
    everything = [*map(chr, range(0x110000))]
    text = json.dumps(everything, ensure_ascii=False).encode("utf-8", "surrogatepass")
    assert strict_json.parse(text) == everything


def test_huge_json_in_a_small_file_takes_little_memory(small):
    rezipped(small, zipfile.ZIP_DEFLATED, header=b"[" + b"[]," * 9_000_000 + b"1]")
    assert "too many for a file of this size" in small_refusal(small)


def small_refusal(path, **options):
    """Return the refusal of a file, which must take little memory."""
    tracemalloc.start()
    try:
        message = refusal(path, **options)
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()
    return message


def test_a_lone_surrogate_in_a_file_name_is_kept(small):
    parts = hostile.members(small)
    corpus = {"files": ["/tmp/\udcff.txt"]}
    changed = hostile.header_of(parts) | {"corpus": corpus}
    hostile.write_members(small, hostile.with_header(parts, changed))
    assert load(small).corpus.files == ("/tmp/\udcff.txt",)


def test_the_names_of_very_many_files_do_not_make_a_checkpoint_unreadable(tmp_path):
    checkpoint = small_run().best_checkpoint()
    many = tuple(f"/a/long/path/of/a/file/{i:050}" for i in range(150_000))
    corpus = checkpoint.corpus.__class__("many", "0" * 64, 5, files=many, relative=many)
    checkpoint.corpus = corpus
    save(checkpoint, tmp_path / "a.npz")
    assert load(tmp_path / "a.npz").corpus.files == ()


# ---- Sizes ----


@pytest.mark.parametrize("key", ["vocab", "hidden", "layers"])
@pytest.mark.parametrize("size", [10**6, 10**9, 2**62])
def test_a_model_of_any_size_is_refused_without_memory(small, key, size):
    header = hostile.header_of(hostile.members(small))
    header["model"][key] = size
    rezipped(small, header=json.dumps(header).encode())
    small_refusal(small)


@pytest.mark.parametrize("size", [10**6, 10**9, 2**62])
def test_a_batch_of_any_size_is_refused_without_memory(stopped, tmp_path, size):
    parts = hostile.members(stopped)
    header = hostile.replaced(
        hostile.header_of(parts), ("train", "plan", "batch"), size
    )
    hostile.write_members(tmp_path / "a.npz", hostile.with_header(parts, header))
    message = small_refusal(tmp_path / "a.npz", snapshot=True)
    assert "'state' is too small for 'layer0.0'" in message


def test_thousands_of_tiny_layers_are_refused_when_one_is_missing(small):
    layers = 3000
    header = hostile.header_of(hostile.members(small))
    header["model"] |= {"layers": layers, "hidden": 1}
    one = hostile.npy(np.zeros(1, np.float32))
    names = [f"params/layer{i}.Wx" for i in range(layers)]
    rezipped(small, header=json.dumps(header).encode(), **dict.fromkeys(names, one))
    assert "'params/layer2.Wh'" in small_refusal(small)


@pytest.mark.parametrize(
    ("shape", "data"),
    [
        ("(8000000000, 8000)", b""),
        ("(9223372036854775807, 9223372036854775807)", b""),
        ("(99999999999999999999,)", b""),
        ("(8, 8, 0)", b""),
        ("()", bytes(4)),
        ("(-8, -8)", bytes(256)),
        ("(64,)", bytes(256)),
    ],
)
def test_a_shape_that_is_not_the_expected_one_is_refused_unallocated(
    small, shape, data
):
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    npy = b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + data
    rezipped(small, **{"params__layer0.Wh": npy})
    assert "'params/layer0.Wh'" in small_refusal(small)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((8, 8), np.int64),
        np.zeros((8, 8), np.longdouble),
        np.zeros((8, 8), np.complex128),
        np.zeros((8, 8), "datetime64[s]"),
        np.zeros((8, 8), "S4"),
        np.zeros((8, 8), "V4"),
        np.zeros((8, 8), [("a", "<f4")]),
        np.zeros((8, 8), bool),
    ],
    ids=lambda array: array.dtype.str,
)
def test_a_type_that_is_no_float_is_refused(small, array):
    data = io.BytesIO()
    np.save(data, array)
    rezipped(small, **{"params__layer0.Wh": data.getvalue()})
    assert "'params/layer0.Wh' is " in refusal(small)


@pytest.mark.parametrize("kind", ["<f2", ">f2", ">f4", "<f8", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_floats_in_other_orders_are_read(small, kind, order):
    expected = np.arange(64).reshape(8, 8) / 64
    data = io.BytesIO()
    np.save(data, np.asarray(expected, kind, order=order))
    header = hostile.header_of(hostile.members(small))
    del header["digests"]
    text = json.dumps(header).encode()
    rezipped(small, header=text, **{"params__layer0.Wh": data.getvalue()})
    np.testing.assert_array_equal(load(small).model.params["layer0.Wh"], expected)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
@pytest.mark.parametrize(
    "name",
    ["state/layer0.1", "optimizer/v/output.b", "good/state/layer0.0", "best/output.b"],
)
def test_training_state_that_is_not_finite_is_refused(stopped, tmp_path, name, value):
    parts = hostile.members(stopped)
    shape = (4, 8) if "state" in name else (len(hostile.header_of(parts)["vocab"]),)
    parts[f"{name}.npy"] = hostile.npy(np.full(shape, value))
    hostile.write_members(tmp_path / "a.npz", parts)
    message = refusal(tmp_path / "a.npz", snapshot=True)
    assert f"'{name}' is not finite" in message


# ---- Archives ----


def test_a_member_that_occurs_twice_is_refused(small):
    with zipfile.ZipFile(small, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("params/layer0.Wh.npy", b"")
    assert "two members have the name 'params/layer0.Wh.npy'" in refusal(small)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_that_nobody_needs_is_never_unpacked(small, method):
    with zipfile.ZipFile(small, "a", method) as archive:
        archive.writestr("bomb.npy", bytes(1 << 24))
        archive.writestr("../../../etc/passwd", b"root")
    assert small.stat().st_size < 20_000
    tracemalloc.start()
    load(small)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def directory(*entries):
    """Return an archive that is nothing but a directory: (name, size, offset) each."""
    parts = [
        struct.pack(
            *("<4s4B4HL2L5H2L", b"PK\1\2", 20, 0, 20, 0, 0, 0, 0, 33, 0),
            *(size, size, len(name), 0, 0, 0, 0, 0, offset),
        )
        + name
        for name, size, offset in entries
    ]
    data, count = b"".join(parts), min(len(parts), 65535)
    return data + struct.pack(
        "<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(data), 0, 0
    )


def test_members_that_share_bytes_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(bytes(500) + directory((b"a", 100, 0), (b"b", 100, 50)))
    assert "'b' overlaps another member" in refusal(path)
    path.write_bytes(bytes(500) + directory((b"a", 480, 0)))
    assert "the last member overlaps the directory" in refusal(path)


def test_a_name_that_contradicts_its_header_is_cut_short(tmp_path):
    path, name = tmp_path / "a.npz", "header.npy" + "x" * 60_000
    hostile.write_members(path, {name: b""})
    path.write_bytes(path.read_bytes().replace(b"xx", b"yy", 1))
    assert "no member 'header'" in refusal(path)
    hostile.write_members(path, {"header.npy": b"", name: b""})
    path.write_bytes(path.read_bytes().replace(b"header.npy", b"\x1bheader.np", 1))
    assert "not a readable .npz archive" in refusal(path)


def test_a_stored_member_of_two_sizes_is_refused(small):
    data = bytearray(small.read_bytes())
    at = data.index(b"PK\x01\x02") + 24  # the size after unpacking
    data[at : at + 4] = (1 << 30).to_bytes(4, "little")
    small.write_bytes(data)
    assert "the sizes of 'header.npy' contradict each other" in refusal(small)


def test_a_directory_of_very_many_members_is_refused_unread(tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(directory(*((b"%06d" % i, 0, 0) for i in range(90_000))))
    assert "its directory is too large" in small_refusal(path)


def test_zip64_sizes_beyond_the_file_are_refused(small):
    """The directory claims a terabyte, as zip64 does it, for a deflated member."""
    parts = hostile.members(small)
    path = small.with_name("claims.npz")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
        for info in archive.filelist:
            info.file_size = 1 << 40
            info.compress_size = 1 << 40
    small_refusal(path)


# ---- Digests ----


def test_digests_are_what_the_documents_say(stopped):
    with np.load(stopped) as file:
        digests = json.loads(file["header"].tobytes())["digests"]
        folders = {name.rpartition("/")[0] for name in file.files} - {""}
        assert digests.keys() == folders
        for folder, digest in digests.items():
            names = sorted(n for n in file.files if n.rpartition("/")[0] == folder)
            data = b"".join(file[name].tobytes() for name in names)
            assert hashlib.sha256(data).hexdigest() == digest


def test_two_members_that_were_exchanged_are_found(small):
    parts = hostile.members(small)
    a, b = "params/layer0.Wh.npy", "params/layer1.Wh.npy"
    hostile.write_members(small, parts | {a: parts[b], b: parts[a]})
    assert "'params' does not hold the arrays that were saved" in refusal(small)


def test_a_member_from_another_file_is_found(small, tmp_path):
    other = tmp_path / "other.npz"
    save(small_run(shape={"layers": 2}, seed=2).best_checkpoint(), other)
    foreign = hostile.members(other)["params/output.W.npy"]
    parts = hostile.members(small) | {"params/output.W.npy": foreign}
    hostile.write_members(small, parts)
    assert "'params' does not hold" in refusal(small)


def folders(path):
    return hostile.header_of(hostile.members(path))["digests"]


def test_each_folder_has_its_digest_and_is_checked_when_it_is_read(stopped, tmp_path):
    parts, path = hostile.members(stopped), tmp_path / "a.npz"
    for folder in folders(stopped):
        name = next(n for n in parts if n.rpartition("/")[0] == folder)
        changed = bytearray(parts[name])
        changed[-4] ^= 1  # the lowest bit of a float32
        hostile.write_members(path, parts | {name: bytes(changed)})
        assert f"'{folder}' does not hold" in refusal(path, snapshot=True)
        if folder != "params":
            assert load(path).snapshot is None  # sampling reads the weights only


def test_best_weights_whose_members_have_other_names_are_not_taken_for_none(
    stopped, tmp_path
):
    """A file of an older version has none, which must not be mixed up."""
    parts = hostile.members(stopped)
    best = [name for name in parts if name.startswith("best/")]
    for damaged in (best, ["best/output.W.npy"]):
        renamed = {
            n.replace("est", "ert") if n in damaged else n: parts[n] for n in parts
        }
        hostile.write_members(tmp_path / "a.npz", renamed)
        assert "no member 'best/" in refusal(tmp_path / "a.npz", snapshot=True)


def test_a_header_without_the_digest_of_a_folder_is_refused(small):
    parts = hostile.members(small)
    for digests in ({"best": "0"}, {"params": 5}, {"params": None}, [], "x", 1, None):
        header = hostile.header_of(parts) | {"digests": digests}
        hostile.write_members(small, hostile.with_header(parts, header))
        assert "digests" in (m := refusal(small)) or "'params' does not hold" in m


def test_a_file_of_an_older_version_has_no_digests(small):
    parts = hostile.members(small)
    header = hostile.header_of(parts)
    del header["digests"]
    hostile.write_members(small, hostile.with_header(parts, header))
    assert load(small).model.config.hidden == 8


def test_the_edit_in_the_documents_works(small, monkeypatch):
    page = Path(__file__).parents[2] / "docs" / "checkpoint.md"
    edit = page.read_text(encoding="utf-8").split("```python\n")[2].split("```")[0]
    monkeypatch.chdir(small.parent)
    before = load(small.rename("best.npz")).model.params["output.b"]
    exec(edit, {})
    after = load(small.with_name("edited.npz")).model.params["output.b"]
    np.testing.assert_allclose(after, before + 0.1, rtol=1e-6)


def test_half_precision_has_its_own_digest(tmp_path):
    checkpoint = small_run().best_checkpoint()
    save(checkpoint, tmp_path / "a.npz", half=True)
    load(tmp_path / "a.npz")


@pytest.mark.parametrize("snapshot", [False, True])
def test_a_flipped_bit_is_found_or_harmless(stopped, tmp_path, snapshot):
    whole, path = stopped.read_bytes(), tmp_path / "a.npz"
    intact = load(stopped, snapshot=True)
    rng = np.random.default_rng(1)
    refused = 0
    for at in rng.integers(len(whole) * 8, size=60):
        data = bytearray(whole)
        data[at // 8] ^= 1 << (at % 8)
        path.write_bytes(data)
        try:
            found = load(path, snapshot=snapshot)
        except CheckpointError:
            refused += 1
            continue
        assert found.vocab == intact.vocab
        assert found.train == intact.train
        assert found.model.params.flat.tobytes() == intact.model.params.flat.tobytes()
        if snapshot:
            assert found.snapshot.progress == intact.snapshot.progress
            for name, moment in found.snapshot.moments.items():
                assert moment.tobytes() == intact.snapshot.moments[name].tobytes()
    assert refused > (20 if snapshot else 2)
