"""Writes spec/support/conv_vectors.lua: what PyTorch's ops of images compute.

Run with a Python that has torch:
  python3 spec/support/make_conv_vectors.py > spec/support/conv_vectors.lua
All in f64. Every tensor is the formula `filled`: element i (from 1, row-major) is
0.4 sin(1.7 i + seed). x has seed 0, a weight 1, a bias 2. Stored per case: how our op is called
(`args` follow x, or x, weight, bias), the result y, and the gradients of sum(y wave), where wave is
filled with seed 50.
"""
import math

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)


def filled(shape, seed):
    n = math.prod(shape)
    values = [0.4 * math.sin(1.7 * i + seed) for i in range(1, n + 1)]
    return torch.tensor(values).reshape(shape)


def numbers(t):
    words = ["%.10g" % v for v in t.detach().flatten().tolist()]
    rows = [", ".join(words[i:i + 5]) for i in range(0, len(words), 5)]
    return "{\n      " + ",\n      ".join(rows) + "}"


def sizes(t):
    return "{%s}" % ", ".join(map(str, t.shape))


def case(op, f, x_shape, args, weight=None, bias=None):
    x = filled(x_shape, 0).requires_grad_()
    tensors = [("gx", x)]
    if weight:
        tensors.append(("gw", filled(weight, 1).requires_grad_()))
        if bias:
            tensors.append(("gb", filled((bias,), 2).requires_grad_()))
    y = f(*[t for _, t in tensors])
    (y * filled(y.shape, 50)).sum().backward()
    fields = [("op", '"%s"' % op), ("x", sizes(x)), ("args", "{%s}" % args)]
    if weight:
        fields.append(("weight", "{%s}" % ", ".join(map(str, weight))))
    if bias:
        fields.append(("bias", bias))
    fields += [("sizes", sizes(y)), ("y", numbers(y))]
    fields += [(name, numbers(t.grad)) for name, t in tensors]
    print("  {" + ",\n    ".join("%s = %s" % field for field in fields) + "},")


def rotated(degrees):
    # affine_grid's coordinates go from the outer edge of the first pixel to that of the last
    a = math.radians(degrees)

    def f(x):
        h, w = x.shape[2:]
        turn = torch.tensor([[math.cos(a), -math.sin(a) * h / w, 0],
                             [math.sin(a) * w / h, math.cos(a), 0]])
        grid = F.affine_grid(turn.expand(x.shape[0], 2, 3), x.shape, align_corners=False)
        return F.grid_sample(x, grid, padding_mode="zeros", align_corners=False)
    return f


def main():
    print("-- Made by make_conv_vectors.py with PyTorch %s." % torch.__version__.split("+")[0])
    print("return {")
    case("conv2d", lambda x, w, b: F.conv2d(x, w, b, 2, 1), (1, 2, 5, 6),
         "{stride = 2, padding = 1}", (3, 2, 3, 3), 3)
    case("conv2d", lambda x, w: F.conv2d(x, w, None, (1, 2), (2, 0), (2, 1), 2), (1, 4, 5, 4),
         "nil, {stride = {1, 2}, padding = {2, 0}, dilation = {2, 1}, groups = 2}", (2, 2, 2, 3))
    case("conv2d", lambda x, w: F.conv2d(x, w, None, padding="same"), (1, 1, 3, 4),
         'nil, {padding = "same"}', (1, 1, 2, 4))
    case("conv1d", lambda x, w, b: F.conv1d(x, w, b, 2, 1, 2), (2, 2, 7),
         "{stride = 2, padding = 1, dilation = 2}", (2, 2, 3), 2)
    case("conv_transpose2d", lambda x, w, b: F.conv_transpose2d(x, w, b, 2, 1, 1), (1, 3, 3, 2),
         "{stride = 2, padding = 1, output_padding = 1}", (3, 2, 3, 3), 2)
    case("conv_transpose2d",
         lambda x, w: F.conv_transpose2d(x, w, None, (3, 1), (0, 1), (2, 0), 2, (1, 2)),
         (1, 2, 2, 3), "nil, {stride = {3, 1}, padding = {0, 1}, output_padding = {2, 0},\n"
         "      groups = 2, dilation = {1, 2}}", (2, 1, 2, 2))
    pools = [((3,), {}), ((2, 2), {}), ((3, 2, 1), {}), ((3, 2), {"ceil_mode": True}),
             ((2, 3, 1), {"ceil_mode": True}), (((3, 2), (2, 1), (1, 0)), {})]

    def text(v):
        return "{%d, %d}" % v if isinstance(v, tuple) else str(v)

    def options(places, named):
        words = ["%s = %s" % pair for pair in zip(("stride", "padding"), map(text, places[1:]))]
        words += ["%s = %s" % (k, str(v).lower()) for k, v in named.items()]
        return text(places[0]) + ", {%s}" % ", ".join(words)

    for places, named in pools:
        case("max_pool2d", lambda x: F.max_pool2d(x, *places, **named), (1, 2, 6, 7),
             options(places, named))
        case("avg_pool2d", lambda x: F.avg_pool2d(x, *places, **named), (1, 2, 6, 7),
             options(places, named))
    case("max_pool2d", lambda x: F.max_pool2d(x, 3, 1, 1, 2), (1, 1, 5, 6),
         "3, {stride = 1, padding = 1, dilation = 2}")
    case("avg_pool2d", lambda x: F.avg_pool2d(x, 3, 2, 1, True, False), (1, 1, 6, 6),
         "3, {stride = 2, padding = 1, ceil_mode = true, count_include_pad = false}")
    case("avg_pool2d", lambda x: F.avg_pool2d(x, 3, 2, 1, divisor_override=5), (1, 1, 6, 6),
         "3, {stride = 2, padding = 1, divisor = 5}")
    for size in ((1, 1), (3, 2), (5, 7), (2, 9)):
        case("adaptive_avg_pool2d", lambda x: F.adaptive_avg_pool2d(x, size), (1, 2, 5, 7),
             text(size))
        case("adaptive_max_pool2d", lambda x: F.adaptive_max_pool2d(x, size), (1, 2, 5, 7),
             text(size))
    for size in ((6, 8), (7, 5), (2, 3), (1, 1)):
        case("upsample", lambda x: F.interpolate(x, size), (1, 1, 3, 4), "{size = %s}" % text(size))
        for corners in (False, True):
            case("upsample", lambda x: F.interpolate(x, size, mode="bilinear",
                                                     align_corners=corners), (1, 1, 3, 4),
                 '{size = %s, mode = "bilinear", align_corners = %s}'
                 % (text(size), str(corners).lower()))
    for scale in (2, 1.5, 0.7):
        case("upsample", lambda x: F.interpolate(x, scale_factor=scale), (1, 1, 3, 4),
             "{scale = %g}" % scale)
        for corners in (False, True):
            case("upsample", lambda x: F.interpolate(x, scale_factor=scale, mode="bilinear",
                                                     align_corners=corners), (1, 1, 3, 4),
                 '{scale = %g, mode = "bilinear", align_corners = %s}'
                 % (scale, str(corners).lower()))
    for mode in ("constant", "reflect", "replicate", "circular"):
        case("pad", lambda x: F.pad(x, (2, 1, 0, 2), mode), (1, 2, 3, 3),
             '{2, 1, 0, 2}, {mode = "%s"}' % mode)
    case("rotate", rotated(30), (1, 1, 4, 5), "30")
    case("rotate", rotated(-107.5), (1, 2, 3, 4), "-107.5")
    case("rotate", rotated(90), (1, 1, 3, 5), "90")
    print("}")


main()
