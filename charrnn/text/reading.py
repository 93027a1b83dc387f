"""Read texts in one pass: from files, or from strings, to a corpus."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from charrnn.config import BYTES, TextConfig
from charrnn.errors import TextError
from charrnn.nn.parameters import Array
from charrnn.text import cache
from charrnn.text.cache import Stamp
from charrnn.text.corpus import Corpus
from charrnn.text.corpus_info import CorpusInfo
from charrnn.text.documents import Splitter, unit_starts
from charrnn.text.encodings import Decoder
from charrnn.text.folders import FoundFiles, find_files
from charrnn.text.formats import Opener, check_plain_text
from charrnn.text.ids import Encoder
from charrnn.text.normalize import Normalizer
from charrnn.text.spool import Spool
from charrnn.text.streams import (
    STDIN,
    ByteStream,
    listed,
    open_regular,
    open_stream,
    printable,
)
from charrnn.text.vocab import Vocabulary

_DEFAULT = TextConfig()
_CHUNK = 1 << 22  # bytes read at a time
_PIECE = 1 << 20  # characters read at a time
_MAYBE_CACHED = 1 << 23  # bytes; shorter texts are not looked for in the cache
# A blank line is a likely start of a text if there is one in this many characters.
_PARAGRAPH = 2000

# Called with the bytes read so far, and with those of all files, or None if unknown.
Progress = Callable[[int, int | None], None]


def from_text(
    text: str | Sequence[str],
    config: TextConfig = _DEFAULT,
    *,
    name: str = "text",
    seed: int = 0,
) -> Corpus:
    """Return the corpus of a string, or of several, which are read as files are."""
    parts = [text] if isinstance(text, str) else [*text]
    if not config.documents:
        parts = [join_texts(parts)]
    reading = _Reading(config, seed)
    with reading.spool:
        for part in parts:
            for start in range(0, len(part), _PIECE):
                piece = part[start : start + _PIECE]
                reading.hash(piece.encode("utf-8", "surrogatepass"))
                reading.add(piece)
            reading.end_file()
        reading.check(name)
        return reading.finish(name, [], {}, [])


def join_texts(parts: Sequence[str]) -> str:
    """Join texts, each starting on a new line."""
    *first, last = parts or [""]
    ended = [part + "\n" if part and part[-1] != "\n" else part for part in first]
    return "".join([*ended, last])


def read_corpus(
    sources: Sequence[str | Path],
    config: TextConfig = _DEFAULT,
    *,
    name: str | None = None,
    glob: Sequence[str] = (),
    seed: int = 0,
    progress: Progress | None = None,
    regular: bool = False,
) -> Corpus:
    """Read and join files, folders (their files, in order) or `-` (stdin).

    glob are patterns for the files to take from folders. seed determines the order of
    documents. Long texts are kept in the cache. `notes` lists what was changed. With
    `regular`, the sources are regular files and nothing else.

    Raises TextError, naming the file and the offset, if something cannot be read or
    decoded.
    """
    found = (
        FoundFiles([*map(str, sources)], [])
        if regular
        else find_files(sources, glob, raw=config.encoding == BYTES)
    )
    options = asdict(config) | {"seed": seed if config.documents else 0}
    once = STDIN in found.paths
    stamps = [] if once else cache.stamps_of(found.paths)
    entry = _cached(found.paths, options, stamps)
    if entry:
        return _of_entry(entry, name or _name(sources), found.paths, found.notes)
    reading = _Reading(config, seed)
    done, total = 0, sum(size for _, size, _ in stamps) or None
    sizes = []
    with reading.spool:
        for path in found.paths:
            before = reading.bytes
            with open_stream(
                path, unpack=config.encoding != BYTES, regular=regular
            ) as stream:
                if config.encoding != BYTES:
                    check_plain_text(stream, _opener(path))
                decoder = Decoder(config.encoding or None, path)
                for data in stream.blocks(_CHUNK):
                    reading.hash(data)
                    if total:
                        position = done + stream.compressed_position
                        reading.spool.share = position / total
                    reading.add(decoder.feed(data))
                    if progress:
                        progress(done + stream.compressed_position, total)
                reading.add(decoder.feed(b"", final=True))
                done += stream.compressed_position
            reading.end_file()
            reading.notes += [f"{printable(path)}: {note}" for note in decoder.notes()]
            sizes.append(reading.bytes - before)
        if len(found.paths) > 1:
            reading.notes.append(
                f"joined {len(found.paths)} files, in this order: {listed(found.paths)}"
            )
        reading.check(listed(found.paths))
        corpus = reading.finish(name or _name(sources), sizes, options, stamps)
    corpus.info = replace(corpus.info, files=_absolute(found.paths))
    corpus.notes = [*found.notes, *corpus.notes]
    return corpus


def lines_per_file(info: CorpusInfo) -> list[int]:
    """Return how many lines each file of a text has, which was read before.

    The text must not be one of documents. Raises TextError if a file is gone.
    """
    counts, is_raw = [], info.reads_bytes
    for path in info.files:
        lines, last = 0, ""
        with open_stream(path, unpack=not is_raw, regular=True) as stream:
            for text in _decoded(stream, Decoder(info.encoding or None, path)):
                lines, last = lines + text.count("\n"), text[-1:] or last
        # The next file starts on a new line.
        counts.append(lines + (last not in ("", "\n") and not is_raw))
    return counts


def _decoded(stream: ByteStream, decoder: Decoder) -> Iterator[str]:
    for data in stream.blocks(_CHUNK):
        yield decoder.feed(data)
    yield decoder.feed(b"", final=True)


class _Reading:
    """A corpus in the making: text goes in, piece by piece."""

    def __init__(self, config: TextConfig, seed: int) -> None:
        self.config, self.seed = config, seed
        self.spool = Spool()
        self.notes: list[str] = []
        self.bytes = 0
        self.characters = 0
        self._digest = hashlib.sha256()
        self._encoder = Encoder(documents=bool(config.documents))
        self._splitter = Splitter(config.documents) if config.documents else None
        self._normalizer = Normalizer(self._form())
        self._ends_line = True  # whether the text so far ends with a line end
        self._is_new_file = False
        if self._splitter:  # the mark before the first document
            self._encode("", np.zeros(1, np.int64))

    def _form(self) -> str:
        return "none" if self.config.encoding == BYTES else self.config.normalize

    def hash(self, data: bytes) -> None:
        """Add the contents of a file to the digest."""
        self._digest.update(data)
        self.bytes += len(data)

    def add(self, text: str) -> None:
        """Add text to the current file."""
        self._add_normal(self._normalizer.feed(text))

    def end_file(self) -> None:
        """End the current file. The next one starts on a new line."""
        self._add_normal(self._normalizer.feed("", final=True))
        if self._splitter:
            self._encode(*self._splitter.end_file())
        self._is_new_file = True

    def _add_normal(self, text: str) -> None:
        if not text:
            return
        if self._splitter:
            self._encode(*self._splitter.feed(text))
            return
        if self._is_new_file and not self._ends_line and self.config.encoding != BYTES:
            self._encode("\n")
        self._is_new_file = False
        self._ends_line = text.endswith("\n")
        self._encode(text)

    def _encode(self, text: str, ends: Array | None = None) -> None:
        self.characters += len(text)
        for ids in self._encoder.encode(text, ends):
            self.spool.append(ids)

    def check(self, where: str) -> None:
        """Raise TextError if there was no text."""
        if not self.characters:
            raise TextError(f"{where}: empty; expected a text to learn from")

    def finish(
        self,
        name: str,
        sizes: Sequence[int],
        options: dict[str, Any],
        stamps: Sequence[Stamp],
    ) -> Corpus:
        """Return the corpus; its ids go into the cache if there are many."""
        config, spool = self.config, self.spool
        fixed = Vocabulary.of_bytes() if config.encoding == BYTES else None
        vocab, counts, table = self._encoder.vocabulary(config.max_vocab, fixed)
        if vocab.unknown_id is not None:
            self.notes.append(self._rare_note(vocab, counts))
        self.notes += self._normalizer.notes()
        if self._splitter and self._splitter.is_unused:
            self.notes.append(
                f"the separator {config.documents!r} does not occur: every file is one "
                "document"
            )
        spool.recode(table)
        if vocab.end_id is not None:
            self._shuffle(vocab.end_id)
        info = CorpusInfo(
            name,
            self._digest.hexdigest(),
            self.characters,
            self.bytes,
            encoding=config.encoding,
            normalize=self._form(),
            documents=config.documents,
            max_vocab=0 if vocab.unknown_id is None else len(vocab.characters),
            seed=self.seed if config.documents else 0,
        )
        entry = None
        if spool.in_file:
            key = cache.key_of(info, sizes)
            entry = spool.publish(
                key,
                info,
                vocab,
                options=options,
                counts=counts.tolist(),
                sizes=sizes,
                stamps=stamps,
                notes=self.notes,
            )
        if spool.trouble:
            self.notes.append(
                f"{spool.trouble}; the encoded text stays in memory (set "
                f"{cache.FOLDER_VARIABLE} to a folder with room)"
            )
        ids = entry.ids if entry else spool.ids()
        corpus = Corpus(info, vocab, ids, counts, self.notes)
        corpus.info = replace(info, start=_likely_start(corpus))
        return corpus

    def _rare_note(self, vocab: Vocabulary, counts: Array) -> str:
        unknown = int(counts[vocab.unknown_id])
        return (
            f"kept the {len(vocab.characters):,} most frequent characters; the other "
            f"{self._encoder.distinct - len(vocab.characters):,} share one symbol "
            f"({unknown / counts.sum():.2%} of the text; --max-vocab 0 keeps all)"
        )

    def _shuffle(self, end_id: int) -> None:
        starts = unit_starts(self.spool.ids(), end_id)
        rng = np.random.default_rng(self.seed)
        self.spool.reorder(starts, rng.permutation(len(starts) - 1))


def _likely_start(corpus: Corpus) -> str:
    """Return what a text of this kind often starts after, or with."""
    if corpus.vocab.end_id is not None:
        return ""  # the end mark
    sample = next(corpus.pieces(0, _PIECE), "")
    if sample.count("\n\n") * _PARAGRAPH >= len(sample):
        return "\n\n"
    return "\n" if "\n" in corpus.vocab else sample[:1]


def _of_entry(
    entry: cache.Entry, name: str, paths: Sequence[str], notes: Sequence[str]
) -> Corpus:
    counts = np.array(entry.counts, np.int64)
    corpus = Corpus(entry.info, entry.vocab, entry.ids, counts, [*notes, *entry.notes])
    start = _likely_start(corpus)
    corpus.info = replace(entry.info, name=name, files=_absolute(paths), start=start)
    return corpus


def _cached(
    paths: Sequence[str], options: dict[str, Any], stamps: Sequence[Stamp]
) -> cache.Entry | None:
    """Return the cache's entry for some files, by their dates or their contents."""
    size = sum(size for _, size, _ in stamps)
    if size < _MAYBE_CACHED:
        return None
    entry = cache.find(options, stamps)
    if entry or not cache.may_have(options, size):
        return entry
    digest = hashlib.sha256()
    for path in paths:
        with open_stream(path, unpack=False) as stream:
            for data in stream.blocks(_CHUNK):
                digest.update(data)
    entry = cache.find_digest(
        options, digest.hexdigest(), [size for _, size, _ in stamps]
    )
    if entry:
        cache.remember(entry, stamps)
    return entry


def _opener(path: str) -> Opener | None:
    """Return a function that opens a file again, or None for what is read once."""
    if not cache.stamps_of([path]):
        return None
    return lambda: open_regular(path)


def _absolute(paths: Sequence[str]) -> tuple[str, ...]:
    """Return what is recorded of paths: STDIN for what cannot be read again."""
    return tuple(
        STDIN if path == STDIN or Path(path).is_fifo() else cache.absolute(path)
        for path in paths
    )


def _name(sources: Sequence[str | Path]) -> str:
    """Return what a text is called: the name of its first file, without endings."""
    if str(sources[0]) == STDIN:
        return "stdin"
    path = Path(sources[0])
    if path.is_fifo() and path.is_relative_to("/dev"):  # <(COMMAND) in a shell
        return "pipe"
    path = path.resolve()
    name = path.stem
    for ending in (".gz", ".bz2", ".xz", ".lzma", ".zst"):
        if path.suffix == ending:
            name = Path(name).stem
    return name
