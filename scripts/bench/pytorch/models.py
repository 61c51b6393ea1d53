"""Time and peak memory of one network in PyTorch: one JSON line.

A call is an inference of a batch, or a training step (forward, cross entropy, backward, SGD with
momentum). --tuned: inference through jit.trace, freeze and optimize_for_inference; the caller also
sets GLIBC_TUNABLES. --channels-last: the layout of input and weights."""
import argparse
import resource

from common import report, seconds_per_call, torch
from networks import NETWORKS, Orbit


def inference(net, x, tuned):
    net.eval()
    if tuned:
        net = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(net, x)))
    return lambda: net(x)


def training(net, x, classes):
    net.train()
    y = torch.arange(x.shape[0]) % classes
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9)

    def step():
        optimizer.zero_grad(set_to_none=True)
        torch.nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    return step


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--network", choices=sorted(NETWORKS), required=True)
    p.add_argument("--train", action="store_true")
    p.add_argument("--orbit", action="store_true", help="equi-tuned: the mean over four turns")
    p.add_argument("--batch", type=int, default=1)
    p.add_argument("--size", type=int, default=224)
    p.add_argument("--tuned", action="store_true")
    p.add_argument("--channels-last", action="store_true")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--seconds", type=float, default=3.0)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    net = NETWORKS[a.network]()
    if a.orbit:
        net = Orbit(net)
    x = torch.rand(a.batch, 3, a.size, a.size)
    if a.channels_last:
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    with torch.set_grad_enabled(a.train):
        call = training(net, x, 10) if a.train else inference(net, x, a.tuned)
        seconds = seconds_per_call(call, a.seconds, rounds=5)
    report(a.network, 1 / seconds, seconds=seconds,
           peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    main()
