"""Writes spec/support/nn_vectors.lua: what PyTorch's whole layers compute, for the specs of nn.

Run with a Python that has torch:
  python3 spec/support/make_nn_vectors.py > spec/support/nn_vectors.lua
All in f64. Every tensor is the formula `filled`: element i (from 1, row-major) is
0.4 sin(1.7 i + seed). x has seed 0, the first state 100, the second 200; parameters have the seeds
1, 2, 3 ... in the order of their names. Stored per case: results, and gradients of
sum(y wave) + sum(h) + 2 sum(c), where wave is filled with seed 50.
"""
import math

import torch

torch.set_default_dtype(torch.float64)


def filled(shape, seed):
    n = math.prod(shape)
    values = [0.4 * math.sin(1.7 * i + seed) for i in range(1, n + 1)]
    return torch.tensor(values).reshape(shape)


def fill_parameters(layer):
    for seed, (_, p) in enumerate(sorted(layer.named_parameters()), 1):
        p.data.copy_(filled(p.shape, seed))


def numbers(t):
    words = ["%.10g" % v for v in t.detach().flatten().tolist()]
    rows = [", ".join(words[i:i + 5]) for i in range(0, len(words), 5)]
    return "{\n      " + ",\n      ".join(rows) + "}"


def show(fields):
    print("  {" + ",\n    ".join("%s = %s" % f for f in fields) + "},")


def recurrent(kind, lengths, states, layers=2, both=True, **given):
    batch, time, inputs, hidden = 3, 4, 2, 3
    layer = getattr(torch.nn, kind.upper())(inputs, hidden, num_layers=layers, bidirectional=both,
                                            batch_first=True, **given)
    fill_parameters(layer)
    x = filled((batch, time, inputs), 0).requires_grad_()
    rows = layers * (2 if both else 1)
    h0, c0 = filled((rows, batch, hidden), 100), filled((rows, batch, hidden), 200)
    state = (None if not states else (h0, c0) if kind == "lstm" else h0)
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True,
                                                     enforce_sorted=False)
    out, last = layer(packed, state)
    y, _ = torch.nn.utils.rnn.pad_packed_sequence(out, batch_first=True, total_length=time)
    h, c = last if kind == "lstm" else (last, None)
    loss = (y * filled(y.shape, 50)).sum() + h.sum() + (2 * c.sum() if c is not None else 0)
    loss.backward()
    params = dict(layer.named_parameters())
    deep = "weight_hh_l%d%s" % (layers - 1, "_reverse" if both else "")
    fields = [("kind", '"%s"' % kind), ("lengths", "{%s}" % ", ".join(map(str, lengths))),
              ("states", str(states).lower()), ("layers", layers), ("both", str(both).lower())]
    if "nonlinearity" in given:
        fields.append(("nonlinearity", '"%s"' % given["nonlinearity"]))
    fields += [("y", numbers(y)), ("h", numbers(h))]
    if c is not None:
        fields.append(("c", numbers(c)))
    fields += [("deep", '"%s"' % deep), ("gx", numbers(x.grad)), ("first", numbers(params["weight_ih_l0"].grad)),
               ("last", numbers(params[deep].grad))]
    show(fields)


def attention(causal, memory_time):
    batch, time, features, heads = 2, 3, 4, 2
    layer = torch.nn.MultiheadAttention(features, heads, batch_first=True)
    names = {}
    for seed, name in enumerate(sorted(["%s_proj.%s" % (p, q) for p in ("k", "out", "q", "v")
                                        for q in ("bias", "weight")]), 1):
        shape = (features,) if name.endswith("bias") else (features, features)
        names[name] = filled(shape, seed)
    layer.in_proj_weight.data.copy_(torch.cat([names[p + "_proj.weight"] for p in "qkv"]))
    layer.in_proj_bias.data.copy_(torch.cat([names[p + "_proj.bias"] for p in "qkv"]))
    layer.out_proj.weight.data.copy_(names["out_proj.weight"])
    layer.out_proj.bias.data.copy_(names["out_proj.bias"])
    x = filled((batch, time, features), 0).requires_grad_()
    memory = filled((batch, memory_time, features), 9) if memory_time else x
    mask = torch.triu(torch.ones(time, time, dtype=torch.bool), 1) if causal else None
    y, _ = layer(x, memory, memory, attn_mask=mask)
    (y * filled(y.shape, 50)).sum().backward()
    show([("causal", str(causal).lower()), ("memory", memory_time or "false"), ("y", numbers(y)),
          ("gx", numbers(x.grad))])


def main():
    print("-- Made by make_nn_vectors.py with PyTorch %s." % torch.__version__.split("+")[0])
    print("local recurrent = {")
    recurrent("rnn", [4, 2, 3], True)
    recurrent("rnn", [4, 4, 4], False, nonlinearity="relu")
    recurrent("gru", [3, 1, 4], True)
    recurrent("gru", [4, 2, 3], False, layers=1)
    recurrent("lstm", [2, 4, 1], True)
    recurrent("lstm", [4, 2, 3], False, layers=3, both=False)
    print("}\n\nlocal attention = {")
    attention(False, None)
    attention(True, None)
    attention(False, 5)
    print("}\n\nreturn {recurrent = recurrent, attention = attention}")


main()
