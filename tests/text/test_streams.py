"""Streams of bytes: compressed files of every kind, pipes, terminals, damaged files."""

import bz2
import gzip
import io
import lzma
import os
import random
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path

import pytest

from charrnn.errors import MissingExtraError, TextError
from charrnn.text.streams import HEAD, open_stream

try:
    from compression import zstd

    def zstd_compress(data):
        return zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1})
except ImportError:
    try:
        import zstandard

        zstd_compress = zstandard.ZstdCompressor(write_checksum=True).compress
    except ImportError:
        zstd_compress = None

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs FIFOs and terminals")
TEXT = random.Random(1).randbytes(3000).hex().encode() * 40


def lzma_alone(data):
    return lzma.compress(data, format=lzma.FORMAT_ALONE)


KINDS = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lzma_alone,
    "zstd": zstd_compress,
}
needs_zstd = pytest.mark.skipif(
    zstd_compress is None, reason="zstandard is not installed"
)
EVERY_KIND = [
    *("gzip", "bzip2", "xz", "lzma"),
    pytest.param("zstd", marks=needs_zstd),
]


@pytest.fixture
def write(tmp_path):
    """Return a function that writes bytes to a file and returns its path."""

    def write_file(data, name="a.txt"):
        path = tmp_path / name
        path.write_bytes(data)
        return str(path)

    return write_file


def read_all(path, block=1000, **options):
    with open_stream(path, **options) as stream:
        return b"".join(stream.blocks(block))


def error_of(path):
    with pytest.raises(TextError) as error:
        read_all(path)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_plain_file_is_read_as_it_is(write):
    path = write(TEXT)
    with open_stream(path) as stream:
        assert stream.compression == ""
        assert stream.size == len(TEXT)
        assert stream.head == TEXT[:HEAD]
        assert stream.read(5) == TEXT[:5]
        assert stream.read(10**6) == TEXT[5:]
        assert stream.read(10) == b""
        assert stream.compressed_position == stream.size


@pytest.mark.parametrize("data", [b"", b"x", b"BZh9 is no bzip2", b"]\0\0", b"PK"])
def test_short_files_and_near_misses_are_plain(write, data):
    assert read_all(write(data)) == data


@pytest.mark.parametrize("kind", EVERY_KIND)
@pytest.mark.parametrize("block", [7, 1000, 1 << 20])
def test_compressed_files_are_known_by_their_bytes_and_not_by_their_name(
    write, kind, block
):
    data = KINDS[kind](TEXT)
    path = write(data, "a.txt")
    with open_stream(path) as stream:
        assert stream.compression == kind
        assert stream.size == len(data)
        assert stream.head == TEXT[:HEAD]
        positions, parts = [], []
        for part in stream.blocks(block):
            parts.append(part)
            positions.append(stream.compressed_position)
        assert b"".join(parts) == TEXT
        assert {len(part) for part in parts[:-1]} <= {block}
        assert positions == sorted(positions)
        assert positions[-1] == stream.size


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_an_empty_compressed_file_is_empty(write, kind):
    assert read_all(write(KINDS[kind](b""))) == b""


@pytest.mark.parametrize("kind", [kind for kind in EVERY_KIND if kind != "lzma"])
@pytest.mark.parametrize("padding", [b"", bytes(512), bytes(1 << 17)])
def test_members_follow_one_another_and_zeros_may_pad_them(write, kind, padding):
    compress = KINDS[kind]
    data = compress(TEXT) + compress(b"") + padding + compress(b"end") + padding
    assert read_all(write(data)) == TEXT + b"end"


@needs_zstd
def test_a_zstd_file_may_begin_with_a_frame_to_skip(write):
    skipped = b"\x51\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"hello"
    assert read_all(write(skipped + zstd_compress(TEXT))) == TEXT


@pytest.mark.parametrize("kind", EVERY_KIND)
@pytest.mark.parametrize("kept", [0.3, 0.9, -1])
def test_a_file_that_is_cut_short_is_an_error(write, kind, kept):
    data = KINDS[kind](TEXT)
    data = data[: int(len(data) * kept)] if kept > 0 else data[:-1]
    path = write(data)
    assert error_of(path) == (
        f"{path}: the {kind} data end too early, after {len(data):,} bytes; copy or "
        "download the file again"
    )


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_a_damaged_file_is_an_error(write, kind):
    data = bytearray(KINDS[kind](TEXT))
    middle = len(data) // 2
    data[middle : middle + 200] = bytes(200)
    path = write(bytes(data))
    assert error_of(path).startswith(f"{path}: damaged {kind} data in the first ")


@pytest.mark.parametrize("kind", [kind for kind in EVERY_KIND if kind != "lzma"])
def test_what_follows_the_last_member_is_not_dropped_silently(write, kind):
    path = write(KINDS[kind](TEXT) + b"This is no member of the file.")
    assert f"damaged {kind} data" in error_of(path)


@pytest.mark.parametrize("inner", EVERY_KIND)
@pytest.mark.parametrize("outer", ["gzip", "xz"])
def test_a_file_that_was_compressed_twice_is_named(write, inner, outer):
    path = write(KINDS[outer](KINDS[inner](TEXT)))
    assert error_of(path) == (
        f"{path}: {inner} data inside {outer} data; expected one compression; unpack "
        f"the file once ({outer})"
    )


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_files_are_read_as_they_are_if_not_to_be_unpacked(write, kind):
    data = KINDS[kind](KINDS[kind](TEXT))
    assert read_all(write(data), unpack=False) == data


@pytest.mark.parametrize("kind", EVERY_KIND)
@pytest.mark.slow
def test_memory_stays_bounded_however_far_the_data_expand(write, kind):
    path = write(KINDS[kind](bytes(60_000_000)))
    tracemalloc.start()
    try:
        with open_stream(path) as stream:
            for _ in range(20):
                assert stream.read(1 << 16) == bytes(1 << 16)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_data_that_expand_without_end_are_refused(write, kind, monkeypatch):
    monkeypatch.setattr("charrnn.text.streams._EXPANSION_CHECKED", 1 << 20)
    line = b"all work and no play makes a dull boy\n"
    assert len(read_all(write(KINDS[kind](line * 20_000)))) == len(line) * 20_000
    path = write(KINDS[kind](line * 60_000))
    error = error_of(path)
    assert "no text does that; if it is one, unpack it first: " in error
    program = "xz" if kind == "lzma" else kind
    assert error.endswith(f"{program} -dc {path} > text.txt")


@pytest.mark.parametrize("kind", ["xz", "lzma"])
def test_a_decompressor_takes_no_more_memory_than_is_reasonable(write, kind):
    if kind == "lzma":
        data = bytearray(lzma_alone(TEXT))
        data[1:5] = (3 << 30).to_bytes(4, "little")  # the size of its dictionary
    else:
        filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 3 << 27}]
        data = lzma.compress(b"text", filters=filters)
    error = error_of(write(bytes(data)))
    assert "more than 256 MB of memory are needed to unpack" in error
    assert "unpack it first: xz -dc " in error


def test_a_file_that_grows_while_it_is_read_is_given_up(write, monkeypatch):
    monkeypatch.setattr("charrnn.text.streams._GROWTH", 10_000)
    path = write(b"text\n" * 20_000)
    with open_stream(path) as stream, Path(path).open("ab") as file:

        def read_and_write():
            for block in stream.blocks(5000):
                file.write(block)
                file.flush()

        with pytest.raises(TextError, match="grows while it is read"):
            read_and_write()


def test_zstd_without_its_package_names_what_to_install(write, tmp_path):
    path = write(b"\x28\xb5\x2f\xfd" + bytes(20))
    code = (
        "import sys\n"
        "sys.modules['zstandard'] = sys.modules['compression'] = None\n"
        "from charrnn.text.streams import open_stream\n"
        "with open_stream(sys.argv[1]): pass"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=False
    )
    assert result.stderr.splitlines()[-1] == (
        f"{MissingExtraError.__module__}.MissingExtraError: {path}: zstd data need "
        'Python 3.14 or the package zstandard: pip install "charrnn[zst]"'
    )


# ---- standard input, pipes and terminals

COPY = (
    "import sys\n"
    "from charrnn.errors import TextError\n"
    "from charrnn.text.streams import open_stream\n"
    "try:\n"
    "    with open_stream(sys.argv[1]) as stream:\n"
    "        print(stream.size, stream.compression, file=sys.stderr)\n"
    "        for block in stream.blocks(1000):\n"
    "            sys.stdout.buffer.write(block)\n"
    "except TextError as error:\n"
    "    print(error, file=sys.stderr)\n"
)


def copied(path="-", **options):
    """Return what another process reads, and its size and compression or error."""
    result = subprocess.run(
        [sys.executable, "-c", COPY, path], capture_output=True, check=True, **options
    )
    return result.stdout, result.stderr.decode().strip()


def test_standard_input_may_be_a_pipe():
    assert copied(input=TEXT) == (TEXT, "None")
    assert copied(input=gzip.compress(TEXT)) == (TEXT, "None gzip")


def test_standard_input_may_be_a_file_that_was_read_in_part(write):
    with Path(write(TEXT)).open("rb", buffering=0) as file:
        file.seek(100)
        assert copied(stdin=file) == (TEXT[100:], str(len(TEXT) - 100))


@posix
def test_closed_standard_input_is_an_error():
    command = f'exec "{sys.executable}" -c "$CODE" - <&-'
    result = subprocess.run(
        ["/bin/sh", "-c", command],
        env=os.environ | {"CODE": COPY},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stderr.strip() == (
        "-: standard input is closed; expected a text there, or the path of a file"
    )


def test_standard_input_without_bytes_is_an_error(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("as in a notebook"))
    with pytest.raises(TextError, match=r"^-: standard input is closed"):
        read_all("-")


def test_standard_input_may_be_in_memory(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TEXT)))
    assert read_all("-") == TEXT


@posix
def test_a_terminal_ends_with_one_ctrl_d():
    here, there = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", COPY, "-"], stdin=there, stdout=subprocess.PIPE
    )
    os.write(here, b"one\ntwo\n\x04")
    try:
        assert process.communicate(timeout=60)[0] == b"one\ntwo\n"
    finally:
        process.kill()
        process.wait()
        os.close(here)
        os.close(there)


@posix
def test_a_pipe_that_does_not_block_is_waited_for():
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    process = subprocess.Popen(
        [sys.executable, "-c", COPY, "-"], stdin=read_end, stdout=subprocess.PIPE
    )
    os.close(read_end)
    for part in (b"one ", b"two"):
        threading.Event().wait(0.3)
        os.write(write_end, part)
    os.close(write_end)
    assert process.communicate(timeout=60)[0] == b"one two"


@posix
@pytest.mark.parametrize("data", [TEXT, gzip.compress(TEXT)], ids=["plain", "gzip"])
def test_a_fifo_is_read_once_as_a_stream(tmp_path, data):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=[data])
    writer.start()
    with open_stream(str(path)) as stream:
        assert stream.size is None
        assert b"".join(stream.blocks(1000)) == TEXT
        assert stream.compressed_position == len(data)
    writer.join()


@posix
def test_process_substitution_is_read(write):
    command = f'"{sys.executable}" -c "$CODE" <(cat "$FILE")'
    environment = os.environ | {"CODE": COPY, "FILE": write(TEXT)}
    result = subprocess.run(
        ["bash", "-c", command], env=environment, capture_output=True, check=True
    )
    assert result.stdout == TEXT


def test_what_cannot_be_opened_is_named(tmp_path):
    missing = str(tmp_path / "nothing.txt")
    assert error_of(missing) == (
        f"{missing}: no such file; expected a text, a folder of texts, or - for "
        "standard input"
    )
    assert error_of("").startswith("'': no such file")
    assert "no such file" in error_of("a\0b")
    assert "cannot be read" in error_of(str(tmp_path))


@posix
def test_a_file_whose_disk_fails_is_not_called_damaged():
    if not Path("/proc/self/mem").exists():
        pytest.skip("needs /proc")
    assert error_of("/proc/self/mem") == (
        "/proc/self/mem: cannot be read: Input/output error"
    )
