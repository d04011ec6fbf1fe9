"""The card of a merged model: what it was made of, how, and what was proven."""

from typing import Any

import yaml

from tunesmith.evaluation.card import plain

_HOW = {
    "fold": "The adapter was folded into the weights of its base, in float32.",
    "linear": "Task vectors of the parts were added, each by its weight (Ilharco et al. 2023).",
    "ties": "Task vectors were trimmed, signs elected, and what agrees averaged (TIES, Yadav et al. 2023).",
    "dare_linear": "Task vectors were thinned at random and rescaled, then added (DARE, Yu et al. 2024).",
    "average": "The adapters' weights were averaged, each by its share (AdapterSoup, Chronopoulou et al. 2023).",
    "dare_ties": "Task vectors were thinned at random and rescaled (DARE), then signs elected and averaged (TIES).",
}


def card_text(name: str, base: str, task: str, reply: dict[str, Any]) -> str:
    """Markdown with the front matter that model hubs read."""
    front = {"tags": ["tunesmith", task, "merge"], "base_model": base}
    proof = reply["proof"]
    parts = [f"- {plain(p['name'])}: {plain(p['method'])}, weight {p['weight']:g}, sha256 `{p['sha256']}`"
             for p in reply["parts"]]  # fmt: skip
    settings = [f"- {key}: {reply[key]:g}" for key in ("density", "seed") if reply[key] is not None]
    held = f"The largest difference on {proof['rows']} golden rows is {proof['max_error']:.2g} of max(1, |output|)"
    if proof["plain_max_error"] is not None:
        held += f", and {proof['plain_max_error']:.2g} opened with transformers alone"
    flips = (
        f"{proof['label_flips']} labels and {proof['written_changed']} of {proof['written']} written answers changed."
    )
    return (
        f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---\n\n# {plain(name)}\n\n"
        f"{_HOW[reply['how']]}\n\n## Parts\n\n" + "\n".join([*parts, *settings, f"- stored as: {reply['dtype']}"])
        + f"\n\n## Proof\n\nA fresh process opened this folder. {held}. {flips}\n"
    )  # fmt: skip
