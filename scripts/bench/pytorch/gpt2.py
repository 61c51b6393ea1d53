"""GPT-2 in PyTorch beside scripts/bench/gpt2.lua: one JSON line a task.

A compact GPT-2 (Radford et al. 2019) with random weights, computing what Hugging Face's does: the
same matrices [in, out] through addmm, gelu_new written out, a cache that grows by torch.cat, the
head tied to the embedding. No dropout. --fused-gelu: torch's own gelu instead of the one written
out, which is faster.

  decode    a token for each of --batch rows behind a prompt of --prompt, median over the tokens
  prompt    the logits of the last of --prompt tokens
  train     forward, cross entropy, backward, AdamW on --batch x --prompt tokens"""
import argparse
import math
import resource
import statistics
import time

from common import report, seconds_per_call, torch

F, nn = torch.nn.functional, torch.nn
SIZES = {"small": (12, 12, 768), "tiny": (2, 2, 32)}
WORDS, PLACES = 50257, 1024
FUSED_GELU = False


class Conv1D(nn.Module):
    def __init__(self, fan_in, fan_out):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(fan_in, fan_out) * 0.02)
        self.bias = nn.Parameter(torch.zeros(fan_out))

    def forward(self, x):
        shape = x.size()[:-1] + (self.bias.size(0),)
        return torch.addmm(self.bias, x.view(-1, x.size(-1)), self.weight).view(shape)


def gelu_new(x):
    if FUSED_GELU:
        return F.gelu(x, approximate="tanh")
    return 0.5 * x * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * torch.pow(x, 3.0))))


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.c_attn, self.c_proj = Conv1D(width, 3 * width), Conv1D(width, width)
        self.c_fc, self.mlp_proj = Conv1D(width, 4 * width), Conv1D(4 * width, width)
        later = torch.ones(PLACES, PLACES, dtype=torch.bool).tril()[None, None]
        self.register_buffer("causal", later, persistent=False)

    def attend(self, x, past):
        B, T, D = x.shape
        q, k, v = (y.view(B, T, self.heads, -1).permute(0, 2, 1, 3)
                   for y in self.c_attn(x).split(D, dim=2))
        if past is not None:
            k, v = torch.cat((past[0], k), dim=-2), torch.cat((past[1], v), dim=-2)
        scores = torch.matmul(q, k.transpose(-1, -2)) / math.sqrt(q.size(-1))
        S = k.size(-2)
        least = torch.full([], torch.finfo(scores.dtype).min)
        scores = torch.where(self.causal[:, :, S - T:S, :S], scores, least)
        y = torch.matmul(F.softmax(scores, dim=-1), v)
        return self.c_proj(y.permute(0, 2, 1, 3).contiguous().view(B, T, D)), (k, v)

    def forward(self, x, past):
        y, now = self.attend(self.ln_1(x), past)
        x = x + y
        return x + self.mlp_proj(gelu_new(self.c_fc(self.ln_2(x)))), now


class GPT2(nn.Module):
    def __init__(self, layers, heads, width):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(WORDS, width), nn.Embedding(PLACES, width)
        nn.init.normal_(self.wte.weight, std=0.02)
        self.h = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.ln_f = nn.LayerNorm(width)

    def forward(self, ids, past=None, last=False):
        start = past[0][0].size(-2) if past else 0
        x = self.wte(ids) + self.wpe(torch.arange(start, start + ids.size(1)))
        now = []
        for i, block in enumerate(self.h):
            x, kv = block(x, past[i] if past else None)
            now.append(kv)
        x = self.ln_f(x[:, -1:] if last else x)
        return F.linear(x, self.wte.weight), now


def decode(net, a):
    times, start = [], time.perf_counter()
    ids = torch.randint(WORDS, (a.batch, a.prompt))
    with torch.no_grad():
        while not times or time.perf_counter() - start < a.seconds:
            past = net(ids, last=True)[1]
            for i in range(a.tokens):
                token = torch.randint(WORDS, (a.batch, 1))
                begin = time.perf_counter()
                past = net(token, past)[1]
                if i > 1:
                    times.append(time.perf_counter() - begin)
    return statistics.median(times)


def prompt(net, a):
    ids = torch.randint(WORDS, (a.batch, a.prompt))
    with torch.no_grad():
        return seconds_per_call(lambda: net(ids, last=True), a.seconds, rounds=5)


def train(net, a):
    ids = torch.randint(WORDS, (a.batch, a.prompt + 1))
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4)

    def step():
        optimizer.zero_grad(set_to_none=True)
        logits = net(ids[:, :-1])[0]
        F.cross_entropy(logits.view(-1, WORDS), ids[:, 1:].reshape(-1)).backward()
        optimizer.step()
    return seconds_per_call(step, a.seconds, rounds=3)


def main():
    global FUSED_GELU
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--task", choices=("decode", "prompt", "train"), required=True)
    p.add_argument("--size", choices=sorted(SIZES), default="small")
    p.add_argument("--batch", type=int, default=1)
    p.add_argument("--prompt", type=int, default=64)
    p.add_argument("--tokens", type=int, default=32, help="decoded behind each prompt")
    p.add_argument("--fused-gelu", action="store_true")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--seconds", type=float, default=3.0)
    p.add_argument("--cpu-time", action="store_true", help="of the process, not of the clock")
    a = p.parse_args()
    if a.cpu_time:
        time.perf_counter = time.process_time
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    FUSED_GELU = a.fused_gelu
    net = GPT2(*SIZES[a.size])
    seconds = {"decode": decode, "prompt": prompt, "train": train}[a.task](net, a)
    report("gpt2 " + a.task, 1 / seconds, seconds=seconds,
           peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    main()
