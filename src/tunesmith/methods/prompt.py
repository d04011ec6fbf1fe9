"""Prompt tuning: learn the embeddings of a few virtual tokens in front of every row.

    [v0 v1 ... vP-1] [CLS] text [SEP]        only v learns, and the head

On encoders the head reads v0, which therefore starts as [CLS] (see `_prompt.py`). The input grows by P tokens.

Lester et al. 2021, https://arxiv.org/abs/2104.08691.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import PositiveInt

from tunesmith.dialogue.virtual import Place
from tunesmith.errors import TunesmithError
from tunesmith.methods import Ecosystem, Learnt, Method, _peft, _prompt

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tunesmith.bases.family import Family


class Prompt(Method):
    """Virtual tokens in front of the input."""

    name: Literal["prompt"] = "prompt"
    tokens: PositiveInt = 20
    """How many virtual tokens; they count towards the base's longest input."""
    place: Place = "start"
    """Where they stand. start: before everything, as PEFT has it. In conversations also after_bos (behind the beginning
    token), after_system (behind the system text, before the history), before_last_user, or before_answer (right before
    what the assistant writes); these are opened by Tunesmith alone, since PEFT would put them in front."""
    init: Literal["random", "vocab", "text"] = "vocab"
    """random: like words on average; vocab: words drawn at random; text: the words of `text`."""
    text: str | None = None
    """What the prompt starts as, e.g. "is this review positive or negative"; repeated or cut to `tokens`."""

    rate: ClassVar[float] = 3e-2
    space: ClassVar[Mapping[str, Any]] = {"tokens": {"log_integer": [5, 50]}}
    """Lester et al. 2021 tried 1 to 150 (their figure 3a)."""
    stays: ClassVar[str] = "its virtual tokens stand before every row and are no weights of the base"
    prefer: ClassVar[str] = "the base is a large decoder and a task may cost a few kilobytes; small bases want others"
    source: ClassVar[str] = "Lester et al. 2021, https://arxiv.org/abs/2104.08691"

    def objection(self, plan: Any) -> str | None:
        if self.init == "text" and not (self.text or "").strip():
            return "prompt: init text needs a text to start from; set method.text, or init: vocab"
        if self.init != "text" and self.text is not None:
            return f"prompt: init {self.init} makes no use of text; remove text or set init: text"
        return _prompt.place_objection(self, plan)

    def base_objection(self, family: "Family") -> str | None:
        return _prompt.unseen("prompt", family) or _prompt.place_refusal(self, family)

    def keeps_base(self) -> bool:
        return True

    def apply(self, net: "nn.Module", family: "Family") -> "nn.Module":
        import torch

        if fault := self.objection(None):
            raise TunesmithError(f"method: {fault}")
        settings = _prompt.sizes(net, self.tokens)
        wrapped = _peft.wrap(net, family, "PromptTuningConfig", prompt_tuning_init="RANDOM", **settings)
        if not _prompt.on_meta(net):
            with torch.no_grad():
                _prompt.encoder(wrapped).embedding.weight.copy_(self._start(net, family))
        return _prompt.put(wrapped, self.place)

    def _start(self, net: "nn.Module", family: "Family") -> "Tensor":
        import torch

        words = _prompt.vocabulary(net).float()
        count = self.tokens
        if self.init == "text":
            made = _prompt.words_of(net, self.text or "", count).clone()
        elif self.init == "vocab":
            made = words[torch.randint(len(words), (count,))].clone()
        else:
            made = words.mean(dim=0) + words.std(dim=0) * torch.randn(count, words.shape[1])
        if family.reads == "first":
            made[0] = _prompt.first_token(net)
        return made

    def needs_equal_lengths(self, family: "Family") -> bool:
        # transformers then takes the last position of the batch as the last token of each row
        return family.decoder and self.place == "start"

    def extra_tokens(self) -> int:
        return self.tokens

    def placement(self) -> Place:
        return self.place

    def opens_in(self) -> Ecosystem:
        return "plain" if self.place == "start" else "tunesmith"

    def virtual(self, net: "nn.Module") -> "Tensor":
        return _prompt.made(net)

    def rate_scale(self, net: "nn.Module") -> float:
        return _prompt.rate_scale(net)

    def groups(self, net: "nn.Module") -> Mapping[str, float]:
        return _peft.head_factor(net, self.rate * self.rate_scale(net))

    def save(self, net: "nn.Module", folder: Path) -> None:
        _prompt.save(net, folder)

    def load(self, net: "nn.Module", family: "Family", folder: Path) -> "nn.Module":
        return _prompt.load(net, family, folder, self, "PROMPT_TUNING")

    def learnt(self, net: "nn.Module", family: "Family", tokenizer: Any) -> list[Learnt]:
        return _prompt.nearest(net, family, tokenizer)
