"""Bad text files (FAULTS B1-B16, B18, B21): read exactly as written, or refused with place and remedy."""

import gzip
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tunesmith.data.table import Format, read
from tunesmith.errors import TunesmithError

H = "text,label\n"
NO_HEADER = Format(header=False, columns=("text", "label"))
CHINESE = "内容,标签\n今天的天气很好我们去公园,生活\n公司的股票下跌了,财经\n"


class Case(NamedTuple):
    """A file and what must come of it: rows as tuples, or a pattern that the error matches."""

    id: str
    file: str
    content: bytes
    expected: list[tuple[Any, ...]] | str
    format: Format = Format()


def case(id: str, file: str, content: str | bytes, expected: Any, **format: Any) -> Any:
    raw = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    return pytest.param(Case(id, file, raw, expected, Format(**format)), id=id)


AB = [("a b", "x"), ("c d", "y")]
CSV = [
    case("B1-utf8-bom", "t.csv", b"\xef\xbb\xbf" + b"text,label\na b,x\nc d,y\n", AB),
    case("B1-utf16-le-bom", "t.csv", b"\xff\xfe" + (H + "a b,x\nc d,y\n").encode("utf-16-le"), AB),
    case("B1-utf16-be-bom", "t.csv", b"\xfe\xff" + (H + "a b,x\nc d,y\n").encode("utf-16-be"), AB),
    case("B1-utf16-le-bare", "t.csv", (H + "a b,x\nc d,y\n").encode("utf-16-le"), AB),
    case("B1-utf16-be-bare", "t.csv", (H + "a b,x\nc d,y\n").encode("utf-16-be"), AB),
    case("B1-utf32", "t.csv", b"\xff\xfe\0\0" + (H + "a b,x\nc d,y\n").encode("utf-32-le"), AB),
    case(
        "B1-gb18030",
        "t.csv",
        CHINESE.encode("gb18030"),
        [("今天的天气很好我们去公园", "生活"), ("公司的股票下跌了", "财经")],
    ),
    case("B1-latin1", "t.csv", H.encode() + b"ok,x\ncaf\xe9,y\n", r"^t\.csv:3:4: byte 19 \(0xe9\).*encoding: latin-1"),
    case(
        "B1-latin1-named", "t.csv", H.encode() + b"ok,x\ncaf\xe9,y\n", [("ok", "x"), ("café", "y")], encoding="latin-1"
    ),
    case(
        "B1-cyrillic-1251",
        "t.csv",
        "text,label\nПривет мир как дела,a\nЭто тест,b\n".encode("cp1251"),
        "data.format.encoding",
    ),
    case(
        "B1-korean",
        "t.csv",
        "text,label\n안녕하세요 반갑습니다 한국어,a\n좋은 아침,b\n".encode("euc-kr"),
        "data.format.encoding",
    ),
    case("B1-mixed", "t.csv", "text,label\n中文的,a\n".encode() + b"caf\xe9 noir,b\n", r"^t\.csv:3:4: byte"),
    case("B1-wrong-name", "t.csv", H + "a,b\n", r"no text encoding named 'utf-9'", encoding="utf-9"),
    case("B1-not-an-encoding", "t.csv", H + "a,b\n", r"data\.format\.encoding", encoding="base64"),
    case(
        "B1-bom-against-name",
        "t.csv",
        b"\xff\xfe" + H.encode("utf-16-le"),
        "byte order mark of utf-16-le",
        encoding="gbk",
    ),
    case("B2-nul", "t.csv", H + "a\0b,x\n", r"^t\.csv:2:2: the row holds a NUL.*a\\x00b,x.*Remove"),
    case("B3-quoted-newline", "t.csv", H + '"a\nb",x\nc,y\n', [("a\nb", "x"), ("c", "y")]),
    case("B3-quoted-crlf", "t.csv", 'text,label\r\n"a\r\nb",x\r\n', [("a\r\nb", "x")]),
    case("B3-quote-doubled", "t.csv", H + '"say ""hi""",x\n', [('say "hi"', "x")]),
    case("B3-quote-inside", "t.csv", H + 'pipe 5" long,x\n', [('pipe 5" long', "x")]),
    case("B3-unclosed", "t.csv", H + 'a,x\nb,"y\nc,z\n', r"^t\.csv:3:3: this quote is never closed: 'b,\"y'.*Close it"),
    case("B3-after-quote", "t.csv", H + '"a" b,x\n', r"^t\.csv:2:4: text follows a closing quote.*Double quotes"),
    case("B3-quotes-none", "t.csv", H + '"a" b,x\n', [('"a" b', "x")], quotes="none"),
    case("B3-cr-only", "t.csv", "text,label\ra b,x\rc d,y\r", AB),
    case("B3-mixed-ends", "t.csv", "text,label\r\na b,x\nc d,y\r", AB),
    case("B3-line-separator", "t.csv", H + "a\u2028b\x0bc\x85,x\n", [("a\u2028b\x0bc\x85", "x")]),
    case(
        "B3-tsv-quotes-are-text",
        "t.tsv",
        'text\tlabel\n"Hi" he said\tx\n"no"\ty\nplain\ty\n',
        [('"Hi" he said', "x"), ('"no"', "y"), ("plain", "y")],
    ),
    case(
        "B3-tsv-quotes-two-ways",
        "t.tsv",
        'text\tlabel\na\t"b\nc\td"\n',
        r"quotes can be read in two ways.*data\.format\.quotes",
    ),
    case("B3-tsv-quotes-said", "t.tsv", 'text\tlabel\na\t"b\nc\td"\n', [("a", '"b'), ("c", 'd"')], quotes="none"),
    case("B3-tsv-quoted", "t.tsv", 'text\tlabel\n"a\tb"\tx\nc\ty\n', [("a\tb", "x"), ("c", "y")]),
    case("B4-too-many", "t.csv", H + "a,x\nb,c,y\n", r"^t\.csv:3:5: 3 cells, but there are 2 columns.*Quote cells"),
    case("B4-too-few", "t.csv", H + "a\nb,y\nc,y\n", r"^t\.csv:2:2: 1 cells, but there are 2 columns.*Add the missing"),
    case("B4-cut-off", "t.csv", H + "a,x\nb,y\nc", r"^t\.csv:4:2: 1 cells.*Is the file cut off"),
    case("B4-after-quoted-newline", "t.csv", H + '"a\nb",x\nc,d,e\n', r"^t\.csv:4:5: 3 cells"),
    case(
        "B5-duplicate", "t.csv", "text,text\na,b\n", r"^t\.csv:1:2: columns 1 and 2 have one name: 'text'", header=True
    ),
    case(
        "B5-duplicate-by-space",
        "t.csv",
        "text, text\na,b\n",
        r"^t\.csv:1:2: columns 1 and 2 have one name",
        header=True,
    ),
    case(
        "B5-empty-name", "t.csv", ",text\n0,a b\n1,c d\n", r"^t\.csv:1:1: column 1 has no name.*data\.format\.columns"
    ),
    case("B5-empty-name-not-read", "t.csv", ",text\n0,a b\n1,c d\n", [("a b",), ("c d",)], columns=("text",)),
    case("B5-header-only", "t.csv", H, r"^t\.csv:1:1: the file holds a header and no rows"),
    case(
        "B5-no-header",
        "t.csv",
        "great phone,pos\nbad phone,neg\nok,pos\n",
        [("great phone", "pos"), ("bad phone", "neg"), ("ok", "pos")],
    ),
    case("B5-no-header-number", "t.csv", "first text,1\nsecond,0\n", [("first text", "1"), ("second", "0")]),
    case(
        "B5-in-doubt",
        "t.csv",
        "alpha,beta\ngamma,delta\n",
        r"^t\.csv:1:1: cannot tell whether.*'alpha \| beta'.*data\.format\.header",
    ),
    case(
        "B5-contradiction", "t.csv", "text,1\nmore,0\ntext,1\n", r"cannot tell whether.*usual column name 'text', but"
    ),
    case("B5-said-no", "t.csv", "alpha,beta\ngamma,delta\n", [("alpha", "beta"), ("gamma", "delta")], header=False),
    case("B5-said-yes", "t.csv", "alpha,beta\ngamma,delta\n", [("gamma", "delta")], header=True),
    case("B5-repeated-header", "t.csv", H + "a,x\ntext,label\nb,y\n", r"^t\.csv:3:1: the row repeats the header"),
    case("B6-semicolon", "t.csv", "text;label\na, b;x\nc;y\n", [("a, b", "x"), ("c", "y")]),
    case("B6-tab", "t.csv", "text\tlabel\na, b\tx\n", [("a, b", "x")]),
    case("B6-pipe", "t.csv", "text|label\na b|x\n", [("a b", "x")]),
    case("B6-tie", "t.csv", "a;b|c\nd;e|f\n", r"semicolon and pipe both split.*data\.format\.delimiter"),
    case("B6-named", "t.csv", "text;b|label\nd;e|f\n", [("d;e", "f")], delimiter="|", header=True),
    case(
        "B6-several-letters",
        "t.txt",
        "1||一个女孩||2\n2||一群男人||3\n",
        [("1", "一个女孩", "2"), ("2", "一群男人", "3")],
        delimiter="||",
        header=False,
    ),
    case(
        "B7-missing-words",
        "t.csv",
        H + 'NA,null\nNone,nan\n"",N/A\n" ",#N/A\n',
        [("NA", "null"), ("None", "nan"), ("", "N/A"), (" ", "#N/A")],
    ),
    case(
        "B8-lookalikes",
        "t.csv",
        H + "007,001\n1e5,TRUE\n1-2,1.0\n-0, 1\n",
        [("007", "001"), ("1e5", "TRUE"), ("1-2", "1.0"), ("-0", " 1")],
    ),
    case(
        "B9-labels",
        "t.csv",
        H + "a,001\nb,1\nc,1.0\nd, 1\ne,One\nf,ONE\n",
        [("a", "001"), ("b", "1"), ("c", "1.0"), ("d", " 1"), ("e", "One"), ("f", "ONE")],
    ),
    case("B14-long-cell", "t.csv", H + "a" * 1_000_000 + ",x\n", [("a" * 1_000_000, "x")]),
    case("B14-long-quoted", "t.csv", H + '"' + "a," * 200_000 + '",x\n', [("a," * 200_000, "x")]),
    case(
        "B15-unicode",
        "t.csv",
        H + "👩‍👩‍👧,x\n\u202eabc,y\ne" + "\u0301" * 1000 + ",z\n",
        [("👩‍👩‍👧", "x"), ("\u202eabc", "y"), ("e" + "\u0301" * 1000, "z")],
    ),
    case("B15-nfd-stays", "t.csv", H + "cafe\u0301,x\ncaf\u00e9,y\n", [("cafe\u0301", "x"), ("caf\u00e9", "y")]),
    case(
        "B16-json-named-csv", "t.csv", '{"text":"a","label":"x"}\n{"text":"b","label":"y"}\n', [("a", "x"), ("b", "y")]
    ),
    case("B16-csv-named-json", "t.json", H + "a,x\nb,y\n", [("a", "x"), ("b", "y")]),
    case("B16-csv-named-parquet", "t.parquet", H + "a,x\nb,y\n", [("a", "x"), ("b", "y")]),
    case("B16-gz", "t.csv.gz", gzip.compress(b"text,label\na b,x\nc d,y\n"), AB),
    case("B16-gz-unnamed", "t.csv", gzip.compress(b"text,label\na b,x\nc d,y\n"), AB),
    case("B16-gz-two-members", "t.csv.gz", gzip.compress(b"text,label\na b,x\n") + gzip.compress(b"c d,y\n"), AB),
    case(
        "B16-gz-truncated",
        "t.csv.gz",
        gzip.compress(b"text,label\na,x\n" * 99)[:-12],
        r"^t\.csv\.gz: the gz file is cut off.*Fetch",
    ),
    case("B16-gz-damaged", "t.csv.gz", gzip.compress(b"text,label\na,x\n")[:-8] + b"12345678", r"gz file is damaged"),
    case("B16-gz-bomb", "t.csv.gz", gzip.compress(b"a" * (70 << 20)), r"decompression bomb"),
    case("B16-gz-in-gz", "t.csv.gz", gzip.compress(gzip.compress(b"a")), r"gz inside gz"),
    case("B16-binary", "t.csv", b"ab\x00\x00\x00\x01\xff\xfe\xb9" * 9, r"^t\.csv: not a text file: byte 2 is NUL"),
    case("B16-7z", "t.csv", b"7z\xbc\xaf'\x1c", r"this is a 7z archive.*Give a file"),
    case("B16-pickle", "t.csv", b"\x80\x04\x95\x00", r"Python pickle"),
    case("B16-unknown", "t.dat", "just words\nand more\n", r"suffix '\.dat' says nothing"),
    case("B18-empty", "t.csv", b"", r"^t\.csv:1:1: the file is empty"),
    case("B18-only-blank", "t.csv", "\n \n\n", r"^t\.csv:1:1: the file holds only blank lines"),
    case("B18-one-row", "t.csv", H + "a,x\n", [("a", "x")]),
    case("B18-one-row-no-end", "t.csv", H + "a,x", [("a", "x")]),
    case("B21-spaces-stripped", "t.csv", "text , Label\na,x\n", [("a", "x")]),
    case(
        "B21-case",
        "t.csv",
        "Text,label\na,x\n",
        r"no column named 'text' \(names differ by case.*Did you mean 'Text'",
        columns=("text", "label"),
    ),
    case("B21-select", "t.csv", "id,text,label\n1,a,x\n", [("a", "x")], columns=("text", "label")),
    case(
        "B21-rename", "t.csv", "foo,bar\n1,x\n2,y\n", [("1", "x"), ("2", "y")], columns=("text", "label"), header=True
    ),
    case("B21-html-in-name", "t.csv", '<script>,"a\x1b[31m"\n1,2\n', [("1", "2")], header=True),
    case(
        "columns-without-header",
        "t.csv",
        "a b c,x\nd e f,x\n",
        [("a b c", "x"), ("d e f", "x")],
        columns=("text", "label"),
    ),
    case(
        "columns-wrong-count",
        "t.csv",
        "a,x\nb,x\n",
        r"names 3 columns, but the first row has 2",
        header=False,
        columns=("a", "b", "c"),
    ),
    case("blank-lines", "t.csv", H + "\na,x\n\n\nb,y\n", [("a", "x"), ("b", "y")]),
    case("one-column", "t.csv", 'text\n""\nb c\n', [("",), ("b c",)]),
]
TEXT = [
    case("txt-lines", "t.txt", "first, line\r\n second \nNA\n", [("first, line",), (" second ",), ("NA",)]),
    case("txt-header", "t.txt", "text\nfirst\n", [("first",)], header=True),
    case("txt-brackets-are-text", "t.txt", "[1] see below\n{x}\n", [("[1] see below",), ("{x}",)]),
    case(
        "txt-delimited",
        "t.txt",
        "新闻标题\t3\n另一个标题\t5\n",
        [("新闻标题", "3"), ("另一个标题", "5")],
        delimiter="\t",
    ),
    case(
        "label-last",
        "t.txt",
        'no "air, horn,Break\nleak, oil,Leak\nx,Leak\n',
        [('no "air, horn', "Break"), ("leak, oil", "Leak"), ("x", "Leak")],
        label_last=True,
        delimiter=",",
        header=False,
        columns=("text", "label"),
    ),
    case(
        "label-last-detects",
        "t.txt",
        "a, b;X\nc, d;X\n",
        [("a, b", "X"), ("c, d", "X")],
        label_last=True,
        delimiter=";",
    ),
    case(
        "label-last-missing",
        "t.txt",
        "a,X\nb\nc,X\n",
        r"^t\.txt:2:2: no comma before a label: 'b'",
        label_last=True,
        delimiter=",",
    ),
    case(
        "label-last-in-doubt", "t.txt", "a;b,X\nc;d,X\n", r"cannot tell what stands before the label", label_last=True
    ),
]
D = '{"text":"a","label":"x"}'
JSON = [
    case("jsonl", "t.jsonl", D + '\n{"label":"y","text":"b"}\n', [("a", "x"), ("b", "y")]),
    case(
        "jsonl-types-kept",
        "t.jsonl",
        '{"t":"007","n":1,"f":1.5,"b":true,"z":null,"l":["a"]}\n',
        [("007", 1, 1.5, True, None, ["a"])],
    ),
    case("B10-big-integer", "t.jsonl", '{"t":"a","n":9007199254740993}\n', [("a", 9007199254740993)]),
    case("B2-nul-raw", "t.jsonl", '{"text":"a\0b"}\n', r"^t\.jsonl:1:11: not JSON \(Invalid control"),
    case("B2-nul-escaped", "t.jsonl", '{"text":"a\\u0000b"}\n', r"^t\.jsonl:1:1: 'text' holds a NUL"),
    case("B11-truncated", "t.jsonl", D + '\n{"text":"b","lab', r"^t\.jsonl:2:13: not JSON.*looks cut off.*Repair"),
    case("B11-blank-lines", "t.jsonl", D + "\n\n  \n" + D + "\n", [("a", "x"), ("a", "x")]),
    case("B11-trailing-comma", "t.jsonl", D + ",\n" + D + "\n", r"^t\.jsonl:1:25: a comma follows the object"),
    case("B11-comment", "t.jsonl", D + "\n// note\n", r"^t\.jsonl:2:1: JSON has no comments"),
    case("B11-array-a-line", "t.jsonl", '["a","x"]\n["b","y"]\n', r"^t\.jsonl:1:1: a row is an object, this is a list"),
    case("B11-top-level-array", "t.jsonl", "[" + D + "]\n", [("a", "x")]),
    case("B11-array-over-lines", "t.jsonl", "[\n" + D + ",\n" + D + "\n]\n", [("a", "x"), ("a", "x")]),
    case(
        "B12-mixed-types",
        "t.jsonl",
        '{"t":"a","n":1}\n{"t":"b","n":2}\n{"t":"c","n":"3"}\n',
        r"^t\.jsonl:3:1: 'n' is text here and a number in most rows.*Write one kind",
    ),
    case(
        "B12-missing-key",
        "t.jsonl",
        D + "\n" + D + '\n{"text":"b"}\n',
        r"^t\.jsonl:3:1: the key 'label' is missing.*'label\?'",
    ),
    case(
        "B12-missing-optional", "t.jsonl", D + '\n{"text":"b"}\n', [("a", "x"), ("b", None)], columns=("text", "label?")
    ),
    case(
        "B12-extra-key",
        "t.jsonl",
        D + "\n" + D + '\n{"text":"b","label":"y","note":1}\n',
        r"^t\.jsonl:3:1: the key 'note' is not in the other rows",
    ),
    case(
        "B12-extra-not-read",
        "t.jsonl",
        D + '\n{"text":"b","label":"y","note":1}\n',
        [("a", "x"), ("b", "y")],
        columns=("text", "label"),
    ),
    case("B12-duplicate-key", "t.jsonl", '{"text":"a","text":"b"}\n', r"^t\.jsonl:1:1: the key 'text' occurs twice"),
    case("B13-nan", "t.jsonl", '{"text":"a","n":NaN}\n', r"^t\.jsonl:1:1: NaN is not JSON"),
    case("B13-infinity", "t.jsonl", '{"text":"a","n":-Infinity}\n', r"-Infinity is not JSON"),
    case("B13-too-large", "t.jsonl", '{"text":"a","n":1e999}\n', r"1e999 is beyond the range"),
    case("B13-5000-digits", "t.jsonl", '{"text":"a","n":' + "9" * 5000 + "}\n", r"^t\.jsonl:1:1: Exceeds the limit"),
    case(
        "B13-lone-surrogate",
        "t.jsonl",
        '{"text":"a"}\n{"text":"\\ud800"}\n',
        r"^t\.jsonl:2:1: 'text' holds a NUL or half a surrogate",
    ),
    case("B13-surrogate-pair", "t.jsonl", '{"text":"\\ud83d\\ude00"}\n', [("😀",)]),
    case("B13-deep", "t.jsonl", '{"a":' + "[" * 5000 + "]" * 5000 + "}\n", r"^t\.jsonl:1:1: nested deeper than 64"),
    case("B13-65-levels", "t.jsonl", '{"a":' + "[" * 66 + "]" * 66 + "}\n", r"'a' is nested deeper than 64"),
    case("B14-long-line", "t.jsonl", '{"text":"' + "a" * 3_000_000 + '"}\n', [("a" * 3_000_000,)]),
    case("json-array", "t.json", '[{"text":"a"},\n{"text":"b"}]', [("a",), ("b",)]),
    case("json-columns", "t.json", '{"text":["a","b"],"label":["x","y"]}', [("a", "x"), ("b", "y")]),
    case("json-wrapped", "t.json", '{"version":1,"data":[{"text":"a"}]}', [("a",)]),
    case(
        "json-two-lists",
        "t.json",
        '{"a":[{"t":1}],"b":[{"t":1}]}',
        r"neither columns of one length nor one list of rows.*'a', 'b'",
    ),
    case("json-ragged", "t.json", '{"a":["x"],"b":["y","z"]}', r"neither columns of one length"),
    case("json-trailing-comma", "t.json", '[{"a":1},\n]', r"^t\.json:1:9: a comma follows the last"),
    case("json-broken", "t.json", '[{"a":1},\n{"a" 2}]', r"^t\.json:2:6: not JSON"),
    case("json-cut-off", "t.json", '[{"a":1},\n{"a":2}', r"^t\.json:2:8: expected , or \].*cut off"),
    case("json-after-end", "t.json", '[{"a":1}]\nx', r"^t\.json:2:1: something follows"),
    case("json-scalars", "t.json", '["a","b"]', r"^t\.json:1:2: a row is an object, this is text"),
    case("json-empty", "t.json", "[]", r"holds no rows"),
    case("json-lines-named-json", "t.json", D + "\n" + D + "\n", [("a", "x"), ("a", "x")]),
    case("json-utf16", "t.json", b"\xff\xfe" + '[{"text":"ä"}]'.encode("utf-16-le"), [("ä",)]),
]


@pytest.mark.parametrize("what", CSV + TEXT + JSON)
def test_read_exactly_or_refused(what: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(what.file).write_bytes(what.content)
    if isinstance(what.expected, str):
        with pytest.raises(TunesmithError) as error:
            read(what.file, what.format)
        assert re.search(what.expected, str(error.value)), str(error.value)
        assert len(str(error.value)) < 900
    else:
        table = read(what.file, what.format)
        rows = [tuple(cells.values()) for _, cells in table.rows]
        assert rows == what.expected
        assert [list(map(type, row)) for row in rows] == [list(map(type, row)) for row in what.expected]
        assert all(tuple(cells) == table.columns for _, cells in table.rows)


def test_lines_are_where_rows_start(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text('text,label\n"a\nb",x\n\nc,y\n')
    assert [line for line, _ in read(file).rows] == [2, 5]
    file = tmp_path / "t.json"
    file.write_text('{"data": [\n {"a": 1}, {"a": 2},\n\n {"a": 3}]}')
    assert [line for line, _ in read(file).rows] == [2, 2, 4]


@pytest.mark.parametrize(
    ("content", "note"),
    [
        ("text;label\na;x\n", "delimiter semicolon (detected)"),
        ("text,label\na,x\n", "first row is the header (every cell of the first row is a usual column name)"),
        ("text ,label\na,x\n", "spaces removed around the column names 'text '"),
        ("text,label\n\na,x\n", "1 blank lines skipped"),
        ("text,label\r\na,x\n", "mixed line ends: 1 LF, 1 CRLF"),
        ('{"text":"a"}\n{"text":"b"}\n', "read as jsonl, which the content is, not as the suffix '.csv' says"),
    ],
)
def test_decisions_are_told(content: str, note: str, tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_bytes(content.encode())
    assert note in read(file).notes


def test_dropped_rows_are_listed_with_their_numbers(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text('text,label\na,x\nb\nc,y\nd,"q\ne,z\nf,x\n')
    table = read(file, Format(on_bad="drop"))
    assert [(line, tuple(cells.values())) for line, cells in table.rows] == [
        (2, ("a", "x")), (4, ("c", "y")), (6, ("e", "z")), (7, ("f", "x")),
    ]  # fmt: skip
    assert [(bad.row, bad.line, bad.excerpt) for bad in table.bad] == [(2, 3, "b"), (4, 5, 'd,"q')]
    assert "2 malformed rows left out" in " ".join(table.notes)


def test_dropping_in_json_lines(tmp_path: Path) -> None:
    file = tmp_path / "t.jsonl"
    file.write_text('{"t":"a"}\nnonsense\n{"t":"b"}\n{"t":1}\n{"u":"c"}\n' + '{"t":"d"}\n' * 2)
    table = read(file, on_bad="drop")
    assert [cells["t"] for _, cells in table.rows] == ["a", "b", "d", "d"]
    assert [(bad.row, bad.line) for bad in table.bad] == [(2, 2), (4, 4), (5, 5)]


def test_without_a_header_most_rows_say_how_wide_a_table_is(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("broken\na,x\nb,y\n")
    table = read(file, Format(header=False, on_bad="drop"))
    assert [cells for _, cells in table.rows] == [
        {"column_1": "a", "column_2": "x"},
        {"column_1": "b", "column_2": "y"},
    ]
    assert [(bad.row, bad.line) for bad in table.bad] == [(1, 1)]
    file.write_text('"broken\na,x\nb,y\n')
    table = read(file, Format(header=False, on_bad="drop", delimiter=","))
    assert [(bad.row, bad.line) for bad in table.bad] == [(1, 1)]


def test_nothing_left_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("text,label\na\nb\n")
    with pytest.raises(TunesmithError, match=r"2 of 2 rows are malformed.*The first: line 2.*delimiter as"):
        read(file, Format(on_bad="drop", delimiter=","))


def test_ten_thousand_columns_give_short_errors(tmp_path: Path) -> None:
    file = tmp_path / "wide.csv"
    names = [f"c{i}" for i in range(10_000)]
    file.write_text(",".join(names) + "\n" + ",".join("1" * 1 for _ in names) + "\n")
    assert len(read(file).columns) == 10_000
    with pytest.raises(TunesmithError, match="and 9988 more") as error:
        read(file, Format(columns=("text",)))
    assert len(str(error.value)) < 500


def test_unknown_setting_is_refused() -> None:
    with pytest.raises(ValueError, match="headers"):
        Format(headers=True)  # type: ignore[call-arg]


def test_dropping_where_no_row_can_be_read(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text('"a\n"b\n"c\n')
    with pytest.raises(TunesmithError, match=r"t\.csv:\d:\d"):
        read(file, Format(on_bad="drop", header=False))
