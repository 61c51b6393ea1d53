"""What the PyTorch measurements share: timing by medians, one JSON line a result.

OpenBLAS settings that change its speed are removed from the environment before torch loads; every
line says so. Run with a Python that has torch 1.13 or later.
"""
import json
import os
import statistics
import sys
import time

for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    if os.environ.pop(name, None) is not None:
        os.execv(sys.executable, [sys.executable] + sys.argv)

import torch  # noqa: E402  (after the environment is clean)


def seconds_per_call(call, budget=2.0, rounds=9):
    """Median over rounds of the mean time of a call; budget in seconds for all rounds."""
    call()
    start = time.perf_counter()
    call()
    once = max(time.perf_counter() - start, 1e-7)
    count = max(1, int(budget / rounds / once))
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(count):
            call()
        times.append((time.perf_counter() - start) / count)
    return statistics.median(times)


def report(name, per_second, **more):
    line = {"name": name, "threads": torch.get_num_threads(), "per_second": per_second}
    line.update(more, torch=torch.__version__, openblas_settings="unset")
    print(json.dumps(line), flush=True)
