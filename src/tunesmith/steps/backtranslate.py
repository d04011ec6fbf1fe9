"""New training rows that went into another language and back, through one or two models that the user names.

    row -> there -> another language -> back -> row in other words

Sennrich et al. 2016, https://arxiv.org/abs/1511.06709; with sampling, as in Edunov et al. 2018,
https://arxiv.org/abs/1808.09381. A text that comes back as it was, empty, in another script, or without a guarded
stretch is left out and counted.
"""

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PositiveInt

from tunesmith.data.ledger import Ledger
from tunesmith.errors import TunesmithError
from tunesmith.steps._augmenting import Augmentation, Maker
from tunesmith.steps._models import files_of_base, opened, written
from tunesmith.steps._passage import Guard, Passage, anew

Temperature = Annotated[float, Field(gt=0, le=2)]
Both = tuple[str, str]


class Backtranslate(Augmentation):
    """Encoder-decoders of transformers: Marian (two models), M2M100, NLLB and mBART (one, with languages), T5 (one,
    with prefixes)."""

    name: Literal["backtranslate"] = "backtranslate"
    there: str
    """The base that translates out of the rows' language: its folder, or a hub id that is on this machine."""
    back: str | None = None
    """The base that translates back; the same unless named."""
    languages: Both | None = None
    """[of the rows, the other], as the tokenizer of a multilingual base names them: [eng_Latn, deu_Latn], [zh, en]."""
    prefixes: Both | None = None
    """What stands before a text on its way [there, back], for bases that are told in words: ["translate English to
    German: ", "translate German to English: "]."""
    guard: tuple[Guard, ...] = ("numbers", "codes")
    """A text that comes back without one of these, letter by letter, is left out: numbers, codes, negations."""
    temperature: Temperature = 0.8
    """Below 1 the probable is made more probable."""
    top: PositiveInt = 20
    """How many of the most probable tokens each is drawn from; 1: always the most probable."""
    max_tokens: PositiveInt = 256
    """Longest text in tokens; what stands behind that is not translated, and the row is left out."""

    base_settings: ClassVar[tuple[str, ...]] = ("there", "back")
    whole: ClassVar[bool] = True
    batch: ClassVar[int] = 16
    source: ClassVar[str] = "Sennrich et al. 2016, https://arxiv.org/abs/1511.06709"
    prefer: ClassVar[str] = "Good translation models at hand, and labels that hang on the meaning of a text."

    def own_objection(self, plan: Any) -> str | None:
        if self.back is None and self.languages is None and self.prefixes is None:
            return (
                "one base there and back must be told which way: languages (M2M100, NLLB, mBART) or prefixes (T5). "
                "Give one of them, or a second base: back"
            )
        return None

    def files(self) -> tuple[Path, ...]:
        return files_of_base(self.there) + (files_of_base(self.back) if self.back else ())

    def maker(self, ledger: Ledger, plan: Any) -> Maker:
        own, other = self.languages or (None, None)
        out, home = self.prefixes or ("", "")
        there = opened(self.name, self.there, "AutoModelForSeq2SeqLM")
        back = opened(self.name, self.back, "AutoModelForSeq2SeqLM") if self.back else there

        def make(texts: Sequence[Passage], draws: Sequence[Random]) -> list[Passage]:
            told = self._translated(there, [text.text for text in texts], (own, other, out), draws)
            heard = self._translated(back, told, (other, own, home), draws)
            return [anew(text) for text in heard]

        return make

    def _translated(
        self, model: tuple[Any, Any], texts: Sequence[str], way: tuple[str | None, str | None, str],
        draws: Sequence[Random],
    ) -> list[str]:  # fmt: skip
        """Texts from one language to another; empty where one was empty or too long."""
        net, tokenizer = model
        source, target, prefix = way
        first = None
        if source is not None and target is not None:
            first = language_token(tokenizer, source, target)
        asked = [prefix + text for text in texts]
        sizes = [len(ids) for ids in tokenizer(asked)["input_ids"]]
        fits = [i for i, size in enumerate(sizes) if size <= self.max_tokens and texts[i].strip()]
        out = [""] * len(texts)
        if fits:
            batch = tokenizer([asked[i] for i in fits], padding=True, return_tensors="pt")
            known = {name: batch[name] for name in ("input_ids", "attention_mask")}
            ids_BT = written(net, known, [draws[i] for i in fits], max_new=self.max_tokens, first=first,
                             temperature=self.temperature, top=self.top)  # fmt: skip
            for i, text in zip(fits, tokenizer.batch_decode(ids_BT, skip_special_tokens=True), strict=True):
                out[i] = text.strip()
        return out


def language_token(tokenizer: Any, source: str, target: str) -> int:
    """Tell a tokenizer what language it reads; the token with which a text in the other one begins.

    Raises TunesmithError where it knows no languages, or not that one.
    """
    if not hasattr(tokenizer, "src_lang"):
        raise TunesmithError("steps: backtranslate: languages are for bases that know several by name, and this "
                             "tokenizer has none. Remove languages, or use prefixes")  # fmt: skip
    numbers = []
    for code in (source, target):
        token = tokenizer.get_lang_token(code) if _named(tokenizer, code) else code
        number = tokenizer.convert_tokens_to_ids(token)
        if number is None or number == tokenizer.unk_token_id:
            raise TunesmithError(f"steps: backtranslate: the tokenizer knows no language '{code}'. Take one from "
                                 "the model's page, such as eng_Latn (NLLB), en (M2M100), en_XX (mBART)")  # fmt: skip
        numbers.append(int(number))
    tokenizer.src_lang = source
    return numbers[1]


def _named(tokenizer: Any, code: str) -> bool:
    return hasattr(tokenizer, "get_lang_token") and code in getattr(tokenizer, "lang_code_to_token", {})
