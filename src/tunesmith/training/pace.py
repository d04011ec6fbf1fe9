"""How long training takes: from the first steps to all of them.

The first steps of a run are the probe: nothing is computed that would not be computed anyway, and no bit can differ.
The very first pays for what happens once and is left out. Steps are compared by the places that they compute (tokens,
or images), since those of a run differ in length and not in kind.

    seconds = before + once + places of all steps x (seconds / places) of the probe + evaluations
"""

from dataclasses import dataclass, field

LEAST = 3
"""Steps of a probe at least."""
ENOUGH = 2.0
"""Seconds after which a probe of that many steps says enough; else it goes on to MOST."""
MOST = 12


@dataclass
class Pace:
    """Seconds of a run as they are measured and forecast, on one clock: the wall's, or the process's."""

    places: float
    """Of all steps that are to be taken."""
    evaluations: float
    """How many there will be."""
    evaluated: float
    """Places of one, each counted as the share of a step's place that it costs."""
    before: float = 0.0
    """Seconds of this training that went by before its first step here."""
    once: float = 0.0
    took: list[tuple[float, float]] = field(default_factory=list)
    """(seconds, places) of each step of the probe."""
    forecast: float | None = None
    """Seconds of all training, as soon as there is a probe."""

    def step(self, seconds: float, places: float) -> bool:
        """A step was taken; returns whether that made the forecast."""
        if self.forecast is not None:
            return False
        if not self.once:
            self.once = max(seconds, 1e-9)
            self._first = places
            return False
        self.took.append((seconds, places))
        if len(self.took) < MOST and (len(self.took) < LEAST or sum(s for s, _ in self.took) < ENOUGH):
            return False
        self.forecast = self.of(self.rate())
        return True

    def rate(self) -> float:
        """Seconds a place."""
        return sum(s for s, _ in self.took) / max(1.0, sum(p for _, p in self.took))

    def of(self, rate: float) -> float:
        """Seconds of all training at so many a place."""
        extra = max(0.0, self.once - self._first * rate) if self.once else 0.0
        return self.before + extra + rate * (self.places + self.evaluations * self.evaluated)


def spoken(seconds: float) -> str:
    """Seconds as people say them."""
    whole = round(seconds)
    if whole < 60:
        return f"{max(1, whole)} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
