"""Distillation: answer as a teacher does, beside the labels.

    (1 - share) * loss  +  share * T^2 * KL(softmax(teacher / T) || softmax(student / T))        on the teacher's labels

The teacher is another tuned model, larger or earlier. It answers each training row once, before the first step, with
its own tokenizer. Labels that it does not know are left out of the comparison, so that a model that learns new classes
keeps what it said of old ones (Li & Hoiem 2016, Learning without Forgetting). multilabel: each label a coin; numbers:
squared difference in units of the student's scale.

Hinton, Vinyals & Dean 2015, https://arxiv.org/abs/1503.02531.
"""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from tunesmith.penalties import Penalty, Said, Start, Term

if TYPE_CHECKING:
    from torch import Tensor


class Distill(Penalty):
    """Answer as a teacher does, beside the labels."""

    name: Literal["distill"] = "distill"
    teacher: str | None = None
    """Run, model folder or version that is asked; without it the base that training goes on from, if it is tuned."""
    share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of the teacher in the loss; 1 learns from it alone."""
    temperature: Annotated[float, Field(gt=0, le=100)] = 2.0
    """T above 1 shows how the teacher ranks wrong answers."""

    remembers: ClassVar[bool] = True
    reads_outputs: ClassVar[bool] = True
    prefer: ClassVar[str] = "a small model shall learn from a large one, or a new instalment keep the old one's answers"
    source: ClassVar[str] = "Hinton et al. 2015, https://arxiv.org/abs/1503.02531; Li & Hoiem 2016, arXiv 1606.09282"

    def begin(self, at: Start) -> Term:
        return _Distill(self, at)


class _Distill(Term):
    def __init__(self, asked: Distill, at: Start) -> None:
        self.asked, self.kind = asked, at.kind
        self.taught_NC, self.places = at.taught(asked.teacher)

    def of_outputs(self, said: Said) -> "Tensor":
        import torch

        taught_BC = torch.from_numpy(self.taught_NC[said.rows]).to(said.logits_BC)
        far_B = apart(said.logits_BC[:, list(self.places)], taught_BC, self.kind, self.asked.temperature)
        share = self.asked.share
        # the task's loss is counted whole already
        return share * ((far_B * said.weights_B).sum() - said.loss(said.logits_BC))


def apart(student_BC: "Tensor", teacher_BC: "Tensor", kind: str, temperature: float) -> "Tensor":
    """How far the student is from the teacher on each row, (B,)."""
    from torch.nn.functional import binary_cross_entropy_with_logits, log_softmax, logsigmoid

    if kind == "numbers":
        return (student_BC - teacher_BC).square().mean(-1)
    student_BC, teacher_BC = student_BC / temperature, teacher_BC / temperature
    if kind == "classes":
        logs = log_softmax(teacher_BC, -1)
        return temperature**2 * (logs.exp() * (logs - log_softmax(student_BC, -1))).sum(-1)
    yes = teacher_BC.sigmoid()
    own = -(yes * logsigmoid(teacher_BC) + (1 - yes) * logsigmoid(-teacher_BC))
    cross = binary_cross_entropy_with_logits(student_BC, yes, reduction="none")
    return temperature**2 * (cross - own).mean(-1)
