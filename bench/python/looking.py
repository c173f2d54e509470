"""Peak memory and time of looking at all of a model's attention, beside ``output_attentions=True``.

    python bench/python/looking.py [TOKENS ...]

A LLaMA-shaped model (2 layers, 4 heads that share 2 of keys, 32 wide, random weights) reads so many tokens: 2,048, 8,192 and
32,768 unless said. What the weights would take that "eager" returns is not tried beyond 16 GB. Each number is from a process of
its own: the most memory it ever held, less what it held before the model ran.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time

LAYERS, HEADS = 2, 4
MOST = 16e9


def measure(way: str, tokens: int) -> None:
    """One forward pass, and a look: prints seconds and megabytes."""
    import torch
    from transformers import LlamaConfig, LlamaModel

    import regard
    import regard.transformers  # noqa: F401

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=256,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=2,
        max_position_embeddings=tokens,
    )
    model = LlamaModel._from_config(config, attn_implementation="eager" if way == "eager" else "regard").eval()
    ids = torch.randint(0, 256, (1, tokens))
    with torch.no_grad():
        model(input_ids=ids[:, :16])
    before, began = peak(), time.perf_counter()
    with torch.no_grad():
        if way == "eager":
            maps = model(input_ids=ids, output_attentions=True).attentions
            maps[1][0, 2].amax()
        elif way == "plain":
            model(input_ids=ids)
        else:
            with regard.look(model) as trace:
                model(input_ids=ids)
            trace.map(layer=1, head=2)
            trace.weight(layer=1, head=2, query=tokens - 1, key=tokens // 2)
    print(time.perf_counter() - began, peak() - before)


def peak() -> float:
    """Megabytes, the most there ever were."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(lengths: list[int]) -> None:
    print("| tokens | forward alone | `regard.look`, a map and a weight | `output_attentions=True` |\n|---|---|---|---|")
    for tokens in lengths:
        cells = []
        for way in ("plain", "look", "eager"):
            if way == "eager" and (size := 4.0 * LAYERS * HEADS * tokens**2) > MOST:
                cells.append(f"not tried: {size / 1e9:.0f} GB of weights")
                continue
            run = [sys.executable, __file__, "--measure", way, str(tokens)]
            seconds, megabytes = map(float, subprocess.run(run, check=True, capture_output=True, text=True).stdout.split())
            cells.append(f"{megabytes:.0f} MB, {seconds:.1f} s")
        print(f"| {tokens:,} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(sys.argv[2], int(sys.argv[3]))
    else:
        main([int(given) for given in sys.argv[1:]] or [2048, 8192, 32768])
