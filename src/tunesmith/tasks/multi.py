"""Several tasks on one backbone: each has its own columns or file, its own outputs, losses and metrics.

                       +-> outputs of task 1 -> its loss, answers, metrics          row of task 1: only its own outputs
    text -> backbone --+-> outputs of task 2 -> ...                                 are learnt from and judged
                       +-> outputs of task P                                        (one head; its rows are the tasks')

    loss of a step = sum_i w_i * weights[p(i)] * loss_p(i)(outputs of p(i)) / sum_i w_i            row i, its task p(i)

A row of a file that several tasks read is a row of each of them. How the losses are balanced while training goes on,
and what is done about gradients that point against each other, are penalties: `uncertainty`, `gradnorm`, `pcgrad`.

Caruana 1997, Multitask Learning, Machine Learning 28. Shape letters: N rows, B rows of a batch, C outputs of all tasks,
K = 3 + columns of a target (`_parts.LEAD`).
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from tunesmith.data import Record, Roles
from tunesmith.data.drawing import apportioned, tempered
from tunesmith.data.words import Words
from tunesmith.errors import TunesmithError
from tunesmith.tasks import Array, Encoded, Facts, Share, Tick, no_tick
from tunesmith.tasks import _several as several
from tunesmith.tasks._blend import Blend
from tunesmith.tasks._multi_asked import AskedMulti
from tunesmith.tasks._parts import LEAD, in_units
from tunesmith.tasks._several import TASK

if TYPE_CHECKING:
    from torch import Tensor


class Multi(AskedMulti):
    """Several tasks on one backbone, each with its own outputs."""

    name: Literal["multi"] = "multi"

    kind: ClassVar[Literal["several"]] = "several"
    problem_type: ClassVar[str | None] = None
    prefer: ClassVar[str] = "several questions are asked of the same kind of text, and one model shall answer all"
    source: ClassVar[str] = "Caruana 1997, https://doi.org/10.1023/A:1007379606734"

    # facts and outputs

    def study(self, records: Sequence[Record], roles: Roles) -> Facts:
        parts = {}
        for each in self.strands(records, roles):
            with several.told(each.name, self.tasks[each.name].task):
                parts[each.name] = each.task.study(each.records, each.roles)
        return several.whole(parts)

    def grown(self, facts: Facts, earlier: Facts) -> Facts:
        if list(earlier.parts) != list(facts.parts):
            raise TunesmithError(
                f"task.tasks: the base answers {', '.join(earlier.parts)}; an instalment asks the same tasks in the "
                f"same order, and this plan asks {', '.join(facts.parts)}. Name them alike, or start from another base"
            )
        inner = {name: several.own(one.task) for name, one in self.tasks.items()}
        return several.whole({n: inner[n].grown(own, earlier.parts[n]) for n, own in facts.parts.items()})

    def parts(self, facts: Facts) -> list[Share]:
        return several.parts({name: one.task for name, one in self.tasks.items()}, facts)

    def outputs(self, facts: Facts) -> int:
        return int(self.parts(facts)[-1].outputs.stop)

    def encode(
        self, records: Sequence[Record], roles: Roles, tokenizer: Any, facts: Facts, tick: Tick = no_tick
    ) -> Encoded:
        parts = self.parts(facts)
        if records and TASK not in records[0].cells:
            return several.to_ask({n: one.task for n, one in self.tasks.items()}, parts, records, tokenizer, tick)
        made = []
        for part, each in zip(parts, self.strands(records, roles), strict=True):
            own = part.task.encode(each.records, each.roles, tokenizer, part.facts, tick)
            made.append((part, each.rows, own))
        encoded = several.joined(made, len(records), labelled=roles.label is not None)
        encoded.blend = None if roles.label is None else self._blend(encoded)
        return encoded

    def _blend(self, encoded: Encoded) -> Blend | None:
        """How often an epoch, which keeps its length, shows rows of each task; None: each row once."""
        assert encoded.part is not None
        sizes = np.bincount(encoded.part, minlength=len(self.tasks))
        if self.sampling == "size":
            return None
        wanted = [self.shares[n] for n in self.tasks] if self.shares else tempered(sizes.tolist(), self.temperature)
        counts = apportioned(len(encoded), [w * bool(n) for w, n in zip(wanted, sizes, strict=True)])
        return Blend(tuple(np.flatnonzero(encoded.part == number) for number in range(len(counts))), counts, even=False)

    def settled(self, outputs_NC: Array, encoded: Encoded, read: Callable[[Encoded], Array]) -> Array:
        for columns, rows in encoded.views:
            outputs_NC[:, columns] = read(rows)[:, columns]
        return outputs_NC

    # losses and answers

    def losses(self, logits_BC: "Tensor", targets_B: "Tensor") -> "Tensor":
        losses_B = logits_BC.new_zeros(len(logits_BC))
        for number, (name, one) in enumerate(self.tasks.items()):
            rows = (targets_B[:, 0] == number).nonzero().squeeze(1)
            if not len(rows):
                continue
            first, count = (int(n) for n in targets_B[rows[0], 1:LEAD])
            own = in_units(targets_B[rows, LEAD:], one.task.kind, count)
            found = one.task.losses(logits_BC[rows, first : first + count], own) * self.weights.get(name, 1.0)
            losses_B = losses_B.index_put((rows,), found.to(losses_B.dtype))
        return losses_B

    def mean_loss(self, outputs_NC: Array, encoded: Encoded) -> float:
        """Mean over tasks of the mean loss of each, by its weight; of labels that are known."""
        assert encoded.targets is not None
        found = []
        for number, (name, one) in enumerate(self.tasks.items()):
            rows = np.flatnonzero(encoded.targets[:, 0] == number)
            if not len(rows):
                continue
            first, count = (int(n) for n in encoded.targets[rows[0], 1:LEAD])
            share = Share(name, number, one.task, Facts(), slice(first, first + count))
            own = one.task.mean_loss(np.ascontiguousarray(outputs_NC[rows, share.outputs]),
                                     share.stub(encoded.targets[rows]))  # fmt: skip
            found.append(own * self.weights.get(name, 1.0))
        return float(np.mean(found)) if found else float("nan")

    def answer(self, outputs_NC: Array, facts: Facts) -> tuple[Array, Array | None]:
        """What was said, as it is: what it means, `columns` and `parts` tell task by task."""
        return outputs_NC, outputs_NC

    def truth(self, encoded: Encoded, facts: Facts) -> Array:
        assert encoded.targets is not None
        return encoded.targets

    def tuned(self, scores_NC: Array, truth: Array, facts: Facts, choose: Any) -> Facts:
        parts = {}
        for part in self.parts(facts):
            rows = np.flatnonzero(truth[:, 0] == part.number)
            _, scores = part.task.answer(scores_NC[rows, part.outputs], part.facts)
            own = part.task.truth(part.stub(truth[rows]), part.facts)
            known = scores is not None and len(rows)
            parts[part.name] = part.task.tuned(scores, own, part.facts, choose) if known else part.facts  # type: ignore[arg-type]
        return facts.model_copy(update={"parts": parts})

    def columns(
        self, predicted: Array, scores: Array | None, facts: Facts, words: Words | None = None
    ) -> dict[str, list[Any]]:
        """`prediction`, an object with the answer of each task, and what each task tells, as TASK.COLUMN."""
        out: dict[str, list[Any]] = {"prediction": [{} for _ in predicted]}
        for part in self.parts(facts):
            own = part.task.columns(*part.task.answer(predicted[:, part.outputs], part.facts), part.facts)
            for row, said in zip(out["prediction"], own["prediction"], strict=True):
                row[part.name] = said
            out |= {f"{part.name}.{column}": values for column, values in own.items()}
        return out

    def lay_beside(self, net: Any, folder: Path, facts: Facts) -> None:
        """A plain model of each task beside the whole one; the trunk, which they share, is stored once."""
        from tunesmith.tasks._folders import lay

        if self.pool == "base":  # others' classes read no means
            lay(net, folder, self.parts(facts))
