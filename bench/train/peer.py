"""How fast PyTorch trains the `tiny` translation model on this machine, on the batches that Regard trains on.

    python bench/train/peer.py batches.jsonl --threads 2
    python bench/train/peer.py --synthetic --threads 2

One line of the file is one batch, {"source": [[ids ...] ...], "target": [[ids ...] ...]}: the source ends with the end
id, the target begins with the beginning id and ends with the end id; padding (0) is added here. Prints one line a step
and then a JSON line with the median. A token is a target token that the model has to predict; reading and padding
batches is not timed, the copy of the loss to Python is.

The model is Vaswani et al. 2017 with the norm before each sublayer, as `tiny` has it, 4 + 4 layers, d 128, feed-forward 256, 4 heads, one embedding shared by
source, target and output, dropout 0.3 on embeddings and on sub-layers' outputs (on attention weights with
--attention-dropout), label smoothing 0.1, Adam(0.9, 0.98), gradients clipped to a norm with --clip. It is written as one
would in PyTorch for speed: scaled_dot_product_attention, one matrix for query, key and value, no logits for padding, the
fused optimiser.
"""

import argparse
import json
import random
import statistics
import time

import torch
from torch import nn
from torch.nn import functional as F

PAD, BOS, EOS, FIRST_WORD = 0, 1, 2, 4


class Attention(nn.Module):
    def __init__(self, width, heads, dropout, crossed):
        super().__init__()
        self.heads, self.dropout, self.crossed = heads, dropout, crossed
        if crossed:
            self.query = nn.Linear(width, width)
            self.key_value = nn.Linear(width, 2 * width)
        else:
            self.query_key_value = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, states, memory=None, seen=None, causal=False):
        if self.crossed:
            parts = [self.query(states), *self.key_value(memory).chunk(2, -1)]
        else:
            parts = self.query_key_value(states).chunk(3, -1)
        query, key, value = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        dropout = self.dropout if self.training else 0.0
        context = F.scaled_dot_product_attention(query, key, value, seen, dropout, is_causal=causal)
        return self.output(context.transpose(1, 2).flatten(2))


class FeedForward(nn.Sequential):
    def __init__(self, width, inner):
        super().__init__(nn.Linear(width, inner), nn.ReLU(inplace=True), nn.Linear(inner, width))


class Layer(nn.Module):
    def __init__(self, arguments, crossed):
        super().__init__()
        width, heads = arguments.width, arguments.heads
        self.attention = Attention(width, heads, arguments.attention_dropout, crossed=False)
        self.cross = Attention(width, heads, arguments.attention_dropout, crossed=True) if crossed else None
        self.feed_forward = FeedForward(width, arguments.inner)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3 if crossed else 2))
        self.dropout = nn.Dropout(arguments.dropout)

    def forward(self, states, memory=None, seen=None):
        """An encoder layer where `seen` hides its own padding, a decoder layer where it hides the memory's."""
        normed = self.norms[0](states)
        if self.cross is None:
            states = states + self.dropout(self.attention(normed, seen=seen))
        else:
            states = states + self.dropout(self.attention(normed, causal=True))
            states = states + self.dropout(self.cross(self.norms[1](states), memory, seen))
        return states + self.dropout(self.feed_forward(self.norms[-1](states)))


class Transformer(nn.Module):
    def __init__(self, arguments):
        super().__init__()
        width = arguments.width
        self.embedding = nn.Embedding(arguments.vocabulary, width)
        nn.init.normal_(self.embedding.weight, std=width**-0.5)
        self.encoder = nn.ModuleList(Layer(arguments, crossed=False) for _ in range(arguments.layers))
        self.decoder = nn.ModuleList(Layer(arguments, crossed=True) for _ in range(arguments.layers))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.dropout = nn.Dropout(arguments.dropout)
        angle = torch.arange(arguments.longest)[:, None] / 10000 ** (torch.arange(0, width, 2) / width)
        self.register_buffer("positions", torch.stack([angle.sin(), angle.cos()], -1).flatten(1))

    def embed(self, ids):
        scale = self.embedding.embedding_dim**0.5
        return self.dropout(self.embedding(ids) * scale + self.positions[: ids.shape[1]])

    def forward(self, source, target, real):
        """Logits of the `real` target positions, [tokens, vocabulary]."""
        seen = (source != PAD)[:, None, None, :]
        # A batch without padding needs no mask, and PyTorch is faster without one.
        seen = None if seen.all() else seen
        memory = self.embed(source)
        for layer in self.encoder:
            memory = layer(memory, seen=seen)
        memory = self.norms[0](memory)
        states = self.embed(target)
        for layer in self.decoder:
            states = layer(states, memory, seen)
        return F.linear(self.norms[1](states[real]), self.embedding.weight)


def synthetic(count, vocabulary, tokens, seed):
    """Batches such as training meets: pairs of about one length, 10 to 30 tokens, `tokens` padded target tokens."""
    chance = random.Random(seed)

    def words(length):
        return [chance.randrange(FIRST_WORD, vocabulary) for _ in range(length)]

    for _ in range(count):
        longest = chance.randint(12, 30)
        lengths = [chance.randint(longest - 2, longest) for _ in range(tokens // longest)]
        yield {
            "source": [words(max(1, length + chance.randint(-2, 2) - 1)) + [EOS] for length in lengths],
            "target": [[BOS] + words(length - 1) + [EOS] for length in lengths],
        }


def padded(rows):
    return nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=PAD)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("batches", nargs="?", help="JSON lines, one batch a line")
    parser.add_argument("--synthetic", action="store_true", help="make batches up instead of reading them")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=20, help="timed steps; the batches are taken in turn")
    parser.add_argument("--warm-up", type=int, default=3, help="steps that are not counted")
    parser.add_argument("--tokens", type=int, default=4096, help="padded target tokens in a synthetic batch")
    parser.add_argument("--vocabulary", type=int, default=10_000)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--inner", type=int, default=256)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--dropout", type=float, default=0.3)
    parser.add_argument("--attention-dropout", type=float, default=0.0)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--clip", type=float, default=0.0)
    parser.add_argument("--longest", type=int, default=1024)
    arguments = parser.parse_args()
    if arguments.synthetic == bool(arguments.batches):
        parser.error("give a file of batches or --synthetic")

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(1)
    if arguments.synthetic:
        rows = list(synthetic(arguments.warm_up + arguments.steps, arguments.vocabulary, arguments.tokens, seed=1))
    else:
        with open(arguments.batches, encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines if line.strip()]
    batches = [(padded(row["source"]), padded(row["target"])) for row in rows]

    model = Transformer(arguments).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=arguments.rate, betas=(0.9, 0.98), eps=1e-9, fused=True)
    rates = []
    for step in range(arguments.warm_up + arguments.steps):
        source, target = batches[step % len(batches)]
        start = time.perf_counter()
        given, wanted = target[:, :-1], target[:, 1:]
        real = wanted != PAD
        logits = model(source, given, real)
        loss = F.cross_entropy(logits, wanted[real], label_smoothing=0.1)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if arguments.clip:
            nn.utils.clip_grad_norm_(model.parameters(), arguments.clip)
        optimizer.step()
        value = loss.item()
        seconds = time.perf_counter() - start
        tokens = int(real.sum())
        if step >= arguments.warm_up:
            rates.append(tokens / seconds)
            speed = f"{tokens:5} tokens  {seconds:6.3f} s  {rates[-1]:8.0f} tokens/s"
            print(f"step {step:3}  loss {value:7.4f}  {speed}", flush=True)
    print(
        json.dumps(
            {
                "package": f"torch {torch.__version__}",
                "threads": arguments.threads,
                "steps": len(rates),
                "parameters": sum(parameter.numel() for parameter in model.parameters()),
                "median_tokens_per_second": round(statistics.median(rates)),
                "slowest": round(min(rates)),
                "fastest": round(max(rates)),
            }
        )
    )


if __name__ == "__main__":
    main()
