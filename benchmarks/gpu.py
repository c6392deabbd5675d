"""All comparisons on a GPU in one table, in less than 8 minutes.

    python benchmarks/gpu.py --data FOLDER [--site FOLDER] [--out gpu.json]

`--data` holds CIFAR-10 as `train/<class>/*` and `test/<class>/*`. `--site`, for a machine without a package index: a
folder with the packages that it lacks (`pip install --no-index --no-deps --target SITE WHEELS/*.whl`). `--tiny` is for
tests: everything on next to nothing, on a CPU as well; its numbers mean nothing. A part that fails says so and leaves
its rows empty; the others go on. `gpu_parts.py` has the parts.
"""

import argparse
import os
import sys
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).parents[1]


def measure(data: Path | None, out: Path | None, *, tiny: bool) -> int:
    """Print the table; the number of parts that failed."""
    from conditions import conditions
    from gpu_parts import parts
    from table import markdown, write

    head = conditions("python benchmarks/gpu.py" + " --tiny" * tiny)
    print(head, flush=True)
    start, failed, rows = time.perf_counter(), 0, []
    for part in parts(data, tiny=tiny):
        before = time.perf_counter()
        try:
            rows += part.measure()
        except Exception:
            traceback.print_exc()
            failed += 1
            rows += part.empty
        print(f"{part.name}: {time.perf_counter() - before:.0f} s", flush=True)
        if out:
            write(rows, out, head)  # after every part: what is measured is kept
    print(f"\n{markdown(rows)}\n\n{(time.perf_counter() - start) / 60:.1f} minutes")
    return failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--site", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--tiny", action="store_true")
    given = parser.parse_args()
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    wanted = [str(folder.resolve()) for folder in (given.site, ROOT / "src") if folder]
    if given.site and os.environ.get("PYTHONPATH", "").split(os.pathsep)[: len(wanted)] != wanted:
        # Once more from the start: this process, and those that it starts, look there first.
        os.environ["PYTHONPATH"] = os.pathsep.join([*wanted, os.environ.get("PYTHONPATH", "")])
        os.execv(sys.executable, [sys.executable, *sys.argv])
    sys.exit(1 if measure(given.data, given.out, tiny=given.tiny) else 0)


if __name__ == "__main__":
    main()
