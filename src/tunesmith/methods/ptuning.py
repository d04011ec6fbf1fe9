"""P-tuning: virtual tokens in front of every row, made by a small network that trains with them.

    v = MLP(e)  or  MLP(LSTM(e))        e: (P, E) learnt        the network is dropped after training, v stays

All v start near the embedding of the tokenizer's first special token: that is the bias of the last layer, whose
weights are scaled so that the tokens differ from it by a tenth of what words differ (see `_prompt.py`).

Liu et al. 2021 (GPT Understands, Too), https://arxiv.org/abs/2103.10385.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import PositiveInt

from tunesmith.dialogue.virtual import Place
from tunesmith.methods import Ecosystem, Learnt, Method, _peft, _prompt

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tunesmith.bases.family import Family


class PTuning(Method):
    """Virtual tokens in front of the input, through an encoder while training."""

    name: Literal["ptuning"] = "ptuning"
    tokens: PositiveInt = 20
    """How many virtual tokens; they count towards the base's longest input."""
    place: Place = "start"
    """Where they stand. start: before everything, as PEFT has it. In conversations also after_bos (behind the beginning
    token), after_system (behind the system text, before the history), before_last_user, or before_answer (right before
    what the assistant writes); these are opened by Tunesmith alone, since PEFT would put them in front."""
    encoder: Literal["mlp", "lstm"] = "mlp"
    """Network that makes the tokens: three dense layers, or a bidirectional LSTM and two."""
    hidden: PositiveInt = 128
    """Its width."""

    rate: ClassVar[float] = 5e-3
    space: ClassVar[Mapping[str, Any]] = {"tokens": {"log_integer": [5, 50]}}
    """As of prompt tuning: few tokens say too little, many are slow to learn."""
    stays: ClassVar[str] = "its virtual tokens stand before every row and are no weights of the base"
    prefer: ClassVar[str] = "prompt tuning is unstable on your base: the encoder ties the tokens together"
    source: ClassVar[str] = "Liu et al. 2021, https://arxiv.org/abs/2103.10385"

    def objection(self, plan: Any) -> str | None:
        return _prompt.place_objection(self, plan)

    def base_objection(self, family: "Family") -> str | None:
        return _prompt.unseen("ptuning", family) or _prompt.place_refusal(self, family)

    def keeps_base(self) -> bool:
        return True

    def apply(self, net: "nn.Module", family: "Family") -> "nn.Module":
        wrapped = _peft.wrap(
            net,
            family,
            "PromptEncoderConfig",
            encoder_reparameterization_type=self.encoder.upper(),
            encoder_hidden_size=self.hidden,
            encoder_dropout=0.0,
            **_prompt.sizes(net, self.tokens),
        )
        if not _prompt.on_meta(net):
            self._start(wrapped)
        return _prompt.put(wrapped, self.place)

    def _start(self, net: "nn.Module") -> None:
        import torch

        last = _prompt.encoder(net).mlp_head[-1]
        with torch.no_grad():
            spread = _prompt.virtual(net).std(dim=0).mean()
            last.weight.mul_(0.1 * _prompt.vocabulary(net).float().std(dim=0).mean() / spread.clamp_min(1e-8))
            last.bias.zero_()
            last.bias.copy_(_prompt.first_token(net) - _prompt.virtual(net).mean(dim=0))

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
        return min(4.0, _prompt.rate_scale(net))  # beyond, the network that makes the tokens becomes unsteady

    def groups(self, net: "nn.Module") -> Mapping[str, float]:
        return _peft.head_factor(net, self.rate * self.rate_scale(net))

    def save(self, net: "nn.Module", folder: Path) -> None:
        _prompt.save(net, folder)

    def load(self, net: "nn.Module", family: "Family", folder: Path) -> "nn.Module":
        return _prompt.load(net, family, folder, self, "P_TUNING")

    def learnt(self, net: "nn.Module", family: "Family", tokenizer: Any) -> list[Learnt]:
        return _prompt.nearest(net, family, tokenizer)
