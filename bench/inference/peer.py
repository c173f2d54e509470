"""Makes the models of bench/inference, and measures PyTorch and llama.cpp with them; README.md says what.

    peer.py make FOLDER
    peer.py llama FOLDER f32|int8
    peer.py bert FOLDER TOKENS
    peer.py embed FOLDER SENTENCES
    peer.py llama.cpp LLAMA_BENCH FILE THREADS

Measurements print what was done and the seconds it took, a line each.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

READ, WRITTEN, VOCABULARY = 512, 128, 32_000
WIDTH, INNER, HEADS, LAYERS = 768, 2048, 12, 12
# Tokens of a batch of sentences, padding included.
BATCH = 4096


def make(folder):
    import torch
    import transformers

    folder = Path(folder)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=INNER,
        num_attention_heads=HEADS,
        num_hidden_layers=LAYERS,
        max_position_embeddings=2048,
    )
    model = transformers.LlamaForCausalLM(config)
    model.save_pretrained(folder / "llama")
    transformers.BertModel(transformers.BertConfig()).save_pretrained(folder / "bert")
    try:
        for kind in ["f32", "int8"]:
            write_gguf(folder / f"llama-{kind}.gguf", model, kind)
    except ImportError:
        print("no package gguf: llama.cpp is left out", file=sys.stderr)
    (folder / "done").touch()


def write_gguf(path, model, kind):
    import gguf
    import numpy as np

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(2048)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(model.config.rms_norm_eps)
    writer.add_vocab_size(VOCABULARY)
    # Tokens that no text needs: llama-bench makes up ids.
    writer.add_tokenizer_model("llama")
    writer.add_token_list([b"<unk>", b"<s>", b"</s>"] + [f"t{i}".encode() for i in range(3, VOCABULARY)])
    writer.add_token_scores([0.0] * VOCABULARY)
    writer.add_token_types([gguf.TokenType.NORMAL] * VOCABULARY)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, LAYERS)
    for name, tensor in model.state_dict().items():
        numbers = tensor.float().numpy()
        name = names.get_name(name, try_suffixes=(".weight",))
        if name.endswith(("attn_q.weight", "attn_k.weight")):
            # Neighbours are pairs here, halves there.
            numbers = numbers.reshape(HEADS, 2, WIDTH // HEADS // 2, WIDTH).swapaxes(1, 2).reshape(WIDTH, WIDTH)
        numbers = np.ascontiguousarray(numbers)
        if kind == "int8" and numbers.ndim == 2:
            numbers = gguf.quantize(numbers, gguf.GGMLQuantizationType.Q8_0)
            writer.add_tensor(name, numbers, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
        else:
            writer.add_tensor(name, numbers)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def report(what, seconds):
    print(f"{what}\t{seconds:.4f}")


def best(runs, run):
    """The least time of several runs, after one that warms up."""
    run()
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return min(times)


def text(tokens, vocabulary):
    import torch

    return torch.tensor([[i * 7919 % vocabulary for i in range(tokens)]])


def llama(folder, kind):
    import torch
    import transformers

    model = transformers.LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    if kind == "int8":
        model = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)
    ids = text(READ, VOCABULARY)

    def read():
        out = model(ids, use_cache=True, logits_to_keep=1)
        return out.past_key_values, out.logits[:, -1:].argmax(-1)

    report("read", best(3, read))
    cache, token = read()
    began = time.perf_counter()
    for _ in range(WRITTEN):
        out = model(token, past_key_values=cache, use_cache=True)
        token = out.logits[:, -1:].argmax(-1)
    report("write", time.perf_counter() - began)


def bert(folder, tokens):
    import torch
    import transformers

    model = transformers.BertModel.from_pretrained(folder, add_pooling_layer=False, dtype=torch.float32).eval()
    ids = text(int(tokens), 30_522)
    report("read", best(5, lambda: model(ids)))


def embed(folder, sentences):
    import torch
    import transformers

    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    lines = Path(sentences).read_text().splitlines()

    def run():
        encoded = sorted(tokenizer(lines)["input_ids"], key=len)
        while encoded:
            count = 1
            while count < len(encoded) and (count + 1) * len(encoded[count]) <= BATCH:
                count += 1
            batch, encoded = encoded[:count], encoded[count:]
            longest = len(batch[-1])
            ids = torch.tensor([row + [0] * (longest - len(row)) for row in batch])
            mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in batch])
            states = model(ids, attention_mask=mask).last_hidden_state
            share = mask[..., None].float()
            torch.nn.functional.normalize((states * share).sum(1) / share.sum(1), dim=1)

    report("embed", best(2, run))


def llama_cpp(program, file, threads):
    def tokens_per_second(*arguments):
        command = [program, "-m", file, "-t", threads, "-r", "3", "-o", "json", *arguments]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return json.loads(out)[0]["avg_ts"]

    report("read", READ / tokens_per_second("-p", str(READ), "-n", "0"))
    report("write", WRITTEN / tokens_per_second("-p", "0", "-n", str(WRITTEN), "-d", str(READ)))


def main():
    what, *arguments = sys.argv[1:]
    if what in ("make", "llama.cpp"):
        {"make": make, "llama.cpp": llama_cpp}[what](*arguments)
        return
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count())))
    with torch.inference_mode():
        {"llama": llama, "bert": bert, "embed": embed}[what](*arguments)


if __name__ == "__main__":
    main()
