"""What is searched of a plan without ranges: the learning rate around its method's default, and what the method says.

Each method declares its own (`Method.space`), with the reason. Of nothing else do plans profit so surely as of the
learning rate (Smith 2018, https://arxiv.org/abs/1803.09820), which is why it is always there.
"""

from typing import Any

from tunesmith.bases.find import Found
from tunesmith.model import family_for
from tunesmith.plan import Plan

AROUND = 5.0
"""Between a fifth and five times the default rate."""


def usual(plan: Plan, found: Found) -> dict[str, Any]:
    """{plan path: range} for that plan on that base."""
    width = family_for(plan, found).width(found.config)
    centre = plan.method.auto_rate() * min(4.0, (768 / width) ** type(plan.method).width_power)
    low, high = (float(f"{centre * by:.2g}") for by in (1 / AROUND, AROUND))
    own = {f"method.{field}": dict(given) for field, given in plan.method.searched().items()}
    return {"train.lr": {"log": [low, high]}, **own}
