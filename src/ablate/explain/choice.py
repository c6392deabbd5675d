"""Which pictures are shown: fixed by a seed, as many of one class as of another."""

import numpy as np
import numpy.typing as npt

from ablate.streams import Stream, generator


def balanced_choice(labels: npt.NDArray[np.int64], count: int, seed: int) -> npt.NDArray[np.int64]:
    """`count` indices into `labels` (N,), or all N if there are fewer, ordered by class.

    Classes differ by at most one picture as long as each has enough of them. A function of its arguments alone.
    """
    rng = generator(seed, Stream.EXPLAIN)
    shuffled = rng.permutation(len(labels))
    class_order = rng.permutation(int(labels.max(initial=-1)) + 1)
    # The first picture of every class, then the second of every class, and so on.
    turn = np.empty(len(labels), dtype=np.int64)
    for k in class_order:
        own = shuffled[labels[shuffled] == k]
        turn[own] = np.arange(len(own))
    rank = np.argsort(class_order)
    chosen = np.lexsort((rank[labels], turn))[:count]
    return chosen[np.argsort(labels[chosen], kind="stable")].astype(np.int64)
