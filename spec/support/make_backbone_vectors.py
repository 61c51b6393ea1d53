"""Writes spec/support/backbone_vectors.lua: gradients of whole networks, by PyTorch's autograd.

Run with a Python that has torch (torchvision is not needed):
  python3 spec/support/make_backbone_vectors.py > spec/support/backbone_vectors.lua
resnet18 and densenet121 are written here once more, with torchvision's names, for 10 classes. All in
f64 and in training mode. Every tensor is a formula that is the same to the last bit elsewhere:
u_i = frac(0.6180339887498949 i^2 + 0.7548776662466927 k) - 0.5, i from 1 in row-major order; images
k = 61, and parameters k = 1, 2, 3 ... in the order of their names: of convolutions and linear layers
u sqrt(24 / inputs), other weights 1 + 0.4 u, biases 0.4 u. The loss is the sum of logits times u with
k = 50. Stored for each gradient g: its norm, its first number, and sum(g u) with k = 7; then the
logits and the sums of all running means and variances. `f32` is how far PyTorch's own f32 is off.
"""
import math

import torch
import torch.nn.functional as F
from torch import nn

SHAPE, CLASSES = (4, 3, 64, 64), 10


def conv(i, o, k, stride=1, padding=None):
    return nn.Conv2d(i, o, k, stride, k // 2 if padding is None else padding, bias=False)


class Block(nn.Module):
    def __init__(self, i, o, stride):
        super().__init__()
        self.conv1, self.bn1 = conv(i, o, 3, stride), nn.BatchNorm2d(o)
        self.conv2, self.bn2 = conv(o, o, 3), nn.BatchNorm2d(o)
        if stride != 1:
            self.downsample = nn.Sequential(conv(i, o, 1, stride), nn.BatchNorm2d(o))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (self.downsample(x) if hasattr(self, "downsample") else x))


class ResNet18(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = conv(3, 64, 7, 2), nn.BatchNorm2d(64)
        for k, (i, o) in enumerate([(64, 64), (64, 128), (128, 256), (256, 512)], 1):
            setattr(self, "layer%d" % k, nn.Sequential(Block(i, o, 1 if k == 1 else 2), Block(o, o, 1)))
        self.fc = nn.Linear(512, CLASSES)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


class DenseLayer(nn.Module):
    def __init__(self, i):
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(i), conv(i, 128, 1)
        self.norm2, self.conv2 = nn.BatchNorm2d(128), conv(128, 32, 3)

    def forward(self, x):
        y = self.conv2(F.relu(self.norm2(self.conv1(F.relu(self.norm1(x))))))
        return torch.cat([x, y], 1)


class Transition(nn.Module):
    def __init__(self, i):
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(i), conv(i, i // 2, 1)

    def forward(self, x):
        return F.avg_pool2d(self.conv(F.relu(self.norm(x))), 2)


class DenseNet121(nn.Module):
    def __init__(self):
        super().__init__()
        f, width = nn.Module(), 64
        f.conv0, f.norm0 = conv(3, 64, 7, 2), nn.BatchNorm2d(64)
        for b, layers in enumerate([6, 12, 24, 16], 1):
            block = nn.Module()
            for k in range(layers):
                block.add_module("denselayer%d" % (k + 1), DenseLayer(width + 32 * k))
            width += 32 * layers
            f.add_module("denseblock%d" % b, block)
            if b < 4:
                f.add_module("transition%d" % b, Transition(width))
                width //= 2
        f.norm5 = nn.BatchNorm2d(width)
        self.features, self.classifier = f, nn.Linear(width, CLASSES)

    def forward(self, x):
        f = self.features
        x = F.max_pool2d(F.relu(f.norm0(f.conv0(x))), 3, 2, 1)
        for name, part in f.named_children():
            if name.startswith("denseblock"):
                for layer in part.children():
                    x = layer(x)
            elif name.startswith("transition"):
                x = part(x)
        return self.classifier(F.relu(f.norm5(x)).mean((2, 3)))


def filled(shape, k):
    i = torch.arange(1, math.prod(shape) + 1, dtype=torch.float64)
    v = 0.6180339887498949 * (i * i) + 0.7548776662466927 * k
    return (v - v.floor() - 0.5).reshape(shape)


def fill(model):
    for k, (name, p) in enumerate(sorted(model.named_parameters()), 1):
        u = filled(p.shape, k)
        if p.dim() > 1:
            u *= math.sqrt(24 / math.prod(p.shape[1:]))
        else:
            u = 0.4 * u + (1 if name.endswith("weight") else 0)
        p.data = u.to(p.dtype)


def run(kind, dtype):
    model = kind().to(dtype)
    fill(model)
    y = model(filled(SHAPE, 61).to(dtype))
    (y * filled(y.shape, 50).to(dtype)).sum().backward()
    return model, y, {n: p.grad.double() for n, p in model.named_parameters()}


def case(name, kind):
    model, y, grads = run(kind, torch.float64)
    _, _, rough = run(kind, torch.float32)
    off = max(((grads[n] - rough[n]).norm() / grads[n].norm()).item() for n in grads)
    print("  %s = {f32 = %.2g," % (name, off))
    words = ["%.14g" % v for v in y.detach().flatten().tolist()]
    print("    logits = {%s}," % ",\n      ".join(", ".join(words[i:i + 4]) for i in range(0, len(words), 4)))
    buffers = dict(model.named_buffers())
    for part in ("running_mean", "running_var"):
        print("    %s = %.14g," % (part, sum(b.sum().item() for n, b in buffers.items() if n.endswith(part))))
    print("    gradients = {")
    for n, g in sorted(grads.items()):
        print('      ["%s"] = {%.14g, %.14g,\n        %.14g},' % (
            n, g.norm(), g.flatten()[0], (g * filled(g.shape, 7)).sum()))
    print("    }},")


print("-- Made by make_backbone_vectors.py with PyTorch %s." % torch.__version__.split("+")[0])
print("return {")
case("resnet18", ResNet18)
case("densenet121", DenseNet121)
print("}")
