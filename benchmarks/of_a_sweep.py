"""What a sweep adds to its runs: the start of the second one, and whether the hundredth costs what the first did."""

from table import Row


def rows() -> list[Row]:
    # What was measured goes behind the name, by round: seconds, then ratios.
    return [
        Row("start of a sweep's second run", unit="s", at_most=1.0),
        Row("time of a run, last ten of 100 against first ten", at_most=1.1),
        Row("memory of the command, run 100 against run 10", at_most=1.1),
    ]
