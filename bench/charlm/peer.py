"""A character model in PyTorch by nanoGPT's recipe for a CPU, written anew: what `regard train charlm` is timed beside.

    python bench/charlm/peer.py $REGARD_DATA/tinyshakespeare/input.txt --threads 2

4 layers, 4 heads, d 128, context 64, no biases, no dropout; batches of 12 random windows, 2,000 steps of AdamW (rate 1e-3
after 100 steps, cosine to 1e-4, betas 0.9 and 0.99, decay 0.1 of matrices, clipped to norm 1), not compiled. As there, every 250 steps
both parts are estimated on 20 random batches. The last line is JSON: seconds of it all, and the loss over the whole last tenth of
the text in windows side by side, which is what `regard train charlm` reports.
"""

import argparse
import json
import math
import time

import torch
from torch import nn
from torch.nn import functional as F

CONTEXT, WIDTH, HEADS, LAYERS, ROWS = 64, 128, 4, 4, 12
STEPS, WARMUP, RATE, FLOOR, EVERY, ESTIMATES = 2000, 100, 1e-3, 1e-4, 250, 20


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.before, self.between = nn.LayerNorm(WIDTH, bias=False), nn.LayerNorm(WIDTH, bias=False)
        self.project = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.join = nn.Linear(WIDTH, WIDTH, bias=False)
        self.widen = nn.Linear(WIDTH, 4 * WIDTH, bias=False)
        self.narrow = nn.Linear(4 * WIDTH, WIDTH, bias=False)

    def forward(self, x):
        rows, length, _ = x.shape
        heads = self.project(self.before(x)).view(rows, length, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        context = F.scaled_dot_product_attention(*heads, is_causal=True)
        x = x + self.join(context.transpose(1, 2).reshape(rows, length, WIDTH))
        return x + self.narrow(F.gelu(self.widen(self.between(x))))


class Model(nn.Module):
    def __init__(self, vocabulary):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH, bias=False)
        for name, weight in self.named_parameters():
            if weight.dim() > 1:
                added = name.endswith(("join.weight", "narrow.weight"))
                nn.init.normal_(weight, std=0.02 / math.sqrt(2 * LAYERS) if added else 0.02)

    def forward(self, ids, targets):
        x = self.tokens(ids) + self.positions.weight[: ids.shape[1]]
        for layer in self.layers:
            x = layer(x)
        logits = self.norm(x) @ self.tokens.weight.T
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def batch(part):
    starts = torch.randint(len(part) - CONTEXT, (ROWS,))
    windows = torch.stack([part[start : start + CONTEXT + 1] for start in starts])
    return windows[:, :-1], windows[:, 1:]


def rate(step):
    if step < WARMUP:
        return RATE * step / WARMUP
    done = (step - WARMUP) / (STEPS - WARMUP)
    return FLOOR + (RATE - FLOOR) * 0.5 * (1 + math.cos(math.pi * done))


@torch.no_grad()
def whole(model, part):
    total = 0.0
    for start in range(0, len(part) - 1, CONTEXT):
        window = part[start : start + CONTEXT + 1]
        total += model(window[None, :-1], window[None, 1:]).item() * (len(window) - 1)
    return total / (len(part) - 1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("text")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1337)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    text = open(options.text, encoding="utf-8").read()
    ids = {character: index for index, character in enumerate(sorted(set(text)))}
    data = torch.tensor([ids[character] for character in text])
    train, dev = data[: len(data) * 9 // 10], data[len(data) * 9 // 10 :]
    began = time.perf_counter()
    model = Model(len(ids))
    matrices = [weight for weight in model.parameters() if weight.dim() > 1]
    vectors = [weight for weight in model.parameters() if weight.dim() == 1]
    groups = [dict(params=matrices, weight_decay=0.1), dict(params=vectors, weight_decay=0.0)]
    adam = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.99))
    for step in range(1, STEPS + 1):
        for group in adam.param_groups:
            group["lr"] = rate(step)
        loss = model(*batch(train))
        adam.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()
        if step % EVERY == 0:
            with torch.no_grad():
                means = [sum(model(*batch(part)).item() for _ in range(ESTIMATES)) / ESTIMATES for part in (train, dev)]
            print(f"step {step}: training {means[0]:.4f}, development {means[1]:.4f}", flush=True)
    seconds = time.perf_counter() - began
    print(json.dumps({"seconds": round(seconds, 1), "loss": round(whole(model, dev), 4), "threads": options.threads}))


if __name__ == "__main__":
    main()
