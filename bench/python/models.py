"""Whole models of transformers, with random weights, with attention "sdpa" and with "regard".

    python models.py [SECONDS A ROW]
"""

from __future__ import annotations

import sys

import torch
import transformers
from measure import head, row, turns

import regard.transformers  # noqa: F401

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 8
NAMES = ["regard", "sdpa"]


def pair(kind, **settings):
    """The same model with both."""
    models = {}
    for name in NAMES:
        config = kind.config_class(**settings)
        config._attn_implementation = name
        torch.manual_seed(0)
        models[name] = kind(config).eval()
    return models


def compare(what, models, run):
    with torch.no_grad():
        row(what, turns({name: (lambda model=model: run(model)) for name, model in models.items()}, SECONDS, least=3), NAMES)


def minilm():
    models = pair(
        transformers.BertModel, hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536, vocab_size=8000
    )
    for batch, length in [(32, 128), (8, 512)]:
        ids = torch.randint(0, 8000, (batch, length))
        compare(f"MiniLM (6 layers, 384 wide), {batch} texts of {length}", models, lambda model: model(input_ids=ids))
        real = (torch.arange(length) < torch.randint(length // 4, length + 1, (batch, 1))).long()
        padded = {"input_ids": ids, "attention_mask": real}
        compare(f"the same, padded: {real.float().mean():.0%} real", models, lambda model: model(**padded))


def llama():
    models = pair(
        transformers.LlamaForCausalLM,
        hidden_size=512,
        num_hidden_layers=6,
        num_attention_heads=8,
        num_key_value_heads=4,
        intermediate_size=1408,
        vocab_size=8000,
        max_position_embeddings=8192,
    )
    for length in (512, 2048):
        ids = torch.randint(0, 8000, (1, length))
        compare(f"LLaMA (6 layers, 512 wide), prefill of {length}", models, lambda model: model(input_ids=ids, logits_to_keep=1))
    caches = {}
    for name, model in models.items():
        with torch.no_grad():
            caches[name] = model(input_ids=ids, logits_to_keep=1, use_cache=True).past_key_values

    def decode(model):
        cache = caches[model.config._attn_implementation]
        model(input_ids=ids[:, :1], past_key_values=cache, use_cache=True)
        cache.crop(-1)

    compare("the same, one token after 2048", models, decode)


def main():
    transformers.logging.set_verbosity_error()
    head("a forward pass", NAMES)
    minilm()
    llama()


main()
