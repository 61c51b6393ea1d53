"""Throughput of single PyTorch operations at chosen sizes, one JSON line each.

  ops.py '[{"op": "matmul", "sizes": [512, 512, 512]}, {"op": "softmax", "sizes": [512, 1024]}]'

matmul takes M, N, K and reports GFLOP/s; the others take the shape of x and report GB/s, counting
each input read once and the result written once. sum and max reduce all of x, sum_rows the last
dimension. Options: --threads, --seconds, --dtype f32|f64.
"""
import argparse
import json
import math

from common import report, seconds_per_call, torch

F = torch.nn.functional
# name -> (function of x, y; how many times x's bytes move)
MOVED = {
    "softmax": (lambda x, y: torch.softmax(x, -1), 2),
    "layer_norm": (lambda x, y: F.layer_norm(x, x.shape[-1:]), 2),
    "add": (lambda x, y: x + y, 3),
    "mul": (lambda x, y: x * y, 3),
    "exp": (lambda x, y: torch.exp(x), 2),
    "tanh": (lambda x, y: torch.tanh(x), 2),
    "sigmoid": (lambda x, y: torch.sigmoid(x), 2),
    "gelu": (lambda x, y: F.gelu(x), 2),
    "relu": (lambda x, y: torch.relu(x), 2),
    "sum": (lambda x, y: x.sum(), 1),
    "max": (lambda x, y: x.max(), 1),
    "sum_rows": (lambda x, y: x.sum(-1), 1),
    "transpose_copy": (lambda x, y: x.transpose(-1, -2).contiguous(), 2),
}


def measure(case, dtype, seconds):
    op, sizes = case["op"], case["sizes"]
    if op == "matmul":
        m, n, k = sizes
        x, y = torch.randn(m, k, dtype=dtype), torch.randn(k, n, dtype=dtype)
        t = seconds_per_call(lambda: x @ y, seconds)
        return t, {"gflops": 2e-9 * m * n * k / t}
    call, times = MOVED[op]
    x, y = torch.randn(sizes, dtype=dtype), torch.randn(sizes, dtype=dtype)
    t = seconds_per_call(lambda: call(x, y), seconds)
    return t, {"gbytes": 1e-9 * times * math.prod(sizes) * x.element_size() / t}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("cases", help="JSON list of {op, sizes}")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--seconds", type=float, default=1.0, help="for each case")
    p.add_argument("--dtype", choices=("f32", "f64"), default="f32")
    a = p.parse_args()
    cases = json.loads(a.cases)
    unknown = [c["op"] for c in cases if c["op"] != "matmul" and c["op"] not in MOVED]
    if unknown:
        p.error("no op %s; ops are matmul, %s" % (", ".join(unknown), ", ".join(sorted(MOVED))))
    torch.set_num_threads(a.threads)
    with torch.no_grad():
        for case in cases:
            t, rate = measure(case, torch.float32 if a.dtype == "f32" else torch.float64, a.seconds)
            report(case["op"], 1 / t, sizes=case["sizes"], dtype=a.dtype, **rate)


if __name__ == "__main__":
    main()
