"""Files replaced whole, and locks on folders, whatever becomes of a process."""

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from charrnn import atomic
from charrnn.atomic import (
    LOCK,
    Lock,
    is_locked,
    locked,
    remove_abandoned,
    replacing,
)
from charrnn.errors import CheckpointError
from charrnn.storage.run_folder import holds_run

REFUSAL = CheckpointError("taken")
HOLD = """
import sys
from pathlib import Path
from charrnn.atomic import locked
from charrnn.errors import CheckpointError

with locked(Path(sys.argv[1]), CheckpointError("taken")):
    print("held", flush=True)
    {then}
"""
WAIT = HOLD.format(then="sys.stdin.read()")


def holder(folder, code=WAIT):
    """Start another process that takes the lock and says so."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    return process


def is_free(folder):
    try:
        with locked(folder, REFUSAL):
            return True
    except CheckpointError:
        return False


def test_a_folder_of_another_process_is_refused(tmp_path):
    with holder(tmp_path) as other:
        with pytest.raises(CheckpointError, match="taken"), locked(tmp_path, REFUSAL):
            pytest.fail("the block must not be entered")
        assert is_free(tmp_path.parent)
        other.stdin.close()
    assert other.returncode == 0
    assert is_free(tmp_path)


def test_a_killed_process_leaves_no_lock(tmp_path):
    with holder(tmp_path) as other:
        other.kill()
        other.wait()
        assert (tmp_path / LOCK).exists()
        assert is_free(tmp_path)


def test_an_error_in_the_block_frees_the_folder_and_is_passed_on(tmp_path):
    with pytest.raises(ZeroDivisionError), locked(tmp_path, REFUSAL):
        raise ZeroDivisionError
    assert is_free(tmp_path)


def test_a_folder_is_locked_against_this_process_as_well(tmp_path):
    with locked(tmp_path, REFUSAL):
        assert not is_free(tmp_path)
    assert is_free(tmp_path)


LOOK = """
import sys, time
from pathlib import Path
from charrnn.atomic import LOCK, is_locked

print("held", flush=True)
while True:
    is_locked(Path(sys.argv[1]) / LOCK)
    time.sleep(0.001)
"""


def test_looking_whether_a_file_is_locked_refuses_nobody(tmp_path):
    file = tmp_path / LOCK
    assert not is_locked(file)
    assert not file.exists()
    with locked(tmp_path, REFUSAL):
        assert is_locked(file)
    assert not is_locked(file)
    with holder(tmp_path, LOOK) as other:
        try:
            for _ in range(1000):
                with locked(tmp_path, REFUSAL):
                    pass
        finally:
            other.kill()


def test_another_thread_may_end_the_block(tmp_path):
    block = locked(tmp_path, REFUSAL)
    block.__enter__()
    assert not is_free(tmp_path)
    thread = threading.Thread(target=block.__exit__, args=(None, None, None))
    thread.start()
    thread.join()
    assert is_free(tmp_path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_neither_keeps_nor_frees_the_lock(tmp_path):
    # The child leaves the block and ends while its parent still has the lock.
    then = """child = os.fork()
    if child:
        os.waitpid(child, 0)
        print("child ended", flush=True)
        sys.stdin.read()"""
    code = HOLD.format(then=then).replace("import sys", "import os, sys")
    with holder(tmp_path, code) as other:
        assert other.stdout.readline() == "child ended\n"
        assert not is_free(tmp_path)
        other.stdin.close()
    # And a child that outlives its parent holds nothing.
    then = """child = os.fork()
    if child:
        os._exit(0)
    print(os.getpid(), flush=True)
    signal.pause()"""
    code = HOLD.format(then=then).replace("import sys", "import os, signal, sys")
    with holder(tmp_path, code) as other:
        child = int(other.stdout.readline())
        try:
            other.wait()
            assert is_free(tmp_path)
        finally:
            os.kill(child, signal.SIGKILL)


@pytest.mark.skipif(not Path("/sys").is_dir(), reason="needs Linux")
def test_a_folder_that_cannot_be_written_is_entered_without_a_lock():
    with locked(Path("/sys"), REFUSAL):
        assert is_free(Path("/sys"))


def test_a_folder_whose_lock_cannot_be_opened_is_entered_without_one(tmp_path):
    (tmp_path / LOCK).mkdir()
    with locked(tmp_path, REFUSAL):
        assert is_free(tmp_path)


def test_a_missing_folder_is_not_made(tmp_path):
    with locked(tmp_path / "none", REFUSAL):
        assert not (tmp_path / "none").exists()


def test_a_lock_is_no_run(tmp_path):
    with locked(tmp_path, REFUSAL):
        assert {path.name for path in tmp_path.iterdir()} == {LOCK}
        assert not holds_run(tmp_path)


def test_a_lock_whose_file_was_deleted_or_replaced_is_not_held_any_more(tmp_path):
    lock = Lock(tmp_path / LOCK, REFUSAL)
    assert lock.is_held
    (tmp_path / LOCK).unlink()
    assert not lock.is_held
    with locked(tmp_path, REFUSAL):
        assert not lock.is_held
        with pytest.raises(CheckpointError, match="taken"):
            lock.acquire()
        assert not lock.is_held
    lock.acquire()
    assert lock.is_held
    assert not is_free(tmp_path)
    lock.release()
    assert not lock.is_held
    assert is_free(tmp_path)


def test_a_lock_that_is_forgotten_is_released(tmp_path):
    lock = Lock(tmp_path / LOCK, REFUSAL)
    assert not is_free(tmp_path)
    del lock
    assert is_free(tmp_path)


# ---- replacing


def write(path, data=b"new"):
    with replacing(path, CheckpointError) as file:
        file.write(data)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
@pytest.mark.parametrize("target", ["other/real", "../away/real", "missing/new"])
def test_a_link_stays_and_what_it_points_to_is_replaced(tmp_path, target):
    folder = tmp_path / "run"
    (folder / "other").mkdir(parents=True)
    (tmp_path / "away").mkdir()
    link, real = folder / "link", folder / target
    if "missing" not in target:
        real.write_bytes(b"old")
    link.symlink_to(target)
    write(link)
    assert str(link.readlink()) == target
    assert not real.is_symlink()
    assert real.read_bytes() == link.read_bytes() == b"new"
    assert names_in(real.parent) == [real.name]


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX files")
def test_what_is_no_file_is_never_replaced(tmp_path):
    fifo, loop, folder = (tmp_path / name for name in ("fifo", "loop", "folder"))
    os.mkfifo(fifo)
    loop.symlink_to("loop")
    folder.mkdir()
    device = tmp_path / "device"
    device.symlink_to("/dev/null")
    before = names_in(tmp_path)
    for path in (fifo, loop, folder, device, Path("/dev/null")):
        with pytest.raises(CheckpointError, match="cannot be written"):
            write(path)
    assert names_in(tmp_path) == before
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    assert stat.S_ISFIFO(fifo.stat().st_mode)


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX permissions")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o664])
def test_the_permissions_of_a_file_stay(tmp_path, mode):
    path = tmp_path / "file"
    write(path)
    path.chmod(mode)
    with replacing(path, CheckpointError) as file:
        file.write(b"secret")
        file.flush()
        (part,) = tmp_path.glob("*.part")
        assert stat.S_IMODE(part.stat().st_mode) == mode, "not even for a moment"
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"secret", mode)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs Linux")
def test_the_file_is_flushed_before_it_is_renamed_and_the_folder_after(
    tmp_path, monkeypatch
):
    path, flushed, fsync = tmp_path / "file", [], os.fsync

    def record(descriptor):
        flushed.append((Path(f"/proc/self/fd/{descriptor}").readlink(), path.exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    write(path)
    (part, there), (folder, renamed) = flushed
    assert (part.parent, part.suffix, there) == (tmp_path, ".part", False)
    assert (folder, renamed) == (tmp_path, True)


WRITE = """
import sys
from pathlib import Path
from charrnn.atomic import replacing
from charrnn.errors import CheckpointError

with replacing(Path(sys.argv[1]) / "file", CheckpointError) as file:
    file.write(b"half")
    file.flush()
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows waits for a minute")
def test_what_a_killed_process_was_writing_is_removed_by_the_next(tmp_path):
    path = tmp_path / "file"
    with holder(tmp_path, WRITE) as other:
        (part,) = tmp_path.glob(".file.*.part")
        write(path)
        assert part.exists(), "the other process still writes it"
        other.kill()
        other.wait()
    mine = tmp_path / ".file.part", tmp_path / ".files.0123abcd.part"
    for each in mine:
        each.write_bytes(b"mine")
    assert part.exists()
    write(path)
    assert names_in(tmp_path) == sorted(each.name for each in (path, *mine))


@pytest.mark.skipif(sys.platform == "win32", reason="simulates Windows")
def test_on_windows_a_file_is_abandoned_if_it_is_old_and_not_open(
    tmp_path, monkeypatch
):
    old, new = (tmp_path / f".file.{n}123abcd.part" for n in (0, 1))
    for path in (old, new):
        path.write_bytes(b"half")
    hour_ago = time.time() - 3600
    os.utime(old, (hour_ago, hour_ago))
    monkeypatch.setattr(sys, "platform", "win32")
    remove_abandoned(tmp_path / "file")
    write(tmp_path / "file")
    monkeypatch.undo()
    assert names_in(tmp_path) == [new.name, "file"]


@pytest.mark.skipif(sys.platform == "win32", reason="simulates Windows")
@pytest.mark.parametrize("refusals", [0, 2, 9])
def test_on_windows_a_file_that_a_reader_has_open_is_tried_again(
    tmp_path, monkeypatch, refusals
):
    path, left, replace = tmp_path / "file", [refusals], Path.replace

    def refuse(part, target):
        if left[0]:
            left[0] -= 1
            raise PermissionError(13, "Access is denied")
        return replace(part, target)

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr("charrnn.atomic._PAUSES", (0.001,) * 5)
    monkeypatch.setattr(Path, "replace", refuse)
    if refusals > 5:
        with pytest.raises(CheckpointError, match="Access is denied"):
            write(path)
    else:
        write(path)
    monkeypatch.undo()
    assert names_in(tmp_path) == ([] if refusals > 5 else ["file"])


def test_writers_of_one_file_at_once_never_disturb_each_other(tmp_path):
    code = """
import sys
from pathlib import Path
from charrnn.atomic import replacing
from charrnn.errors import CheckpointError

for i in range(200):
    with replacing(Path(sys.argv[1]) / "file", CheckpointError) as file:
        file.write(bytes([int(sys.argv[2])]) * 1000)
"""
    writers = [
        subprocess.Popen([sys.executable, "-c", code, tmp_path, str(n)])
        for n in range(3)
    ]
    path, seen = tmp_path / "file", set()
    while any(writer.poll() is None for writer in writers):
        if path.exists():
            seen.add(path.read_bytes())
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    assert seen <= {bytes([n]) * 1000 for n in range(3)}
    assert names_in(tmp_path) == ["file"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows locks no such file")
def test_a_new_file_that_another_process_takes_for_abandoned_is_given_up(
    tmp_path, monkeypatch
):
    lock, taken = atomic._lock_open, []

    def late(file):
        if not taken:  # between its creation and its lock, another process comes
            taken.append(Path(file.name).open("rb"))  # noqa: SIM115
            assert lock(taken[0])
        return lock(file)

    monkeypatch.setattr(atomic, "_lock_open", late)
    with replacing(tmp_path / "file", CheckpointError) as file:
        Path(taken[0].name).unlink(missing_ok=True)  # as the other process does
        taken[0].close()
        file.write(b"new")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert names_in(tmp_path) == ["file"]


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # a file closed a little later
def test_ctrl_c_at_any_line_leaves_nothing_or_the_whole_file(tmp_path):
    lines = -1  # of atomic.py before Ctrl-C

    def interrupt(frame, event, _):
        nonlocal left
        if frame.f_code.co_filename != atomic.__file__:
            return None
        left -= event == "line"
        if left < 0:
            raise KeyboardInterrupt
        return interrupt

    outcomes = []
    while not outcomes or outcomes[-1] != "written":
        lines += 1
        left = lines
        (tmp_path / "file").unlink(missing_ok=True)
        sys.settrace(interrupt)
        try:
            with replacing(tmp_path / "file", CheckpointError) as file:
                file.write(b"new")
            outcomes.append("written")
        except KeyboardInterrupt:
            outcomes.append("interrupted")
        finally:
            sys.settrace(None)
        if names_in(tmp_path):
            assert names_in(tmp_path) == ["file"]
            assert (tmp_path / "file").read_bytes() == b"new"
    assert len(outcomes) > 20
