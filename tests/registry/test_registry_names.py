"""Names are never paths: a corpus of traversals is refused everywhere, and references mean one thing."""

from itertools import product
from pathlib import Path

import pytest

from tunesmith.errors import TunesmithError
from tunesmith.registry.names import LATEST, Reference, check_alias, check_name, check_paths, parse
from tunesmith.registry.store import Store

CLIMBS = [
    "..", "../", "..\\", "%2e%2e/", "..%2f", "%252e%252e%252f", "..%5c", "..;/", "....//", ".\u2024/",
    "\uff0e\uff0e\uff0f",
]  # fmt: skip
GOALS = ["etc/passwd", "x", "store.db", "blobs/sha256", "tickets", "C:\\Windows\\win.ini"]
STARTS = ["", "/", "a/", "tickets/"]
ODD = [
    "", " ", ".", "..", "...", "/", "//", "\\", "//host/share", "\\\\host\\share", "\\\\?\\C:\\x",
    "\\\\.\\pipe\\x", "C:", "c:x", "/etc/passwd", "//etc/passwd", "file:///etc/passwd", "http://a/b", "~", "~root",
    "$HOME", "${HOME}",
    "`id`", "$(id)",
    "-x", "--output_dir=/", "_x", ".x", "a\x00", "a\x00.json", "a\n", "\na", "a\r\nb", "a\tb", "a b",
    "a/b", "a\\b", "a:b", "a*", "a?", "a|b", "a;b", "a&b", "a<b", "a>b", "a'b", 'a"b', "a' OR '1'='1", "<script>",
    "a); DROP TABLE versions;--", "A", "Tickets", "\uff21", "\uff13", "é", "ß", "\u0131", "泵", "a\u200b", "a\u202eb",
    "\ud800", "a" * 65, "a" * 100_000, "%61", "a%00", "a@b", "a@", "@", "@1", "NUL:", "CON", "a#b", "a+b", "a=b", "a,b",
    "(a)", "[a]", "{a}", "\x7f", "\x1b[31m",
]  # fmt: skip
CORPUS = [s + c + g for s, c, g in product(STARTS, CLIMBS, GOALS)] + ODD


def test_the_corpus_is_large() -> None:
    """S19 asks for 200."""
    assert len(set(CORPUS)) >= 200


def test_traversals_are_never_names(tmp_path: Path) -> None:
    """Refused as a name, an alias and each kind of reference, in a short message, and nothing is written."""
    store = Store(tmp_path / "registry")
    model = tmp_path / "model"
    model.mkdir()
    (model / "a").write_text("x")
    store.register(model, "tickets", lineage={}, metrics={})
    before = sorted(tmp_path.rglob("*"))
    for bad in CORPUS:
        for call in (
            lambda bad=bad: store.register(model, bad, lineage={}, metrics={}),
            lambda bad=bad: store.alias(bad, "production", 1),
            lambda bad=bad: store.alias("tickets", bad, 1),
            lambda bad=bad: store.resolve(f"{bad}@1"),
            lambda bad=bad: store.resolve(f"tickets@{bad}"),
            lambda bad=bad: store.resolve(f"tickets@sha256:{bad}"),
            lambda bad=bad: store.list(bad),
            lambda bad=bad: store.aliases(bad),
        ):
            with pytest.raises(TunesmithError) as error:
                call()
            assert len(str(error.value)) < 700 and "\x1b" not in str(error.value)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("good", ["a", "0", "tickets", "tickets-de.v2_final", "a..b", "nul", "x" * 64])
def test_good_names(good: str) -> None:
    """Plain words of up to 64 characters."""
    assert check_name(good) == good


def test_a_near_good_name_is_offered() -> None:
    """Spaces and capitals are the usual slip."""
    with pytest.raises(TunesmithError, match="Did you mean 'my-tickets'"):
        check_name("My Tickets")


@pytest.mark.parametrize("bad", [LATEST, "3", "007"])
def test_aliases_that_mean_something_already(bad: str) -> None:
    """`latest` moves by itself, and a number is a number."""
    with pytest.raises(TunesmithError, match="cannot be an alias"):
        check_alias(bad)


def test_references() -> None:
    """One text, one meaning."""
    assert parse("tickets@3") == Reference("tickets", number=3)
    assert parse("tickets@latest") == Reference("tickets", alias="latest")
    assert parse("tickets@v3") == Reference("tickets", alias="v3")
    assert parse("tickets@sha256:" + "a" * 64) == Reference("tickets", digest="a" * 64)


@pytest.mark.parametrize(
    "bad", ["tickets", "tickets@", "tickets@0", "tickets@03", "tickets@-1", "tickets@3.", "tickets@٣", "tickets@1@2",
            "tickets@9999999999", "tickets@sha256:abc", "tickets@sha256:" + "A" * 64, "tickets@SHA256:" + "a" * 64],
)  # fmt: skip
def test_references_that_mean_nothing(bad: str, tmp_path: Path) -> None:
    """The error says how to write one."""
    with pytest.raises(TunesmithError, match=r"write name@3|write tickets@3|sha256 digest|no model"):
        Store(tmp_path / "registry").resolve(bad)


@pytest.mark.parametrize(
    "bad", ["", "/etc/passwd", "../x", "a/../x", "a//b", "./a", "a/", "a\\b", "C:x", "a\x00", "a\nb", "\ud800"]
)
def test_paths_that_a_version_may_not_hold(bad: str) -> None:
    """A record that was tampered with cannot write outside its folder either."""
    with pytest.raises(TunesmithError, match="cannot be kept"):
        check_paths(["good/one.json", bad])


@pytest.mark.parametrize("twins", [("Run", "run"), ("e\u0301", "\u00e9"), ("a/B", "A/b")])
def test_paths_that_are_one_elsewhere(twins: tuple[str, str]) -> None:
    """Case and Unicode form do not make two files everywhere."""
    with pytest.raises(TunesmithError, match="one file on other systems"):
        check_paths(twins)
