"""Writes the oracles of the sequence-to-sequence models with PyTorch.

    pip install torch numpy safetensors
    python crates/models/tests/oracle/write.py

Each file holds the weights of one small model, a padded batch, and what PyTorch computes from them in 32 bits: the
logits under teacher forcing, the label-smoothed loss, the gradient of some parameters, the attention weights, and the
greedy translation. The models are trained for a few steps to reverse a sentence, so that decoding ends by itself and
no choice of token is a near tie. The tests read the files; they need neither Python nor this script.

Common to all files
-------------------
Ids: padding 0, beginning 1, end 2, unknown 3. The `source` [B, S] ends with the end id and has no beginning;
`target_input` is (beginning, y_1 .. y_n) and `target_output` (y_1 .. y_n, end), both [B, T]. Ids are i32, the rest
f32. A linear map is stored as torch does: `NAME.weight` is [out, in] and y = x Wᵀ + b. Rows of a result that belong
to padding mean nothing and are written as zeros.

    loss = mean over targets that are not padding of (1 - ε) (-log p_y) + ε / V Σ_v (-log p_v),   ε = 0.1

where V counts the whole vocabulary. `gradient.NAME` is d loss / d NAME. `greedy` [B, 12] holds at most twelve ids,
with the end id, without the beginning, and zeros after the end.

transformer_{post,pre}: Vaswani et al., "Attention Is All You Need", NeurIPS 2017
-------------------------------------------------------------------------------
    x = √d E[ids] + P        P[p, 2i] = sin(p / 10000^(2i/d))    P[p, 2i+1] = cos(p / 10000^(2i/d))
    logits = y Eᵀ            the one matrix E embeds the source and the target and projects the output
    post:  x <- norm(x + f(x))
    pre:   x <- x + f(norm(x)), and one more norm after the last layer of each stack

The layers are torch.nn.TransformerEncoderLayer and TransformerDecoderLayer: ReLU, LayerNorm with ε = 1e-5.

seq2seq_{bahdanau,luong}: recurrent encoder and decoder
-------------------------------------------------------
Both encode with a bidirectional GRU, h_j = [→h_j ; ←h_j], whose backward half starts at the last token that is not
padding, and begin decoding from s_0 = tanh(W_s ←h_1 + b_s). The cell is torch's (reset after the product; weights
stacked as reset, update, new):

    r = σ(W_r x + b_r + U_r h + d_r)     z = σ(W_z x + b_z + U_z h + d_z)
    n = tanh(W_n x + b_n + r ∘ (U_n h + d_n))     h' = (1 - z) ∘ n + z ∘ h

Bahdanau, Cho and Bengio, "Neural Machine Translation by Jointly Learning to Align and Translate", ICLR 2015, with a
tanh layer where the paper has maxout, and s_t where its appendix has s_{t-1}; y_{t-1} is the embedded last token:

    e_tj = v · tanh(W s_{t-1} + U h_j)    α_t = softmax_j e_tj    c_t = Σ_j α_tj h_j
    s_t = GRU([y_{t-1} ; c_t], s_{t-1})   t_t = tanh(W_t [s_t ; y_{t-1} ; c_t] + b_t)   logits = W_o t_t + b_o

Luong, Pham and Manning, "Effective Approaches to Attention-based Neural Machine Translation", EMNLP 2015: global
attention, the "general" score, input feeding with h̃_0 = 0, and GRUs where the paper has stacked LSTMs:

    s_t = GRU([y_{t-1} ; h̃_{t-1}], s_{t-1})     e_tj = s_tᵀ W_a h_j     α_t = softmax_j e_tj    c_t = Σ_j α_tj h_j
    h̃_t = tanh(W_c [c_t ; s_t])                 logits = W_o h̃_t + b_o
"""

from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import nn
from torch.nn import functional as F

HERE = Path(__file__).parent
PAD, BOS, EOS = 0, 1, 2
FIRST_WORD, VOCABULARY = 4, 13
SMOOTHING = 0.1
GREEDY_STEPS = 12


def batch(lengths, rng):
    """Random sentences of these lengths and their reversals: (source, target_input, target_output)."""
    rows = []
    for length in lengths:
        words = rng.integers(FIRST_WORD, VOCABULARY, length).tolist()
        rows.append((words + [EOS], [BOS] + words[::-1], words[::-1] + [EOS]))
    width = max(lengths) + 1
    return tuple(torch.tensor([row[part] + [PAD] * (width - len(row[part])) for row in rows]) for part in range(3))


def loss_of(logits, target):
    return F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=PAD, label_smoothing=SMOOTHING)


def positions(length, width):
    angle = np.arange(length)[:, None] / 10000.0 ** (np.arange(0, width, 2) / width)
    table = np.stack([np.sin(angle), np.cos(angle)], axis=-1).reshape(length, width)
    return torch.tensor(table, dtype=torch.float32)


class Transformer(nn.Module):
    def __init__(self, pre, width=16, heads=2, inner=32, layers=2):
        super().__init__()
        self.embedding = nn.Parameter(torch.randn(VOCABULARY, width) * width**-0.5)
        options = dict(nhead=heads, dim_feedforward=inner, dropout=0.0, batch_first=True, norm_first=pre)
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(width, **options),
            layers,
            norm=nn.LayerNorm(width) if pre else None,
            enable_nested_tensor=False,
        )
        self.decoder = nn.TransformerDecoder(
            nn.TransformerDecoderLayer(width, **options), layers, norm=nn.LayerNorm(width) if pre else None
        )
        # Each stack is made of copies of one layer, so every parameter is drawn anew.
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1 and name != "embedding":
                nn.init.xavier_uniform_(parameter)
            elif "norm" in name:
                nn.init.normal_(parameter, 1.0 if name.endswith("weight") else 0.0, 0.1)
            elif parameter.dim() == 1:
                nn.init.normal_(parameter, 0.0, 0.1)

    def embed(self, ids):
        width = self.embedding.shape[1]
        return self.embedding[ids] * width**0.5 + positions(ids.shape[1], width)

    def encode(self, source):
        return self.encoder(self.embed(source), src_key_padding_mask=source == PAD)

    def decode(self, memory, source, target):
        causal = nn.Transformer.generate_square_subsequent_mask(target.shape[1])
        hidden = self.decoder(
            self.embed(target), memory, tgt_mask=causal, memory_key_padding_mask=source == PAD, tgt_is_causal=True
        )
        return hidden @ self.embedding.T

    def forward(self, source, target):
        return self.decode(self.encode(source), source, target)

    def observed(self, source, target):
        """What the fixture shows besides the logits. The layers ask for no weights, so a wrapper asks for them."""
        weights = []
        plain = [layer.multihead_attn.forward for layer in self.decoder.layers]

        def watch(forward):
            def watched(*arguments, **options):
                output, attention = forward(
                    *arguments, **{**options, "need_weights": True, "average_attn_weights": False}
                )
                weights.append(attention)
                return output, attention

            return watched

        for layer, forward in zip(self.decoder.layers, plain):
            layer.multihead_attn.forward = watch(forward)
        memory = self.encode(source)
        self.decode(memory, source, target)
        for layer, forward in zip(self.decoder.layers, plain):
            layer.multihead_attn.forward = forward
        return {
            "memory": memory * (source != PAD)[:, :, None],
            "cross_weights": torch.stack(weights) * (target != PAD)[None, :, None, :, None],
        }

    def renamed(self, tensors):
        """Torch's parameter names in words, with the stacked query, key and value taken apart."""
        words = {
            "self_attn.out_proj": "self_attention.output",
            "multihead_attn.out_proj": "cross_attention.output",
            "self_attn": "self_attention",
            "multihead_attn": "cross_attention",
            "linear1": "feed_forward.inner",
            "linear2": "feed_forward.outer",
            "layers.": "",
        }
        encoder_norms = {"norm1": "self_attention_norm", "norm2": "feed_forward_norm"}
        decoder_norms = {"norm1": "self_attention_norm", "norm2": "cross_attention_norm", "norm3": "feed_forward_norm"}
        result = {}
        for name, tensor in tensors.items():
            for old, new in (words | (encoder_norms if name.startswith("encoder") else decoder_norms)).items():
                name = name.replace(old, new)
            if "in_proj_" in name:
                for part, piece in zip(("query", "key", "value"), tensor.chunk(3)):
                    result[name.replace("in_proj_", part + ".")] = piece
            else:
                result[name] = tensor
        return result

    watched = [
        "embedding",
        "encoder.0.self_attention.query.weight",
        "encoder.0.self_attention.value.weight",
        "encoder.0.self_attention_norm.weight",
        "encoder.1.feed_forward.inner.weight",
        "decoder.0.cross_attention.key.weight",
        "decoder.0.cross_attention.output.weight",
        "decoder.1.self_attention.query.bias",
        "decoder.1.feed_forward_norm.weight",
    ]


class Recurrent(nn.Module):
    """The encoder and first decoder state that both recurrent models share."""

    embed_width, hidden, alignment, readout_width = 6, 8, 7, 10

    def __init__(self, fed):
        super().__init__()
        self.source_embedding = nn.Parameter(torch.randn(VOCABULARY, self.embed_width))
        self.target_embedding = nn.Parameter(torch.randn(VOCABULARY, self.embed_width))
        self.encoder = nn.GRU(self.embed_width, self.hidden, batch_first=True, bidirectional=True)
        self.initial = nn.Linear(self.hidden, self.hidden)
        self.decoder = nn.GRUCell(self.embed_width + fed, self.hidden)
        self.output = nn.Linear(self.readout_width, VOCABULARY)

    def encode(self, source):
        packed = nn.utils.rnn.pack_padded_sequence(
            self.source_embedding[source], (source != PAD).sum(1), batch_first=True, enforce_sorted=False
        )
        encoded, _ = nn.utils.rnn.pad_packed_sequence(self.encoder(packed)[0], batch_first=True)
        return encoded, torch.tanh(self.initial(encoded[:, 0, self.hidden :]))

    def run(self, source, target):
        encoded, state = self.encode(source)
        fed = torch.zeros(source.shape[0], self.readout_width)
        logits, alignments = [], []
        for step in range(target.shape[1]):
            previous = self.target_embedding[target[:, step]]
            readout, state, fed, weights = self.step(previous, state, fed, encoded, source != PAD)
            logits.append(self.output(readout))
            alignments.append(weights)
        return torch.stack(logits, 1), torch.stack(alignments, 1), encoded

    def forward(self, source, target):
        return self.run(source, target)[0]

    def observed(self, source, target):
        _, alignment, encoded = self.run(source, target)
        return {"alignment": alignment * (target != PAD)[:, :, None], "encoded": encoded}

    def renamed(self, tensors):
        words = {
            "encoder.weight_ih_l0": "encoder.input.weight",
            "encoder.weight_hh_l0": "encoder.hidden.weight",
            "encoder.bias_ih_l0": "encoder.input.bias",
            "encoder.bias_hh_l0": "encoder.hidden.bias",
            "decoder.weight_ih": "decoder.input.weight",
            "decoder.weight_hh": "decoder.hidden.weight",
            "decoder.bias_ih": "decoder.input.bias",
            "decoder.bias_hh": "decoder.hidden.bias",
        }
        result = {}
        for name, tensor in tensors.items():
            base = name.removesuffix("_reverse")
            new = words.get(base, base)
            if base.startswith("encoder."):
                new = new.replace("encoder.", "encoder.backward." if base != name else "encoder.forward.")
            result[new] = tensor
        return result

    shared_watched = [
        "source_embedding",
        "target_embedding",
        "encoder.forward.hidden.weight",
        "encoder.backward.input.weight",
        "initial.weight",
        "decoder.input.weight",
        "output.weight",
    ]


class Bahdanau(Recurrent):
    def __init__(self):
        super().__init__(fed=2 * self.hidden)
        self.attention = nn.Module()
        self.attention.query = nn.Linear(self.hidden, self.alignment, bias=False)
        self.attention.key = nn.Linear(2 * self.hidden, self.alignment, bias=False)
        self.attention.vector = nn.Parameter(torch.randn(self.alignment))
        self.readout = nn.Linear(self.hidden + self.embed_width + 2 * self.hidden, self.readout_width)

    def step(self, previous, state, fed, encoded, real):
        query, keys = self.attention.query(state), self.attention.key(encoded)
        scores = torch.tanh(query[:, None] + keys) @ self.attention.vector
        weights = scores.masked_fill(~real, -torch.inf).softmax(-1)
        context = torch.einsum("bs,bsh->bh", weights, encoded)
        state = self.decoder(torch.cat([previous, context], -1), state)
        readout = torch.tanh(self.readout(torch.cat([state, previous, context], -1)))
        return readout, state, fed, weights

    watched = Recurrent.shared_watched + [
        "attention.query.weight",
        "attention.key.weight",
        "attention.vector",
        "readout.weight",
    ]


class Luong(Recurrent):
    def __init__(self):
        super().__init__(fed=self.readout_width)
        self.attention = nn.Linear(2 * self.hidden, self.hidden, bias=False)
        self.combine = nn.Linear(3 * self.hidden, self.readout_width, bias=False)

    def step(self, previous, state, fed, encoded, real):
        state = self.decoder(torch.cat([previous, fed], -1), state)
        scores = torch.einsum("bq,bsq->bs", state, self.attention(encoded))
        weights = scores.masked_fill(~real, -torch.inf).softmax(-1)
        context = torch.einsum("bs,bsh->bh", weights, encoded)
        readout = torch.tanh(self.combine(torch.cat([context, state], -1)))
        return readout, state, readout, weights

    watched = Recurrent.shared_watched + ["attention.weight", "combine.weight"]


def train(model, steps, rng):
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(steps):
        source, target_input, target_output = batch(rng.integers(1, 7, 48).tolist(), rng)
        optimizer.zero_grad()
        loss = loss_of(model(source, target_input), target_output)
        loss.backward()
        optimizer.step()
    return loss.item()


@torch.no_grad()
def greedy(model, source):
    """The ids, and the smallest distance between a chosen logit and the next best."""
    ids = torch.full((source.shape[0], 1), BOS)
    done = torch.zeros(source.shape[0], dtype=torch.bool)
    margin = torch.inf
    for _ in range(GREEDY_STEPS):
        best = model(source, ids)[:, -1].topk(2)
        margin = min(margin, (best.values[:, 0] - best.values[:, 1])[~done].min().item())
        chosen = torch.where(done, PAD, best.indices[:, 0])
        ids = torch.cat([ids, chosen[:, None]], 1)
        done |= chosen == EOS
        if done.all():
            break
    ids = F.pad(ids[:, 1:], (0, GREEDY_STEPS + 1 - ids.shape[1]), value=PAD)
    return ids, margin


def write(name, model, steps, rng):
    last = train(model, steps, rng)
    source, target_input, target_output = batch([6, 3, 5, 1], rng)
    model.zero_grad()
    logits = model(source, target_input)
    loss = loss_of(logits, target_output)
    loss.backward()
    ids, margin = greedy(model, source)
    assert margin > 1e-2, f"{name}: greedy decoding is a near tie ({margin})"
    gradients = model.renamed({name: parameter.grad for name, parameter in model.named_parameters()})
    tensors = model.renamed(dict(model.named_parameters()))
    tensors |= {"gradient." + name: gradients[name] for name in model.watched}
    tensors |= dict(source=source, target_input=target_input, target_output=target_output, greedy=ids)
    tensors |= dict(logits=logits * (target_output != PAD)[:, :, None], loss=loss.reshape(1))
    tensors |= model.observed(source, target_input)
    arrays = {
        name: np.ascontiguousarray(tensor.detach().numpy().astype(np.float32 if tensor.is_floating_point() else np.int32))
        for name, tensor in tensors.items()
    }
    metadata = {"package": "torch", "version": torch.__version__, "script": "crates/models/tests/oracle/write.py"}
    save_file(arrays, HERE / f"{name}.safetensors", metadata)
    right = (ids[:, : target_output.shape[1]] == target_output).all(1).sum().item()
    print(f"{name}: training loss {last:.3f}, loss {loss.item():.4f}, {right} of 4 sentences reversed, margin {margin:.3f}")


def main():
    torch.set_num_threads(1)
    models = {
        "transformer_post": (lambda: Transformer(pre=False), 250),
        "transformer_pre": (lambda: Transformer(pre=True), 250),
        "seq2seq_bahdanau": (Bahdanau, 350),
        "seq2seq_luong": (Luong, 700),
    }
    for seed, (name, (build, steps)) in enumerate(models.items()):
        torch.manual_seed(seed)
        write(name, build(), steps, np.random.default_rng(seed))


if __name__ == "__main__":
    main()
