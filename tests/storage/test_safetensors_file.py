"""The safetensors format: files made by hand, by other programs, and damaged ones."""

import json
import tracemalloc

import numpy as np
import pytest
import safetensors.numpy

from charrnn.errors import CheckpointError
from charrnn.storage.safetensors_file import load, save

ARRAYS = {
    "b": np.array([[1, -2, 0.5]], np.float32),
    "a": np.array(3, np.float32),
    "empty": np.zeros((0, 4), np.float32),
}
# The same by hand: 1, -2 and 0.5 in float32 are 3f800000, c0000000 and 3f000000.
HEADER = (
    b'{"__metadata__":{"k":"\\u00e9"},'
    b'"b":{"dtype":"F32","shape":[1,3],"data_offsets":[0,12]},'
    b'"a":{"dtype":"F32","shape":[],"data_offsets":[12,16]},'
    b'"empty":{"dtype":"F32","shape":[0,4],"data_offsets":[16,16]}}'
)
BUFFER = bytes.fromhex("0000803f 000000c0 0000003f 00004040")


def packed(header, buffer=b""):
    """Return a file's bytes; a header may be an object or its text."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + buffer


def entry(shape=(2,), begin=0, end=8, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.safetensors"


def refusal(path):
    """Return the one line with which a file is refused."""
    with pytest.raises(CheckpointError) as error:
        load(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert len(message) < 600
    return message


@pytest.mark.parametrize("padding", [b"", b"  "])
def test_a_file_made_by_hand_is_read(path, padding):
    path.write_bytes(packed(HEADER + padding, BUFFER))
    arrays, metadata = load(path)
    assert metadata == {"k": "é"}
    assert arrays.keys() == ARRAYS.keys()
    for name, expected in ARRAYS.items():
        assert arrays[name].dtype == np.float32
        np.testing.assert_array_equal(arrays[name], expected, strict=True)


def test_every_bit_of_a_float_comes_back(path):
    numbers = np.array([0, -0.0, 1e-45, 3.4e38, -np.inf, np.nan, 0.1], np.float32)
    save(path, {"x": numbers}, {})
    assert load(path)[0]["x"].tobytes() == numbers.tobytes()


def test_arrays_in_another_order_of_memory_are_written_row_by_row(path):
    x = np.arange(6, dtype=np.float64).reshape(2, 3).T
    save(path, {"x": x}, {})
    np.testing.assert_array_equal(load(path)[0]["x"], x)


@pytest.mark.parametrize(
    ("dtype", "data"),
    [
        ("F16", np.array([1.5, -0.25], "<f2").tobytes()),
        ("F32", np.array([1.5, -0.25], "<f4").tobytes()),
        ("F64", np.array([1.5, -0.25], "<f8").tobytes()),
        ("BF16", bytes.fromhex("c03f 80be")),  # 3fc00000, be800000 in float32
    ],
)
def test_floats_of_every_width_become_float32(path, dtype, data):
    path.write_bytes(packed({"x": entry(end=len(data), dtype=dtype)}, data))
    (x,) = load(path)[0].values()
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x, [1.5, -0.25])


def test_what_is_too_large_or_not_a_number_is_read_without_a_word(path):
    signalling = np.array([0x7FF0000000000001], "<u8").tobytes()
    data = np.array([1e300]).tobytes() + signalling
    path.write_bytes(packed({"x": entry(end=16, dtype="F64")}, data))
    (x,) = load(path)[0].values()
    assert np.isinf(x[0])
    assert np.isnan(x[1])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x08\0\0",
        packed(b"{}      ")[:-1],
        b"\xff" * 8 + b"{}",
        packed(b""),
        packed(b'{"x"'),
        packed(b'{"x": "\xff"}'),
        packed(b"[" * 100_000),
        packed(b"1" * 10_000),
        packed([]),
        packed(b"null"),
        packed({"__metadata__": []}),
        packed({"__metadata__": {"a": 1}}),
        packed({"x": 5}),
        packed({"x\n\x1b": entry((3,))}, bytes(8)),
        packed({"x\n" * 10_000: entry(begin=8, end=16)}, bytes(8)),
        packed({"x": {"dtype": "F32", "shape": [1]}}),
        packed({"x": entry((2.0,))}, bytes(8)),
        packed({"x": entry((-1, -2))}, bytes(8)),
        packed({"x": entry((1,) * 65, end=4)}, bytes(4)),
        packed({"x": entry((10**30,))}, bytes(8)),
        packed({"x": entry(begin=-8, end=0)}, bytes(8)),
        packed({"x": entry(dtype="F\n")}, bytes(8)),
        packed({"x": entry(dtype=7)}, bytes(8)),
        packed({"x": entry((3,))}, bytes(8)),
        packed({"x": entry((2**62,) * 20)}, bytes(8)),
        packed({"x": entry(begin=8, end=0)}, bytes(8)),
        packed({"x": entry()}, bytes(7)),
        packed({"x": entry()}, bytes(9)),
        packed({}, bytes(1)),
        packed({"x": entry(begin=8, end=16)}, bytes(16)),
        packed({"x": entry(), "y": entry(begin=4, end=12)}, bytes(12)),
        packed({"x": entry(), "y": entry(begin=12, end=20)}, bytes(20)),
    ],
)
def test_a_malformed_file_is_refused_in_one_line(path, data):
    path.write_bytes(data)
    message = refusal(path)
    assert "not a whole safetensors file" in message
    assert message.isprintable()
    assert message.endswith("export or download it again")


@pytest.mark.parametrize(
    ("dtype", "size"), [("I64", 16), ("BOOL", 2), ("F8_E4M3", 2), ("U16", 4)]
)
def test_numbers_that_are_no_floats_are_named(path, dtype, size):
    path.write_bytes(packed({"x": entry(dtype=dtype, end=size)}, bytes(size)))
    assert f"x is {dtype}; expected F16, F32, F64, BF16" in refusal(path)


@pytest.mark.parametrize("shape", [(0, 2**62), (2**62, 2**62, 0), (0,) * 32])
def test_an_empty_array_of_a_huge_shape_takes_no_room(path, shape):
    path.write_bytes(packed({"x": entry(shape, end=0)}))
    try:
        (x,) = load(path)[0].values()
    except CheckpointError as error:  # NumPy has a limit, too
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert x.shape == shape


def test_a_huge_header_is_refused_unread(path):
    with path.open("wb") as file:
        file.write((100_000_001).to_bytes(8, "little") + b"{")
        file.truncate(200_000_000)
    tracemalloc.start()
    try:
        assert "not a whole safetensors file" in refusal(path)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_very_many_arrays_of_no_size_are_refused_unread(path):
    entries = {f"{i:x}": entry((0,), 0, 0) for i in range(100_001)}
    path.write_bytes(packed(entries))
    tracemalloc.start()
    try:
        assert "more than 100,000 arrays" in refusal(path)
        assert tracemalloc.get_traced_memory()[1] < 2 * path.stat().st_size
    finally:
        tracemalloc.stop()


def test_an_array_that_occurs_twice_is_refused(path):
    one, other = json.dumps(entry()), json.dumps(entry(begin=8, end=16))
    path.write_bytes(packed(f'{{"x": {one}, "x": {other}}}'.encode(), bytes(16)))
    assert "not a whole safetensors file" in refusal(path)


def test_a_file_cut_short_anywhere_is_refused(path):
    save(path, ARRAYS, {"k": "é"})
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        refusal(path)


def test_a_flipped_byte_anywhere_is_harmless_or_refused(path):
    save(path, ARRAYS, {"k": "é"})
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x11]) + whole[at + 1 :])
        try:
            arrays, _ = load(path)
        except CheckpointError as error:
            assert "\n" not in str(error)  # noqa: PT017
        else:
            assert sum(array.size for array in arrays.values()) == 4


def test_a_folder_and_a_missing_file(path, tmp_path):
    assert "cannot be read" in refusal(path)
    assert "cannot be read" in refusal(tmp_path)


def test_writing_replaces_in_one_step_and_says_where_it_cannot(path, tmp_path):
    path.write_text("old")
    save(path, ARRAYS, {})
    assert [found.name for found in tmp_path.iterdir()] == [path.name]
    with pytest.raises(CheckpointError, match="cannot be written"):
        save(path / "below", ARRAYS, {})


def test_any_other_program_reads_ours(path):
    save(path, ARRAYS, {"k": "é🙂"})
    found = safetensors.numpy.load_file(path)
    assert found.keys() == ARRAYS.keys()
    for name, expected in ARRAYS.items():
        np.testing.assert_array_equal(found[name], expected, strict=True)
    with safetensors.safe_open(path, framework="np") as file:
        assert file.metadata() == {"k": "é🙂"}


def test_what_any_other_program_wrote_is_read(path):
    rng = np.random.default_rng(1)
    arrays = {
        "half": rng.normal(size=(3, 5)).astype(np.float16),
        "z": rng.normal(size=(2, 3)).astype(np.float32),
        "a": rng.normal(size=4).astype(np.float32),
        "double": rng.normal(size=(2, 1)),
        "none": np.zeros((3, 0), np.float32),
        "ünï": np.array(2.5),
    }
    safetensors.numpy.save_file(arrays, path, metadata={"format": "np", "é": "\n"})
    found, metadata = load(path)
    assert metadata == {"format": "np", "é": "\n"}
    assert found.keys() == arrays.keys()
    for name, expected in arrays.items():
        np.testing.assert_array_equal(found[name], expected.astype(np.float32))


def test_pytorch_and_we_agree_on_bfloat16(path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from safetensors.torch import save_file

    x = torch.randn(3, 4, generator=torch.manual_seed(1)).bfloat16()
    save_file({"x": x}, path)
    np.testing.assert_array_equal(load(path)[0]["x"], x.float().numpy())
