"""SCAN training steps a second in PyTorch: encoder, attention decoder, loss, backward, clip, Adam.

The model and the step are those of Gordon et al. (ICLR 2020), batch 1: bidirectional encoder with 64
units a direction, decoder of 128 with attention over the encoder's outputs, dropout 0.1 on the
embedding, teacher forcing for half of the pairs (else up to 50 steps, stopped at EOS), a loss that
stops after the step at which the model says EOS, norms clipped at 5, two Adams at 1e-4.

  as_published   one module call a decoder step, lists and .item() as their training script does
  fast           the same mathematics with as few operations as possible in eager PyTorch

Pairs are drawn from SCAN's lengths (mean 7 words in, 14 actions out) with a fixed seed, or read with
--pairs FILE (lines "IN: ... OUT: ..."). One JSON line a cell, variant and thread count.
"""
import argparse
import random

from common import report, seconds_per_call, torch

F, nn = torch.nn.functional, torch.nn
SOS, EOS, LONGEST = 0, 1, 50


class Encoder(nn.Module):
    def __init__(self, kind, words, size):
        super().__init__()
        self.embedding = nn.Embedding(words, size)
        self.rnn = getattr(nn, kind)(size, size, bidirectional=True)

    def forward(self, ids):
        out, last = self.rnn(self.embedding(ids)[:, None])
        join = lambda s: s.reshape(1, 1, -1)  # noqa: E731
        return out, (join(last[0]), join(last[1])) if isinstance(last, tuple) else join(last)


class Decoder(nn.Module):
    def __init__(self, kind, words, size):
        super().__init__()
        self.embedding = nn.Embedding(words, size)
        self.attn_combine = nn.Linear(2 * size, size)
        self.dropout = nn.Dropout(0.1)
        self.rnn = getattr(nn, kind)(size, size)
        self.out = nn.Linear(size, words)

    def forward(self, word, state, memory):
        e = self.dropout(self.embedding(word).view(1, 1, -1))
        h = state[0] if isinstance(state, tuple) else state
        weights = F.softmax(h[0] @ memory[:, 0].t(), dim=1)
        context = torch.bmm(weights[None], memory.permute(1, 0, 2))
        x = F.relu(self.attn_combine(torch.cat((e[0], context[0]), 1))[None])
        y, state = self.rnn(x, state)
        return F.log_softmax(self.out(y[0]), dim=1), state


def loss_as_published(encoder, decoder, source, target, teacher):
    memory, state = encoder(source)
    outputs = torch.zeros(LONGEST, decoder.out.out_features)
    word, criterion, loss = torch.tensor([[SOS]]), nn.NLLLoss(), 0
    for i in range(len(target) if teacher else LONGEST):
        output, state = decoder(word, state, memory)
        outputs[i] = output
        word = target[i] if teacher else output.topk(1)[1].squeeze().detach()
        if not teacher and word.item() == EOS:
            break
    for i in range(len(target)):
        loss = loss + criterion(outputs[i][None], target[i][None])
        if outputs[i].topk(1)[1].item() == EOS:
            break
    return loss


class FastStep:
    """The decoder with weights taken out of their modules and one fused cell call a step."""

    def __init__(self, kind, decoder):
        self.d, self.kind = decoder, kind
        r = decoder.rnn
        self.weights = (r.weight_ih_l0, r.weight_hh_l0, r.bias_ih_l0, r.bias_hh_l0)
        self.cell = {"LSTM": torch.lstm_cell, "GRU": torch.gru_cell, "RNN": torch.rnn_tanh_cell}[kind]

    def loss(self, encoder, source, target, teacher):
        d, ids = self.d, target.tolist()
        memory, state = encoder(source)
        memory = memory[:, 0]
        state = tuple(s[0] for s in state) if self.kind == "LSTM" else state[0]
        steps = len(ids)
        keep = F.dropout(torch.ones(steps, d.embedding.embedding_dim), 0.1)
        if teacher:
            fed = torch.cat((target.new_tensor([SOS]), target[:-1]))
            embedded = F.embedding(fed, d.embedding.weight) * keep
        word, lasts = SOS, []
        for i in range(steps):
            e = embedded[i:i + 1] if teacher else d.embedding.weight[word:word + 1] * keep[i]
            h = state[0] if self.kind == "LSTM" else state
            context = torch.softmax(h @ memory.t(), 1) @ memory
            x = torch.relu(F.linear(torch.cat((e, context), 1), d.attn_combine.weight,
                                    d.attn_combine.bias))
            state = self.cell(x, state, *self.weights)
            lasts.append(state[0] if self.kind == "LSTM" else state)
            if not teacher:  # the loss ends where the target does, so no step goes further
                with torch.no_grad():
                    word = int(d.out(lasts[-1]).argmax())
                if word == EOS:
                    break
        logits = F.linear(torch.cat(lasts), d.out.weight, d.out.bias)
        said = logits.detach().argmax(1).tolist()
        n = said.index(EOS) + 1 if EOS in said else len(said)
        return F.cross_entropy(logits[:n], target[:n], reduction="sum")


def drawn_pairs(count, rng):
    pairs = []
    for _ in range(count):
        n, m = min(9, max(1, round(rng.gauss(7, 1.5)))), min(48, max(1, round(rng.gauss(13, 8))))
        source = [rng.randrange(2, 15) for _ in range(n)] + [EOS]
        pairs.append((source, [rng.randrange(2, 8) for _ in range(m)] + [EOS]))
    return pairs


def read_pairs(path, count, rng):
    words, actions, pairs = {"SOS": 0, "EOS": 1}, {"SOS": 0, "EOS": 1}, []
    with open(path) as lines:
        for line in lines:
            left, right = line.strip().split(" OUT: ")
            source = [words.setdefault(w, len(words)) for w in left.split()[1:]]
            target = [actions.setdefault(w, len(actions)) for w in right.split()]
            pairs.append((source + [EOS], target + [EOS]))
    return [rng.choice(pairs) for _ in range(count)]


def measure(kind, variant, pairs, seconds):
    torch.manual_seed(0)
    random.seed(0)
    encoder, decoder = Encoder(kind, 15, 64), Decoder(kind, 8, 128)
    optimizers = [torch.optim.Adam(m.parameters(), lr=1e-4) for m in (encoder, decoder)]
    fast = FastStep(kind, decoder)
    turn = 0

    def step():
        nonlocal turn
        source, target = pairs[turn % len(pairs)]
        teacher = turn % 2 == 0
        turn += 1
        for o in optimizers:
            o.zero_grad()
        if variant == "fast":
            loss = fast.loss(encoder, source, target, teacher)
        else:
            loss = loss_as_published(encoder, decoder, source, target, teacher)
        loss.backward()
        for m in (encoder, decoder):
            nn.utils.clip_grad_norm_(m.parameters(), 5.0)
        for o in optimizers:
            o.step()

    return 1 / seconds_per_call(lambda: [step() for _ in range(20)], seconds) * 20


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--cells", default="LSTM", help="comma separated: LSTM,GRU,RNN")
    p.add_argument("--variants", default="as_published,fast")
    p.add_argument("--threads", default="1,2")
    p.add_argument("--seconds", type=float, default=6.0, help="for each measurement")
    p.add_argument("--pairs", help="a SCAN file to draw pairs from")
    a = p.parse_args()
    rng = random.Random(1)
    pairs = read_pairs(a.pairs, 400, rng) if a.pairs else drawn_pairs(400, rng)
    pairs = [(torch.tensor(s), torch.tensor(t)) for s, t in pairs]
    for kind in a.cells.split(","):
        for variant in a.variants.split(","):
            for threads in map(int, a.threads.split(",")):
                torch.set_num_threads(threads)
                report("scan_%s_%s" % (kind.lower(), variant), measure(kind, variant, pairs, a.seconds))


if __name__ == "__main__":
    main()
