"""Writes spec/support/bert_vectors.lua and the folder spec/support/bert: what PyTorch computes for
small BERT classifiers.

Run with a Python that has torch, in the root of the repository:
    python3 spec/support/make_bert_vectors.py
The model is written here once more, from the formulas in models/bert.lua. Weights are formulas (see
`fill`), so that the spec makes them itself; only results are stored, all in f64: logits, loss, the
gradient's sum and weighted sum for every parameter. The folder holds the same weights in f32 as an
old pytorch_model.bin does: LayerNorm's called gamma and beta, and the list of positions.
"""
import json
import math
import os

import torch
from torch import nn
from torch.nn import functional as F

torch.set_default_dtype(torch.float64)
HERE = os.path.dirname(__file__)
SIZES = dict(vocab_size=11, hidden_size=8, num_hidden_layers=2, num_attention_heads=2,
             intermediate_size=12, max_position_embeddings=7, type_vocab_size=2)
# Counted from 0 here.
IDS = [[2, 5, 9, 3, 1], [4, 10, 3, 0, 0]]
MASK = [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]
TYPES = [[0, 0, 1, 1, 1], [0, 0, 0, 0, 0]]
TARGETS = [2, 0]


def holder(**parts):
    m = nn.Module()
    for name, part in parts.items():
        setattr(m, name, part)
    return m


class Bert(nn.Module):
    def __init__(self, act, labels, vocab_size, hidden_size, num_hidden_layers, num_attention_heads,
                 intermediate_size, max_position_embeddings, type_vocab_size):
        super().__init__()
        d, self.heads, self.act = hidden_size, num_attention_heads, act

        def out(inputs):
            return holder(dense=nn.Linear(inputs, d), LayerNorm=nn.LayerNorm(d, eps=1e-12))

        layers = [holder(
            attention=holder(self=holder(query=nn.Linear(d, d), key=nn.Linear(d, d),
                                         value=nn.Linear(d, d)), output=out(d)),
            intermediate=holder(dense=nn.Linear(d, intermediate_size)),
            output=out(intermediate_size)) for _ in range(num_hidden_layers)]
        self.bert = holder(
            embeddings=holder(word_embeddings=nn.Embedding(vocab_size, d),
                              position_embeddings=nn.Embedding(max_position_embeddings, d),
                              token_type_embeddings=nn.Embedding(type_vocab_size, d),
                              LayerNorm=nn.LayerNorm(d, eps=1e-12)),
            encoder=holder(layer=nn.ModuleList(layers)), pooler=holder(dense=nn.Linear(d, d)))
        self.classifier = nn.Linear(d, labels)

    def forward(self, ids, mask=None, types=None):
        e = self.bert.embeddings
        b, t = ids.shape
        types = torch.zeros_like(ids) if types is None else types
        x = e.LayerNorm(e.word_embeddings(ids) + e.position_embeddings(torch.arange(t))
                        + e.token_type_embeddings(types))
        for layer in self.bert.encoder.layer:
            a = layer.attention

            def heads(y):
                return y.view(b, t, self.heads, -1).transpose(1, 2)

            q, k, v = (heads(getattr(a.self, n)(x)) for n in ("query", "key", "value"))
            scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])
            if mask is not None:
                scores = scores.masked_fill(~mask.bool()[:, None, None], float("-inf"))
            y = (scores.softmax(-1) @ v).transpose(1, 2).reshape(b, t, -1)
            x = a.output.LayerNorm(a.output.dense(y) + x)
            y = layer.output.dense(self.act(layer.intermediate.dense(x)))
            x = layer.output.LayerNorm(y + x)
        return self.classifier(torch.tanh(self.bert.pooler.dense(x[:, 0])))


def fill(model):
    for k, (_, p) in enumerate(sorted(model.named_parameters()), 1):
        n = p.numel()
        values = [1.2 * math.sin(1.7 * i + k) for i in range(1, n + 1)]
        p.data = torch.tensor(values).reshape(p.shape)
    return model


def listed(values):
    return "{" + ",\n      ".join(", ".join("%.12g" % v for v in values[i:i + 5])
                                  for i in range(0, len(values), 5)) + "}"


def wave(g):
    g = g.reshape(-1)
    weights = torch.sin(torch.arange(1, g.numel() + 1, dtype=torch.float64))
    return [float(g.sum()), float((g * weights).sum())]


def case(name, act, mask, types):
    model = fill(Bert(act, 3, **SIZES))
    ids = torch.tensor(IDS)
    logits = model(ids, torch.tensor(MASK) if mask else None,
                   torch.tensor(TYPES) if types else None)
    loss = F.cross_entropy(logits, torch.tensor(TARGETS))
    loss.backward()
    lines = ["  %s = {" % name, "    logits = %s," % listed(logits.reshape(-1).tolist()),
             "    loss = %.12g," % float(loss), "    gradients = {"]
    for key, p in sorted(model.named_parameters()):
        lines.append('      ["%s"] =\n        %s,' % (key, listed(wave(p.grad))))
    return lines + ["    },", "  },"]


def write_folder():
    model = fill(Bert(F.gelu, 3, **SIZES))
    state = {"bert.embeddings.position_ids": torch.arange(7)[None]}
    for key, p in model.named_parameters():
        key = key.replace("LayerNorm.weight", "LayerNorm.gamma")
        state[key.replace("LayerNorm.bias", "LayerNorm.beta")] = p.detach().float()
    folder = os.path.join(HERE, "bert")
    os.makedirs(folder, exist_ok=True)
    torch.save(state, os.path.join(folder, "pytorch_model.bin"))
    config = dict(SIZES, model_type="bert", classifier_dropout=None,
                  id2label={"0": "negative", "1": "neutral", "2": "positive"})
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump(config, f, indent=2)
        f.write("\n")


base = sum(p.numel() for p in Bert(F.gelu, 2, 30522, 768, 12, 12, 3072, 512, 2).parameters())
out = ["-- Written by spec/support/make_bert_vectors.py; do not edit.", "return {",
       "  count = %d," % base]
out += case("whole", F.gelu, False, False)
out += case("masked", F.gelu, True, True)
out += case("gelu_new", lambda x: F.gelu(x, approximate="tanh"), True, False)
with open(os.path.join(HERE, "bert_vectors.lua"), "w") as f:
    f.write("\n".join(out + ["}", ""]))
write_folder()
