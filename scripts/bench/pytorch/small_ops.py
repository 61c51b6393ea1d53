"""What the smallest operations cost in PyTorch: calls a second, one JSON line each."""
import argparse

from common import report, seconds_per_call, torch


def cases():
    a, b, m = torch.randn(64), torch.randn(64), torch.randn(64, 64)
    ag, bg, mg = (t.clone().requires_grad_() for t in (a, b, m))
    linear, row = torch.nn.Linear(64, 64), torch.randn(1, 64)
    cell, state = torch.nn.LSTMCell(64, 64), (torch.zeros(1, 64), torch.zeros(1, 64))

    def forward_backward():
        (torch.mv(mg, ag) + bg).tanh().sum().backward()
        mg.grad = ag.grad = bg.grad = None

    yield "add_64", False, lambda: a + b
    yield "add_64_recorded", True, lambda: ag + bg
    yield "tanh_64_recorded", True, lambda: torch.tanh(ag)
    yield "mv_64x64", False, lambda: torch.mv(m, a)
    yield "mv_64x64_recorded", True, lambda: torch.mv(mg, ag)
    yield "linear_64_recorded", True, lambda: linear(row)
    yield "lstm_cell_64", False, lambda: cell(row, state)
    yield "lstm_cell_64_recorded", True, lambda: cell(row, state)
    yield "tanh_mv_forward_backward", True, forward_backward


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--seconds", type=float, default=1.0, help="for each operation")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    for name, grad, call in cases():
        with torch.set_grad_enabled(grad):
            seconds = seconds_per_call(call, a.seconds)
        report(name, 1 / seconds, microseconds=seconds * 1e6)


if __name__ == "__main__":
    main()
