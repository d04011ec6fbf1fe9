"""New training rows in other words, written by a causal model that the user names, asked by a prompt.

A text that comes out as it was, empty, in another script, or without a guarded stretch is left out and counted. Nobody
checks that it means the same: look at data preview.
"""

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any, ClassVar, Literal

from pydantic import PositiveInt

from tunesmith.data.ledger import Ledger
from tunesmith.steps._augmenting import Augmentation, Maker
from tunesmith.steps._models import files_of_base, opened, written
from tunesmith.steps._passage import Guard, Passage, anew
from tunesmith.steps.backtranslate import Temperature


class Paraphrase(Augmentation):
    """The prompt is a user's turn where the base has a chat template. What counts is the answer's first paragraph."""

    name: Literal["paraphrase"] = "paraphrase"
    base: str
    """A causal base that follows instructions: its folder, or a hub id that is on this machine."""
    prompt: str = "Say the following in other words, in the same language. Answer with the text alone.\n\n{text}\n\n"
    """What the base is asked; {text} is the row's."""
    guard: tuple[Guard, ...] = ("numbers", "codes")
    """A text that comes out without one of these, letter by letter, is left out: numbers, codes, negations."""
    temperature: Temperature = 0.8
    """Below 1 the probable is made more probable."""
    top: PositiveInt = 50
    """How many of the most probable tokens each is drawn from; 1: always the most probable."""
    max_tokens: PositiveInt = 128
    """Longest answer in tokens."""

    base_settings: ClassVar[tuple[str, ...]] = ("base",)
    whole: ClassVar[bool] = True
    batch: ClassVar[int] = 16
    prefer: ClassVar[str] = "A model that writes the language of the rows well, and labels that hang on their meaning."

    def own_objection(self, plan: Any) -> str | None:
        if "{text}" not in self.prompt:
            return "the prompt has no {text}, and every row would be asked the same. Write it where the text belongs"
        return None

    def files(self) -> tuple[Path, ...]:
        return files_of_base(self.base)

    def maker(self, ledger: Ledger, plan: Any) -> Maker:
        net, tokenizer = opened(self.name, self.base, "AutoModelForCausalLM")
        tokenizer.padding_side = "left"  # what is written stands right behind what was asked
        room = int(getattr(net.config, "max_position_embeddings", 4096)) - self.max_tokens

        def make(texts: Sequence[Passage], draws: Sequence[Random]) -> list[Passage]:
            asked = [self._asked(text.text, tokenizer) for text in texts]
            sizes = [len(ids) for ids in tokenizer(asked, add_special_tokens=not tokenizer.chat_template)["input_ids"]]
            fits = [i for i, size in enumerate(sizes) if size <= room]
            out = [""] * len(texts)
            if fits:
                batch = tokenizer([asked[i] for i in fits], padding=True, return_tensors="pt",
                                  add_special_tokens=not tokenizer.chat_template)  # fmt: skip
                known = {name: batch[name] for name in ("input_ids", "attention_mask")}
                ids_BT = written(net, known, [draws[i] for i in fits], max_new=self.max_tokens,
                                 temperature=self.temperature, top=self.top)  # fmt: skip
                new_BT = ids_BT[:, known["input_ids"].shape[1] :]
                for i, text in zip(fits, tokenizer.batch_decode(new_BT, skip_special_tokens=True), strict=True):
                    out[i] = text.strip().partition("\n\n")[0].strip()
            return [anew(text) for text in out]

        return make

    def _asked(self, text: str, tokenizer: Any) -> str:
        said = self.prompt.replace("{text}", text)
        if not tokenizer.chat_template:
            return said
        turn = [{"role": "user", "content": said.strip()}]
        return str(tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True))
