"""Writes spec/support/seq2seq_vectors.lua: what PyTorch computes for small sequence models.

Run with a Python that has torch:
    python3 spec/support/make_seq2seq_vectors.py > spec/support/seq2seq_vectors.lua
The model is written here once more, from the formulas in models/seq2seq.lua. Weights are formulas
(see `fill`), so that the spec makes them itself; only results are stored. All in f64. Each case:
log-probabilities with the targets fed, the loss (summed over them), the gradient's sum and weighted
sum for every parameter, the greedy answer; and the parameter count at the paper's sizes.
"""
import math

import torch
from torch import nn

torch.set_default_dtype(torch.float64)
COMMAND, ANSWER, STEPS = [3, 5, 4, 6, 2], [4, 3, 5, 3, 2], 7


class Model(nn.Module):
    def __init__(self, kind, words_in, words_out, embedding, hidden):
        super().__init__()
        layer = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[kind]
        size = 2 * hidden
        self.kind = kind
        self.encoder = nn.Module()
        self.encoder.embedding = nn.Embedding(words_in, embedding)
        self.encoder.rnn = layer(embedding, hidden, bidirectional=True, batch_first=True)
        self.decoder = nn.Module()
        self.decoder.embedding = nn.Embedding(words_out, size)
        self.decoder.attn_combine = nn.Linear(2 * size, size)
        self.decoder.rnn = layer(size, size, batch_first=True)
        self.decoder.out = nn.Linear(size, words_out)

    def forward(self, command, targets, steps):
        x = torch.tensor([command]) - 1
        enc, last = self.encoder.rnn(self.encoder.embedding(x))
        states = last if self.kind == "lstm" else (last,)
        states = tuple(torch.cat([s[0], s[1]], 1)[None] for s in states)
        token, rows, answer = 0, [], []
        for t in range(steps):
            h = states[0][0]
            e = self.decoder.embedding(torch.tensor([token]))
            a = torch.softmax(h @ enc[0].T, 1)
            mixed = torch.relu(self.decoder.attn_combine(torch.cat([e, a @ enc[0]], 1)))
            y, states = self.decoder.rnn(mixed[None], states if self.kind == "lstm" else states[0])
            states = states if self.kind == "lstm" else (states,)
            logp = torch.log_softmax(self.decoder.out(y[0]), 1)[0]
            rows.append(logp)
            answer.append(int(logp.argmax()) + 1)
            token = (targets[t] if targets else answer[-1]) - 1
        return torch.stack(rows), answer


def fill(model):
    for k, (_, p) in enumerate(sorted(model.named_parameters()), 1):
        n = p.numel()
        values = [0.6 * math.sin(1.7 * i + k) for i in range(1, n + 1)]
        p.data = torch.tensor(values).reshape(p.shape)


def listed(numbers):
    words = ["%.12g" % v for v in numbers]
    return "{" + ",\n      ".join(", ".join(words[i:i + 5]) for i in range(0, len(words), 5)) + "}"


def case(kind):
    model = Model(kind, 6, 5, 4, 3)
    fill(model)
    logp, _ = model(COMMAND, ANSWER, len(ANSWER))
    loss = -sum(logp[t, ANSWER[t] - 1] for t in range(len(ANSWER)))
    loss.backward()
    print("  %s = {" % kind)
    print("    count = %d," % sum(p.numel() for p in Model(kind, 15, 8, 64, 64).parameters()))
    print("    logp = %s," % listed(logp.detach().flatten().tolist()))
    print("    loss = %.12g," % loss.item())
    print("    gradients = {")
    for name, p in sorted(model.named_parameters()):
        wave = torch.sin(torch.arange(1.0, p.numel() + 1))
        print('      ["%s"] = {%.12g, %.12g},' % (
            name, p.grad.sum(), (p.grad.flatten() * wave).sum()))
    print("    },")
    with torch.no_grad():
        print("    answer = {%s}," % ", ".join(map(str, model(COMMAND, None, STEPS)[1])))
    print("  },")


print("-- Written by spec/support/make_seq2seq_vectors.py; do not edit.")
print("return {")
print("  command = {%s}, targets = {%s}," % (
    ", ".join(map(str, COMMAND)), ", ".join(map(str, ANSWER))))
for cell in ("rnn", "gru", "lstm"):
    case(cell)
print("}")
