"""Mistakes of the user's, in three parts: what was given, what is allowed, what to type.

Exception
└── ValueError
    └── UserError        shown without a traceback, exit code 2; holds one Problem or more
"""

from collections.abc import Iterable
from dataclasses import dataclass

MAX_LENGTH = 2000  # characters of a part: a value can be a whole file


@dataclass(frozen=True)
class Problem:
    """One mistake. Each part is a phrase without a full stop.

    given:   what was found, with its config path or file: "optimizer.lr=-1"
    allowed: what would be right: "a number above 0"
    fix:     what to type: "optimizer.lr=0.1"
    """

    given: str
    allowed: str
    fix: str

    def __str__(self) -> str:
        given, allowed, fix = (_printable(text) for text in (self.given, self.allowed, self.fix))
        return f"{given}\n    allowed: {allowed}\n    type:    {fix}"


class UserError(ValueError):
    """What the user gave cannot be used. Raised before anything is created or changed."""

    def __init__(self, *problems: Problem) -> None:
        assert problems, "an error says what is wrong"
        self.problems = problems
        super().__init__(str(self))

    @classmethod
    def of(cls, given: str, allowed: str, fix: str) -> "UserError":
        return cls(Problem(given, allowed, fix))

    @classmethod
    def raise_all(cls, problems: Iterable[Problem]) -> None:
        """Raise one error that holds every distinct problem, in order; nothing if there is none."""
        distinct = tuple(dict.fromkeys(problems))
        if distinct:
            raise cls(*distinct)

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return f"error: {self.problems[0]}"
        lines = "\n".join(f"  {number}. {problem}" for number, problem in enumerate(self.problems, 1))
        return f"{len(self.problems)} errors:\n{lines}"


def _printable(text: str) -> str:
    """Without what a terminal would act on: a value can come from somebody else's file."""
    shown = text if len(text) <= MAX_LENGTH else f"{text[: MAX_LENGTH - 200]} ... {text[-200:]}"
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in shown)
