"""Bytes to text: UTF-8, UTF-16 and GB18030 are detected, everything else must be named."""

import codecs
import re

from tunesmith.data._content import Text, Undecodable, decoded, survey
from tunesmith.data.format import refusal
from tunesmith.errors import TunesmithError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16: its mark begins with the one of UTF-16 LE
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_NOT_TEXT = {"unicode-escape", "raw-unicode-escape", "idna", "punycode", "utf-7", "undefined", "mbcs", "oem"}
_SAMPLE = 1 << 16

# The 400 most frequent characters of Chinese headlines, sentences and instructions (two thirds of all running text).
# Bytes of Korean, Cyrillic or Japanese read as GB18030 give Chinese characters too, but not these.
_FREQUENT = frozenset(
    "的一在人个和国中大上是有生能以不为了可行子美用年发斯地成会这新图对高他我出机数女学来们将法利动公要名开分被色时家男于下方里元自金日着作进基力提车加后"
    "多最小到业只工通正亚两过理月网市度价现面三点定物与全主巴克期重部死天体长尔考如者电关特本拉表计员入文马总说平间场前股西或之合更议万手据事保信建起持指击"
    "组意海水内性并化解交报好安收其联它经得产使种布外统球相因房周题量您应游同称品比德件情盘选助无问你常受些首明军式等约尼供系科狗罗变调司实孩务战制活心阿果"
    "户器道达第回结位需亡北都程决资政目所示列强至英民世取打创放格增标伊队从士当站头反造查息商弹获非州火推包就也案而预气语空赛星白东设风感及任黑求身次客型影类"
    "试导袭告那支少展确台算杀证山售二技看投区线运接坦术玩院四给向兰警涨购城走准然红领南居京门服举再单复立升根教项切视代界此乐该条华传续改字卡还去处专装评亿光"
    "么帮武流热每炸没够片认师俄广具减老未想富研级例引油漏泵阀压温轴管损坏裂断修故障异响振漂滤油缸"
)
_HAN = re.compile(r"[\u4e00-\u9fff]")
_FREQUENT_SHARE = 0.4


def decode(content: memoryview, asked: str | None, name: str) -> tuple[Text, str]:
    """The text of a file and a sentence on its encoding."""
    start = bytes(content[:4])
    mark, marked = next(((mark, encoding) for mark, encoding in _MARKS if start.startswith(mark)), (b"", None))
    if asked is not None:
        return _decode_asked(content, asked, mark, marked, name)
    if marked:
        return _strictly(content, marked, name, len(mark)), f"encoding {marked}, with a byte order mark"
    if wide := _wide(content):
        return _strictly(content, wide, name), f"encoding {wide}, without a byte order mark"
    try:
        return survey(content, "utf-8"), "encoding utf-8"
    except Undecodable as error:
        if _is_chinese(content):
            told = "encoding gb18030 (detected: not UTF-8, and it reads as Chinese)"
            return survey(content, "gb18030"), told
        if 0 in bytes(content[:_SAMPLE]):
            where = bytes(content[:_SAMPLE]).index(0)
            raise TunesmithError(f"{name}: not a text file: byte {where} is NUL. Give a table") from error
        raise _undecodable(content, error, name) from error


def _decode_asked(content: memoryview, asked: str, mark: bytes, marked: str | None, name: str) -> tuple[Text, str]:
    try:
        encoding = codecs.lookup(asked).name
        b"a".decode(encoding)
    except (LookupError, UnicodeError) as error:
        raise TunesmithError(
            f"data.format.encoding: no text encoding named '{asked}'. Try utf-8, gb18030, latin-1"
        ) from error
    if encoding in _NOT_TEXT:
        raise TunesmithError(
            f"data.format.encoding: '{asked}' is not an encoding of files. Try utf-8, gb18030, latin-1"
        )
    if marked and encoding.split("-")[:2] != marked.split("-")[:2]:
        raise TunesmithError(
            f"{name}: begins with the byte order mark of {marked}, but data.format.encoding says '{asked}'. Drop it"
        )
    text = _strictly(content, marked or encoding, name, len(mark))
    return text, f"encoding {marked or encoding}, as data.format.encoding says"


def _strictly(content: memoryview, encoding: str, name: str, skipped: int = 0) -> Text:
    try:
        return survey(content[skipped:], encoding)
    except Undecodable as error:
        raise _undecodable(content[skipped:], error, name, skipped) from error


def _undecodable(raw: memoryview, error: Undecodable, name: str, skipped: int = 0) -> TunesmithError:
    at, line, start = error.at, 1, 0
    for begin in range(0, at, _SAMPLE):
        piece = bytes(raw[begin : min(begin + _SAMPLE, at)])
        line += piece.count(b"\n")
        start = begin + piece.rindex(b"\n") + 1 if b"\n" in piece else start
    shown = bytes(raw[max(start, at - 30) : at + 20]).decode("ascii", "backslashreplace")
    return refusal(
        f"{name}:{line}:{at - start + 1}",
        f"byte {at + skipped} (0x{raw[at]:02x}) is not {error.encoding} ({error.reason})",
        shown,
        "Save the file as UTF-8, or name its encoding: data.format.encoding: latin-1 (or gb18030, cp1252, shift_jis …)",
    )


def _wide(raw: memoryview) -> str | None:
    """UTF-16 without a mark: ASCII characters leave NULs at every second place, and only there."""
    sample = bytes(raw[:_SAMPLE])
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    if max(even, odd) < 4 or max(even, odd) * 10 < len(sample) or min(even, odd) * 20 > max(even, odd):
        return None
    return "utf-16-le" if odd > even else "utf-16-be"


def _is_chinese(raw: memoryview) -> bool:
    """Whether all of it decodes as GB18030, and its characters are those that Chinese really uses.

    Judged are those beyond ASCII among the first characters; where there are none, the first ones that follow.
    """
    read, early, late = 0, list[str](), list[str]()
    try:
        for piece in decoded(raw, "gb18030"):
            first = piece[: max(0, _SAMPLE - read)]
            early += [c for c in first if c > "\x7f"]
            if not early and len(late) < _SAMPLE and not piece.isascii():
                late += [c for c in piece[len(first) :] if c > "\x7f"]
            read += len(piece)
    except Undecodable:
        return False
    sample = early or late[:_SAMPLE]
    han = [c for c in sample if _HAN.match(c)]
    return bool(han) and len(han) * 2 >= len(sample) and sum(c in _FREQUENT for c in han) >= _FREQUENT_SHARE * len(han)
