"""Writes spec/support/gpt2: small GPT-2 models with random weights in the layouts of Hugging Face,
nanoGPT and minGPT, and what PyTorch computes with them (vectors.lua).

Run with a Python that has torch:
    python3 spec/support/make_gpt2_vectors.py
With --large FOLDER it writes a model of GPT-2 small's size with random weights there instead, its
logits and the gradients of one step as safetensors, for the check that `make gpt2-check` runs.
The model is written here once more, from the formulas in models/gpt2.lua. Weights are f32; small
models are computed in f64. Ids in files and here count from 0, in vectors.lua from 1.
"""
import json
import math
import os
import struct
import sys

import torch
from torch.nn import functional as F

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "gpt2")
IDS = [[3, 5, 12, 0, 7, 7], [1, 2, 10, 4, 4, 9]]
PADS = [2, 0]  # of the same rows when they are padded on the left to the same end


def gelu_new(x):
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3)))


ACTIVATIONS = {"gelu_new": gelu_new, "gelu": F.gelu, "relu": F.relu}


def make(c, deviation):
    """Parameters by Hugging Face's names, [in, out]; larger than GPT-2's own, so that it matters."""
    d, inner = c["n_embd"], c.get("n_inner") or 4 * c["n_embd"]
    p = {"wte.weight": [c["vocab_size"], d], "wpe.weight": [c["n_positions"], d]}
    for i in range(c["n_layer"]):
        h = "h.%d." % i
        for name, sizes in (("attn.c_attn", [d, 3 * d]), ("attn.c_proj", [d, d]),
                            ("mlp.c_fc", [d, inner]), ("mlp.c_proj", [inner, d])):
            p[h + name + ".weight"], p[h + name + ".bias"] = sizes, sizes[1:]
        for name in ("ln_1", "ln_2"):
            p[h + name + ".weight"], p[h + name + ".bias"] = [d], [d]
    p["ln_f.weight"], p["ln_f.bias"] = [d], [d]
    if not c.get("tie_word_embeddings", True):
        p["lm_head.weight"] = [c["vocab_size"], d]
    state = {}
    for name, sizes in p.items():
        if not c.get("bias", True) and name.endswith(".bias"):
            continue
        state[name] = torch.randn(sizes) * deviation
        if "ln_" in name and name.endswith("weight"):
            state[name] += 1
    return state


def attend(c, p, h, x, hidden, i):
    b, t, d = x.shape
    heads = c["n_head"]
    q, k, v = (x @ p[h + "c_attn.weight"] + p.get(h + "c_attn.bias", 0)).split(d, 2)
    q, k, v = (y.reshape(b, t, heads, d // heads).transpose(1, 2) for y in (q, k, v))
    scores = q @ k.transpose(2, 3) / math.sqrt(d // heads)
    if c.get("scale_attn_by_inverse_layer_idx"):
        scores = scores / (i + 1)
    weights = scores.masked_fill(hidden, -1e30).softmax(-1)
    y = (weights @ v).transpose(1, 2).reshape(b, t, d)
    return y @ p[h + "c_proj.weight"] + p.get(h + "c_proj.bias", 0)


def logits_of(c, p, ids, mask=None):
    b, t = ids.shape
    hidden = torch.ones(t, t, dtype=torch.bool).triu(1)[None, None]
    place = torch.arange(t)[None].expand(b, t)
    if mask is not None:
        hidden = hidden | ~mask[:, None, None]
        place = (mask.long().cumsum(1) - 1).clamp(min=0)
    act = ACTIVATIONS[c.get("activation_function", "gelu_new")]
    x = p["wte.weight"][ids] + p["wpe.weight"][place]

    def norm(name, x):
        return F.layer_norm(x, x.shape[-1:], p[name + ".weight"], p.get(name + ".bias"),
                            c.get("layer_norm_epsilon", 1e-5))
    for i in range(c["n_layer"]):
        h = "h.%d." % i
        x = x + attend(c, p, h + "attn.", norm(h + "ln_1", x), hidden, i)
        y = norm(h + "ln_2", x) @ p[h + "mlp.c_fc.weight"] + p.get(h + "mlp.c_fc.bias", 0)
        x = x + act(y) @ p[h + "mlp.c_proj.weight"] + p.get(h + "mlp.c_proj.bias", 0)
    return norm("ln_f", x) @ p.get("lm_head.weight", p["wte.weight"]).T


def loss_of(c, p, ids):
    y = logits_of(c, p, ids[:, :-1])
    return F.cross_entropy(y.reshape(-1, y.shape[-1]), ids[:, 1:].reshape(-1))


# ---- files ----

def write_safetensors(path, tensors):
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, x in sorted(tensors.items()):
        header[name] = {"dtype": "F32", "shape": list(x.shape),
                        "data_offsets": [at, at + 4 * x.numel()]}
        at += 4 * x.numel()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for name, x in sorted(tensors.items()):
            f.write(x.detach().float().contiguous().numpy().tobytes())


def write_config(folder, c):
    os.makedirs(folder, exist_ok=True)
    c = dict(c, model_type="gpt2", architectures=["GPT2LMHeadModel"], n_ctx=c["n_positions"],
             task_specific_params=None)
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump(c, f, indent=2)
        f.write("\n")


def masks(c):
    n = c["n_positions"]
    buffers = {}
    for i in range(c["n_layer"]):
        buffers["h.%d.attn.bias" % i] = torch.ones(n, n).tril()[None, None]
        buffers["h.%d.attn.masked_bias" % i] = torch.tensor(-1e4)
    return buffers


def linear_layout(state, prefix):
    """[out, in], as nn.Linear has it, with the output layer under its own name too."""
    result = {}
    for name, x in state.items():
        turned = name.endswith(".weight") and ".c_" in name
        result[prefix + "transformer." + name] = x.t().contiguous() if turned else x
    result[prefix + "lm_head.weight"] = result[prefix + "transformer.wte.weight"]
    return result


def nanogpt(path, c, state):
    params = {k: torch.nn.Parameter(v.clone()) for k, v in state.items()}
    optimizer = torch.optim.AdamW(params.values(), lr=0.0, weight_decay=0.0)
    loss_of(c, params, torch.tensor(IDS)).backward()
    optimizer.step()
    args = dict(n_layer=c["n_layer"], n_head=c["n_head"], n_embd=c["n_embd"], bias=c["bias"],
                block_size=c["n_positions"], vocab_size=c["vocab_size"], dropout=0.25)
    torch.save({"model": linear_layout(state, "_orig_mod."), "optimizer": optimizer.state_dict(),
                "model_args": args, "iter_num": 7, "best_val_loss": torch.tensor(1.5),
                "config": {"out_dir": "out", "wandb_log": False, "learning_rate": 6e-4,
                           "always_save_checkpoint": True, "seed": None}}, path)


# ---- vectors ----

def lua(v):
    if isinstance(v, torch.Tensor):
        words = [repr(x) for x in v.detach().reshape(-1).tolist()]
        rows = ["      " + ", ".join(words[i:i + 4]) for i in range(0, len(words), 4)]
        return "{\n" + ",\n".join(rows) + "}"
    if isinstance(v, list):
        return "{" + ", ".join(lua(x) for x in v) + "}"
    return repr(v)


def results(c, state):
    p = {k: v.double().requires_grad_() for k, v in state.items()}
    ids = torch.tensor(IDS)
    mask = torch.tensor([[j >= n for j in range(len(IDS[0]))] for n in PADS])
    loss = loss_of(c, p, ids)
    loss.backward()
    lines = ["    logits = %s," % lua(logits_of(c, p, ids)), "    loss = %s," % lua(loss.item()),
             "    padded = %s," % lua(logits_of(c, p, ids, mask)[:, 2:]), "    gradients = {"]
    for name, x in sorted(p.items()):
        g = x.grad.reshape(-1)
        wave = torch.sin(torch.arange(1, len(g) + 1, dtype=torch.float64))
        lines.append("      [%s] = {%r,\n        %r}," % (json.dumps(name), g.sum().item(),
                                                       (g * wave).sum().item()))
    return "\n".join(lines + ["    },"])


def small():
    torch.manual_seed(1)
    size = dict(vocab_size=13, n_positions=10, n_embd=8, n_layer=2, n_head=2)
    plain = dict(size, activation_function="gelu_new", layer_norm_epsilon=1e-5, n_inner=None)
    other = dict(size, activation_function="relu", layer_norm_epsilon=1e-3, n_inner=12,
                 scale_attn_by_inverse_layer_idx=True, tie_word_embeddings=False)
    bare = dict(size, activation_function="gelu", bias=False)
    cases = {name: (c, make(c, 0.4)) for name, c in
             (("plain", plain), ("other", other), ("bare", bare))}
    for name, c in (("plain", plain), ("other", other), ("prefixed", plain)):
        write_config(os.path.join(HERE, name), c)
    state = cases["plain"][1]
    write_safetensors(os.path.join(HERE, "plain", "model.safetensors"), state)
    write_safetensors(os.path.join(HERE, "other", "model.safetensors"), {
        k if k == "lm_head.weight" else "transformer." + k: v
        for k, v in cases["other"][1].items()})
    torch.save({**{"transformer." + k: v for k, v in {**state, **masks(plain)}.items()},
                "lm_head.weight": state["wte.weight"]},
               os.path.join(HERE, "prefixed", "pytorch_model.bin"))
    nanogpt(os.path.join(HERE, "nanogpt.pt"), bare, cases["bare"][1])
    buffers = {"transformer." + k: v for k, v in masks(plain).items() if "masked" not in k}
    torch.save({**linear_layout(state, ""), **buffers}, os.path.join(HERE, "mingpt.pt"))
    with open(os.path.join(HERE, "vectors.lua"), "w") as f:
        f.write("-- What PyTorch computes with the models beside this file; made by "
                "make_gpt2_vectors.py.\nreturn {\n  ids = %s,\n  pads = %s,\n" %
                (lua([[i + 1 for i in row] for row in IDS]), lua(PADS)))
        for name, (c, state) in cases.items():
            f.write("  %s = {\n%s\n  },\n" % (name, results(c, state)))
        f.write("}\n")


def large(folder):
    torch.manual_seed(2)
    c = dict(vocab_size=50257, n_positions=1024, n_embd=768, n_layer=12, n_head=12,
             activation_function="gelu_new", layer_norm_epsilon=1e-5)
    state = make(c, 0.02)
    write_config(folder, c)
    write_safetensors(os.path.join(folder, "model.safetensors"), state)
    p = {k: v.requires_grad_() for k, v in state.items()}
    ids = torch.randint(0, 50257, (2, 33))
    with torch.no_grad():
        logits = logits_of(c, p, ids[:, :-1])
    loss = loss_of(c, p, ids)
    loss.backward()
    out = {"gradient." + k: v.grad for k, v in p.items()}
    out.update(logits=logits, ids=ids.float() + 1, loss=loss.reshape(1))
    write_safetensors(os.path.join(folder, "reference.safetensors"), out)


if len(sys.argv) > 2 and sys.argv[1] == "--large":
    large(sys.argv[2])
else:
    small()
