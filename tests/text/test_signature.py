"""The signatures of paths, and the key that they are made with."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from texts import environment

from charrnn.text.signature import _rename_new, is_signed, sign

VALUES = ["a", 1, ("b", "\udc80")]
SIGN = f"from charrnn.text.signature import sign; print(sign({VALUES!r}))"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return the folder of a user who has no key yet."""
    monkeypatch.setenv("CHARRNN_DATA", str(tmp_path / "new" / "data"))
    return tmp_path / "new" / "data"


def test_what_was_signed_and_nothing_else_is_valid(folder):
    signature = sign(VALUES)
    assert is_signed(VALUES, signature)
    assert not is_signed(["a", 2, ("b", "\udc80")], signature)
    for other in ("", signature[:-1], signature.upper(), "é", "\udc80"):
        assert not is_signed(VALUES, other)


def test_the_key_is_the_users_alone(folder):
    sign(VALUES)
    assert [path.name for path in folder.iterdir()] == ["key"]
    assert (folder / "key").stat().st_size == 32
    if sys.platform != "win32":
        assert (folder / "key").stat().st_mode & 0o777 == 0o600


def test_another_user_has_another_key(folder, tmp_path, monkeypatch):
    signature = sign(VALUES)
    assert sign(VALUES) == signature
    monkeypatch.setenv("CHARRNN_DATA", str(tmp_path / "other"))
    assert not is_signed(VALUES, signature)
    assert sign(VALUES) != signature


def test_looking_at_a_signature_makes_no_key(folder):
    assert not is_signed(VALUES, "0" * 64)
    assert not folder.exists()


def test_processes_that_sign_at_once_agree_on_a_key(folder):
    def run(_):
        done = subprocess.run(
            [sys.executable, "-c", SIGN],
            env=environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    with ThreadPoolExecutor(4) as pool:
        signatures = {*pool.map(run, range(8))}
    assert signatures == {sign(VALUES)}
    assert [path.name for path in folder.iterdir()] == ["key"]


@pytest.mark.parametrize("links", [True, False])
def test_a_key_that_another_process_made_meanwhile_stays(folder, links, monkeypatch):
    signature = sign(VALUES)
    if not links:
        monkeypatch.setattr("pathlib.Path.hardlink_to", no_links)
    (folder / "part").write_bytes(bytes(32))
    _rename_new(folder / "part", folder / "key")
    assert is_signed(VALUES, signature)


def no_links(*_):
    raise PermissionError("this disk has no hard links")


def test_a_disk_without_hard_links_holds_a_key(folder, monkeypatch):
    monkeypatch.setattr("pathlib.Path.hardlink_to", no_links)
    assert is_signed(VALUES, sign(VALUES))
    assert [path.name for path in folder.iterdir()] == ["key"]


def test_a_damaged_key_is_replaced(folder):
    folder.mkdir(parents=True)
    (folder / "key").write_bytes(b"short")
    assert is_signed(VALUES, sign(VALUES))
    assert (folder / "key").stat().st_size == 32


def test_without_a_place_for_the_key_a_signature_holds_in_its_process(folder):
    folder.parent.mkdir()
    folder.write_text("a file in the way")
    signature = sign(VALUES)
    assert is_signed(VALUES, signature)
    done = subprocess.run(
        [sys.executable, "-c", SIGN],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert not is_signed(VALUES, done.stdout.strip())
