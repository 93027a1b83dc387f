"""The safetensors format: its bytes, its own package's opinion, and every refusal."""

import json

import numpy as np
import pytest

from charrnn.errors import CheckpointError
from charrnn.storage.safetensors_file import read, write

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
        read(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert len(message) < 600
    return message


def test_the_bytes_are_those_of_a_file_made_by_hand(path):
    write(path, ARRAYS, {"k": "é"})
    padding = b" " * (-len(HEADER) % 8)
    assert path.read_bytes() == packed(HEADER + padding, BUFFER)
    assert len(HEADER + padding) % 8 == 0


@pytest.mark.parametrize("padding", [b"", b"  "])
def test_a_file_made_by_hand_is_read(path, padding):
    path.write_bytes(packed(HEADER + padding, BUFFER))
    arrays, metadata = read(path)
    assert metadata == {"k": "é"}
    assert arrays.keys() == ARRAYS.keys()
    for name, expected in ARRAYS.items():
        assert arrays[name].dtype == np.float32
        np.testing.assert_array_equal(arrays[name], expected, strict=True)


@pytest.mark.parametrize("length", range(8))
def test_the_header_is_padded_to_a_multiple_of_8_whatever_its_length(path, length):
    write(path, {}, {"k": "x" * length})
    data = path.read_bytes()
    assert len(data) % 8 == 0
    assert int.from_bytes(data[:8], "little") == len(data) - 8
    assert read(path) == ({}, {"k": "x" * length})


def test_every_bit_of_a_float_comes_back(path):
    numbers = np.array([0, -0.0, 1e-45, 3.4e38, -np.inf, np.nan, 0.1], np.float32)
    write(path, {"x": numbers}, {})
    assert read(path)[0]["x"].tobytes() == numbers.tobytes()


def test_arrays_in_another_order_of_memory_are_written_row_by_row(path):
    x = np.arange(6, dtype=np.float64).reshape(2, 3).T
    write(path, {"x": x}, {})
    np.testing.assert_array_equal(read(path)[0]["x"], x)


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
    (x,) = read(path)[0].values()
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x, [1.5, -0.25])


def test_what_is_too_large_or_not_a_number_is_read_without_a_word(path):
    signalling = np.array([0x7FF0000000000001], "<u8").tobytes()
    data = np.array([1e300]).tobytes() + signalling
    path.write_bytes(packed({"x": entry(end=16, dtype="F64")}, data))
    (x,) = read(path)[0].values()
    assert np.isinf(x[0])
    assert np.isnan(x[1])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "a header of 0 bytes in a file of 0"),
        (b"\x08\0\0", "in a file of 3"),
        (packed(b"{}      ")[:-1], "a header of 8 bytes in a file of 15"),
        (b"\xff" * 8 + b"{}", "18,446,744,073,709,551,615 bytes"),
        (packed(b""), "not valid JSON"),
        (packed(b'{"x"'), "not valid JSON"),
        (packed(b'{"x": "\xff"}'), "not valid JSON"),
        (packed(b"[" * 100_000), "nested too deeply"),
        (packed(b"1" * 10_000), "not valid JSON"),
        (packed([]), "no JSON object"),
        (packed(b"null"), "no JSON object"),
        (packed(b'{"x": 1, "x": 2}'), "'x' stands in it twice"),
        (packed({"__metadata__": []}), "'__metadata__' is no map"),
        (packed({"__metadata__": {"a": 1}}), "'__metadata__' is no map"),
        (packed({"x": 5}), "'x' has no dtype, shape"),
        (packed({"x\n": None}), r"'x\n' has no dtype, shape"),
        (packed({"x" * 10_000: None}), "has no dtype, shape"),
        (packed({"x": {"dtype": "F32", "shape": [1]}}), "'x' has no dtype, shape"),
        (packed({"x": entry((2.0,))}, bytes(8)), "'x' has no dtype, shape"),
        (packed({"x": entry((True,), end=4)}, bytes(4)), "'x' has no dtype, shape"),
        (packed({"x": entry((-1, -2))}, bytes(8)), "'x' has no dtype, shape"),
        (packed({"x": entry("2")}, bytes(8)), "'x' has no dtype, shape"),
        (packed({"x": entry({})}, bytes(8)), "'x' has no dtype, shape"),
        (packed({"x": entry((1,) * 33, end=4)}, bytes(4)), "'x' has no dtype, shape"),
        (packed({"x": entry((10**30,))}, bytes(8)), "'x' has no dtype, shape"),
        (packed({"x": entry(begin=-8, end=0)}, bytes(8)), "'x' has no dtype, shape"),
        (packed({"x": entry(dtype="I64", end=16)}, bytes(16)), "'x' is 'I64'"),
        (packed({"x": entry(dtype=7)}, bytes(8)), "'x' is 7, expected one of F16"),
        (
            packed({"x": entry((3,))}, bytes(8)),
            "not fit its shape of F32 (3,)",
        ),
        (packed({"x": entry((2**62,) * 20)}, bytes(8)), "bytes 0 to 8"),
        (packed({"x": entry(begin=8, end=0)}, bytes(8)), "bytes 8 to 0"),
        (packed({"x": entry()}, bytes(7)), "arrays of 8 bytes, and 7 follow"),
        (packed({"x": entry()}, bytes(9)), "arrays of 8 bytes, and 9 follow"),
        (packed({}, bytes(1)), "arrays of 0 bytes, and 1 follow"),
        (packed({"x": entry(begin=8, end=16)}, bytes(16)), "expected 0"),
        (
            packed({"x": entry(), "y": entry(begin=4, end=12)}, bytes(12)),
            "'y' starts at byte 4, expected 8",
        ),
        (packed({"x": entry(), "y": entry()}, bytes(8)), "'y' starts at byte 0"),
        (
            packed({"x": entry(), "y": entry(begin=12, end=20)}, bytes(20)),
            "neither overlap nor leave holes",
        ),
    ],
)
def test_a_malformed_file_is_refused_in_one_line(path, data, said):
    path.write_bytes(data)
    message = refusal(path)
    assert said in message
    assert "expected" in message
    assert "write or fetch it again" in message


@pytest.mark.parametrize("shape", [(0, 2**62), (2**62, 2**62, 0), (0,) * 32])
def test_an_empty_array_of_a_huge_shape_takes_no_room(path, shape):
    path.write_bytes(packed({"x": entry(shape, end=0)}))
    try:
        (x,) = read(path)[0].values()
    except CheckpointError as error:  # NumPy has a limit, too
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert x.shape == shape


def test_a_huge_header_is_refused_unread(path):
    with path.open("wb") as file:
        file.write((100_000_001).to_bytes(8, "little") + b"{")
        file.truncate(200_000_000)
    assert "a header of 100,000,001 bytes" in refusal(path)


def test_a_file_cut_short_anywhere_is_refused(path):
    write(path, ARRAYS, {"k": "é"})
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        refusal(path)


def test_a_flipped_byte_anywhere_is_harmless_or_refused(path):
    write(path, ARRAYS, {"k": "é"})
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x11]) + whole[at + 1 :])
        try:
            arrays, _ = read(path)
        except CheckpointError as error:
            assert "\n" not in str(error)  # noqa: PT017
        else:
            assert sum(array.size for array in arrays.values()) == 4


def test_a_folder_and_a_missing_file(path, tmp_path):
    assert "cannot be read" in refusal(path)
    assert "cannot be read" in refusal(tmp_path)


def test_writing_replaces_in_one_step_and_says_where_it_cannot(path, tmp_path):
    path.write_text("old")
    write(path, ARRAYS, {})
    assert [found.name for found in tmp_path.iterdir()] == [path.name]
    with pytest.raises(CheckpointError, match="cannot be written"):
        write(path / "below", ARRAYS, {})


def test_the_formats_own_package_reads_ours(path):
    package = pytest.importorskip(
        "safetensors.numpy", reason="the package safetensors is not installed"
    )
    write(path, ARRAYS, {"k": "é\ud83d\ude42"})
    found = package.load_file(path)
    assert found.keys() == ARRAYS.keys()
    for name, expected in ARRAYS.items():
        np.testing.assert_array_equal(found[name], expected, strict=True)
    with package.safe_open(path, framework="np") as file:
        assert file.metadata() == {"k": "é🙂"}


def test_we_read_what_the_formats_own_package_writes(path):
    package = pytest.importorskip(
        "safetensors.numpy", reason="the package safetensors is not installed"
    )
    rng = np.random.default_rng(1)
    arrays = {
        "half": rng.normal(size=(3, 5)).astype(np.float16),
        "z": rng.normal(size=(2, 3)).astype(np.float32),
        "a": rng.normal(size=4).astype(np.float32),
        "double": rng.normal(size=(2, 1)),
        "none": np.zeros((3, 0), np.float32),
        "ünï": np.array(2.5),
    }
    package.save_file(arrays, path, metadata={"format": "np", "é": "\n"})
    found, metadata = read(path)
    assert metadata == {"format": "np", "é": "\n"}
    assert found.keys() == arrays.keys()
    for name, expected in arrays.items():
        np.testing.assert_array_equal(found[name], expected.astype(np.float32))


def test_pytorch_and_we_agree_on_bfloat16(path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    package = pytest.importorskip(
        "safetensors.torch", reason="the package safetensors is not installed"
    )
    x = torch.randn(3, 4, generator=torch.manual_seed(1)).bfloat16()
    package.save_file({"x": x}, path)
    np.testing.assert_array_equal(read(path)[0]["x"], x.float().numpy())
