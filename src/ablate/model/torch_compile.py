"""torch.compile, so that what it makes depends on nothing that the process did before."""

from collections.abc import Callable

import torch
from torch import Tensor

Pass = Callable[[Tensor], Tensor]


def compiled(forward: Pass) -> Pass:
    """`forward`, compiled once for each size of batch, on as many threads as torch has here.

    A function that would be compiled anew again and again (a Python number that it reads changes from step to step)
    raises `torch._dynamo.exc.FailOnRecompileLimitHit`, at the ninth time. Left alone, torch would go on uncompiled, in
    other steps after a resume than without: the run would not be the same.
    """
    import torch._dynamo.config as dynamo  # here: it takes a while
    import torch._inductor.config as inductor

    torch.compiler.reset()  # what was compiled before counts towards that limit
    dynamo.fail_on_recompile_limit_hit = True
    inductor.compile_threads = torch.get_num_threads()  # a run of a sweep has its share of the cores
    inductor.cpp.threads = torch.get_num_threads()  # said, for older torch's cache does not tell kernels apart by it
    made: Pass = torch.compile(forward, dynamic=False)
    return made
