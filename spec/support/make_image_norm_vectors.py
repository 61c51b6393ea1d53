"""Writes spec/support/image_norm_vectors.lua: what PyTorch computes for batch_norm, group_norm and
local_response_norm, with gradients.

Run with a Python that has torch:
  python3 spec/support/make_image_norm_vectors.py > spec/support/image_norm_vectors.lua
All in f64. Tensors are the formula `filled`: element i (from 1, row-major) is
sin(1.7 i + seed) + 0.3 seed. x has seed 0, weight 1, bias 2, the running mean 3, add 4, the loss
sums y times seed 5; the running variance is 1 + |filled|, seed 6.
"""
import math

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)


def filled(shape, seed):
    n = math.prod(shape)
    return torch.tensor([math.sin(1.7 * i + seed) + 0.3 * seed for i in range(1, n + 1)]).reshape(shape)


def listed(t):
    words = ["%.12g" % v for v in t.detach().flatten().tolist()]
    return "{" + ",\n      ".join(", ".join(words[i:i + 5]) for i in range(0, len(words), 5)) + "}"


def show(fields):
    print("  {" + ",\n    ".join("%s = %s" % f for f in fields) + "},")


def sizes(shape):
    return "{%s}" % ", ".join(map(str, shape))


def batch_norm(shape, training, relu=False, residual=False, momentum=0.1, eps=1e-5):
    C = shape[1]
    x, w, b = (filled(s, k).requires_grad_() for k, s in enumerate([shape, (C,), (C,)]))
    mean, var = filled((C,), 3), 1 + filled((C,), 6).abs()
    add = filled(shape, 4).requires_grad_() if residual else None
    y = F.batch_norm(x, mean, var, w, b, training, momentum, eps)
    y = y + add if residual else y
    y = F.relu(y) if relu else y
    (y * filled(shape, 5)).sum().backward()
    fields = [("shape", sizes(shape)), ("training", str(training).lower()), ("relu", str(relu).lower()),
              ("add", str(residual).lower()), ("momentum", momentum), ("eps", eps), ("y", listed(y)),
              ("mean", listed(mean)), ("var", listed(var)), ("gx", listed(x.grad)),
              ("gw", listed(w.grad)), ("gb", listed(b.grad))]
    if residual:
        fields.append(("gadd", listed(add.grad)))
    show(fields)


def group_norm(shape, groups, eps):
    x, w, b = (filled(s, k).requires_grad_() for k, s in enumerate([shape, shape[1:2], shape[1:2]]))
    y = F.group_norm(x, groups, w, b, eps)
    (y * filled(shape, 5)).sum().backward()
    show([("shape", sizes(shape)), ("groups", groups), ("eps", eps), ("y", listed(y)),
          ("gx", listed(x.grad)), ("gw", listed(w.grad)), ("gb", listed(b.grad))])


def local_response(shape, size, alpha, beta, k):
    x = filled(shape, 0).requires_grad_()
    y = F.local_response_norm(x, size, alpha, beta, k)
    (y * filled(shape, 5)).sum().backward()
    show([("shape", sizes(shape)), ("size", size), ("alpha", alpha), ("beta", beta), ("k", k),
          ("y", listed(y)), ("gx", listed(x.grad))])


print("-- Made by make_image_norm_vectors.py with PyTorch %s." % torch.__version__.split("+")[0])
print("return {batch_norm = {")
batch_norm((4, 3), True)
batch_norm((3, 2, 5), True, relu=True, momentum=0.3)
batch_norm((2, 3, 3, 2), True, eps=1e-3)
batch_norm((2, 3, 3, 2), True, relu=True)
batch_norm((2, 3, 3, 2), True, relu=True, residual=True)
batch_norm((2, 3, 3, 2), True, residual=True)
batch_norm((2, 3, 3, 2), False)
batch_norm((2, 3, 3, 2), False, relu=True)
batch_norm((2, 3, 3, 2), False, relu=True, residual=True)
print("}, group_norm = {")
group_norm((2, 4, 3, 2), 2, 1e-5)
group_norm((3, 6, 2), 3, 1e-2)
group_norm((2, 3, 2, 2), 3, 1e-5)
print("}, local_response_norm = {")
local_response((2, 7, 2, 2), 5, 1e-1, 0.75, 2.0)
local_response((2, 4, 3), 2, 1.0, 0.5, 1.0)
print("}}")
