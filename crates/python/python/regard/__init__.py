"""Attention you can see through: exact, fused, and open to view, for numpy arrays and PyTorch tensors on a CPU.

    e_ij = score(q_i, k_j) + bias(i, j)      hidden where the mask says so
    a_ij = normalize(e_i)_j
    c_i  = Σ_j a_ij · v_j

Each factor is a noun, and every combination of them is one pass over the keys that never holds the matrix of weights::

    import regard

    out = regard.attention(q, k, v, mask=regard.Causal() & regard.Window(past=256), bias=regard.Alibi())
    regard.observe(q, k, out.lse, [regard.Entropy(), regard.TopKeys(8)], mask=..., bias=...)

Arrays are ``[batch, head, position, feature]`` of float32, float16 or bfloat16, with any strides that are not negative;
they are read where they lie. Results are of the library, and the type, of what was given. The interpreter is free while
the kernel works. Query heads may be a multiple of key heads, and the width of values may differ from that of keys. A
query that sees no key gets zeros and ``lse = -inf``.

`TypeError` says that something is no such array, `ValueError` that sizes or settings do not fit.
"""

from ._regard import set_threads, threads
from .biases import Alibi, Bias, DenseBias, RelativeBuckets, SoftCap, bias
from .cache import KeyValueCache, PagedCache
from .linear import LinearGradients, Remembered, linear_attention, linear_attention_backward
from .looking import look
from .masks import (
    BigBird,
    Blocks,
    Causal,
    DenseMask,
    Dilated,
    Documents,
    Global,
    KeyMask,
    Mask,
    Padding,
    Prefix,
    Window,
    mask,
)
from .modify import Modify, Reweight
from .normalizers import Entmax, Entmax15, Gumbel, Hard, Normalizer, Sampled, Sigmoid, Softmax, Sparsemax, TopK
from .operations import Attended, Dropout, Gradients, attention, attention_backward, observe
from .probes import Entropy, Probe, Pyramid, Received, Scores, TopKeys, Weights
from .rotary import rotate
from .scores import Additive, Bilinear, Cosine, Distance, Dot, ScaledDot, Score
from .trace import Site, Trace
from .trilinear import TrilinearGradients, trilinear_attention, trilinear_attention_backward

__all__ = [
    "Additive",
    "Alibi",
    "Attended",
    "Bias",
    "BigBird",
    "Bilinear",
    "Blocks",
    "Causal",
    "Cosine",
    "DenseBias",
    "DenseMask",
    "Dilated",
    "Distance",
    "Documents",
    "Dot",
    "Dropout",
    "Entmax",
    "Entmax15",
    "Entropy",
    "Global",
    "Gradients",
    "Gumbel",
    "Hard",
    "KeyMask",
    "KeyValueCache",
    "LinearGradients",
    "Mask",
    "Modify",
    "Normalizer",
    "Padding",
    "PagedCache",
    "Prefix",
    "Probe",
    "Pyramid",
    "Received",
    "RelativeBuckets",
    "Remembered",
    "Reweight",
    "Sampled",
    "ScaledDot",
    "Score",
    "Scores",
    "Sigmoid",
    "Site",
    "SoftCap",
    "Softmax",
    "Sparsemax",
    "TopK",
    "TopKeys",
    "Trace",
    "TrilinearGradients",
    "Weights",
    "Window",
    "attention",
    "attention_backward",
    "bias",
    "linear_attention",
    "linear_attention_backward",
    "look",
    "mask",
    "observe",
    "rotate",
    "set_threads",
    "threads",
    "trilinear_attention",
    "trilinear_attention_backward",
]
