"""What a checkpoint records about its text: where it was, how it was read and split."""

import ntpath
import os
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from charrnn.config import BYTES, TextConfig
from charrnn.errors import TextError
from charrnn.option import is_count, is_number
from charrnn.text.signature import is_signed, sign

_COUNTS = ("characters", "bytes", "max_vocab", "seed")
_LISTS = ("files", "relative")
_SIGNED = ("sha256", "bytes", "encoding", "files", "relative")


@dataclass(frozen=True)
class CorpusInfo:
    """A text: its name, size and digest, its files, and how they were read.

    Together with the files, the fields determine the ids. The defaults are what older
    versions did.
    """

    name: str = ""
    sha256: str = ""  # of the files' contents, one after another; "" if unknown
    characters: int = 0
    bytes: int = 0  # of the files' contents; 0 if unknown
    encoding: str = "utf-8"  # a Python codec, "" for UTF-8 or what a mark says, BYTES
    normalize: str = "none"
    documents: str = ""  # "lines", "files" or a separator; "" for one long text
    max_vocab: int = 0  # most characters kept; 0 for all
    seed: int = 0  # of the order of the documents
    start: str = ""  # a likely start of a text
    files: tuple[str, ...] = ()  # absolute paths
    relative: tuple[str, ...] = ()  # the same, relative to the checkpoint's folder
    signature: str = ""  # of the fields in _SIGNED, or "" if there is none

    @property
    def reads_bytes(self) -> bool:
        """Whether the characters stand for bytes, byte b as `chr(b)`."""
        return self.encoding == BYTES

    @property
    def config(self) -> TextConfig:
        """How the text was read. Raises ConfigError for values from a damaged file."""
        return TextConfig(self.encoding, self.normalize, self.documents, self.max_vocab)

    @property
    def is_own(self) -> bool:
        """Whether this user's charrnn, on this machine, recorded the files."""
        return is_signed(self._signed(), self.signature)

    def relative_to(self, folder: Path | None) -> "CorpusInfo":
        """Return the same, with the places of the files seen from a folder, and signed.

        Only for a text that was read in this process: what is signed will be opened.
        """
        try:
            relative = [os.path.relpath(file, folder) for file in self.files if folder]
        except ValueError:  # on another drive, or standard input
            relative = []
        info = replace(self, relative=tuple(relative))
        return replace(info, signature=sign(info._signed()) if self.files else "")

    def without_places(self) -> "CorpusInfo":
        """Return the same with the names of the files, but not where they were."""
        names = tuple(map(ntpath.basename, self.files))
        return replace(self, files=names, relative=(), signature="")

    def _signed(self) -> list[object]:
        return [getattr(self, name) for name in _SIGNED]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON can hold them."""
        return asdict(self) | {name: list(getattr(self, name)) for name in _LISTS}

    @classmethod
    def from_json(cls, value: object) -> "CorpusInfo":
        """Read what `to_json` returned; missing fields get their defaults.

        Raises TextError for values of another type.
        """
        known = _known(cls, "corpus", value)
        for name, entry in known.items():
            if name in _LISTS:
                if not isinstance(entry, list) or not all(
                    isinstance(file, str) for file in entry
                ):
                    raise TextError(
                        f"corpus: {name} is {entry!r:.40}; expected a list of names"
                    )
                known[name] = tuple(entry)
            elif name in _COUNTS:
                _check_count("corpus", name, entry)
            elif not isinstance(entry, str):
                raise TextError(f"corpus: {name} is {entry!r:.40}; expected a string")
        info = cls(**known)
        if not info.encoding.isprintable():
            raise TextError(
                f"corpus: encoding is {info.encoding!r:.40}; expected a codec's name"
            )
        return info


@dataclass(frozen=True)
class SplitInfo:
    """How a checkpoint's text was split into training and validation characters."""

    val_fraction: float = 0.1
    train: int = 0  # characters; 0 if unknown
    val: int = 0
    # The text of the validation part, if it is another one.
    val_text: CorpusInfo | None = None

    def without_places(self) -> "SplitInfo":
        """Return the same without the places of the files."""
        return replace(self, val_text=self.val_text and self.val_text.without_places())

    @property
    def validates(self) -> bool:
        """Whether there is a validation part."""
        return self.val_text is not None or self.val_fraction > 0

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON can hold them."""
        val_text = self.val_text.to_json() if self.val_text else None
        return asdict(self) | {"val_text": val_text}

    @classmethod
    def from_json(cls, value: object) -> "SplitInfo":
        """Read what `to_json` returned; missing fields get their defaults.

        Raises TextError for values of another type or size.
        """
        known = _known(cls, "split", value)
        if known.get("val_text") is not None:
            known["val_text"] = CorpusInfo.from_json(known["val_text"])
        info = cls(**known)
        _check_count("split", "train", info.train)
        _check_count("split", "val", info.val)
        number = info.val_fraction
        if not is_number(number):
            raise TextError(f"split: val_fraction is {number!r:.40}; expected a number")
        if not 0 <= number < 1:
            raise TextError(f"split: val_fraction is {number}; expected 0 to 1")
        return info


def _known(kind: type[Any], what: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TextError(f"{what} is {value!r:.40}; expected a JSON object")
    names = {field.name for field in fields(kind)}
    return {name: entry for name, entry in value.items() if name in names}


def _check_count(what: str, name: str, value: object) -> None:
    if not is_count(value):
        raise TextError(f"{what}: {name} is {value!r:.40}; expected a whole number")
