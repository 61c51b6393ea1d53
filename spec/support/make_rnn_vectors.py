"""Writes spec/support/rnn_vectors.lua: what PyTorch computes for small recurrent layers.

Run with a Python that has torch:  python3 spec/support/make_rnn_vectors.py > spec/support/rnn_vectors.lua
Inputs are formulas (see `filled`), so that the spec can make them itself; only results are stored.
All in f64. Each case: y, h_n, c_n and the gradients of sum(y * wave) + sum(h_n) + 2 sum(c_n).
"""
import math

import torch

torch.set_default_dtype(torch.float64)


def filled(shape, seed, scale=0.5):
    n = math.prod(shape)
    values = [scale * math.sin(1.7 * i + seed) for i in range(1, n + 1)]
    return torch.tensor(values).reshape(shape)


def flat(t):
    words = ["%.12g" % v for v in t.detach().flatten().tolist()]
    rows = [", ".join(words[i:i + 5]) for i in range(0, len(words), 5)]
    return "{\n      " + ",\n      ".join(rows) + ",\n    }"


def case(kind, lengths, reverse, nonlinearity="tanh", B=3, T=4, D=3, H=5):
    gates = {"rnn": 1, "gru": 3, "lstm": 4}[kind]
    p = {
        "x": filled((B, T, D), 1),
        "h0": filled((B, H), 2),
        "w_ih": filled((gates * H, D), 4),
        "w_hh": filled((gates * H, H), 5),
        "b_ih": filled((gates * H,), 6),
        "b_hh": filled((gates * H,), 7),
    }
    if kind == "lstm":
        p["c0"] = filled((B, H), 3)
    for t in p.values():
        t.requires_grad_()
    # A bidirectional layer whose forward half is ignored gives the packed reverse direction.
    options = {"batch_first": True, "bidirectional": reverse}
    if kind == "rnn":
        options["nonlinearity"] = nonlinearity
    layer = getattr(torch.nn, kind.upper())(D, H, **options)
    names = {"weight_ih": "w_ih", "weight_hh": "w_hh", "bias_ih": "b_ih", "bias_hh": "b_hh"}
    params = dict(layer.named_parameters())
    for name, value in params.items():
        value.data.copy_(p[names[name.split("_l0")[0]]])

    def start(t):
        return torch.stack([t, t]) if reverse else t[None]

    state = start(p["h0"])
    if kind == "lstm":
        state = (state, start(p["c0"]))
    pack = torch.nn.utils.rnn.pack_padded_sequence
    unpack = torch.nn.utils.rnn.pad_packed_sequence
    packed = pack(p["x"], lengths, batch_first=True, enforce_sorted=False)
    out, last = layer(packed, state)
    y, _ = unpack(out, batch_first=True, total_length=T)
    h, c = last if kind == "lstm" else (last, None)
    half = 1 if reverse else 0
    if reverse:
        y = y[..., H:]
    h = h[half]
    loss = (y * filled(y.shape, 8, 1.0)).sum() + h.sum()
    if c is not None:
        c = c[half]
        loss = loss + 2 * c.sum()
    loss.backward()
    for name, ours in names.items():
        p[ours].grad = params[name + ("_l0_reverse" if reverse else "_l0")].grad
    lines = ["    y = " + flat(y), "    h_n = " + flat(h)]
    if c is not None:
        lines.append("    c_n = " + flat(c))
    for name, t in sorted(p.items()):
        lines.append("    g_%s = %s" % (name, flat(t.grad)))
    head = '    kind = "%s", nonlinearity = "%s", reverse = %s, lengths = {%s}' % (
        kind, nonlinearity, str(reverse).lower(), ", ".join(map(str, lengths)))
    return "  {\n" + head + ",\n" + ",\n".join(lines) + ",\n  },"


def main():
    print("-- Made by make_rnn_vectors.py with PyTorch %s; do not edit." % torch.__version__.split("+")[0])
    print("return {")
    for kind in ("rnn", "gru", "lstm"):
        for reverse in (False, True):
            print(case(kind, [4, 2, 3], reverse))
    print(case("rnn", [4, 4, 4], False, "relu"))
    print("}")


main()
