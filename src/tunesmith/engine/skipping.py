"""A network of images or sounds run from the middle: what its lowest blocks made of a row is put in their place.

    input -> [ embeddings -> blocks 0 .. cut-1 ] -> blocks cut .. -> head        [ ]: run once a row, kept, skipped

The library's own forward pass is what runs, so that nothing of an architecture is written again: modules below the cut
answer with what they answered once, the last of them with the states that are given. With every block below the cut the
trunk itself is skipped, and what the head reads is kept: a few hundred numbers a row.

Shape letters: B rows, K numbers of a row.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from tunesmith.bases.family import SoundFamily, VisionFamily, plain
from tunesmith.engine.batches import collate
from tunesmith.tasks import Encoded

if TYPE_CHECKING:
    from tunesmith.engine.network import Network


class _Enough(Exception):
    """What was asked for is known."""


@dataclass
class _Seen:
    """What the modules below a cut answered to one row."""

    answers: dict[nn.Module, Any] = field(default_factory=dict)
    shape: tuple[int, ...] = ()
    """Of the states of a row."""


def _alike(encoded: Encoded, rows: Sequence[int]) -> Iterable[list[int]]:
    """The rows in groups of one length: a mean over time then is one over steps that are there."""
    if encoded.waves is None:
        return [list(rows)]
    groups: dict[int, list[int]] = {}
    for row, length in zip(rows, encoded.waves.lengths[list(rows)].tolist(), strict=True):
        groups.setdefault(length, []).append(row)
    return groups.values()


class Skipping:
    """Runs one network below and above a cut."""

    def __init__(self, net: "Network", family: SoundFamily | VisionFamily) -> None:
        self.net, self.family = net, family
        self._seen: dict[int, _Seen] = {}

    def by_row(self, cut: int) -> bool:
        """Always: images have one size, and of sounds one state is kept."""
        return True

    def width(self, encoded: Encoded, cut: int) -> int:
        """Numbers kept of a row."""
        return int(torch.Size(self._once(encoded, cut).shape).numel())

    def lower(self, encoded: Encoded, rows: Sequence[int], cut: int) -> tuple[list[int], torch.Tensor]:
        """These rows, and their states above `cut` blocks, (B, K)."""
        last, found, order = self._below(cut)[-1], list[torch.Tensor](), list[int]()

        def take(module: nn.Module, arguments: Any, answer: Any) -> None:
            found.append(self._state(answer, cut))
            raise _Enough

        handle = last.register_forward_hook(take)
        try:
            for own in _alike(encoded, rows):
                order += own
                with suppress(_Enough):
                    self.net(collate(encoded, own, 0))
        finally:
            handle.remove()
        places = torch.tensor([order.index(row) for row in rows])
        return list(rows), torch.cat(found).flatten(1)[places.to(found[0].device)]

    @contextmanager
    def above(self, encoded: Encoded, states_BK: torch.Tensor, cut: int) -> Iterator[None]:
        """Within the block, the network goes on from these states, whatever pixels it is given."""
        seen, modules = self._once(encoded, cut), self._below(cut)
        states = states_BK.view(len(states_BK), *seen.shape)
        answers = {m: seen.answers[m] for m in modules}
        answers[modules[-1]] = self._instead(answers[modules[-1]], states, cut)
        for module, answer in answers.items():
            module.forward = lambda *_, said=answer, **__: said
        try:
            yield
        finally:
            for module in answers:
                del module.forward

    def _below(self, cut: int) -> list[nn.Module]:
        """What is skipped, first to last."""
        base, blocks = plain(self.net.auto), self.family.block_list(self.net.auto)
        if cut == len(blocks):
            return [base.get_submodule(self.family.trunk)]
        return [base.get_submodule(path) for path in self.family.embeddings] + blocks[:cut]

    def _once(self, encoded: Encoded, cut: int) -> _Seen:
        """What one row makes of everything below the cut; asked once."""
        if cut not in self._seen:
            seen = _Seen()
            hooks = [m.register_forward_hook(lambda m, _, answer: seen.answers.__setitem__(m, answer))
                     for m in self._below(cut)]  # fmt: skip
            training = self.net.training
            self.net.eval()
            with torch.no_grad():
                self.net(collate(encoded, [0], 0))
            self.net.train(training)
            for hook in hooks:
                hook.remove()
            seen.shape = tuple(self._state(seen.answers[self._below(cut)[-1]], cut).shape[1:])
            self._seen[cut] = seen
        return self._seen[cut]

    def _whole(self, cut: int) -> bool:
        return cut == len(self.family.block_list(self.net.auto))

    def _state(self, answer: Any, cut: int) -> torch.Tensor:
        """The states in what the last skipped module answered: its first tensor, or what the head reads."""
        if self._whole(cut):
            if self.family.state == "pooled":
                return cast("torch.Tensor", answer.pooler_output)
            states_BTH: torch.Tensor = answer.last_hidden_state
            return states_BTH[:, :1] if self.family.state == "first" else states_BTH.mean(1, keepdim=True)
        return answer if isinstance(answer, torch.Tensor) else answer[0]

    def _instead(self, answer: Any, states: torch.Tensor, cut: int) -> Any:
        """The same answer with other states in it."""
        if self._whole(cut):
            name = "pooler_output" if self.family.state == "pooled" else "last_hidden_state"
            return type(answer)(**{**answer, name: states})
        return states if isinstance(answer, torch.Tensor) else (states, *answer[1:])
