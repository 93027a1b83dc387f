"""Locks on folders: one process at a time, whatever becomes of it."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from charrnn.atomic import LOCK, locked
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


def test_a_folder_of_another_process_is_refused_at_once(tmp_path):
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
