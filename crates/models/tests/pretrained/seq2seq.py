"""Writes small random checkpoints of every encoder–decoder family, as transformers saves them, and what transformers computes of them.

    pip install torch transformers numpy safetensors
    python crates/models/tests/pretrained/seq2seq.py

For each family a folder with config.json, generation_config.json and model.safetensors (t5_gated in bf16, marian in f16), and
expected.safetensors: `source` [2, 7], of which the first `source_lengths` of each row are a text with its end, `target` [2, 6], which
starts with what targets begin with, and `target_lengths`; the encoder's states, the logits with the target given, the attention weights
[layer, batch, head, query, key] of encoder, decoder and cross attention; `greedy`, what generate writes for each source with one beam,
and `beams`, what it writes as generation_config.json asks. Both begin with the token that targets begin with, and are padded.
Weights have a spread of 0.3, embeddings of 1, so that nothing is near to uniform. What is computed is what the files say, in 32 bits. Padding is never written.
"""

import shutil
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.numpy import save_file

HERE = Path(__file__).parent
VOCABULARY = 23
T5 = dict(vocab_size=VOCABULARY, d_model=12, d_kv=5, d_ff=16, num_layers=2, num_decoder_layers=1, num_heads=2, decoder_start_token_id=0)
DISTANCES = dict(relative_attention_num_buckets=8, relative_attention_max_distance=6)
BART = dict(
    vocab_size=VOCABULARY, d_model=12, encoder_layers=2, decoder_layers=2, encoder_attention_heads=3, decoder_attention_heads=2,
    encoder_ffn_dim=16, decoder_ffn_dim=14, max_position_embeddings=16, bos_token_id=0, pad_token_id=1, eos_token_id=2,
    decoder_start_token_id=2,
)
MARIAN = BART | dict(
    decoder_attention_heads=3, activation_function="swish", scale_embedding=True, bos_token_id=None, eos_token_id=0, pad_token_id=22,
    decoder_start_token_id=22,
)
BEAMS = dict(num_beams=3, early_stopping=True, max_length=11)
SUMMARY = BEAMS | dict(forced_bos_token_id=0, no_repeat_ngram_size=2, min_length=4, length_penalty=2.0)
FAMILIES = {
    "t5": (transformers.T5ForConditionalGeneration, transformers.T5Config(**T5, **DISTANCES), BEAMS, torch.float32),
    "t5_gated": (
        transformers.T5ForConditionalGeneration,
        transformers.T5Config(**T5, feed_forward_proj="gated-gelu", tie_word_embeddings=False),
        BEAMS, torch.bfloat16,
    ),
    "bart": (transformers.BartForConditionalGeneration, transformers.BartConfig(**BART), SUMMARY, torch.float32),
    "mbart": (transformers.MBartForConditionalGeneration, transformers.MBartConfig(**BART), BEAMS, torch.float32),
    "marian": (transformers.MarianMTModel, transformers.MarianConfig(**MARIAN), BEAMS, torch.float16),
}


def write(name, kind, config, wishes, dtype):
    torch.manual_seed(0)
    config._attn_implementation = "eager"
    if name != "t5_gated":
        config.forced_eos_token_id = None
    model = kind(config).eval()
    if name == "t5_gated":
        # As in T5 1.1: a head of its own.
        model.lm_head.weight = torch.nn.Parameter(torch.empty(VOCABULARY, config.d_model))
        model.config.tie_word_embeddings = False
    for parameter_name, parameter in model.named_parameters():
        centre = 1.0 if "norm" in parameter_name and "weight" in parameter_name else 0.0
        if "embed_positions" not in parameter_name or name != "marian":
            torch.nn.init.normal_(parameter, centre, 1.0 if "shared" in parameter_name else 0.3)
    if hasattr(model, "final_logits_bias"):
        torch.nn.init.normal_(model.final_logits_bias, 0.0, 0.3)
        model.final_logits_bias[0, config.eos_token_id] = 2.0
    model = model.to(dtype)
    specials = {part: getattr(config, part) for part in ("pad_token_id", "eos_token_id", "decoder_start_token_id")}
    pad, end = specials["pad_token_id"], specials["eos_token_id"]
    model.generation_config = transformers.GenerationConfig(**specials, **wishes, bad_words_ids=[[pad]])
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    model = kind.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()

    words = [word for word in range(VOCABULARY) if word not in (pad, end)]
    source = torch.tensor(words)[torch.randint(len(words), (2, 7))]
    target = torch.tensor(words)[torch.randint(len(words), (2, 6))]
    target[:, 0] = specials["decoder_start_token_id"]
    source_lengths, target_lengths = torch.tensor([7, 4]), torch.tensor([6, 3])
    for row, length in enumerate(source_lengths):
        source[row, length - 1] = end
        source[row, length:] = pad
    mask = (torch.arange(7)[None] < source_lengths[:, None]).long()
    with torch.no_grad():
        out = model(input_ids=source, attention_mask=mask, decoder_input_ids=target, output_attentions=True)
        greedy = model.generate(source, attention_mask=mask, num_beams=1, early_stopping=False, length_penalty=1.0)
        beams = model.generate(source, attention_mask=mask)
    arrays = dict(
        source=source, source_lengths=source_lengths[None], target=target, target_lengths=target_lengths[None],
        states=out.encoder_last_hidden_state, logits=out.logits, encoder=torch.stack(out.encoder_attentions),
        decoder=torch.stack(out.decoder_attentions), cross=torch.stack(out.cross_attentions), greedy=greedy, beams=beams,
    )
    arrays = {
        key: np.ascontiguousarray(value.numpy().astype(np.float32 if value.is_floating_point() else np.int32))
        for key, value in arrays.items()
    }
    save_file(arrays, folder / "expected.safetensors", {"package": "transformers", "version": transformers.__version__})
    print(name, greedy.tolist(), beams.tolist())


if __name__ == "__main__":
    for name, family in FAMILIES.items():
        write(name, *family)
