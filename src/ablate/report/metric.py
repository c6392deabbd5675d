"""The metric a report compares: its unit, which way is good, and how its numbers are written."""

import math
from dataclasses import dataclass

_FRACTIONS = ("accuracy", "precision", "recall", "f1", "error_rate", "ece")
_LOWER_IS_BETTER = ("loss", "error", "ece", "nll", "seconds")


@dataclass(frozen=True)
class Metric:
    """`name` is the record's, such as "test/accuracy". Records hold fractions in [0, 1]; a report speaks of points."""

    name: str

    @property
    def words(self) -> str:
        return self.name.replace("/", " ").replace("_", " ")

    @property
    def is_fraction(self) -> bool:
        return any(word in self._last for word in _FRACTIONS)

    @property
    def higher_is_better(self) -> bool:
        return not any(word in self._last for word in _LOWER_IS_BETTER)

    @property
    def scale(self) -> float:
        """What a record's number is multiplied with."""
        return 100.0 if self.is_fraction else 1.0

    @property
    def unit(self) -> str:
        """Follows a difference: "+0.08 points"."""
        return "points" if self.is_fraction else ""

    @property
    def axis(self) -> str:
        """Follows a level on an axis or in a table's head."""
        return f"{self.words} (%)" if self.is_fraction else self.words

    @property
    def _last(self) -> str:
        return self.name.rsplit("/", 1)[-1].lower()


def decimals(error: float | None) -> int:
    """How many decimals show two digits of an error, the half width of an interval; at least 2, at most 6."""
    if error is None or not math.isfinite(error) or error <= 0:
        return 2
    return min(6, max(2, 1 - math.floor(math.log10(error))))


def number(value: float | None, places: int = 2, *, sign: bool = False) -> str:
    """A number for people: "+0.08", "91.34", "-" for none."""
    if value is None or not math.isfinite(value):
        return "-"
    text = f"{value:{'+' if sign else ''}.{places}f}"
    return text.replace("-", "+" if sign else "", 1) if float(text) == 0 else text


def p_value(p: float | None) -> str:
    """ "0.034"; "< 0.001" for the very small."""
    if p is None or not math.isfinite(p):
        return "-"
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def p_phrase(p: float | None) -> str:
    """ "p = 0.034"; "p < 0.001"; "-" for none."""
    text = p_value(p)
    return text if text == "-" else f"p {text}" if text.startswith("<") else f"p = {text}"
