"""The networks of models.py, with torchvision's layers in torchvision's order (torchvision itself is
not needed). Weights are random: only the time of the same work is measured."""
import torch
import torch.nn as nn
import torch.nn.functional as F


def alexnet(classes=1000):
    return nn.Sequential(
        nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(True), nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(True), nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(True),
        nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(True),
        nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(True), nn.MaxPool2d(3, 2),
        nn.AdaptiveAvgPool2d(6), nn.Flatten(), nn.Dropout(), nn.Linear(9216, 4096), nn.ReLU(True),
        nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(True), nn.Linear(4096, classes))


def vgg11(classes=1000):
    layers, channels = [], 3
    for v in (64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"):
        if v == "M":
            layers.append(nn.MaxPool2d(2, 2))
        else:
            layers += [nn.Conv2d(channels, v, 3, padding=1), nn.ReLU(True)]
            channels = v
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(7), nn.Flatten(), nn.Linear(25088, 4096), nn.ReLU(True),
        nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(True), nn.Dropout(), nn.Linear(4096, classes))


class Basic(nn.Module):
    expansion = 1

    def __init__(self, cin, width, stride, pad=False):
        super().__init__()
        self.conv1 = nn.Conv2d(cin, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(True)
        self.shortcut = shortcut(cin, width, stride, pad)

    def forward(self, x):
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(y + self.shortcut(x))


class Bottleneck(nn.Module):
    expansion = 4

    def __init__(self, cin, width, stride, pad=False):
        super().__init__()
        self.conv1 = nn.Conv2d(cin, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width * 4, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width * 4)
        self.relu = nn.ReLU(True)
        self.shortcut = shortcut(cin, width * 4, stride, pad)

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn3(self.conv3(self.relu(self.bn2(self.conv2(y)))))
        return self.relu(y + self.shortcut(x))


class PadShortcut(nn.Module):
    """Option A of He et al.: every second pixel, zeros for the new channels."""

    def __init__(self, extra):
        super().__init__()
        self.extra = extra

    def forward(self, x):
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.extra // 2, self.extra // 2))


def shortcut(cin, cout, stride, pad):
    if stride == 1 and cin == cout:
        return nn.Identity()
    if pad:
        return PadShortcut(cout - cin)
    return nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))


def stages(block, counts, widths, cin, pad=False):
    layers = []
    for s, (n, width) in enumerate(zip(counts, widths)):
        for i in range(n):
            layers.append(block(cin, width, 2 if s and not i else 1, pad))
            cin = width * block.expansion
    return layers, cin


def resnet(block, counts, classes=1000):
    layers, cin = stages(block, counts, (64, 128, 256, 512), 64)
    return nn.Sequential(
        nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(True),
        nn.MaxPool2d(3, 2, 1), *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(cin, classes))


def resnet20(classes=10):
    layers, cin = stages(Basic, (3, 3, 3), (16, 32, 64), 16, pad=True)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(True), *layers,
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(cin, classes))


class Dense(nn.Module):
    def __init__(self, cin, growth):
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm2d(cin), nn.ReLU(True), nn.Conv2d(cin, 4 * growth, 1, bias=False),
            nn.BatchNorm2d(4 * growth), nn.ReLU(True),
            nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False))

    def forward(self, x):
        return self.layers(torch.cat(x, 1))


class DenseBlock(nn.Module):
    def __init__(self, n, cin, growth):
        super().__init__()
        self.layers = nn.ModuleList([Dense(cin + i * growth, growth) for i in range(n)])

    def forward(self, x):
        x = [x]
        for layer in self.layers:
            x.append(layer(x))
        return torch.cat(x, 1)


def densenet121(classes=1000, growth=32):
    layers = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(True),
              nn.MaxPool2d(3, 2, 1)]
    c = 64
    for i, n in enumerate((6, 12, 24, 16)):
        layers.append(DenseBlock(n, c, growth))
        c += n * growth
        if i < 3:
            layers += [nn.BatchNorm2d(c), nn.ReLU(True), nn.Conv2d(c, c // 2, 1, bias=False),
                       nn.AvgPool2d(2, 2)]
            c //= 2
    return nn.Sequential(*layers, nn.BatchNorm2d(c), nn.ReLU(True), nn.AdaptiveAvgPool2d(1),
                         nn.Flatten(), nn.Linear(c, classes))


class Orbit(nn.Module):
    """The mean of the logits over the four turns of the image, one batch of 4 B."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        y = self.net(torch.cat([torch.rot90(x, k, (2, 3)) for k in range(4)]))
        return y.view(4, x.shape[0], -1).mean(0)


NETWORKS = {
    "alexnet": alexnet,
    "vgg11": vgg11,
    "resnet18": lambda: resnet(Basic, (2, 2, 2, 2)),
    "resnet50": lambda: resnet(Bottleneck, (3, 4, 6, 3)),
    "densenet121": densenet121,
    "resnet20": resnet20,
}
