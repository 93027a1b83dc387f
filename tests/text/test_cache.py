"""Long texts: kept in the cache, found again, checked, rebuilt; never half there."""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from runner import CliRunner
from texts import charrnn, environment, environment_of_a_full_disk, sentences

from charrnn.cli.cache import command
from charrnn.config import TextConfig
from charrnn.errors import TextError
from charrnn.text import cache, reading, spool
from charrnn.text.ids import open_ids
from charrnn.text.reading import read_corpus


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Use a cache of its own, for every text of more than 1000 bytes."""
    monkeypatch.setenv(cache.FOLDER_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(spool, "LIMIT", 1000)
    monkeypatch.setattr(reading, "_MAYBE_CACHED", 1000)
    return tmp_path / "cache"


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(sentences(200), encoding="utf-8")
    return path


def files_in(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("documents", ["", "lines"])
def test_a_long_text_has_the_ids_of_a_short_one(text, monkeypatch, documents):
    config = TextConfig(documents=documents)
    long = read_corpus([text], config, seed=5)
    assert not long.ids.flags.owndata
    monkeypatch.setattr(spool, "LIMIT", 1 << 30)
    text.write_text(sentences(200) + "", encoding="utf-8")
    monkeypatch.setenv(cache.FOLDER_VARIABLE, str(text.parent / "other"))
    short = read_corpus([text], config, seed=5)
    assert not (text.parent / "other").exists()
    np.testing.assert_array_equal(long.ids, short.ids)
    assert long.vocab == short.vocab
    assert long.counts.tolist() == short.counts.tolist()
    assert long.info == short.info


def test_the_second_reading_opens_no_text(text, folder, monkeypatch):
    first = read_corpus([text])
    assert files_in(folder) == ["entry.json", "ids"]
    monkeypatch.setattr(reading, "open_stream", None)
    second = read_corpus([text])
    np.testing.assert_array_equal(first.ids, second.ids)
    assert (second.info, second.notes) == (first.info, first.notes)


def test_a_copy_is_recognised_by_its_contents(text, folder, tmp_path, monkeypatch):
    read_corpus([text])
    copy = tmp_path / "copy.txt"
    copy.write_bytes(text.read_bytes())
    monkeypatch.setattr(reading, "_Reading", None)  # nothing is encoded again
    assert read_corpus([copy]).info.files == (str(copy),)
    monkeypatch.setattr(reading, "open_stream", None)
    assert read_corpus([copy]).name == "copy"
    assert files_in(folder) == ["entry.json", "ids"]


def test_a_changed_text_is_read_again(text):
    first = read_corpus([text])
    data = bytearray(text.read_bytes())
    data[100:103] = b"QQQ"
    text.write_bytes(data)  # of the same size
    second = read_corpus([text])
    assert second.info.sha256 != first.info.sha256
    assert second.text[100:103] == "QQQ"
    assert len(cache.entries()) == 2


@pytest.mark.parametrize("option", ["normalize", "documents", "max_vocab", "encoding"])
def test_other_options_have_an_entry_of_their_own(text, option):
    read_corpus([text])
    other = {
        "normalize": "none",
        "documents": "lines",
        "max_vocab": 10,
        "encoding": "latin-1",
    }
    read_corpus([text], TextConfig(**{option: other[option]}))
    assert len(cache.entries()) == 2


def test_what_an_option_became_finds_the_same_entry(text, monkeypatch):
    corpus = read_corpus([text], TextConfig(max_vocab=10))
    assert corpus.info.config == TextConfig(max_vocab=10)
    automatic = read_corpus([text])
    assert automatic.info.max_vocab == 0
    monkeypatch.setattr(reading, "open_stream", None)
    assert read_corpus([text], automatic.info.config).info == automatic.info


def damage(entry, how):
    ids, about = entry.folder / "ids", entry.folder / "entry.json"
    if how == "shorter":
        ids.write_bytes(ids.read_bytes()[:-1])
    elif how == "flipped":
        data = bytearray(ids.read_bytes())
        data[0] ^= 1
        ids.write_bytes(data)
    elif how == "no ids":
        ids.unlink()
    elif how == "no json":
        about.write_text("{")
    elif how == "other version":
        about.write_text(json.dumps(json.loads(about.read_text()) | {"version": 99}))
    elif how == "wrong vocabulary":
        found = json.loads(about.read_text())
        about.write_text(json.dumps(found | {"vocab": ["a"]}))


@pytest.mark.parametrize(
    "how",
    ["shorter", "flipped", "no ids", "no json", "other version", "wrong vocabulary"],
)
def test_a_damaged_entry_is_built_again(text, how):
    first = read_corpus([text])
    wanted = first.text
    (entry,) = cache.entries()
    damage(entry, how)
    assert cache.entries() == []
    assert read_corpus([text]).text == wanted
    assert len(cache.entries()) == 1


def forge(entry, ids=None, **changes):
    """Change an entry as somebody would who can write to the cache."""
    about = json.loads((entry.folder / "entry.json").read_text())
    if ids is not None:
        ids.tofile(entry.folder / "ids")
        changes |= {"bytes": ids.nbytes, "checks": cache._checks(entry.folder / "ids")}
    (entry.folder / "entry.json").write_text(json.dumps(about | changes))


def forgeries(entry):
    """Return changes to an entry of documents, all of which are wrong."""
    ids, end = np.array(entry.ids), entry.vocab.end_id
    too_large, no_end, no_start = ids.copy(), ids.copy(), ids.copy()
    too_large[len(ids) // 2] = end + 1
    no_end[-1] = no_start[0] = 0
    about = json.loads((entry.folder / "entry.json").read_text())
    return {
        "an id too large": {"ids": too_large},
        "no end mark at the end": {"ids": no_end},
        "no end mark at the start": {"ids": no_start},
        "one id more": {"ids": np.append(ids, ids[-1])},
        "other counts": {"counts": [*reversed(entry.counts)][:-1]},
        "negative counts": {"counts": [-1, entry.counts[0] + 1, *entry.counts[1:]]},
        "infinite counts": {"counts": [float("inf"), *entry.counts[1:]]},
        "counts of no type": {"counts": [None, *entry.counts[1:]]},
        "infinite stamps": {"stamps": [["x", float("inf"), 1]]},
        "stamps of no type": {"stamps": 5},
        "bytes of other characters": {"info": about["info"] | {"encoding": "bytes"}},
        "info of no type": {"info": []},
        "vocabulary of no type": {"vocab": {"a": 1}},
        "notes of no type": {"notes": 5},
        "bytes of no type": {"bytes": "5"},
        "checks of no type": {"checks": None},
        "type of no type": {"dtype": ["uint8"]},
    }


def test_a_forged_entry_is_built_again(text):
    config = TextConfig(documents="lines")
    wanted = read_corpus([text], config).text
    (entry,) = cache.entries()
    for what, changes in forgeries(entry).items():
        forge(entry, **changes)
        assert cache._read(entry.folder) is None, what
        assert read_corpus([text], config).text == wanted, what
        assert cache._read(entry.folder), what


@pytest.mark.skipif(sys.platform == "win32", reason="needs special files")
@pytest.mark.parametrize("name", ["ids", "entry.json"])
@pytest.mark.parametrize("what", ["fifo", "/dev/zero", "/dev/null", "folder", "loop"])
def test_special_files_in_an_entry_are_not_waited_for(text, name, what):
    wanted = read_corpus([text]).text
    (entry,) = cache.entries()
    path = entry.folder / name
    path.unlink()
    if what == "fifo":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    else:
        path.symlink_to(name if what == "loop" else what)
    assert cache.entries() == []
    assert read_corpus([text]).text == wanted


def test_a_folder_that_cannot_be_made_leaves_the_text_in_memory(text, monkeypatch):
    monkeypatch.setenv(cache.FOLDER_VARIABLE, str(text / "below-a-file"))
    corpus = read_corpus([text])
    assert corpus.text == sentences(200)
    assert corpus.notes == [
        f"{text / 'below-a-file'}: cannot be written (Not a directory); the encoded "
        "text stays in memory (set CHARRNN_CACHE to a folder with room)"
    ]


LIMITED = """
import resource, signal, sys
from pathlib import Path
from charrnn.text import reading, spool
from charrnn.text.reading import read_corpus
from charrnn.config import TextConfig
spool.LIMIT = 1000
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
corpus = read_corpus([sys.argv[1]], TextConfig(documents=sys.argv[3]))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
wanted = Path(sys.argv[1]).read_text()
print(sorted(corpus.text.split("\\n")) == sorted(wanted.split("\\n")))
print(corpus.notes)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no file-size limit")
@pytest.mark.parametrize("documents", ["", "lines"])
@pytest.mark.parametrize("room", [0, 10, 1500, 6000, 7000])
def test_a_disk_that_is_full_at_any_byte_leaves_the_text_in_memory(
    text, folder, room, documents
):
    found = subprocess.run(
        [sys.executable, "-c", LIMITED, text, str(room), documents],
        env=environment_of_a_full_disk(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert found.stderr == ""
    same, notes = found.stdout.splitlines()
    assert same == "True"
    assert "File too large" in notes
    assert files_in(folder) == []


def test_a_disk_with_too_little_room_is_not_filled(text, small_disk, monkeypatch):
    monkeypatch.setenv(cache.FOLDER_VARIABLE, str(small_disk / "cache"))
    monkeypatch.setattr(reading, "_CHUNK", 4000)
    text.write_text(sentences(1000), encoding="utf-8")  # the disk holds its ids once
    corpus = read_corpus([text])
    assert corpus.text == sentences(1000)
    (note,) = corpus.notes
    assert re.search(
        r"\(about 0 MB are needed, 0 MB are free\); the encoded text", note
    )
    assert [*small_disk.iterdir()] == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows deletes no open file")
@pytest.mark.parametrize("documents", ["", "lines"])
@pytest.mark.parametrize("when", ["start", "end"])
def test_a_cache_that_is_deleted_during_a_build(
    text, folder, when, documents, monkeypatch
):
    monkeypatch.setattr(reading, "_CHUNK", 1000)
    text.write_text(sentences(2000), encoding="utf-8")
    wanted = read_corpus([text], TextConfig(documents=documents)).ids.tolist()
    deleted = []

    def delete(done, total):
        if any(folder.glob("*.part/ids")) and (when == "start" or done == total):
            deleted.append(done)
            shutil.rmtree(folder)

    cache.clear()
    corpus = read_corpus([text], TextConfig(documents=documents), progress=delete)
    assert len(deleted) == 1
    assert corpus.ids.tolist() == wanted
    assert "No such file or directory" in corpus.notes[-1]
    assert not folder.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows deletes no mapped file")
def test_ids_outlive_their_entry(text, folder):
    read_corpus([text])
    corpus = read_corpus([text])
    cache.clear()
    assert files_in(folder) == []
    assert corpus.text == sentences(200)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows deletes no open file")
def test_an_entry_that_is_cleared_as_soon_as_it_is_there(text, folder, monkeypatch):
    def rename_and_clear(self, target):
        os.rename(self, target)  # noqa: PTH104
        shutil.rmtree(target)

    monkeypatch.setattr(Path, "rename", rename_and_clear)
    corpus = read_corpus([text])
    assert corpus.text == sentences(200)
    assert "the encoded text stays in memory" in corpus.notes[-1]
    assert files_in(folder) == []


def test_an_entry_is_on_the_disk_before_it_is_there(text, folder, monkeypatch):
    done, fsync, rename = [], os.fsync, Path.rename

    def record_fsync(file):
        done.append(os.fstat(file).st_ino)
        fsync(file)

    def record_rename(self, target):
        done.append("rename")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(Path, "rename", record_rename)
    read_corpus([text])
    (entry,) = cache.entries()
    files = [(entry.folder / name).stat().st_ino for name in ("ids", "entry.json")]
    assert done[:3] == [*files, "rename"]


BUILD = """
import sys
from charrnn.text import reading, spool
spool.LIMIT = reading._MAYBE_CACHED = 1000
reading._CHUNK = 1000
print("go", flush=True)
corpus = reading.read_corpus([sys.argv[1]])
print(corpus.info.sha256, corpus.ids.sum(), corpus.notes)
"""


def build(text):
    return subprocess.Popen(
        [sys.executable, "-c", BUILD, text],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_builds_that_are_killed(text, folder):
    text.write_text(sentences(3000), encoding="utf-8")
    for k in range(4):
        with build(text) as child:
            assert child.stdout.readline() == "go\n"
            time.sleep(0.004 * k)
            child.kill()
    assert read_corpus([text]).text == sentences(3000)
    assert files_in(folder) == ["entry.json", "ids"]


def test_builds_of_one_text_at_once(text, folder):
    text.write_text(sentences(3000), encoding="utf-8")
    children = [build(text) for _ in range(3)]
    results = [child.communicate(timeout=60) for child in children]
    corpus = read_corpus([text])
    told = f"go\n{corpus.info.sha256} {corpus.ids.sum()} []\n"
    assert results == [(told, "")] * 3
    assert files_in(folder) == ["entry.json", "ids"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no flock")
def test_a_disk_without_locks(text, folder, monkeypatch):
    import fcntl

    def no_locks(file, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with cache.new_part() as part:
        cache.ids_path(part).write_bytes(b"x")
        assert read_corpus([text]).notes == []
        assert cache.clear()[1] == 0
        assert part.is_dir()
        os.utime(cache.ids_path(part), (0, 0))
        cache.remove_abandoned()
        assert not part.exists()


def test_what_another_process_clears_meanwhile(folder, monkeypatch):
    monkeypatch.setattr(cache, "_folders", lambda: [folder / "gone"])
    assert cache.clear() == (0, 0)
    assert cache.entries() == []


def test_an_entry_in_use_is_kept_whole_on_windows(text, folder, monkeypatch):
    read_corpus([text])
    unlink = Path.unlink

    def refuse(self, missing_ok=False):
        if self.name == "ids":
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        unlink(self, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    monkeypatch.setattr(cache, "_IN_USE", (PermissionError,))
    assert cache.clear() == (0, 1)
    assert len(cache.entries()) == 1
    result = CliRunner().invoke(command, ["--clear"])
    assert "; 1 texts are in use, and were kept" in result.stderr
    monkeypatch.setattr(cache, "_IN_USE", ())
    with pytest.raises(TextError, match=r"cannot be deleted: Permission denied$"):
        cache.clear()


def test_a_killed_build_leaves_nothing_behind_after_the_next(text, folder):
    killed = "0123456789abcdef"
    (folder / f"{killed}.part").mkdir(parents=True)
    (folder / f"{killed}.part" / "ids").write_bytes(b"x" * 5000)
    (folder / f"{killed}.lock").touch()
    read_corpus([text])
    assert files_in(folder) == ["entry.json", "ids"]


def test_a_build_of_another_process_is_left_alone(text, folder):
    with cache.new_part() as part:
        read_corpus([text])
        assert cache.clear()[1] == 0
        assert part.is_dir()
        assert len([*folder.iterdir()]) == 2  # the part and its lock
    assert [*folder.iterdir()] == []


def test_two_builds_of_one_text_end_with_one_entry(text):
    first = read_corpus([text])
    (entry,) = cache.entries()
    with cache.new_part() as part:
        (part / "ids").write_bytes((entry.folder / "ids").read_bytes())
        again = cache.publish(
            part,
            entry.folder.name,
            entry.info,
            entry.vocab,
            options={},
            counts=entry.counts,
            sizes=[1],
        )
    assert again.folder == entry.folder
    assert not part.exists()
    np.testing.assert_array_equal(
        open_ids(entry.folder / "ids", entry.vocab.dtype), first.ids
    )


def test_the_command_lists_and_clears(text, folder, tmp_path):
    read_corpus([text])
    listed = charrnn("cache", cwd=tmp_path)
    assert listed.returncode == 0, listed.stderr
    head, row = listed.stdout.splitlines()
    assert head.split() == ["text", "characters", "size", "file"]
    size = len(sentences(200))
    assert row.split()[:2] == ["text", f"{size:,}"]
    assert row.endswith(str(text))
    assert listed.stderr.startswith("1 texts, ")
    cleared = charrnn("cache", "--clear", cwd=tmp_path)
    assert cleared.stderr.startswith("deleted ")
    assert [*folder.iterdir()] == []
    assert charrnn("cache", cwd=tmp_path).stdout == ""
