"""Small models of many families, with random weights."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import Any

import torch
import transformers

VOCABULARY = 99
PADDING = 0


@dataclass(frozen=True)
class Architecture:
    """A family of models."""

    name: str
    model: str
    """A class of transformers."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Of its config, beside those of its kind."""
    kind: str = "decoder"
    """Decoder, encoder, translator (encoder and decoder), listener (a translator of sound), sound, vision, or both (pictures
    and text)."""
    layers: int = 2
    """How many times it attends in a forward pass."""
    caches: tuple[str, ...] = ("dynamic", "static")
    """Kinds of caches it generates with."""

    def __str__(self) -> str:
        return self.name

    def build(self, attention: str, **changes: Any) -> torch.nn.Module:
        """The model for evaluation; the same weights whenever it is built with the same settings."""
        kind = getattr(transformers, self.model)
        config = kind.config_class(**(KINDS[self.kind] | self.settings | changes))
        config._attn_implementation = attention
        torch.manual_seed(zlib.crc32(self.name.encode()))
        model = kind(config).eval()
        # Larger than a model starts with, so that weights of attention are far from uniform.
        with torch.no_grad():
            for weights in model.parameters():
                weights.add_(torch.randn_like(weights) * (0.15 if weights.ndim > 1 else 0.1))
        return model

    def inputs(self, length: int = 17, batch: int = 2) -> dict[str, torch.Tensor]:
        """What the model reads."""
        random = torch.Generator().manual_seed(7)
        ids = torch.randint(3, VOCABULARY, (batch, length), generator=random)
        later = torch.randint(3, VOCABULARY, (batch, 11), generator=random)
        pixels = torch.randn(batch, 3, 24, 24, generator=random)
        match self.kind:
            case "translator":
                return {"input_ids": ids, "decoder_input_ids": later}
            case "listener":
                return {"input_features": torch.randn(batch, 8, 60, generator=random), "decoder_input_ids": later}
            case "sound":
                return {"input_values": torch.randn(batch, 600, generator=random)}
            case "vision":
                return {"pixel_values": pixels}
            case "both":
                return {"input_ids": ids, "pixel_values": pixels}
        return {"input_ids": ids}


_TOKENS = {"vocab_size": VOCABULARY, "pad_token_id": PADDING, "bos_token_id": 1, "eos_token_id": None}
_SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
_PICTURES = {**_SIZES, "image_size": 24, "patch_size": 4}
_TRANSLATOR = {
    **_TOKENS,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "decoder_start_token_id": 1,
    "forced_eos_token_id": None,
    "max_position_embeddings": 64,
}

KINDS: dict[str, dict[str, Any]] = {
    "decoder": {**_TOKENS, **_SIZES, "max_position_embeddings": 2048, "attention_dropout": 0.0},
    "encoder": {**_TOKENS, **_SIZES, "max_position_embeddings": 64},
    "translator": _TRANSLATOR,
    "listener": {**_TRANSLATOR, "num_mel_bins": 8, "max_source_positions": 30, "max_target_positions": 64},
    "sound": {
        **_SIZES,
        "conv_dim": (8, 8),
        "conv_kernel": (10, 3),
        "conv_stride": (5, 2),
        "num_conv_pos_embeddings": 4,
        "mask_time_prob": 0.0,
        "layerdrop": 0.0,
    },
    "vision": _PICTURES,
    "both": {
        "text_config": {**_TOKENS, **_SIZES, "max_position_embeddings": 64, "projection_dim": 16, "eos_token_id": 2},
        "vision_config": {**_PICTURES, "projection_dim": 16},
        "projection_dim": 16,
    },
}

_SHARED = {"num_key_value_heads": 2}
_T5 = {
    **_TOKENS,
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 48,
    "num_layers": 2,
    "num_heads": 4,
    "decoder_start_token_id": 1,
    "relative_attention_max_distance": 12,
}

ARCHITECTURES = [
    # Decoders
    Architecture("llama", "LlamaForCausalLM", _SHARED),
    Architecture("mistral", "MistralForCausalLM", _SHARED | {"sliding_window": 9}),
    Architecture("mixtral", "MixtralForCausalLM", _SHARED | {"num_local_experts": 2}),
    Architecture("gemma", "GemmaForCausalLM", {"num_key_value_heads": 1, "head_dim": 8}),
    Architecture(
        "gemma2",
        "Gemma2ForCausalLM",
        _SHARED | {"sliding_window": 9, "head_dim": 8, "attn_logit_softcapping": 2.0, "query_pre_attn_scalar": 8},
    ),
    Architecture("gemma3", "Gemma3ForCausalLM", _SHARED | {"sliding_window": 9, "head_dim": 8, "query_pre_attn_scalar": 8}),
    Architecture("qwen2", "Qwen2ForCausalLM", _SHARED),
    Architecture("qwen3", "Qwen3ForCausalLM", _SHARED | {"head_dim": 8}),
    Architecture("phi", "PhiForCausalLM"),
    Architecture("phi3", "Phi3ForCausalLM", _SHARED | {"sliding_window": 9}),
    Architecture("gpt2", "GPT2LMHeadModel", {"attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0}),
    Architecture("gpt-neox", "GPTNeoXForCausalLM", {"hidden_dropout": 0.0}),
    Architecture(
        "gpt-oss",
        "GptOssForCausalLM",
        _SHARED | {"sliding_window": 9, "head_dim": 8, "num_local_experts": 2, "num_experts_per_tok": 1},
    ),
    Architecture("opt", "OPTForCausalLM", {"ffn_dim": 48, "word_embed_proj_dim": 32, "dropout": 0.0}),
    Architecture("olmo2", "Olmo2ForCausalLM", _SHARED),
    Architecture("cohere", "CohereForCausalLM", _SHARED),
    Architecture("granite", "GraniteForCausalLM", _SHARED | {"attention_multiplier": 0.4}),
    Architecture("stablelm", "StableLmForCausalLM", _SHARED),
    Architecture("starcoder2", "Starcoder2ForCausalLM", _SHARED | {"sliding_window": 9, "residual_dropout": 0.0}),
    Architecture("smollm3", "SmolLM3ForCausalLM", _SHARED),
    Architecture(
        "llama4",
        "Llama4ForCausalLM",
        _SHARED | {"head_dim": 8, "attention_chunk_size": 8, "num_local_experts": 2, "intermediate_size_mlp": 48},
        caches=("dynamic",),
    ),
    # Encoders
    Architecture("bert", "BertForMaskedLM", kind="encoder"),
    Architecture("roberta", "RobertaForMaskedLM", kind="encoder"),
    Architecture("electra", "ElectraForMaskedLM", {"embedding_size": 16}, kind="encoder"),
    Architecture("albert", "AlbertForMaskedLM", {"embedding_size": 16}, kind="encoder"),
    Architecture("distilbert", "DistilBertForMaskedLM", {"dim": 32, "hidden_dim": 48, "n_layers": 2, "n_heads": 4}, kind="encoder"),
    Architecture("modernbert", "ModernBertForMaskedLM", {"local_attention": 8, "global_attn_every_n_layers": 2}, kind="encoder"),
    # Encoders with decoders: two layers, two layers, and two that look across.
    Architecture("t5", "T5ForConditionalGeneration", _T5, kind="translator", layers=6),
    Architecture("umt5", "UMT5ForConditionalGeneration", _T5, kind="translator", layers=6),
    Architecture("bart", "BartForConditionalGeneration", kind="translator", layers=6),
    Architecture("pegasus", "PegasusForConditionalGeneration", kind="translator", layers=6),
    Architecture("whisper", "WhisperForConditionalGeneration", kind="listener", layers=6, caches=("dynamic",)),
    # Pictures and sound
    Architecture("vit", "ViTForImageClassification", kind="vision"),
    Architecture("deit", "DeiTForImageClassification", kind="vision"),
    Architecture("dinov2", "Dinov2ForImageClassification", kind="vision"),
    Architecture("clip", "CLIPModel", kind="both", layers=4),
    Architecture("siglip", "SiglipModel", kind="both", layers=4),
    Architecture("wav2vec2", "Wav2Vec2Model", kind="sound"),
]
