"""Writes small random checkpoints of every encoder family, as transformers saves them, and what transformers computes from them.

    pip install torch transformers numpy safetensors
    python crates/models/tests/pretrained/encoders.py

For each family a folder with config.json and model.safetensors (some in 16 bits) that holds one body with two heads, for
hidden tokens and for labels, as save_pretrained calls their tensors; and expected.safetensors: `ids` and `segments` [2, L], of which
the first `lengths` of each row are a text, the states of the last layer, the scores of `tokens` and of `labels`, and the attention
weights [layer, batch, head, query, key]. Weights have a spread of 0.3, so that nothing is near to uniform. Models of 16 bits are
computed in 32.

Longformer's first position is global in all of that, as transformers has it where labels are read; `local.states` are those without.
BigBird's texts are long enough for its blocks; `full.states` are those of their first 9 positions, which are not. Where a block is
drawn more than once, transformers writes the weights that it has each time over each other; here they are added.
"""

import shutil
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.numpy import save_file
from safetensors.torch import load_file
from safetensors.torch import save_file as save_tensors

HERE = Path(__file__).parent
VOCABULARY = 23
BLOCK, RANDOM = 2, 2
COMMON = dict(
    vocab_size=VOCABULARY, hidden_size=16, intermediate_size=20, num_hidden_layers=2, num_attention_heads=4,
    max_position_embeddings=24, id2label={0: "bad", 1: "so-so", 2: "good"},
)
FAMILIES = {
    "bert": ("Bert", transformers.BertConfig(**COMMON)),
    "roberta": ("Roberta", transformers.RobertaConfig(**COMMON, type_vocab_size=1, pad_token_id=1)),
    "distilbert": (
        "DistilBert",
        transformers.DistilBertConfig(
            vocab_size=VOCABULARY, dim=16, hidden_dim=20, n_layers=2, n_heads=4, max_position_embeddings=24,
            id2label=COMMON["id2label"], tie_word_embeddings=False,
        ),
    ),
    "albert": (
        "Albert",
        transformers.AlbertConfig(**{**COMMON, "num_hidden_layers": 3}, embedding_size=6, num_hidden_groups=2),
    ),
    "longformer": (
        "Longformer",
        transformers.LongformerConfig(**COMMON, type_vocab_size=1, pad_token_id=1, attention_window=[4, 8]),
    ),
    "big_bird": (
        "BigBird",
        transformers.BigBirdConfig(
            **{**COMMON, "num_attention_heads": 2}, block_size=BLOCK, num_random_blocks=RANDOM, use_bias=False,
            rescale_embeddings=True, sep_token_id=2,
        ),
    ),
}
DTYPES = {"roberta": torch.bfloat16, "longformer": torch.float16, "big_bird": torch.float16}
LENGTHS = {"big_bird": [19, 12]}


def model(kind, head, config, body=None):
    config._attn_implementation = "eager"
    torch.manual_seed(len(head))
    model = getattr(transformers, f"{kind}For{head}")(config).eval()
    for name, parameter in model.named_parameters():
        norm = "norm" in name.lower() and "weight" in name
        torch.nn.init.normal_(parameter, 1.0 if norm else 0.0, 0.3)
    if body is not None:
        model.base_model.load_state_dict(body.base_model.state_dict(), strict=False)
    return model


def save(folder, tokens, labels):
    """One checkpoint with the tensors of both."""
    labels.save_pretrained(folder)
    ours = load_file(folder / "model.safetensors")
    tokens.save_pretrained(folder)
    theirs = load_file(folder / "model.safetensors")
    assert all(torch.equal(ours[name], theirs[name]) for name in ours.keys() & theirs.keys())
    save_tensors({**ours, **theirs}, folder / "model.safetensors", {"format": "pt"})
    (folder / "generation_config.json").unlink(missing_ok=True)


def spread(near, far, length, windows):
    """Longformer's weights: from so many to either side of a query, after those of the global key 0, to every key."""
    layers = []
    for near, far, window in zip(near, far, windows):
        reach = window // 2
        weights = torch.zeros(near.shape[0], near.shape[1], length, length)
        for query in range(length):
            for offset in range(-reach, reach + 1):
                if 0 <= query + offset < length:
                    weights[:, :, query, query + offset] += near[:, :, query, 1 + reach + offset]
            weights[:, :, query, 0] += near[:, :, query, 0]
        weights[:, :, 0] = far[:, :, :length, 0]
        layers.append(weights)
    return layers


def write(name, kind, config):
    tokens = model(kind, "MaskedLM", config)
    labels = model(kind, "SequenceClassification", config, tokens)
    dtype = DTYPES.get(name, torch.float32)
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    save(folder, tokens.to(dtype), labels.to(dtype))
    tokens, labels = tokens.float(), labels.float()
    lengths = LENGTHS.get(name, [9, 6])
    length = lengths[0]
    torch.manual_seed(0)
    # The token that RoBERTa fills up with is within the first text, too.
    ids = torch.randint(2, VOCABULARY, (2, length))
    ids[0, 3] = 1
    mask = (torch.arange(length)[None] < torch.tensor(lengths)[:, None]).long()
    inputs = dict(input_ids=ids, attention_mask=mask)
    kinds = getattr(config, "type_vocab_size", 0)
    segments = torch.randint(max(kinds, 1), (2, length))
    if kinds:
        inputs["token_type_ids"] = segments
    arrays = dict(ids=ids, segments=segments, lengths=torch.tensor(lengths)[None])
    with torch.no_grad():
        out = labels(**inputs, output_attentions=True, output_hidden_states=True)
        weights = out.attentions
        first = {}
        if name == "longformer":
            weights = spread(weights, out.global_attentions, length, config.attention_window)
            first["global_attention_mask"] = (torch.arange(length)[None] == 0).long().expand(2, -1)
            local = tokens(**inputs, output_hidden_states=True).hidden_states[-1]
            arrays["local.states"] = local[:, :length]
        if name == "big_bird":
            weights = [layer[:, :, :length, :length].clone() for layer in weights]
            for layer in weights:
                end = BLOCK * (-(-length // BLOCK) - 1)
                layer[:, :, BLOCK:end, :BLOCK] *= 1 + RANDOM
        arrays["states"] = out.hidden_states[-1][:, :length]
        arrays["tokens"] = tokens(**inputs, **first).logits
        arrays["labels"] = out.logits
        arrays["weights"] = torch.stack(list(weights))
        if name == "big_bird":
            # From here on the model looks at everything.
            short = {key: value[:, :9] for key, value in inputs.items()}
            arrays["full.states"] = labels(**short, output_hidden_states=True).hidden_states[-1]
    arrays = {
        key: np.ascontiguousarray(value.numpy().astype(np.float32 if value.is_floating_point() else np.int32))
        for key, value in arrays.items()
    }
    save_file(arrays, folder / "expected.safetensors", {"package": "transformers", "version": transformers.__version__})


if __name__ == "__main__":
    for name, (kind, config) in FAMILIES.items():
        write(name, kind, config)
