"""Decoding piece by piece: any codec, any cut, one kind of line end, useful errors."""

import codecs
import random
import re

import pytest
from languages import ENCODINGS, SENTENCES

from charrnn.errors import TextError
from charrnn.text.encodings import BYTES, Decoder

EVERYTHING = "".join(SENTENCES.values())
UNICODE = [
    *("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"),
    *("utf-32", "utf-32-le", "utf-32-be", "utf-7", "gb18030"),
]


def decode(data, encoding="utf-8", size=None, seed=0):
    """Return the text and the notes of data in blocks, by default of random sizes."""
    decoder, rng = Decoder(encoding, "a.txt"), random.Random(seed)
    parts, start = [], 0
    while start < len(data):
        end = start + (size or rng.randrange(1, 50))
        parts.append(decoder.feed(data[start:end]))
        start = end
    parts.append(decoder.feed(b"", final=True))
    return "".join(parts), decoder.notes()


def error_of(data, encoding="utf-8", size=1 << 20):
    with pytest.raises(TextError) as error:
        decode(data, encoding, size)
    message = str(error.value)
    assert "\n" not in message
    return message


def advised(message):
    """Return the encoding that a message gives as an option."""
    (name,) = re.findall(
        r"try --encoding (\S+) \(in Python: encoding=\"\1\"\)", message
    )
    return name


@pytest.mark.parametrize("encoding", UNICODE)
@pytest.mark.parametrize("size", [1, 2, 3, 7, None, 1 << 20])
def test_characters_may_be_cut_by_the_end_of_a_block(encoding, size):
    data = (EVERYTHING * 2).encode(encoding)
    assert decode(data, encoding, size) == (EVERYTHING * 2, [])


@pytest.mark.parametrize(
    ("encoding", "name"),
    [(code, name) for code in ENCODINGS for name in ENCODINGS[code]],
)
def test_old_encodings_are_decoded_without_false_alarms(encoding, name):
    for text in (SENTENCES[name], SENTENCES[name].upper()):
        for times in (1, 20):
            data = (text * times).encode(encoding, "ignore")
            assert decode(data, encoding) == (data.decode(encoding), [])


@pytest.mark.parametrize("name", SENTENCES)
def test_texts_in_utf8_give_no_false_alarms(name):
    sentence = SENTENCES[name]
    lines = sentence.replace(" ", "\n")
    for text in (sentence, sentence.upper(), lines, sentence * 20):
        assert decode(text.encode(), None) == (text, [])


def test_bytes_become_characters_and_nothing_is_changed():
    data = b"\xef\xbb\xbfa\r\nb\r\x85\xff\xfe" + bytes(range(256))
    assert decode(data, BYTES) == (data.decode("latin-1"), [])


# ---- byte-order marks


@pytest.mark.parametrize(
    "mark", [codecs.BOM_UTF8, codecs.BOM_UTF16_BE, codecs.BOM_UTF32]
)
def test_a_mark_alone_is_an_empty_text(mark):
    for size in (1, 1000):
        assert decode(mark, None, size)[0] == ""


@pytest.mark.parametrize("size", [1, 1000])
def test_a_mark_is_dropped_with_a_note(size):
    mark = "dropped the byte-order mark"
    assert decode(b"\xef\xbb\xbfabc", "utf-8", size) == ("abc", [mark])
    assert decode("\ufeffab\ufeffc".encode("utf-16-le"), "utf-16-le", size) == (
        "ab\ufeffc",
        [mark],
    )


@pytest.mark.parametrize(
    ("mark", "codec", "read_as"),
    [
        (codecs.BOM_UTF16_LE, "utf-16-le", "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16-be", "utf-16"),
        (codecs.BOM_UTF32_LE, "utf-32-le", "utf-32"),
        (codecs.BOM_UTF32_BE, "utf-32-be", "utf-32"),
    ],
)
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_without_an_encoding_a_mark_decides(mark, codec, read_as, size):
    data = mark + EVERYTHING.encode(codec)
    note = f"read as {read_as}, as its byte-order mark tells"
    assert decode(data, None, size) == (EVERYTHING, [note])
    decoder = Decoder(None, "a.txt")
    decoder.feed(data, final=True)
    assert decoder.encoding == read_as
    for wrong in ("utf-8", "latin-1", "utf-16" if read_as == "utf-32" else "utf-32"):
        message = error_of(data, wrong, size)
        assert f"the byte-order mark at the start is not that of {wrong}" in message
        assert advised(message) == read_as


def test_without_a_mark_and_an_encoding_a_text_is_utf8():
    decoder = Decoder(None, "a.txt")
    assert decoder.feed("é".encode(), final=True) == "é"
    assert decoder.encoding == "utf-8"


def test_the_mark_of_the_other_order_of_bytes_is_an_error():
    data = codecs.BOM_UTF16_BE + "text".encode("utf-16-be")
    assert advised(error_of(data, "utf-16-le")) == "utf-16"


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize(
    "name", ["french", "russian", "greek", "chinese", "japanese", "korean", "hindi"]
)
def test_utf16_and_utf32_without_a_mark_are_recognised(codec, name):
    data = (SENTENCES[name] * 20).encode(codec)
    for encoding in (None, "utf-8", "latin-1", "cp1252", codec[:6]):
        assert advised(error_of(data, encoding)) == codec


def test_utf16_without_a_mark_is_an_error_if_the_order_is_unclear():
    message = error_of(b"ab", "utf-16")
    assert message.endswith("try --encoding utf-16-le or utf-16-be")
    assert decode(b"", "utf-16") == ("", [])


# ---- line ends


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32-be"])
def test_every_kind_of_line_end_becomes_lf(size, encoding):
    text = "a\r\nb\rc\x85d\u2028e\u2029f\n\r\r\n\n\r"
    assert decode(text.encode(encoding), encoding, size) == (
        "a\nb\nc\nd\ne\nf\n\n\n\n\n",
        ["turned 2 CRLF, 3 CR, 1 NEL, 1 LS and 1 PS line ends into LF"],
    )


def test_line_ends_are_counted_over_all_blocks():
    text, notes = decode(b"one\r\n" * 12345, "utf-8", 7)
    assert text == "one\n" * 12345
    assert notes == ["turned 12,345 CRLF line ends into LF"]
    assert decode(b"a\r")[1] == ["turned 1 CR line end into LF"]


def test_line_ends_of_mainframes_are_line_ends():
    data = "one\ntwo\n".encode("cp037").replace(b"\x25", b"\x15")
    assert decode(data, "cp037")[0] == "one\ntwo\n"


# ---- errors


@pytest.mark.parametrize("size", [1, 5, 1 << 20])
@pytest.mark.parametrize(
    ("data", "encoding", "found"),
    [
        (b"abc\xff", "utf-8", "byte 0xff at offset 3 is not utf-8"),
        (b"caf\xc3\xa9 \xe9t\xe9", "utf-8", "byte 0xe9 at offset 6 is not utf-8"),
        (b"ab\xc3", "utf-8", "byte 0xc3 at offset 2 is not utf-8"),
        (b"ab\xe2\x82", "utf-8", "byte 0xe2 at offset 2 is not utf-8"),
        (b"a\x81", "cp1252", "byte 0x81 at offset 1 is not cp1252"),
        (b"caf\xc3\xa9", "ascii", "byte 0xc3 at offset 3 is not ascii"),
        (b"\xef\xbb\xbfab\xff", "utf-8", "byte 0xff at offset 5 is not utf-8"),
        (b"\xef\xbb\xbfab\xff", "utf-8-sig", "byte 0xff at offset 5 is not utf-8-sig"),
        (b"a\0b", "utf-16-le", "byte 0x62 at offset 2 is not utf-16-le"),
        (b"ab\x81\xff", "cp932", "byte 0x81 at offset 2 is not cp932"),
    ],
)
def test_a_bad_byte_is_named_with_its_offset(data, encoding, found, size):
    assert error_of(data, encoding, size) == (
        f"a.txt: {found}; expected a text in that encoding; name the right one with "
        '--encoding (latin-1, cp1252, utf-16 …; in Python: encoding="latin-1"), or '
        'read bytes instead of characters with --bytes (encoding="bytes")'
    )


@pytest.mark.parametrize("size", [1000, 1 << 16, 1 << 20])
@pytest.mark.parametrize(
    ("name", "codec"),
    [("french", "cp1252"), ("russian", "koi8-r"), ("japanese", "euc-jp")],
)
def test_the_offset_is_that_in_the_file_and_the_advice_reads_it(name, codec, size):
    before = b"A page of plain words.\n" * 100_000
    data = before + (SENTENCES[name] * 50).encode(codec)
    offset = next(at for at, byte in enumerate(data) if byte > 127)
    message = error_of(data, "utf-8", size)
    assert f"byte 0x{data[offset]:02x} at offset {offset} is not utf-8" in message
    assert advised(message) == codec


def test_names_are_safe_to_print():
    decoder = Decoder("utf-8", "a\x1bb")
    with pytest.raises(TextError) as error:
        decoder.feed(b"\xff", final=True)
    assert str(error.value).startswith(r"'a\x1bb': byte 0xff")


@pytest.mark.parametrize(
    ("encoding", "end"),
    [
        ("klingon", "latin-1 or utf-16"),
        ("utf-9", "did you mean utf-8?"),
        ("latin1252", "did you mean "),
        ("a\0b", "utf-16"),
        ("", "utf-16"),
    ],
)
def test_an_unknown_encoding_is_named_with_a_near_one(encoding, end):
    with pytest.raises(TextError) as error:
        Decoder(encoding, "a.txt")
    assert str(error.value).startswith(
        f"encoding {encoding!r} is not known; expected a"
    )
    assert end in str(error.value)


@pytest.mark.parametrize(
    "encoding",
    [
        *("base64", "rot13", "zlib", "hex", "bz2", "uu", "quopri", "idna", "punycode"),
        *("unicode_escape", "raw-unicode-escape", "undefined"),
    ],
)
def test_codecs_that_are_no_encodings_of_texts_are_refused(encoding):
    with pytest.raises(TextError) as error:
        Decoder(encoding, "a.txt")
    assert str(error.value) == (
        f"encoding {encoding!r} is not one of texts; expected a name such as utf-8, "
        "latin-1 or utf-16"
    )


# ---- texts that were read in the wrong encoding


def doubt(data, encoding, size=1000):
    """Return the codec that the note, or error, on a misread text gives."""
    try:
        _, notes = decode(data, encoding, size)
    except TextError as error:
        return advised(str(error))
    (note,) = [note for note in notes if "it looks like" in note]
    return advised(note)


@pytest.mark.parametrize("name", SENTENCES)
@pytest.mark.parametrize("wrong", ["latin-1", "cp1252", "cp1251", "gb18030", "cp932"])
def test_utf8_read_as_something_else_is_noticed(name, wrong):
    assert doubt((SENTENCES[name] * 5).encode(), wrong) == "utf-8"


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("french", "utf-8", "utf-16-le"),
        ("chinese", "utf-8", "utf-16-be"),
        ("french", "utf-8", "cp037"),
        ("russian", "cp1251", "koi8-r"),
        ("ukrainian", "cp1251", "koi8-r"),
        ("bulgarian", "cp1251", "koi8-r"),
        ("russian", "koi8-r", "cp1251"),
        ("russian", "cp866", "cp1251"),
        ("russian", "iso8859-5", "cp1251"),
        ("russian", "cp1251", "cp1252"),
        ("russian", "koi8-r", "latin-1"),
        ("greek", "cp1253", "cp1252"),
        ("hebrew", "cp1255", "cp1252"),
        ("arabic", "cp1256", "latin-1"),
        ("thai", "cp874", "latin-1"),
        ("polish", "cp1250", "cp1252"),
        ("polish", "iso8859-2", "latin-1"),
        ("emoji", "cp1252", "latin-1"),
        ("japanese", "euc-jp", "cp1252"),
        ("japanese", "cp932", "latin-1"),
        ("chinese", "gb18030", "latin-1"),
        ("traditional", "big5", "latin-1"),
        ("korean", "cp949", "latin-1"),
        ("french", "cp1252", "cp1251"),
        ("french", "cp1252", "koi8-r"),
    ],
)
def test_other_wrong_encodings_are_noticed(name, right, wrong):
    data = (SENTENCES[name] * 20).encode(right, "ignore")
    assert doubt(data, wrong, 1 << 20) == right


def test_ascii_read_as_utf16_is_noticed():
    assert (
        doubt(b"To be, or not to be: that is the question.\n" * 9, "utf-16") == "utf-8"
    )
    assert (
        doubt(b"To be or not to be: that is the question\n" * 8, "utf-16-le") == "utf-8"
    )


@pytest.mark.parametrize("name", SENTENCES)
@pytest.mark.parametrize("codec", ["cp1252", "latin-1", "cp1251", "cp437", "mac-roman"])
def test_a_text_that_was_misread_and_saved_again_is_noticed(name, codec):
    data = (SENTENCES[name] * 5).encode()
    twice = "".join(bytes([byte]).decode(codec, "ignore") or chr(byte) for byte in data)
    _, notes = decode(twice.encode(), None)
    (note,) = [
        note for note in notes if note.startswith("it looks like UTF-8 that was")
    ]
    assert "to repair it: pip install ftfy && ftfy FILE -o NEW" in note


def test_what_is_wrong_deep_in_a_large_text_is_noticed():
    data = b"A page of plain words.\n" * 100_000 + (SENTENCES["russian"] * 5).encode()
    assert doubt(data, "latin-1", 1 << 16) == "utf-8"


def test_a_few_odd_words_raise_no_doubt():
    for text in ("CAFÉ» and Ã© once.\n", "20 m³, 5 °C, a²b²\n", "ß", "É»É»"):
        for encoding in ("utf-8", "cp1252"):
            assert decode((text + "plain\n" * 99).encode(encoding), encoding)[1] == []


def test_a_text_that_was_cut_within_a_character_is_told_so():
    data = "日本語".encode()[:-1]
    with pytest.raises(TextError, match=r"ends within a character.* from offset 6 on"):
        Decoder(None, "a.txt").feed(data, final=True)
    # A single letter beyond ASCII, at the very end, may as well be Latin-1.
    with pytest.raises(TextError, match="byte 0xe9 at offset 3 is not utf-8"):
        Decoder(None, "a.txt").feed(b"caf\xe9", final=True)
