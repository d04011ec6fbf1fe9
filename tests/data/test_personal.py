"""Personal data with a shape: what is found, what is not, and the figures on a public set."""

import json
from collections import Counter
from pathlib import Path

import pytest

from tunesmith.data.personal import luhn, spans

SET = Path(__file__).parents[3] / "shared" / "data" / "presidio_pii" / "synth_dataset_v2.json"
KINDS = {
    "EMAIL_ADDRESS": "email", "CREDIT_CARD": "card", "IBAN_CODE": "iban", "IP_ADDRESS": "ip", "US_SSN": "us_ssn",
    "PHONE_NUMBER": "phone",
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("mail anna.b+x@mail.example.org.", "email", "anna.b+x@mail.example.org"),
        ("邮箱zhang@example.cn，谢谢", "email", "zhang@example.cn"),
        ("card 4111 1111 1111 1111 ok", "card", "4111 1111 1111 1111"),
        ("IBAN DE89 3704 0044 0532 0130 00", "iban", "DE89 3704 0044 0532 0130 00"),
        ("身份证11010519491231002X。", "cn_id", "11010519491231002X"),
        ("手机13812345678请回电", "phone", "13812345678"),
        ("call +49 (0)89 636-48018", "phone", "+49 (0)89 636-48018"),
        ("ring 415-555-2671 x12 today", "phone", "415-555-2671 x12"),
        ("ssn 123-45-6789", "us_ssn", "123-45-6789"),
        ("from 10.0.12.7:", "ip", "10.0.12.7"),
        ("at 2001:db8::ff00:42:8329 now", "ip", "2001:db8::ff00:42:8329"),
        ("key AKIAIOSFODNN7EXAMPLE", "key", "AKIAIOSFODNN7EXAMPLE"),
        ("token ghp_" + "a1B2" * 9, "key", "ghp_" + "a1B2" * 9),
        ("password: hunter2hunter", "password", "hunter2hunter"),
        ("密码：abc123456，勿外传", "password", "abc123456"),
    ],
)
def test_found(text: str, kind: str, value: str) -> None:
    assert [(s.kind, text[s.start : s.end]) for s in spans(text)] == [(kind, value)]


@pytest.mark.parametrize(
    "text",
    [
        "card 4111 1111 1111 1112", "IBAN DE88 3704 0044 0532 0130 00", "11010519491231002 X", "110105194913310021",
        "version 10.0.12.777", "2024-03-15 12:30", "15.03.2024", "0.5 MPa -3.2°C, 1 200 000 rows", "part 6205-2RS-C3",
        "from 1998-2017", "ssn 000-45-6789", "a :: b", "serial A1234567890", "pump P-101 at 3.14159265",
        "price 1234567.89", "error 0x8007000E", "单价1200000元", "follow @anna", "ratio 1:10:100",
    ],
)  # fmt: skip
def test_not_found(text: str) -> None:
    assert spans(text) == []


def test_the_surer_kind_has_the_place_and_kinds_can_be_chosen() -> None:
    text = "a@b.example 4111111111111111"
    assert [s.kind for s in spans(text)] == ["email", "card"]
    assert [s.kind for s in spans(text, ("card",))] == ["card"]
    assert luhn("79927398713") and not luhn("79927398710")


@pytest.mark.skipif(not SET.is_file(), reason="the set presidio_pii is not here")
def test_recall_and_precision_of_the_types_with_a_shape() -> None:
    right, missed, wrong = Counter[str](), Counter[str](), Counter[str]()
    for row in json.loads(SET.read_text(encoding="utf-8")):
        found = spans(row["full_text"])
        truth = [(KINDS[s["entity_type"]], s["start_position"], s["end_position"]) for s in row["spans"]
                 if s["entity_type"] in KINDS]  # fmt: skip
        for kind, start, end in truth:
            hit = any(f.kind == kind and f.start <= start and f.end >= end for f in found)
            (right if hit else missed)[kind] += 1
        wrong.update(f.kind for f in found if not any(k == f.kind and f.start < b and a < f.end for k, a, b in truth))
    for kind in KINDS.values():
        assert right[kind] / (right[kind] + missed[kind]) >= 0.98, (kind, missed[kind])
        assert right[kind] / (right[kind] + wrong[kind]) >= 0.9, (kind, wrong[kind])
