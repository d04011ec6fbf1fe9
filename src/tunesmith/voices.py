"""Voices: models that can be talked to, alone or on a base that several share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tunesmith.bases.find import Found
from tunesmith.bases.load import max_positions
from tunesmith.data.ragged import Ragged
from tunesmith.dialogue import Dialogue, Message
from tunesmith.dialogue.laying import ask
from tunesmith.errors import TunesmithError
from tunesmith.model import Model
from tunesmith.plan_text import make_plan
from tunesmith.steps._rewriting import rewriter
from tunesmith.tasks._language import Decoding, LanguageTask


@dataclass(frozen=True)
class Voice:
    """A model that takes part."""

    name: str
    model: Model = field(repr=False)
    adapter: str | None = None
    """Under which name it lies on a base that several share."""
    untuned: bool = False
    """A base as it was, without any tuning."""

    @property
    def task(self) -> LanguageTask:
        """Its task, which writes."""
        task = self.model.plan.task
        assert isinstance(task, LanguageTask)
        return task

    @property
    def room(self) -> int:
        """Tokens of question and answer together."""
        return max_positions(self.model.base) - self.model.plan.method.num_front()

    def tokens(self, dialogue: Dialogue, limit: int) -> tuple[list[int], int]:
        """(what the model reads before it answers, tokens cut out of the question). Every message is rewritten as the
        rows were that it learnt from."""
        template, put = self.model.facts.template, rewriter(self.model.plan.steps)
        assert template is not None, "a model that writes has a template"
        dialogue = replace(dialogue, messages=tuple(replace(m, content=put(m.content)) for m in dialogue.messages))
        laid = ask(dialogue, template, self.model.tokenizer, limit)
        return laid.ids, laid.lost

    def takes(self, *messages: Message) -> bool:
        """Whether its template can write such a conversation."""
        try:
            self.tokens(Dialogue(messages), 10**9)
        except TunesmithError:
            return False
        return True

    def write(self, ids: list[int], decode: Decoding, seed: int, say: Callable[[str], object] | None) -> str:
        """The text that goes on from these tokens."""
        from tunesmith.engine.generation import write

        model = self.model
        if self.adapter is not None:
            model.plan.method.use(model.net.auto, self.adapter)
        end = model.facts.end
        return str(write(model.net, model.tokenizer, Ragged.of([ids]), decode, end, seed, say=say)[0])


def voices(found: Sequence[tuple[str, Path]], load: Callable[[Path], Model]) -> list[Voice]:
    """The runs by name, each from its model folder; `load` opens one that shares no base. Names given twice are
    numbered. Raises TunesmithError for one that does not write."""
    from tunesmith.model import joined

    made: list[Voice] = []
    for name, folder in found:
        named = _free(name, [v.name for v in made])
        for host in made:
            beside = f"voice{len(made) + 1}"
            model = joined(host.model, folder, beside) if host.model.plan.method.shares() else None
            if model is not None:
                made[made.index(host)] = replace(host, adapter=host.adapter or "default")
                made.append(Voice(named, model, beside))
                break
        else:
            model = load(folder)
            if not model.plan.task.writes:
                raise TunesmithError(
                    f"{name} is of task {model.plan.task.name}, which does not write: ask it with `tunesmith predict`"
                )
            if model.plan.task.opens_images:
                raise TunesmithError(f"{name} is asked about images, and a chat has none: use `tunesmith predict`")
            made.append(Voice(named, model))
    return made


def _free(name: str, taken: Sequence[str]) -> str:
    names = [name, *(f"{name}-{number}" for number in range(2, len(taken) + 2))]
    return next(each for each in names if each not in taken)


def untuned_voice(found: Found, template: str, beside: Sequence[Voice]) -> Voice:
    """A base as it was. With runs on the same base it writes as the first of them does, otherwise in that template."""
    from tunesmith.bases.load import load_tokenizer
    from tunesmith.model import bare, untuned

    name = _free(found.folder.name if Path(found.name).is_dir() else found.name, [v.name for v in beside])
    for voice in beside:
        if voice.model.base.digest == found.digest and template == "auto":
            return Voice(name, untuned(voice.model), untuned=True)
    task = {"name": "generate", "template": template}
    plan = make_plan({"task": task, "base": found.name, "data": "nothing is read", "method": "full"})
    return Voice(name, bare(plan, found, load_tokenizer(found)), untuned=True)
