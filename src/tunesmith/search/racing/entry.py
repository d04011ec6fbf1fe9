"""An arm in the race: how far it came, how good it was there, what going on would cost, and why it stopped."""

from dataclasses import dataclass, field
from typing import Literal

from tunesmith.metrics import Metric
from tunesmith.search.attempt import Standing
from tunesmith.search.racing.arms import Arm

Fate = Literal["racing", "finalist", "finished", "stopped", "failed", "not tried"]


@dataclass
class Entry:
    """What is known of an arm."""

    arm: Arm
    looks: list[Standing] = field(default_factory=list)
    """After each piece of its first seed."""
    seeds: dict[int, Standing] = field(default_factory=dict)
    """Finished, by seed."""
    fate: Fate = "racing"
    reason: str = ""

    @property
    def last(self) -> Standing:
        """Where it stands."""
        return self.looks[-1]

    @property
    def done(self) -> bool:
        """Whether its first seed is finished."""
        return bool(self.looks) and self.last.finished and self.last.failed is None

    @property
    def size(self) -> tuple[float, float, float]:
        """What "smaller" means: share of parameters that learn, then memory, then time of an answer."""
        last = self.last
        return last.learning / max(1, last.parameters), last.memory_mb or 0.0, last.answer_ms or 0.0

    def took(self, standing: Standing) -> None:
        """Another piece is done."""
        self.looks.append(standing)
        if standing.failed is not None:
            self.fate, self.reason = "failed", standing.failed

    def stop(self, reason: str, fate: Fate = "stopped") -> None:
        """It does not go on."""
        self.fate, self.reason = fate, reason

    def cost(self, until: float) -> float:
        """Seconds to that share: what every piece takes (loading, caches), and its steps at the rate so far."""
        if self.last.finished or self.last.share >= until:
            return 0.0
        every = (self.last.seconds - self.last.training) / len(self.looks)
        return every + self.last.training / max(self.last.share, 1e-9) * (until - self.last.share)

    def projected(self, error: float, sign: int) -> float | None:
        """The best that it may end with: it climbs on as fast as it can have between its last two looks, which is what
        was seen and 1.645 standard errors of that (`error` is of one value; better is where `sign` points). None where
        it has not been looked at twice. Without the errors, slow beginners would be given up: on 50 rows a value moves
        by ten points for no reason."""
        if len(self.looks) < 2 or self.last.value is None or self.looks[-2].value is None:
            return None
        before = self.looks[-2]
        assert before.value is not None
        if self.last.share <= before.share:
            return None
        gain = self.last.value - before.value + sign * 1.645 * 2**0.5 * error
        return self.last.value + gain / (self.last.share - before.share) * (1 - self.last.share)


@dataclass(frozen=True)
class Scale:
    """The metric that the race is run for."""

    metric: Metric
    margin: float = 0.0
    """A loss that does not matter."""

    @property
    def sign(self) -> int:
        """1 where more is better, else -1."""
        return 1 if self.metric.better == "higher" else -1

    def key(self, value: float | None) -> float:
        """Larger is better; what has no value is worst."""
        return float("-inf") if value is None else self.sign * value

    def distance(self, value: float, to: float) -> str:
        """How far one value is from another, in words: "6.1 points", "0.031"."""
        away = abs(value - to)
        if not self.metric.points:
            return f"{away:.3g}"
        points = away * self.metric.points
        return f"{points:.1f} point{'' if f'{points:.1f}' == '1.0' else 's'}"

    def behind(self, value: float | None, best: "Entry") -> str:
        """Such as "6.1 points behind lora"."""
        if value is None or best.last.value is None:
            return f"without a value, behind {best.arm.name}"
        return f"{self.distance(value, best.last.value)} behind {best.arm.name}"


def percent(share: float) -> str:
    """Of the steps: "1/9", "1/3", "40 %"."""
    known = {9: "1/9", 3: "1/3"}
    return next((text for n, text in known.items() if abs(share - 1 / n) < 0.03 / n), f"{share:.0%}".replace("%", " %"))
