"""Near twins: what is found is exact, planted copies are found, and much boilerplate costs no square."""

import random
import time
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from edited import copied, sentences
from tunesmith import scratch
from tunesmith.data import _minhash, near
from tunesmith.data._bands import Candidates
from tunesmith.data._edits import distance, share_alike
from tunesmith.data.overlap import normal
from tunesmith.data.record import Record, Roles
from tunesmith.steps._near import Copies

ROLES = Roles(("text",), "label")


def records(texts: list[str], **more: str) -> list[Record]:
    return [Record(i, "f.csv", i + 1, i + 2, {"text": text, "label": "x", **more}) for i, text in enumerate(texts)]


def members(found: near.Groups) -> list[list[int]]:
    return [rows.tolist() for rows in found.members()]


def found_share(originals: list[str], copies: list[str]) -> float:
    found = near.leaks(records(originals), records(copies), ROLES)
    assert all(near.share_alike(normal(originals[t]), normal(copies[r])) >= near.SIMILARITY
               for r, t in zip(found.rows, found.twins, strict=True))  # fmt: skip
    return len(found.rows) / len(copies)


@lru_cache(maxsize=100_000)
def by_table(one: str, other: str) -> int:
    if not one or not other:
        return len(one) or len(other)
    return min(by_table(one[1:], other) + 1, by_table(one, other[1:]) + 1,
               by_table(one[1:], other[1:]) + (one[0] != other[0]))  # fmt: skip


def test_distance_equals_the_recursion() -> None:
    chance = random.Random(0)
    for _ in range(300):
        one, other = ("".join(chance.choice("ab中") for _ in range(chance.randint(0, 9))) for _ in range(2))
        true = by_table(one, other)
        assert distance(one, other) == true == distance(other, one)
        for most in range(10):
            assert distance(one, other, most) == min(true, most + 1)


def test_the_share_counts_characters_or_words() -> None:
    assert share_alike("a b c d e f g h i extraordinary", "a b c d e f g h i j") == 0.9  # a word of ten
    assert share_alike("倚天屠龙记十大创新览", "倚天屠龙记十大创新概") == 0.9
    assert share_alike("kitten", "sitting") == pytest.approx(1 - 3 / 7)
    assert share_alike("kitten", "sitting", 0.86) == 0.0
    assert share_alike("", "") == 1.0
    assert share_alike("", "a") == 0.0
    long = " ".join(str(i) for i in range(30_000))
    assert share_alike(long, long.replace(" 7 ", " ")) == pytest.approx(1 - 1 / 30_000)


@pytest.mark.parametrize("width", [3, 4])
def test_signatures_equal_datasketch(width: int) -> None:
    """The 16 low bits of each value of the same permutations, from hashes made one at a time in plain Python."""
    datasketch = pytest.importorskip("datasketch")
    texts = ["", "a", "how do i top up?", "倚天屠龙记 II 十大创新", "\ud800 odd"]
    for text, own in zip(texts, _minhash.signatures(texts, width), strict=True):
        marked = f"\x01{text}\x02\x02\x02"
        hashes = []
        for i in range(len(text) + 1):
            size = 2 if "\u2e80" <= marked[i] <= "\u9fff" else width
            value = 0
            for character in marked[i : i + size]:
                value = (value * 0x9E3779B1 + ord(character)) % 2**32
            hashes.append(value)
        # datasketch mixes what it is given, as we do
        sketch = datasketch.MinHash(128, seed=1, scheme="affine32", hashfunc=lambda value: value)
        sketch.update_batch(hashes)
        assert (sketch.hashvalues.astype(np.uint16) == own.view(np.uint16)).all()


def test_texts_of_a_batch_do_not_touch() -> None:
    together = _minhash.signatures(["first text", "second text"], 4)
    assert (together[1] == _minhash.signatures(["second text"], 4)[0]).all()


@pytest.mark.parametrize("how", ["characters", "words"])
def test_copies_with_a_tenth_edited_are_found(how: str) -> None:
    originals = sentences(800, 0)
    stock: list[str] | str = " ".join(originals).split() if how == "words" else "abcdefghijklmnopqrstuvwxyz "
    assert found_share(originals, [copied(t, how, i, stock) for i, t in enumerate(originals)]) >= 0.95
    assert not len(near.leaks(records(originals), records(sentences(800, 1)), ROLES).rows)


@pytest.mark.parametrize("name", ["banking77/train.csv", "thucnews10/dev.txt", "mwo_failure_mode/train.txt"])
def test_copies_of_real_texts_are_found(real_data: Path, name: str) -> None:
    lines = (real_data / name).read_text(encoding="utf-8").splitlines()
    texts = sorted({normal(line.rpartition("\t" if "\t" in line else ",")[0]) for line in lines})
    texts = [text for text in texts if len(text) >= 10]
    chance = random.Random(0)
    planted = chance.sample(range(len(texts)), min(300, len(texts)))
    letters = sorted(set("".join(texts)))
    assert found_share(texts, [copied(texts[i], "characters", i, letters) for i in planted]) >= 0.95


def test_groups_are_linked_and_copies_are_of_rows_that_stay() -> None:
    texts = [
        "the pump in hall four leaks oil again",
        "unlike all others here, this text",
        "The pump in hall four leaks oil  again",
        "the pump in hall four leaks oil agan",
        "the pump in hall five leaks oil again!",
    ]
    found = near.groups(records(texts), ROLES)
    assert found.first.tolist() == [0, 1, 0, 0, 0]
    assert members(found) == [[0, 2, 3, 4]]
    copies = list(Copies(found, np.array([7, 9, 7, 8, 0], np.uint64)).among(np.array([0, 2, 3, 4])))
    assert [(row, twin) for row, twin, _ in copies] == [(2, 0), (4, 0)]
    assert [score for *_, score in copies] == [1.0, pytest.approx(34 / 38)]


def test_what_else_makes_the_input_must_be_equal() -> None:
    roles = Roles(("text", "other"), side=("n",))
    rows = [
        Record(i, "f", i + 1, i + 2, {"text": "the pump in hall four leaks", "other": o, "n": n})
        for i, (o, n) in enumerate([("yes indeed", "1"), ("yes indeed!", "1"), ("yes indeed", "2"), ("no", "1")])
    ]
    assert near.groups(rows, roles).first.tolist() == [0, 0, 2, 3]


def test_leaks_of_equal_and_near_texts() -> None:
    train = records(["the pump in hall four leaks oil", "the screw of door nine is loose"])
    texts = ["nothing like the others", "The screw of door nine  is loose", "the pump in hall four leaks oi"]
    held = records(texts * 2)
    found = near.leaks(train, held, ROLES)
    assert found.rows.tolist() == [1, 2, 4, 5]
    assert found.twins.tolist() == [1, 0, 1, 0]
    assert found.scores.tolist() == [1.0, pytest.approx(30 / 31), 1.0, pytest.approx(30 / 31)]
    assert not len(near.leaks([], held, ROLES).rows)
    assert not len(near.leaks(train, [], ROLES).rows)


def test_boilerplate_costs_no_square_and_is_told() -> None:
    """1,200 texts share their first hundred characters: candidates stay under a few for each row and band."""
    chance = random.Random(0)
    head = "dear customer, thank you for your message of today; we have passed it on to the department in charge: "
    texts = [head + " ".join(str(chance.randrange(10**9)) for _ in range(9)) for _ in range(1200)]
    texts.append(texts[7].replace("today", "monday"))
    candidates = Candidates(_minhash.signatures(texts, 4))
    assert sum(len(one) for one, _ in candidates) < 1200 * 32 * 16
    began = time.process_time()
    found = near.groups(records(texts), ROLES)
    assert time.process_time() - began < 10
    assert found.crowded > 600
    assert found.first[-1] == 7


def test_the_same_from_files(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = sentences(300, 3)
    texts += [copied(text, "characters", i) for i, text in enumerate(texts[:100])]
    plain = near.groups(records(texts), ROLES)
    monkeypatch.setattr(scratch, "LIMIT", 0)
    monkeypatch.setattr(scratch, "_BLOCK", 7)
    filed = near.groups(records(texts), ROLES)
    assert filed.first.tolist() == plain.first.tolist()
    assert members(filed) == members(plain)
    leaks = near.leaks(records(texts[:300]), records(texts[300:]), ROLES)
    assert len(leaks.rows) > 90


def test_only_texts() -> None:
    assert near.objection(ROLES) is None
    assert "texts" in str(near.objection(Roles(("pixels",))))
    assert "texts" in str(near.objection(Roles(())))


def test_far_pairs_are_none_and_the_others_are_compared() -> None:
    """Of 64 characters and fewer what is far is exactly what is not alike enough, by characters or by words."""
    chance = random.Random(0)
    texts = [text[: chance.randint(1, 64)] for text in sentences(150, 5, 6)] + [
        "倚天屠龙记十大创新览",
        "é" * 64,
        "x" * 65,
        "",
    ]
    texts += [copied(text, "characters", i, share=0.06 * (i % 5)) for i, text in enumerate(texts[:150])]
    inputs = near.Inputs([records(texts)], ROLES)
    one, other = (np.array([chance.randrange(len(texts)) for _ in range(600)]) for _ in range(2))
    one, other = np.append(one, np.arange(150)), np.append(other, np.arange(154, 304))
    far = inputs.far(one, other, near.SIMILARITY)
    pairs = list(zip(one.tolist(), other.tolist(), strict=True))
    true = np.array([inputs.score(a, b, near.SIMILARITY) == 0 for a, b in pairs])
    sizes = np.array([inputs.sizes[list(pair)] for pair in pairs])
    short = (sizes.min(1) > 0) & (sizes.max(1) <= 64)
    assert not (far & ~true).any()
    assert (far == true)[short].all()
    assert not far[~short].any()
    assert far.sum() > 500
    assert (~far & short).sum() > 50
