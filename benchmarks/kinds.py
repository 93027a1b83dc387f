"""Gives the real command every kind of text, and checks what it does.

    python benchmarks/kinds.py                 all kinds, a few minutes
    python benchmarks/kinds.py lists           the kinds whose heading has this word
    python benchmarks/kinds.py --output kinds.md

Each kind has files, commands that prepare its runs, and cases. A case is one line of
bash, run in the folder as it was prepared, with the exit status and the words that are
right. It fails if they differ, and on any traceback. The exit status is 1 if a case
fails. Besides the usual commands, a line may use

    tiny TEXT …      charrnn train with a network of 8 units, for 10 steps
    ctrl-c COMMAND   a command that gets a Ctrl-C when it prints its first loss
    python           this Python

To add a case, add a line. Networks are tiny, so that texts are right in kind only. The
table is Markdown.
"""

import argparse
import bz2
import gzip
import lzma
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from unicodedata import normalize

from machine import machine

ROOT = Path(__file__).resolve().parents[1]
SHOWN = 110  # characters of an output line
SECONDS = 120  # for a command

TOOLS = {
    "charrnn": '#!/bin/sh\nexec {python} -m charrnn "$@"\n',
    "python": '#!/bin/sh\nexec {python} "$@"\n',
    "tiny": (
        '#!/bin/sh\nexec charrnn train "$@" --hidden 8 --batch 4 --window 16 '
        "--threads 1 --kernels numpy --steps ${{STEPS:-10}}\n"
    ),
    "ctrl-c": (
        "#!{python}\nimport signal, subprocess, sys\n"
        "command = subprocess.Popen(sys.argv[1:], stderr=subprocess.PIPE, text=True)\n"
        "sent = False\n"
        "for line in command.stderr:\n"
        "    sys.stderr.write(line)\n"
        "    if line.startswith('step') and not sent:\n"
        "        sent = command.send_signal(signal.SIGINT) is None\n"
        "sys.exit(command.wait())\n"
    ),
}


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    status: int
    out: str
    err: str
    folder: Path

    def line(self, pattern: str) -> str:
        """Return the first line with a pattern, or the last line."""
        lines = [line for line in (self.err + self.out).splitlines() if line.strip()]
        found = (line for line in lines if pattern and re.search(pattern, line))
        return next(found, lines[-1] if lines else "")


def anything(_: Outcome) -> bool:
    return True


@dataclass(frozen=True)
class Case:
    """A line of bash, and what is right."""

    tried: str
    command: str
    says: str = ""  # a pattern in a line of its output
    status: int = 0
    check: Callable[[Outcome], bool] = anything

    def fault(self, outcome: Outcome) -> str:
        """Return what is wrong with an outcome, or ""."""
        if "Traceback" in outcome.err:
            return "traceback"
        if outcome.status != self.status:
            return f"status {outcome.status} instead of {self.status}"
        if not re.search(self.says, outcome.err + outcome.out, re.MULTILINE):
            return f"does not print {self.says!r}"
        return "" if self.check(outcome) else "its check fails"


@dataclass(frozen=True)
class Kind:
    """Cases that share their files and runs."""

    heading: str
    files: dict[str, str | bytes]
    cases: list[Case]
    before: str = ""  # lines of bash, which must succeed


# Texts.


def prose(characters: int, seed: int = 1) -> str:
    words = "the of and to in that he was his it with as for had you not be her on at"
    rng, lines = random.Random(seed), []
    while characters > 0:
        lines.append(" ".join(rng.choices(words.split(), k=9)))
        characters -= len(lines[-1]) + 1
    return "\n".join(lines) + "\n"


def names(count: int) -> list[str]:
    """Return different names, sorted."""
    rng, found = random.Random(2), set[str]()
    parts = ("bcdlmnrst", "aeiou", "lmnrst", "aeiou", "nrs")
    while len(found) < count:
        found.add("".join(map(rng.choice, parts)))
    return sorted(found)


def written(*words: str, lines: int = 100) -> str:
    """Return lines of some words, in every script the same way."""
    rng = random.Random(3)
    return "".join(" ".join(rng.choices(words, k=6)) + "\n" for _ in range(lines))


ENGLISH = prose(3000)
FRENCH = written(
    "été", "où", "garçon", "naïve", "l’école", "œuvre", "français", "dîner"
)
RUSSIAN = written("привет", "мир", "жизнь", "война", "человек", "дом", "любовь")
JAPANESE = "吾輩は猫である。名前はまだ無い。どこで生れたか頓と見当がつかぬ。\n" * 60
CHINESE = "天地玄黃宇宙洪荒日月盈昃辰宿列張寒來暑往秋收冬藏\n" * 80
HEBREW = written("שלום", "עולם", "ספר", "ילד", "בית", "אור")
ARABIC = written("سلام", "كتاب", "ولد", "بيت", "نور", "علم")
THAI = "สวัสดีชาวโลกที่นี่คือข้อความภาษาไทยสำหรับการทดสอบ\n" * 40
HINDI = written("नमस्ते", "दुनिया", "किताब", "हिन्दी", "क्षेत्र")
EMOJI = written("😀", "👨‍👩‍👧", "🇩🇪", "👍🏽", "ok", "no")
RARE = ENGLISH + "".join(map(chr, range(0x4E00, 0x4E00 + 600)))
TUNES = [
    f"X:{n}\nT:tune\nK:D\n|:{'dfa' * (n % 7 + 1)} {'gbd' * 3}:|" for n in range(40)
]
CSV = "id,text,date\n" + "".join(f'{n},"the {n}",2020-01-02\n' for n in range(300))
JSON_LINES = "".join(f'{{"n": {n}, "even": "{n % 2 == 0}"}}\n' for n in range(300))
LIST = names(400)


# What to check.


def lines_of(outcome: Outcome) -> list[str]:
    return outcome.out.splitlines()


def twenty_new(outcome: Outcome) -> bool:
    found = lines_of(outcome)
    return len(found) == len({*found} - {*LIST}) == 20


def is_file(name: str) -> Callable[[Outcome], bool]:
    return lambda outcome: (outcome.folder / name).is_file()


def is_utf8(name: str) -> Callable[[Outcome], bool]:
    """Return a check that a file has Cyrillic text in UTF-8, and nothing lost."""

    def check(outcome: Outcome) -> bool:
        text = (outcome.folder / name).read_text(encoding="utf-8")
        return bool(re.search("[а-я]", text)) and "?" not in text and "\\u" not in text

    return check


def no_line(pattern: str) -> Callable[[Outcome], bool]:
    return lambda outcome: not re.search(pattern, outcome.out + outcome.err)


def same_lines(outcome: Outcome) -> bool:
    """Whether the two halves of the output are the same."""
    found = lines_of(outcome)
    half = len(found) // 2
    return half > 0 and found[:half] == found[half:]


def python(code: str) -> str:
    """Return a command that runs Python code on a text."""
    setup = (
        "import charrnn, warnings; warnings.simplefilter('ignore'); "
        "tiny = dict(hidden=8, batch=4, window=16, steps=10, threads=1, "
        "kernels='numpy', progress=False)"
    )
    return f'python -c "{setup}\n{code}"'


LISTS = Kind(
    "Lists and other documents",
    {
        "names.txt": "\n".join(LIST) + "\n",
        "crlf.txt": "\r\n".join(LIST),
        "blank.txt": "\n\n".join(LIST),
        "tunes.txt": "\n\n".join(TUNES),
        "marked.txt": "<|endoftext|>".join(TUNES),
        "tweets.csv": CSV,
        "data.jsonl": JSON_LINES,
        "prose.txt": ENGLISH,
        "labels.txt": "A|aaaa\nB|bbbb\n" * 200,
        "files/1.txt": "one fish\n" * 20,
        "files/2.txt": "two fish\n" * 20,
        "files/3.txt": "red fish\n" * 20,
    },
    [
        Case("sorted names", "tiny names.txt", "looks like a list. With --documents l"),
        Case("prose is no list", "tiny prose.txt", check=no_line("looks like a list")),
        Case("by line", "tiny names.txt --documents lines", "400 documents"),
        Case("with CRLF", "tiny crlf.txt --documents lines", "400 documents"),
        Case("between empty lines", "tiny blank.txt --documents lines", "400 docu"),
        Case("a CSV by line", "tiny tweets.csv --documents lines", "301 documents"),
        Case("JSON by line", "tiny data.jsonl --documents lines", "300 documents"),
        Case("labels by line", "tiny labels.txt --documents lines", "400 documents"),
        Case("tunes", r"tiny tunes.txt --documents '\n\n'", "40 documents"),
        Case("tunes, marked", "tiny marked.txt --documents '<|endoftext|>'", "40 docu"),
        Case("files", "tiny files --documents files", "3 documents"),
        Case("a separator that never comes", "tiny names.txt --documents ZZ", "ZZ", 1),
        Case(
            "50 names",
            "charrnn sample run -n 50 --seed 1",
            check=lambda found: len(lines_of(found)) == 50 and "---" not in found.out,
        ),
        Case(
            "20 new names",
            "charrnn sample run -n 20 --unique --novel --seed 1",
            check=twenty_new,
        ),
        Case(
            "a name that starts with b",
            "charrnn sample run --prime b --seed 1",
            check=lambda found: (
                found.out.startswith("b") and found.out.count("\n") == 1
            ),
        ),
        Case(
            "a tune from its start",
            r"charrnn sample tunes --prime 'X:1\n' --seed 1",
            check=lambda found: found.out.startswith("X:1\n"),
        ),
        Case("first characters", "charrnn next '' run --top 3", "^  1  0"),
        Case("the end among what is next", "charrnn next an run --top 99", "end"),
        Case("score per document", "charrnn eval run --per document", " 400  .*  "),
        Case("score per line", "charrnn eval run --per line", " 400  .*  "),
        Case(
            "the split is that of the run",
            "charrnn eval run; charrnn eval run names.txt",
            "validation",
            check=same_lines,
        ),
        Case(
            "another list", "charrnn eval run data.jsonl --on-unknown skip", "left out"
        ),
        Case("one name", "charrnn eval run --text dalan", "--text .* 6$"),
        Case("compared", "charrnn compare run -t 0.5 -t 1 --length 20", "likeliest at"),
        Case(
            "resumed",
            "charrnn train --resume --out run --steps 20 && tail -n1 run/history.jsonl",
            '"step": 20',
        ),
        Case(
            "documents after long text",
            "STEPS=3 charrnn train names.txt --documents lines --init-from long "
            "--steps 3 --kernels numpy --threads 1",
            "16 distinct",
        ),
        Case(
            "long text after documents",
            "charrnn train prose.txt --init-from run --steps 3",
            "learned documents.*--documents",
            1,
        ),
        Case(
            "documents after documents",
            "charrnn train tunes.txt --documents '\\n\\n' --init-from run --steps 3",
            "starting from run",
        ),
        Case(
            "exported and imported",
            "charrnn export run --out w.safetensors && charrnn import w.safetensors "
            "--out again && charrnn sample again/best.npz -n 3 --seed 1",
            check=lambda found: len(lines_of(found)) == 5,
        ),
    ],
    "tiny names.txt --documents lines --out run\n"
    "tiny tunes.txt --documents '\\n\\n' --out tunes\n"
    "tiny names.txt --out long",
)

FOLDERS = Kind(
    "Folders",
    {
        **{f"book/chapter{n}.txt": prose(900, n) for n in (1, 2, 10)},
        "book/cover.jpg": b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(200),
        "book/notes.pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
        "book/.hidden": "hidden",
        "book/empty.txt": "",
        "book/code/main.py": "print('the')\n" * 50,
        "book/two words.txt": prose(300),
        "packed/a.txt.gz": gzip.compress(prose(900).encode()),
        "packed/b.txt": prose(900),
        "cp1252/a.txt": FRENCH,
        "cp1252/b.txt": FRENCH.encode("cp1252"),
        "pictures/a.png": b"\x89PNG\r\n\x1a\n" + bytes(100),
        "unfinished/a.txt": "no line end",
        "unfinished/b.txt": "then another file",
        "nothing/.keep": "",
    },
    [
        Case("a folder", "tiny book", "chapter1.txt, .*chapter2.txt, .*chapter10.txt"),
        Case("with other files", "tiny book", r"left out .*\(cover.jpg\)"),
        Case(
            "the current folder, twice",
            "cd book && tiny . && tiny .",
            "files of a training run",
        ),
        Case("one pattern", "tiny book --glob '*.py'", "650 characters"),
        Case("two patterns", "tiny book --glob '*.py' --glob 'ch*.txt'", "joined 4"),
        Case("no match", "tiny book --glob '*.xyz'", "match no --glob", 1),
        Case(
            "a pattern, no folder", "tiny book/chapter1.txt --glob '*.x'", "--glob", 1
        ),
        Case("compressed and plain", "tiny packed", "joined 2 files"),
        Case("a file and a folder", "tiny packed/b.txt packed", "joined 3 files"),
        Case("one in another encoding", "tiny cp1252", "b.txt: .*--encoding cp1252", 1),
        Case("pictures only", "tiny pictures", "no texts in this folder .*PNG", 1),
        Case("empty", "tiny nothing", "no texts in this folder", 1),
        Case("none", "tiny nowhere", "no such file", 1),
        Case("each on a new line", "tiny unfinished", "29 characters"),
        Case("as bytes", "tiny pictures --bytes", "256 distinct"),
        Case(
            "resumed and compared from another folder",
            "cd book && tiny . --out ../r && cd .. && charrnn train --resume --out r "
            "--steps 12 && charrnn compare r -t 1 --length 20",
            "likeliest at",
        ),
        Case(
            "scored",
            "tiny packed --out r && charrnn eval r book --on-unknown skip",
            "book",
        ),
    ],
)

COMPRESSED = Kind(
    "Compressed texts, pipes and files that are no texts",
    {
        "a.txt": ENGLISH,
        "a.txt.gz": gzip.compress(ENGLISH.encode()),
        "no ending": gzip.compress(ENGLISH.encode()),
        "a.txt.bz2": bz2.compress(ENGLISH.encode()),
        "a.txt.xz": lzma.compress(ENGLISH.encode()),
        "a.lzma": lzma.compress(ENGLISH.encode(), lzma.FORMAT_ALONE),
        "two.gz": gzip.compress(b"one two\n" * 90) + gzip.compress(b"three\n" * 90),
        "cut.gz": gzip.compress(random.Random(1).randbytes(9000))[:5000],
        "twice.gz": gzip.compress(gzip.compress(ENGLISH.encode())),
        "archive.zip": b"PK\x03\x04" + bytes(60),
        "a.docx": b"PK\x03\x04\x14\0\x06\0\x08\0\0\0!\0" + bytes(12) + b"\x13\0\0\0"
        b"[Content_Types].xml" + bytes(90),
        "a.pdf": b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj\n",
        "a.tar.gz": b"\x1f\x8b\x08\0",
        "a.exe": b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0" + bytes(90),
        "empty": "",
    },
    [
        Case("gzip", "tiny a.txt.gz", "^a: 3,0"),
        Case("gzip by another name", "tiny 'no ending'", "no ending: 3,0"),
        Case("bzip2", "tiny a.txt.bz2", "^a: 3,0"),
        Case("xz", "tiny a.txt.xz", "^a: 3,0"),
        Case("lzma", "tiny a.lzma", "^a: 3,0"),
        Case("two gzip members", "tiny two.gz", "1,260 characters"),
        Case("cut off", "tiny cut.gz", "end too early", 1),
        Case("gzip in gzip", "tiny twice.gz", "gzip", 1),
        Case("as bytes, not unpacked", "tiny a.txt.gz --bytes", "256 distinct"),
        Case("standard input", "cat a.txt | tiny -", "^stdin: 3,0"),
        Case("compressed in a pipe", "cat a.txt.gz | tiny -", "^stdin: 3,0"),
        Case("a process substitution", "tiny <(cat a.txt)", "^pipe: 3,005 characters"),
        Case(
            "a named pipe", "mkfifo p; cat a.txt > p & tiny p", "^p: 3,005 characters"
        ),
        Case(
            "a process substitution, compared",
            "tiny <(cat a.txt) --out r && charrnn compare r -t 1 --length 9",
            "came from standard input or a pipe",
        ),
        Case("an empty pipe", "tiny - < /dev/null", "empty", 1),
        Case("an empty file", "tiny empty", "empty", 1),
        Case("standard input, closed", "tiny - <&-", "standard input is closed", 1),
        Case(
            "a pipe, resumed with its file",
            "cat a.txt | tiny - --out r && "
            "charrnn train a.txt --resume --out r --steps 12",
            "resuming r at step 10",
        ),
        Case(
            "a pipe, resumed without it",
            "cat a.txt | tiny - --out r && charrnn train --resume --out r --steps 12",
            "came from standard input.*charrnn train TEXT --resume",
            1,
        ),
        Case(
            "a pipe, compared",
            "cat a.txt | tiny - --out r && charrnn compare r -t 1 --length 9",
            "came from standard input",
        ),
        Case("a pipe, scored", "cat a.txt | charrnn eval run -", "validation"),
        Case(
            "the packed form of the run's text",
            "charrnn eval run a.txt.gz",
            "validation",
        ),
        Case("a PDF", "tiny a.pdf", "PDF document, not plain text; .*pdftotext", 1),
        Case("a Word document", "tiny a.docx", "not plain text", 1),
        Case("a ZIP archive", "tiny archive.zip", "ZIP archive, not plain text", 1),
        Case("a program", "tiny a.exe", "not plain text", 1),
        Case("a program as bytes", "tiny a.exe --bytes", "106 characters"),
    ],
    "tiny a.txt --out run",
)

ENCODINGS = Kind(
    "Encodings and line ends",
    {
        "fr-1252.txt": FRENCH.encode("cp1252"),
        "quotes.txt": b"It\x92s fine\n" * 300,
        "ru-1251.txt": RUSSIAN.encode("cp1251"),
        "ru-koi8.txt": RUSSIAN.encode("koi8-r"),
        "ja-sjis.txt": JAPANESE.encode("shift-jis"),
        "ja-euc.txt": JAPANESE.encode("euc-jp"),
        "zh-gb.txt": CHINESE.replace("黃", "黄").encode("gb18030"),
        "utf16.txt": ENGLISH.encode("utf-16"),
        "utf16le.txt": ENGLISH.encode("utf-16-le"),
        "utf32.txt": ENGLISH.encode("utf-32"),
        "bom.txt": ENGLISH.encode("utf-8-sig"),
        "boms.txt": b"\xef\xbb\xbf" + ENGLISH.encode("utf-8-sig"),
        "utf8.txt": FRENCH,
        "ru.txt": RUSSIAN,
        "twice.txt": FRENCH.replace("œ", "oe").encode().decode("cp1252", "ignore"),
        "crlf.txt": ENGLISH.replace("\n", "\r\n"),
        "cr.txt": ENGLISH.replace("\n", "\r"),
        "mixed.txt": "the\r\nof\rand\nto\u2028in\u2029that\x85he\n" * 40,
        "nul.txt": "the\0of\n" * 90,
        "late.txt": ENGLISH.encode() * 100 + b"\xe9t\xe9\n",
        "random": random.Random(1).randbytes(3000),
        "escape.txt": "a\x1b[31mred\x1b[0m b\n" * 90,
    },
    [
        Case("cp1252", "tiny fr-1252.txt", "not utf-8; .*--encoding cp1252", 1),
        Case("the quote 0x92", "tiny quotes.txt", "byte 0x92 at offset 2 .*cp1252", 1),
        Case("named cp1252", "tiny fr-1252.txt --encoding cp1252", "to train on"),
        Case("cp1251", "tiny ru-1251.txt", "--encoding cp1251", 1),
        Case("koi8-r", "tiny ru-koi8.txt", "--encoding koi8-r", 1),
        Case("Shift JIS", "tiny ja-sjis.txt", "--encoding (shift.jis|cp932)", 1),
        Case("EUC-JP", "tiny ja-euc.txt", "--encoding euc", 1),
        Case("GB 18030", "tiny zh-gb.txt", "--encoding gb", 1),
        Case("one byte, late", "tiny late.txt", "byte 0xe9 at offset", 1),
        Case("UTF-16 with a mark", "tiny utf16.txt", "read as utf-16"),
        Case("UTF-16 without", "tiny utf16le.txt", "--encoding utf-16-le", 1),
        Case("UTF-32 with a mark", "tiny utf32.txt", "read as utf-32"),
        Case("UTF-8 with a mark", "tiny bom.txt", "dropped the byte-order mark"),
        Case("two marks", "tiny boms.txt", "dropped the byte-order mark"),
        Case("UTF-8 as cp1252", "tiny utf8.txt --encoding cp1252", "looks like utf-8"),
        Case("koi8-r as cp1251", "tiny ru-koi8.txt --encoding cp1251", "like koi8-r"),
        Case("misread and saved", "tiny twice.txt", "read as cp1252 and saved again"),
        Case("an unknown name", "tiny utf8.txt --encoding utf-88", "did you mean", 1),
        Case("no encoding of texts", "tiny utf8.txt --encoding rot13", "not one of", 1),
        Case("CRLF", "tiny crlf.txt", "CRLF line ends into LF"),
        Case("CR", "tiny cr.txt", "CR line ends into LF"),
        Case("mixed line ends", "tiny mixed.txt", "CRLF, .*CR, .*NEL, .*LS and .*PS"),
        Case("NUL characters", "tiny nul.txt", "630 characters"),
        Case("random bytes", "tiny random", "binary file, not plain text", 1),
        Case("random bytes, as bytes", "tiny random --bytes", "256 distinct"),
        Case("escapes of a terminal", "tiny escape.txt --sample-every 5", "sample at"),
        Case("LC_ALL=C", "LC_ALL=C tiny ru.txt", "to train on"),
        Case(
            "a sample in a cp1252 pipe",
            "PYTHONIOENCODING=cp1252 charrnn sample ru > o.txt",
            check=is_utf8("o.txt"),
        ),
        Case(
            "a sample in C",
            "LC_ALL=C charrnn sample ru > o.txt",
            check=is_utf8("o.txt"),
        ),
        Case("a sample to a file", "charrnn sample ru --output o", check=is_utf8("o")),
        Case(
            "JSON in C",
            "LC_ALL=C charrnn sample ru --json > o.txt",
            check=is_utf8("o.txt"),
        ),
        Case("eval of a file in cp1251", "charrnn eval ru ru-1251.txt", "cp1251", 1),
        Case("named", "charrnn eval ru ru-1251.txt --encoding cp1251", "ru-1251"),
        Case("bytes, sampled", "charrnn sample bytes --length 50 | wc -c", "^50$"),
        Case("bytes, scored", "charrnn eval bytes random", "validation"),
        Case("bytes, a text scored", "charrnn eval bytes --text été", "--text .* 5$"),
    ],
    "tiny ru.txt --out ru\ntiny random --bytes --out bytes",
)

UNICODE = Kind(
    "Scripts, emoji and Unicode forms",
    {
        "nfc.txt": normalize("NFC", FRENCH),
        "nfd.txt": normalize("NFD", FRENCH),
        "he.txt": HEBREW,
        "ar.txt": ARABIC,
        "th.txt": THAI,
        "hi.txt": HINDI,
        "ja.txt": JAPANESE,
        "zh.txt": CHINESE,
        "emoji.txt": EMOJI,
        "ru.txt": RUSSIAN,
        "rare.txt": RARE,
        "marks.txt": ("e" + "\u0301" * 5000 + "\n") * 3,
        "english.txt": ENGLISH,
    },
    [
        Case("NFD becomes NFC", "tiny nfd.txt", "nfc|NFC"),
        Case("NFD kept", "tiny nfd.txt --normalize none", "to train on"),
        Case("é to NFC", "charrnn next 'é' nfc --top 1", "1  0"),
        Case("e and accent to NFC", r"charrnn next 'e\u0301' nfc --top 1", "1  0"),
        Case("é to NFD", "charrnn next 'é' nfd --top 1", "1  0"),
        Case("NFD text scored", "charrnn eval nfc nfd.txt", "nfd"),
        Case("NFC text scored by NFD", "charrnn eval nfd nfc.txt", "nfc"),
        Case("a million marks", "tiny marks.txt", "characters"),
        *(
            Case(
                f"{name}",
                f"tiny {code}.txt --out r && charrnn compare r -t 1 --length 9 && "
                f"charrnn next {word} r --top 3 && charrnn eval r --text {word}",
                "--text",
            )
            for name, code, word in (
                ("Hebrew", "he", "שלום"),
                ("Arabic", "ar", "كتاب"),
                ("Thai", "th", "สวัส"),
                ("Hindi", "hi", "नम"),
                ("Japanese", "ja", "吾輩"),
                ("Chinese", "zh", "天地"),
                ("emoji", "emoji", "👍🏽"),
                ("Russian", "ru", "мир"),
            )
        ),
        Case(
            "Cyrillic to English", "charrnn sample en --prime мир", "never seen 'и'", 1
        ),
        Case("left out", "charrnn sample en --prime 'тhe' --on-unknown skip", "^тhe"),
        Case("mapped", "charrnn sample en --prime 'thé' --on-unknown map", "^thé"),
        Case("a stop it lacks", "charrnn sample en --stop ж", "never|stop", 1),
        Case("emoji, half of one", r"charrnn next '\ud83d' en", "never seen", 1),
        Case("many rare characters", "tiny rare.txt", "share one symbol"),
        Case("all of them", "tiny rare.txt --max-vocab 0", "6[0-9][0-9] distinct"),
        Case("at most 10", "tiny rare.txt --max-vocab 10", "kept the 10 most frequent"),
        Case("at most 1", "tiny rare.txt --max-vocab 1", "expected at least 2", 1),
        Case("more than there are", "tiny english.txt --max-vocab 9999", "distinct"),
        Case(
            "never written",
            "charrnn sample ten --length 2000 --seed 1",
            check=lambda found: "\ufffd" not in found.out,
        ),
        Case("rare in the prime", "charrnn sample ten --prime 丁 --length 9", "丁"),
        Case("rare, scored", "charrnn eval ten --text 丁丁", "--text"),
        Case(
            "rare, own text",
            "charrnn eval ten; charrnn eval ten rare.txt",
            "valid",
            check=same_lines,
        ),
        Case(
            "rare, resumed",
            "charrnn train --resume --out ten --steps 12 && charrnn compare ten -t 1",
            "copied",
        ),
        Case(
            "rare, with bytes",
            "tiny rare.txt --bytes --max-vocab 10",
            "no --max-vocab",
            1,
        ),
        Case(
            "four letters",
            "tr tehn ACGT < english.txt | tr -dc ACGT | tiny -",
            "4 distinct",
        ),
    ],
    "tiny nfc.txt --out nfc\ntiny nfd.txt --normalize none --out nfd\n"
    "tiny english.txt --out en\ntiny rare.txt --max-vocab 10 --out ten",
)

VALIDATION = Kind(
    "Validation",
    {
        "a.txt": ENGLISH,
        "b.txt": prose(900, 5),
        "one.txt": "t",
        "umlaut.txt": prose(900, 6) + "äöü\n",
        "names.txt": "\n".join(LIST),
        "more.txt": "\n".join(name.title() for name in LIST[:50]),
        "b.txt.gz": gzip.compress(prose(900, 5).encode()),
        "folder/b.txt": prose(900, 5),
        "empty.txt": "",
    },
    [
        Case("another text", "tiny a.txt --val b.txt", "9.. to validate on"),
        Case("compressed", "tiny a.txt --val b.txt.gz", "9.. to validate on"),
        Case("a folder", "tiny a.txt --val folder", "9.. to validate on"),
        Case("with new characters", "tiny a.txt --val umlaut.txt", "to validate on"),
        Case(
            "of one character", "tiny a.txt --val one.txt", "one.* expected at least", 1
        ),
        Case("empty", "tiny a.txt --val empty.txt", "empty", 1),
        Case("missing", "tiny a.txt --val none.txt", "none.txt: no such file", 1),
        Case(
            "documents", "tiny names.txt --documents lines --val more.txt", "50 docum"
        ),
        Case("with a fraction", "tiny a.txt --val b.txt --val-fraction 0.2", "val", 2),
        Case("scored", "charrnn eval other", "validation"),
        Case("compared", "charrnn compare other -t 1 --length 20", "likeliest at"),
        Case(
            "resumed", "charrnn train --resume --out other --steps 12", "9.. to valid"
        ),
        Case(
            "resumed, validation text moved",
            "mv b.txt c && charrnn train --resume --out other --steps 12 --val c",
            "resuming other",
        ),
        Case(
            "resumed with another one",
            "charrnn train --resume --out other --steps 12 --val umlaut.txt",
            "is not that of the text",
            1,
        ),
        Case(
            "compared without it",
            "rm b.txt; charrnn compare other",
            "is missing: .*b.txt",
        ),
        Case(
            "scored without it",
            "rm b.txt; charrnn eval other",
            "validated on is miss",
            1,
        ),
        Case(
            "resumed, validation text missing",
            "rm b.txt && charrnn train --resume --out other --steps 12",
            "b.txt: no such file.*name it with --val",
            1,
        ),
        Case("none", "tiny a.txt --val-fraction 0", "Trained on the whole text"),
        Case("none, scored", "charrnn eval all", "trained on all of it", 1),
        Case("none, scored on it", "charrnn eval all a.txt", "^a  "),
        Case("none, on another", "charrnn eval all b.txt", "^b  "),
        Case("none, compared", "charrnn compare all -t 1 --length 20", "known"),
        Case(
            "none, resumed", "charrnn train --resume --out all --steps 12", "whole text"
        ),
        Case("none, new ones", "charrnn sample all -n 2 --novel --length 9", "---"),
        Case(
            "none, Ctrl-C",
            "STEPS=99999 ctrl-c tiny a.txt --val-fraction 0 --eval-every 5 --out r; "
            "charrnn sample r --length 9 && charrnn eval r b.txt",
            "Continue with",
        ),
        Case(
            "none, Ctrl-C, resumed",
            "STEPS=99999 ctrl-c tiny a.txt --val-fraction 0 --eval-every 5 --out r; "
            "ctrl-c charrnn train --resume --out r",
            "resuming r at step",
            130,
        ),
        Case("0.5", "tiny a.txt --val-fraction 0.5", "to validate on"),
        Case("0.95", "tiny a.txt --val-fraction 0.95", "expected 0 to 0.9", 1),
    ],
    "tiny a.txt --val b.txt --out other\ntiny a.txt --val-fraction 0 --out all",
)

MOVED = Kind(
    "Moved and changed texts and runs",
    {"a/t.txt": ENGLISH, "b/t.txt": prose(3000, 9), "c/keep": ""},
    [
        Case("from another folder", "cd b && charrnn eval ../a/run", "validation"),
        Case(
            "another text of that name",
            "cd b && charrnn compare ../a/run -t 1 --length 9",
            "likeliest at",
        ),
        Case(
            "resumed from there",
            "cd b && charrnn train --resume --out ../a/run --steps 12",
            "resuming",
        ),
        Case("both moved", "mv a d && charrnn eval d/run", "validation"),
        Case("run moved", "mv a/run . && charrnn eval run", "validation"),
        Case(
            "run copied", "cp -r a/run 'my run' && charrnn eval 'my run'", "validation"
        ),
        Case(
            "text moved",
            "mv a/t.txt c && charrnn compare a/run -t 1 --length 9",
            "missing.*no such file",
        ),
        Case(
            "text moved, named",
            "mv a/t.txt c && charrnn compare a/run --text c/t.txt -t 1 --length 9",
            "likeliest at",
        ),
        Case(
            "text moved, resumed",
            "mv a/t.txt c && charrnn train --resume --out a/run --steps 12",
            "if it has moved, name it: charrnn train TEXT --resume",
            1,
        ),
        Case(
            "text moved, resumed with it",
            "mv a/t.txt c && charrnn train c/t.txt --resume --out a/run --steps 12",
            "resuming",
        ),
        Case(
            "the text has grown",
            "echo more >> a/t.txt && charrnn train --resume --out a/run --steps 12",
            "has grown by 5 bytes.*--init-from",
            1,
        ),
        Case(
            "the text has changed",
            "sed -i s/the/teh/ a/t.txt && charrnn train --resume --out a/run",
            "is not that of the text",
            1,
        ),
        Case(
            "another text, resumed",
            "charrnn train b/t.txt --resume --out a/run --steps 12",
            "is not that of the text.*--init-from",
            1,
        ),
        Case(
            "another text, started from it",
            "charrnn train b/t.txt --init-from a/run --steps 3",
            "starting from",
        ),
        Case(
            "another text, compared", "charrnn compare a/run --text b/t.txt", "not", 1
        ),
        Case(
            "the text is a folder now",
            "rm a/t.txt && mkdir a/t.txt && charrnn eval a/run",
            "t.txt",
            1,
        ),
        Case(
            "the text is packed now",
            "gzip a/t.txt && charrnn eval a/run a/t.txt.gz",
            "validation",
        ),
        Case("in place", "tiny a/t.txt --out a/run", "already holds a run", 1),
        Case("forced", "tiny a/t.txt --out a/run --force", "to train on"),
    ],
    "cd a && tiny t.txt --out run",
)

SWAPPED = Kind(
    "Texts as checkpoints, and the reverse",
    {"t.txt": ENGLISH, "names.txt": "\n".join(LIST)},
    [
        Case("sample TEXT", "charrnn sample t.txt", "t.txt: .*charrnn train t.txt", 1),
        Case("compare TEXT", "charrnn compare t.txt", "charrnn train t.txt", 1),
        Case("export TEXT", "charrnn export t.txt", "charrnn train t.txt", 1),
        Case("next PREFIX TEXT", "charrnn next the t.txt", "charrnn train t.txt", 1),
        Case(
            "next swapped", "charrnn next run the", "PREFIX comes before CHECKPOINT", 2
        ),
        Case("import TEXT", "charrnn import t.txt", "t.txt: ", 1),
        Case("import a checkpoint", "charrnn import run/best.npz", "best.npz", 1),
        Case(
            "--init-from TEXT", "tiny t.txt --init-from t.txt", "charrnn train t.txt", 1
        ),
        Case("eval TEXT", "charrnn eval t.txt --on-unknown skip", "^t  "),
        Case("eval swapped", "charrnn eval t.txt run", "charrnn eval run t.txt", 2),
        Case(
            "eval two texts",
            "charrnn eval run t.txt names.txt --on-unknown skip",
            "^t ",
        ),
        Case("eval two runs", "charrnn eval run run/last.npz", "charrnn checkpoint", 1),
        Case("eval a sentence", "charrnn eval run 'the cat'", "--text 'the cat'", 2),
        Case("eval --text", "charrnn eval run --text 'that he was'", "--text .* 11$"),
        Case("eval --text and TEXT", "charrnn eval run t.txt --text a", "exclude", 2),
        Case("eval a line", "echo that he was | charrnn eval run -", "stdin .* 12$"),
        Case("per line", "charrnn eval run t.txt --per line", "     2  "),
        Case("unknown", "charrnn eval run --text QX", "never seen 'Q', 'X'", 1),
        Case("train RUN", "tiny run", "no texts in this folder", 1),
        Case(
            "train CHECKPOINT", "tiny run/best.npz", "charrnn checkpoint, not plain", 1
        ),
        Case("train a sentence", "charrnn train 'the cat sat'", "no such file", 1),
        Case("--val CHECKPOINT", "tiny t.txt --val run/best.npz", "charrnn checkp", 1),
        Case(
            "--prime-file a run",
            "charrnn sample run --prime-file run/best.npz",
            "ch",
            1,
        ),
        Case(
            "compare --text a run", "charrnn compare run --text run/best.npz", "ch", 1
        ),
        Case(
            "a prime as CHECKPOINT", "charrnn sample 'the cat'", "--prime 'the cat'", 2
        ),
        Case("resume a text", "charrnn train t.txt --resume", "no run to resume", 1),
        Case("resume a run as TEXT", "charrnn train run --resume", "--out", 1),
        Case(
            "output over a text",
            "charrnn sample run --output t.txt",
            "already exist",
            1,
        ),
        Case(
            "a prime from a file",
            "charrnn sample run --prime-file t.txt --length 9",
            check=lambda found: found.out.startswith(ENGLISH),
        ),
        Case("an endless sample", "charrnn sample run --length 999999999 | head -c 99"),
    ],
    "tiny t.txt --out run",
)


def tiny_cases() -> Iterator[Case]:
    for n in (1, 2, 3, 5):
        yield Case(f"{n}", f"tiny {n}", "expected at least", 1)
    for n in (11, 19, 20, 40, 65, 200):
        yield Case(
            f"{n}",
            f"tiny {n} --out r && charrnn eval r && charrnn sample r --length 9 && "
            "charrnn compare r -t 1 --length 9",
            "copied",
        )
    for n in (2, 3, 5, 11):
        yield Case(
            f"{n}, no validation",
            f"tiny {n} --out r --val-fraction 0 && charrnn sample r --length 9 && "
            "charrnn compare r -t 1 --length 9",
            "known",
        )
    yield Case(
        "40, default options", "charrnn train 40 --steps 20", "the text is short"
    )
    yield Case("one document", "tiny one --documents lines", "one document.*--val", 1)
    yield Case(
        "one document, no validation",
        "tiny one --documents lines --val-fraction 0 --out r && charrnn sample r -n 3",
    )
    for name, count in (("two", 2), ("three", 3)):
        yield Case(
            f"{name} documents",
            f"tiny {name} --documents lines --out r && charrnn eval r && "
            "charrnn eval r --per document && charrnn sample r -n 3 && "
            "charrnn compare r -t 1 --length 9",
            f"{count} documents",
        )
    yield Case("one character each", "tiny letters --documents lines", "9 documents")
    yield Case("blank lines only", "tiny blank --documents lines", "empty", 1)
    yield Case(
        "one kind of character", "tiny same", "expected at least two different", 1
    )


TINY = Kind(
    "Tiny texts, by characters",
    {
        **{str(n): ("hello world " * 20)[:n] for n in (1, 2, 3, 5, 11, 19, 20, 40, 65)},
        "200": ("hello world " * 20)[:200],
        "one": "alpha\n",
        "two": "alpha\nbeta\n",
        "three": "alpha\nbeta\ngamma",
        "letters": "\n".join("abcabcabc"),
        "blank": "\n\n\n",
        "same": "a" * 500,
    },
    [*tiny_cases()],
)

API = Kind(
    "From Python",
    {"t.txt": ENGLISH, "b.txt": prose(900, 5), "names.txt": "\n".join(LIST) + "\n"},
    [
        Case(
            "a list of strings",
            python(
                "m = charrnn.train(text=['one fish', 'two fish', 'red'] * 40, "
                "documents='files', **tiny)\n"
                "print(len(m.generate(n=5, seed=1)), m.next('', top=1))"
            ),
            r"^5 \[\(",
        ),
        Case(
            "streamed",
            python(
                "m = charrnn.train('names.txt', documents='lines', **tiny)\n"
                "print(repr(''.join(m.stream(seed=1))))\n"
                "print(repr(m.generate(seed=1)))"
            ),
            check=same_lines,
        ),
        Case(
            "several streamed",
            python(
                "m = charrnn.train('names.txt', documents='lines', **tiny)\n"
                "texts = map(''.join, zip(*m.stream(n=3, seed=1)))\n"
                "print(*texts)\nprint(*m.generate(n=3, seed=1))"
            ),
            check=same_lines,
        ),
        Case(
            "resumed and compared",
            python(
                "charrnn.train('names.txt', documents='lines', out='r', **tiny)\n"
                "m = charrnn.resume('r', steps=12, progress=False)\n"
                "print(charrnn.compare(m, temperatures=[1.0]).calibrated)"
            ),
            r"^\d",
        ),
        Case(
            "strings, resumed",
            python(
                "texts = ['one fish', 'two fish'] * 40\n"
                "charrnn.train(text=texts, documents='files', out='r', **tiny)\n"
                "charrnn.resume('r', text=texts, steps=12, progress=False)\n"
                "print(charrnn.compare('r', temperatures=[1.0], text=texts).calibrated)"
            ),
            r"^\d",
        ),
        Case(
            "strings, resumed without them",
            python(
                "charrnn.train(text='one fish ' * 40, out='r', **tiny)\n"
                "try:\n    charrnn.resume('r', steps=12)\n"
                "except charrnn.TextError as error:\n    print(error)"
            ),
            "charrnn.resume, paths=… or text=",
        ),
        Case(
            "a file name as text",
            python(
                "try:\n    charrnn.train(text='t.txt')\n"
                "except charrnn.TextError as error:\n    print(error)"
            ),
            "give the file as paths",
        ),
        Case(
            "a text as path",
            python(
                "try:\n    charrnn.train('one fish two fish ' * 40)\n"
                "except charrnn.TextError as error:\n    print(error)"
            ),
            "write text=",
        ),
        Case(
            "no validation, loaded",
            python(
                "charrnn.train('t.txt', val_fraction=0, out='r', **tiny)\n"
                "print(charrnn.load('r').evaluate('that he was').characters)"
            ),
            "^10$",
        ),
        Case(
            "another text to validate on",
            python(
                "charrnn.train('t.txt', val='b.txt', out='r', **tiny)\n"
                "print(charrnn.compare('r', temperatures=[1.0]).calibrated)"
            ),
            r"^\d",
        ),
        Case(
            "an empty list",
            python(
                "try:\n    charrnn.train(text=[], **tiny)\n"
                "except charrnn.TextError as error:\n    print(error)"
            ),
            "text is empty",
        ),
        Case(
            "one document",
            python(
                "try:\n    charrnn.train(text='one fish', documents='files', **tiny)\n"
                "except charrnn.TextError as error:\n    print(error)"
            ),
            "val_fraction",
        ),
    ],
)

KINDS = (
    LISTS,
    FOLDERS,
    COMPRESSED,
    ENCODINGS,
    UNICODE,
    VALIDATION,
    MOVED,
    SWAPPED,
    TINY,
    API,
)


# Running them.


def make_tools(folder: Path) -> None:
    folder.mkdir()
    for name, text in TOOLS.items():
        path = folder / name
        path.write_text(text.format(python=sys.executable))
        path.chmod(0o755)


def run(command: str, folder: Path, tools: Path) -> Outcome:
    """Run a line of bash in a folder."""
    paths = (str(tools), os.environ.get("PATH", ""))
    environment = os.environ | {
        "PATH": os.pathsep.join(paths),
        "PYTHONPATH": str(ROOT),
        "CHARRNN_CACHE": str(folder / ".cache"),
        "LANG": "C.UTF-8",
    }
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        capture_output=True,
        timeout=SECONDS,
    )
    out, err = (text.decode("utf-8", "replace") for text in (done.stdout, done.stderr))
    return Outcome(done.returncode, out, err, folder)


def make_place(kind: Kind, folder: Path, tools: Path) -> None:
    """Write the files of a kind into a folder, and prepare its runs."""
    for name, content in kind.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    outcome = run(f"set -e\n{kind.before}", folder, tools)
    if outcome.status:
        sys.exit(f"{kind.heading}: {outcome.err}")


def row(case: Case, outcome: Outcome, fault: str) -> str:
    line = outcome.line(case.says).strip().replace(f"{outcome.folder}/", "")
    line = line.replace("|", "¦").replace("`", "'")
    line = "".join(c if c.isprintable() else "�" for c in line)
    line = line if len(line) <= SHOWN else line[: SHOWN - 1] + "…"
    shown = f"`{line}`" if line else ""
    return f"| {case.tried} | {outcome.status} | {shown} | {fault or 'yes'} |"


def try_kind(kind: Kind, tools: Path) -> tuple[list[str], int]:
    """Return the rows of the table, and the number of faults."""
    rows, faults = [], 0
    with tempfile.TemporaryDirectory() as name:
        # Runs record where their text was, so that each case has to be in its place.
        place, copy = Path(name) / "place", Path(name) / "copy"
        place.mkdir()
        make_place(kind, place, tools)
        shutil.copytree(place, copy)
        for case in kind.cases:
            shutil.rmtree(place)
            shutil.copytree(copy, place)
            outcome = run(case.command, place, tools)
            fault = case.fault(outcome)
            faults += bool(fault)
            rows.append(row(case, outcome, fault))
            if fault:
                print(f"{case.command}\n{outcome.err}{outcome.out}", file=sys.stderr)
    return rows, faults


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("word", nargs="?", default="", help="part of a heading")
    parser.add_argument("--output", type=Path, help="file for the tables")
    args = parser.parse_args()
    kinds = [kind for kind in KINDS if args.word.lower() in kind.heading.lower()]
    lines, faults = [machine(), ""], 0
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(2) as pool:
        tools = Path(name) / "bin"
        make_tools(tools)
        found = pool.map(lambda kind: try_kind(kind, tools), kinds)
        for kind, (rows, wrong) in zip(kinds, found, strict=True):
            lines += [f"### {kind.heading}", "", "| tried | exit | prints | right |"]
            lines += ["|---|---|---|---|", *rows, ""]
            faults += wrong
    lines.append(f"{sum(len(kind.cases) for kind in kinds)} cases, {faults} faults")
    text = "\n".join(lines)
    print(text)
    if args.output:
        args.output.write_text(text + "\n", encoding="utf-8")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
