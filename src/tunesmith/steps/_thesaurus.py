"""Groups of words that can stand for each other, from a resource that the user has.

    x.csv                            a group a line: broken,faulty,defective
    new_cilin.txt                    Cilin: "Aa01A01= 人 士 人物", of which lines with = are synonyms (UTF-8 or GB18030)
    oewn.tar.xz, or its folder       Open English WordNet as YAML: entries-*.yaml and noun.*.yaml, verb.*.yaml, …
    nltk                             WordNet of nltk, where it is installed with its data

WordNet has the senses of a word by their frequency, so that the first few are taken. The others have no such order: a
word with more senses than are wanted is left alone.
"""

import csv
import re
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tunesmith.data.segment import is_wide
from tunesmith.errors import TunesmithError

NLTK = "nltk"
_CILIN = re.compile(r"[A-L][a-z]\d\d[A-Z]\d\d([=#@]) (.+)")
_SYNSET_FILE = re.compile(r"(?:noun|verb|adj|adv)\.\w+\.yaml")
_ENTRY = re.compile(r"^([^\s-].*):$|^ +(?:- )?synset: (\S+)$|^    (form):$", re.MULTILINE)
_MEMBERS = re.compile(r"^(\d{8}-[a-z]):$|^  members:\n((?:  - .*\n?)+)", re.MULTILINE)
_FOUND = ("LICENSE*", "LICENCE*", "COPYING*", "SOURCE*")


class Group(NamedTuple):
    """Words of one meaning; kind n, v, a, s, r, or nothing where the resource does not say."""

    kind: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Thesaurus:
    """Synonyms by word."""

    groups: Callable[[str], Sequence[Group]]
    """Groups of a word in small letters, the most usual first."""
    wide: frozenset[str] = frozenset()
    """Its words of several Chinese characters."""
    irregular: frozenset[str] = frozenset()
    """Words whose endings follow no rule."""
    licence: str = ""
    ordered: bool = False
    """Whether senses stand by their frequency."""

    def others(self, word: str, senses: int) -> list[str]:
        """Words that can stand for one, in its case of letters and with its ending; sorted, none twice."""
        said = word.lower()
        if is_wide(word) and len(word) == 1:  # most often a part of a word that the resource does not know
            return []
        found = self._same(said, "", "", senses)
        if not found and said.isascii():
            for ending, kinds, stem in _stems(said):
                if found := self._same(stem, ending, kinds, senses):
                    break
        found_so = {cased(word, other) for other in found if other.lower() != said}
        return sorted(other for other in found_so if not any(c.isdigit() for c in other))

    def _same(self, word: str, ending: str, kinds: str, senses: int) -> list[str]:
        groups, taken, found = self.groups(word), dict[str, int](), list[str]()
        if not self.ordered and len(groups) > senses:
            return []
        for kind, words in groups:
            if kinds and kind and kind not in kinds:
                continue
            taken[kind] = taken.get(kind, 0) + 1
            if taken[kind] <= senses:
                found += words
        if not ending:
            return found
        return [_ended(w, ending) for w in found if w.isalpha() and w.islower() and w not in self.irregular]


def _stems(word: str) -> Iterator[tuple[str, str, str]]:
    """(ending, kinds of words that have it, what is left) by the rules of English."""
    for ending, kinds, cut in (("s", "nv", "s"), ("s", "nv", "es"), ("ed", "v", "ed"), ("ing", "v", "ing")):
        if word.endswith(cut) and len(word) > len(cut) + 2 and not word.endswith("ss"):
            stem = word[: -len(cut)]
            yield ending, kinds, stem
            if cut != "s":
                yield from ((ending, kinds, stem + "e"), (ending, kinds, re.sub(r"i$", "y", stem)))
            if ending != "s" and stem[-1] == stem[-2]:
                yield ending, kinds, stem[:-1]


def _ended(word: str, ending: str) -> str:
    if ending != "s" and re.fullmatch(r"[^aeiou]*[aeiou][^aeiouwxy]", word):
        word += word[-1]  # drip, dripped
    if ending == "s":
        word = re.sub(r"(?<![aeiou])y$", "ie", word)
        return word + ("es" if re.search(r"(?:s|x|z|ch|sh)$", word) else "s")
    if ending == "ing":
        return re.sub(r"(?<![eoy])e$", "", re.sub(r"ie$", "y", word)) + "ing"
    return word + "d" if word.endswith("e") else re.sub(r"(?<![aeiou])y$", "i", word) + "ed"


def cased(model: str, word: str) -> str:
    """A word in the case of letters of another."""
    if model.isupper() and len(model) > 1:
        return word.upper()
    return word[:1].upper() + word[1:] if model[:1].isupper() else word


def files_of(resource: str) -> tuple[Path, ...]:
    """The files that a resource is. Raises TunesmithError where there is none."""
    if Path(resource).name == NLTK and not Path(resource).exists():
        return tuple(sorted(f for f in _nltk().glob("*") if f.is_file()))
    path = Path(resource).expanduser()
    if path.is_dir():
        return tuple(sorted(path.rglob("*.yaml")))
    if not path.is_file():
        raise TunesmithError(
            f"resource: no file {path}. It is a CSV file of synonyms, a group a line; Cilin; Open English WordNet as "
            "YAML (its archive or folder); or nltk"
        )
    return (path,)


def thesaurus(resource: str) -> Thesaurus:
    """Read a resource. Raises TunesmithError where it is none that is known."""
    files = files_of(resource)
    path = Path(resource).expanduser()
    if not path.exists():
        return _from_nltk()
    told = licence(path)
    ordered = path.is_dir() or tarfile.is_tarfile(path)
    if ordered:
        groups, irregular = _wordnet(_texts(path))
    elif path.suffix == ".csv":
        groups, irregular = _indexed(Group("", tuple(row)) for row in _rows(path)), frozenset()
    else:
        groups, irregular = _indexed(_cilin(path)), frozenset()
    if not groups:
        raise TunesmithError(f"resource: {path} holds no group of two words or more ({len(files)} files read). "
                             "Is it one of: CSV, Cilin, Open English WordNet as YAML?")  # fmt: skip
    wide = frozenset(w for w in groups if len(w) > 1 and is_wide(w))
    return Thesaurus(lambda word: groups.get(word, ()), wide, irregular, told, ordered)


def licence(path: Path) -> str:
    """What stands beside a resource, or in its archive, of who allows what: the line that speaks of it."""
    folder = path if path.is_dir() else path.parent
    texts = [f.read_text("utf-8", "replace") for name in _FOUND for f in sorted(folder.glob(name)) if f.is_file()]
    if path.is_file() and tarfile.is_tarfile(path):
        with tarfile.open(path) as packed:
            names = [m for m in packed.getmembers() if m.isfile() and re.match(r"(?i)(LICEN[CS]E|COPYING)", m.name)]
            texts += [stream.read().decode("utf-8", "replace") for m in names if (stream := packed.extractfile(m))]
    lines = [" ".join(line.strip(" #*").split()) for text in texts for line in text.splitlines()]
    said = sorted(
        (line for line in lines if re.search(r"(?i)licen[cs]e", line)), key=lambda x: not x.startswith("licence:")
    )
    return said[0][:160] if said else "none found beside it: see that you may use it"


def _rows(path: Path) -> Iterator[list[str]]:
    for row in csv.reader(_decoded(path.read_bytes()).splitlines()):
        yield [word.strip() for word in row if word.strip()]


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("gb18030", "replace")


def _cilin(path: Path) -> Iterator[Group]:
    for line in _decoded(path.read_bytes()).splitlines():
        if (found := _CILIN.match(line.strip())) and found[1] == "=":
            yield Group("", tuple(found[2].split()))


def _indexed(groups: "Iterator[Group]") -> dict[str, list[Group]]:
    index: dict[str, list[Group]] = {}
    for group in groups:
        if len(group.words) > 1:
            for word in dict.fromkeys(w.lower() for w in group.words):
                index.setdefault(word, []).append(group)
    return index


def _texts(path: Path) -> Iterator[tuple[str, str]]:
    """(name, content) of each YAML file."""
    if path.is_dir():
        for file in sorted(path.rglob("*.yaml")):
            yield file.name, file.read_text("utf-8")
        return
    with tarfile.open(path) as packed:
        for member in packed:
            if member.isfile() and member.name.endswith(".yaml") and (stream := packed.extractfile(member)):
                yield Path(member.name).name, stream.read().decode("utf-8")


def _wordnet(texts: Iterator[tuple[str, str]]) -> tuple[dict[str, list[Group]], frozenset[str]]:
    """Read by its lines, which are regular: a YAML parser takes minutes for 45 MB."""
    synsets, irregular, members = dict[str, list[str]](), set[str](), dict[str, tuple[str, ...]]()
    for name, text in texts:
        word = ""
        if name.startswith("entries-"):
            for key, synset, form in _ENTRY.findall(text):
                if key:
                    word = _plain(key)
                elif form:
                    irregular.add(word)
                else:
                    synsets.setdefault(word.lower(), []).append(synset)
        elif _SYNSET_FILE.fullmatch(name):
            for key, lines in _MEMBERS.findall(text):
                word = key or word
                if lines:
                    members[word] = tuple(_plain(line[4:]) for line in lines.splitlines())
    index = {}
    for word, own in synsets.items():
        found = [Group(s[-1].replace("s", "a"), members[s]) for s in dict.fromkeys(own) if s in members]
        if any(len(group.words) > 1 for group in found):
            index[word] = found
    return index, frozenset(irregular)


def _plain(said: str) -> str:
    if said[:1] not in "'\"":
        return said
    import yaml

    return str(yaml.safe_load(said))


def _nltk() -> Path:
    try:
        import nltk  # type: ignore[import-untyped]

        found = Path(str(nltk.data.find("corpora/wordnet.zip")))
        return found if found.is_dir() else found.parent
    except ImportError:
        raise TunesmithError("resource: nltk is not installed. Run: pip install nltk, then its data: python -m "
                             "nltk.downloader wordnet; or name a file") from None  # fmt: skip
    except LookupError:
        raise TunesmithError("resource: nltk is installed without its WordNet. Run: python -m nltk.downloader wordnet; "
                             "or name a file") from None  # fmt: skip


def _from_nltk() -> Thesaurus:
    from nltk.corpus import wordnet  # type: ignore[import-untyped]

    def groups(word: str) -> list[Group]:
        return [Group(s.pos(), tuple(n.replace("_", " ") for n in s.lemma_names())) for s in wordnet.synsets(word)]

    return Thesaurus(groups, licence=" ".join(str(wordnet.license()).split())[:160], ordered=True)
