"""Text of anybody's making: the encoding of a file, and what is meant by a cell.

Bytes are UTF-8, or UTF-16 or UTF-32 with a mark. Other files are read only where their bytes leave no doubt: UTF-16
without a mark, GB18030 (what a Chinese Excel writes) and cp1252 (Western European). Such a file is used with a note
that shows a word of it; every other file is refused. Libraries that guess encodings were tried: on a table with a few
words that are not ASCII they take French for Chinese and German for plain ASCII.
"""

import re
import unicodedata
from collections.abc import Iterable

from aman.errors import DataError

FILLERS = "00ad 034f 115f 1160 17b4 17b5 180e 200b 200c 200d 2060 2061 2062 2063 2064 2800 3164 feff ffa0"
INVISIBLE = dict.fromkeys([*(int(one, 16) for one in FILLERS.split()), *range(0xFE00, 0xFE10)])
"""Characters that show nothing and say nothing: soft hyphen, zero-width and filling characters, variation selectors."""
WESTERN = "[A-Za-zÀ-ÄÇ-ËÍÎÑÓÔÖÙ-Üß-äç-ëíîñóôöù-ü]"
"""Letters of cp1252 that are taken for what they seem: the others are, in files of this kind, mostly letters of the
code pages of Central Europe, Turkey or the Nordic countries."""
SYMBOL = "[^\x00-\x7f«»\u2018\u2019\u201c\u201d\xa0]"
WESTERN_WORD = re.compile(rf"{WESTERN}+")
LEAST_CHINESE, LEAST_UPPER = 0.8, 0.1
"""Shares of the characters of a file: those among the 3755 usual ones, and those of the upper 40 % of these, which as
Korean would be Chinese characters, too, that Koreans no longer write."""
CHINESE_WORDS = ("恐惧", "愤怒", "轻蔑", "积极", "快乐", "害怕", "吃惊", "难过", "激动", "平静", "困惑")
"""Labels without a character of these upper 40 %."""
ENCODINGS = {"gb18030": "GB18030 (Chinese)", "cp1252": "cp1252 (Western European)"}


def decode(content: bytes, where: str) -> tuple[str, str]:
    """Text of a file, and a note on its encoding in words, empty for UTF-8. `DataError` with row and byte where the
    encoding is in doubt, and for a file that is no text."""
    encoding = _marked(content)
    if encoding:
        text, note = _with_mark(content, encoding, where), "" if encoding == "utf-8-sig" else encoding.upper()
    else:
        text, note = _without_mark(content, where)
    at = text.find("\0")
    if at >= 0:
        raise _undecided(where, text.count("\n", 0, at) + 1, "the character NUL", "it is no text")
    return text, note


def clean(cell: str) -> str:
    """What is meant by a cell: composed (NFC), without characters that show nothing, every kind of space as a plain
    one, none at the ends. Full-width forms stay what they are, and `Labels` refuses them beside their plain forms."""
    if cell.isascii():
        return cell.strip()
    text = unicodedata.normalize("NFC", cell.translate(INVISIBLE))
    return "".join(" " if unicodedata.category(one) == "Zs" else one for one in text).strip()


def label_of(cell: str) -> str:
    """A label as it is compared: clean and in lower case."""
    return clean(clean(cell).lower())


def flaw(text: str) -> str:
    """What keeps a text from being a name, in words; empty where nothing does.

    Not allowed are characters that cannot be printed on one line (line ends, tabs, escape sequences, marks that turn
    the direction of writing, unknown characters), the mark of text that was lost, and words in two alphabets.
    """
    if text.isascii() and text.isprintable():
        return ""
    for one in text:
        if not one.isprintable() or one == "\ufffd":
            return f"the character U+{ord(one):04X} ({unicodedata.name(one, 'a control character or unknown')})"
    for word in re.findall(r"[^\W\d_]+", text):
        scripts = {unicodedata.name(one, "").partition(" ")[0] for one in word} & {"LATIN", "CYRILLIC", "GREEK"}
        if len(scripts) > 1:
            return f"letters of two alphabets ({' and '.join(sorted(scripts)).lower()}) in one word"
    return ""


def skeleton(label: str) -> str:
    """What labels have in common that look alike: full-width or plain forms, upper or lower case, one blank or two."""
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", clean(label)).casefold())
    return " ".join(text.split())


class Labels:
    """The labels of one table, as far as they were seen."""

    def __init__(self) -> None:
        self.first: dict[str, tuple[str, int]] = {}

    def wrong(self, label: str, row: int) -> str:
        """What is wrong with the label of a row, in words; empty where nothing is."""
        if found := flaw(label):
            return f"label {shown(label)} with {found}"
        one, where = self.first.setdefault(skeleton(label), (label, row))
        return "" if one == label else f"label {shown(label)} looks like {shown(one)} of row {where}"


def look_alikes(labels: Iterable[str]) -> tuple[str, str] | None:
    """Two different labels that look alike, or None."""
    seen: dict[str, str] = {}
    for label in sorted(set(labels)):
        if seen.setdefault(skeleton(label), label) != label:
            return seen[skeleton(label)], label
    return None


def shown(text: str, most: int = 60) -> str:
    """A text in quotes for a message: short, and in ASCII where its characters could be taken for others."""
    short = text if len(text) <= most else text[:most] + "..."
    return ascii(short) if flaw(text) or skeleton(text) != clean(text).casefold() else repr(short)


def printable(text: str) -> str:
    """A text for a terminal: what could move the cursor or turn the writing stands there as an escape."""
    if text.replace("\n", "").isprintable():
        return text
    return "".join(one if one.isprintable() or one in "\n\t" else ascii(one)[1:-1] for one in text)


def _marked(content: bytes) -> str:
    marks = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe\0\0": "utf-32", b"\0\0\xfe\xff": "utf-32"}
    marks |= {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
    return next((name for mark, name in marks.items() if content.startswith(mark)), "")


def _with_mark(content: bytes, encoding: str, where: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        row = content.count(b"\n", 0, error.start) + 1
        raise _undecided(
            where, row, f"byte {error.start + 1}", f"it begins as {encoding.upper()} and goes on as something else"
        ) from None


def _without_mark(content: bytes, where: str) -> tuple[str, str]:
    if b"\0" in content:
        for encoding in ("utf-16-le", "utf-16-be"):
            text = _decoded(content, encoding)
            # The other order of bytes makes characters of other scripts of the commas and line ends.
            if text and "\0" not in text and sum(map(str.isascii, text)) > len(text) / 2:
                return text, "UTF-16"
    try:
        return content.decode(), ""
    except UnicodeDecodeError as error:
        for encoding, sure in (("gb18030", _is_chinese), ("cp1252", _is_western)):
            text = _decoded(content, encoding)
            if text and sure(text):
                word = next(word for word in re.findall(r"\w+", text) if not word.isascii())
                return text, f"{ENCODINGS[encoding]}, as in {word[:20]!r}"
        row = content.count(b"\n", 0, error.start) + 1
        byte = f"byte {error.start + 1} ({content[error.start]:#04x})"
        raise _undecided(where, row, byte, "it is not UTF-8, and its encoding is in doubt") from None


def _decoded(content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        return ""


def _is_chinese(text: str) -> bool:
    """Whether text that was decoded as GB18030 was written so."""
    leads = []
    for one in (one for one in text if not one.isascii()):
        code = one.encode("gb18030")
        if len(code) != 2 or code[1] < 0xA1 or code[0] in (0xA4, 0xA5):  # kana: that file is Japanese
            leads.append(0)
        elif code[0] >= 0xB0:
            leads.append(code[0])  # below that, punctuation and full-width letters, which say nothing
    usual = sum(0xB0 <= lead <= 0xD7 for lead in leads)
    upper = sum(0xC9 <= lead <= 0xD7 for lead in leads)
    known = upper >= max(1, LEAST_UPPER * len(leads)) or any(word in text for word in CHINESE_WORDS)
    return known and usual >= LEAST_CHINESE * len(leads) > 0


def _is_western(text: str) -> bool:
    """Whether text that was decoded as cp1252 was written so: words of Western letters, half of each ASCII, and beside
    or between them no character of the upper half but quotes and blanks."""
    words = [word for word in WESTERN_WORD.findall(text) if not word.isascii()]
    if all(len(word) == 1 for word in words) or any(
        2 * sum(map(str.isascii, word)) < len(word) for word in words if len(word) > 1
    ):
        return False
    odd = rf"[^\W\d_a-zA-Z]|{WESTERN}[^\x00-\x7f]{WESTERN}|{WESTERN}{SYMBOL}|{SYMBOL}{WESTERN}|{SYMBOL}{SYMBOL}"
    return not re.search(odd, WESTERN_WORD.sub("a", text))


def _undecided(where: str, row: int, what: str, why: str) -> DataError:
    return DataError(
        got=f"{where}, row {row}, {what}: {why}",
        expected="text in UTF-8, or in UTF-16, GB18030 or cp1252 where the file leaves no doubt",
        fix='open it where its words are right and save it as "CSV UTF-8"',
    )
