"""Writes spec/support/optim_vectors.lua: what PyTorch's optimizers and schedules do in 20 steps.

Run with a Python that has torch:
  python3 spec/support/make_optim_vectors.py > spec/support/optim_vectors.lua
All in f64. Weights start as w[i] = sin(1.7 i), i = 1 .. 5; the loss of step t = 1 .. 20 is
sum(c * sin(w) + 0.15 w^2) with c[i] = sin(0.9 i + t). Stored: the weights after steps 1, 2, 3 and 20.
Schedules: the learning rate before step 1 and after each of 20 calls of step().
"""
import math
import warnings

import torch

torch.set_default_dtype(torch.float64)
warnings.simplefilter("ignore")
N, STEPS, KEPT = 5, 20, (1, 2, 3, 20)


def numbers(values):
    return "{" + ", ".join("%.10g" % v for v in values) + "}"


def lua(value):
    return str(value).lower() if isinstance(value, bool) else repr(value)


def table(options):
    return "{" + ", ".join("%s = %s" % (k, lua(v)) for k, v in options.items()) + "}"


def train(make):
    w = torch.tensor([math.sin(1.7 * i) for i in range(1, N + 1)], requires_grad=True)
    optimizer, kept = make([w]), []
    for t in range(1, STEPS + 1):
        c = torch.tensor([math.sin(0.9 * i + t) for i in range(1, N + 1)])
        optimizer.zero_grad()
        (c * w.sin() + 0.15 * w * w).sum().backward()
        optimizer.step()
        if t in KEPT:
            kept.append(w.tolist())
    return kept


def optimizer_case(name, options):
    given = dict(options)
    if "beta1" in given or "beta2" in given:
        given["betas"] = (given.pop("beta1", 0.9), given.pop("beta2", 0.999))
    kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW,
            "rmsprop": torch.optim.RMSprop}[name]
    rows = ",\n      ".join(numbers(row) for row in train(lambda p: kind(p, **given)))
    print("    {name = \"%s\",\n      options = %s,\n      weights = {\n      %s}}," % (name, table(options), rows))


def rates(make, metrics=None):
    w = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.5)
    schedule, seen = make(optimizer), []
    seen.append(optimizer.param_groups[0]["lr"])
    for t in range(STEPS):
        optimizer.step()
        schedule.step(*([metrics[t]] if metrics else []))
        seen.append(optimizer.param_groups[0]["lr"])
    return seen


def schedule_case(call, make, metrics=None):
    extra = ",\n      metrics = " + numbers(metrics).replace(" ", "") if metrics else ""
    words = numbers(rates(make, metrics)).split(", ")
    rows = ",\n      ".join(", ".join(words[i:i + 5]) for i in range(0, len(words), 5))
    print("    {call = %s%s,\n      rates = %s}," % (call, extra, rows))


def linear(total, warmup):
    def factor(t):
        return t / warmup if t < warmup else max(0.0, (total - t) / max(1, total - warmup))
    return lambda o: torch.optim.lr_scheduler.LambdaLR(o, factor)


def warm_cosine(total, warmup, floor):
    def factor(t):
        if t < warmup:
            return t / warmup
        done = min(1.0, (t - warmup) / max(1, total - warmup))
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done))
    return lambda o: torch.optim.lr_scheduler.LambdaLR(o, factor)


def main():
    s = torch.optim.lr_scheduler
    print("-- Made by make_optim_vectors.py with PyTorch %s." % torch.__version__.split("+")[0])
    print("return {\n  optimizers = {")
    optimizer_case("sgd", {"lr": 0.1})
    optimizer_case("sgd", {"lr": 0.1, "weight_decay": 0.05})
    optimizer_case("sgd", {"lr": 0.1, "momentum": 0.9})
    optimizer_case("sgd", {"lr": 0.1, "momentum": 0.8, "dampening": 0.3})
    optimizer_case("sgd", {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.02})
    optimizer_case("adam", {"lr": 0.05})
    optimizer_case("adam", {"lr": 0.05, "beta1": 0.7, "beta2": 0.9, "eps": 0.001, "weight_decay": 0.1})
    optimizer_case("adamw", {"lr": 0.05})
    optimizer_case("adamw", {"lr": 0.05, "beta1": 0.7, "beta2": 0.9, "eps": 0.001, "weight_decay": 0.2})
    optimizer_case("rmsprop", {"lr": 0.02})
    optimizer_case("rmsprop", {"lr": 0.02, "alpha": 0.8, "eps": 0.001, "weight_decay": 0.1})
    optimizer_case("rmsprop", {"lr": 0.02, "momentum": 0.6})
    print("  },\n  schedules = {")
    schedule_case('{"step_lr", 3, {gamma = 0.5}}', lambda o: s.StepLR(o, 3, 0.5))
    schedule_case('{"step_lr", 7}', lambda o: s.StepLR(o, 7))
    schedule_case('{"multi_step", {2, 9, 10}, {gamma = 0.5}}', lambda o: s.MultiStepLR(o, [2, 9, 10], 0.5))
    schedule_case('{"cosine", 20}', lambda o: s.CosineAnnealingLR(o, 20))
    schedule_case('{"cosine", 20, {floor = 0.1}}', lambda o: s.CosineAnnealingLR(o, 20, 0.05))
    schedule_case('{"cosine", 16, {floor = 0.2, warmup = 4}}', warm_cosine(16, 4, 0.2))
    schedule_case('{"linear", 18}', linear(18, 0))
    schedule_case('{"linear", 18, {warmup = 5}}', linear(18, 5))
    falling = [5, 4, 4, 4.1, 4, 3, 3, 3, 3, 2.9999, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1]
    schedule_case('{"plateau", {patience = 2, gamma = 0.5}}',
                  lambda o: s.ReduceLROnPlateau(o, "min", 0.5, 2), falling)
    rising = [0.1, 0.2, 0.2, 0.2, 0.21, 0.21, 0.21, 0.22, 0.5, 0.5, 0.5, 0.5, 0.5, 0.4, 0.4, 0.6, 0.6, 0.7, 0.6, 1]
    schedule_case('{"plateau", {patience = 1, gamma = 0.1, mode = "max", threshold = 0.05}}',
                  lambda o: s.ReduceLROnPlateau(o, "max", 0.1, 1, 0.05), rising)
    print("  },\n}")


main()
