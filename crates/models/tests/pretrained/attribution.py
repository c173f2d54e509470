"""Writes what captum and autograd say of the small BERT that encoders.py wrote.

    pip install torch transformers captum numpy safetensors
    python crates/models/tests/pretrained/attribution.py

attribution.safetensors holds `ids` [1, L], the text; `baseline` [1, 1], the token that stands in for each; the scores
of the three labels of both; and for the label `label` [1, 1], explained at what leaves the embeddings ([L, width]), `gradient`,
`gradient_input` (captum's LayerGradientXActivation) and `integrated` (LayerIntegratedGradients, 64 steps of the midpoint rule); the
attention weights and their gradients [layer, head, query, key], which eager attention has; and `chefer` [L], the relevance of each
position for the first, by the rules of Chefer, Gur and Wolf (ICCV 2021, arXiv:2103.15679) for self attention.
"""

from pathlib import Path

import captum
import numpy as np
import torch
import transformers
from captum.attr import LayerGradientXActivation, LayerIntegratedGradients
from safetensors.numpy import save_file

HERE = Path(__file__).parent
BASELINE = 3


def chefer(weights, gradients):
    """Relevance of every position for every other."""
    relevance = torch.eye(weights[0].shape[-1])
    for weight, gradient in zip(weights, gradients):
        relevance = relevance + (weight * gradient).clamp(min=0).mean(0) @ relevance
    return relevance


def main():
    model = transformers.BertForSequenceClassification.from_pretrained(HERE / "bert", attn_implementation="eager").eval()
    ids = torch.tensor([[5, 9, 2, 14, 7, 21, 11]])
    blank = torch.full_like(ids, BASELINE)
    scores = lambda ids: model(input_ids=ids).logits
    label = int(scores(ids).argmax())
    embeddings = model.bert.embeddings

    entered = []
    hook = embeddings.register_forward_hook(lambda _, __, out: (out.retain_grad(), entered.append(out))[0])
    out = model(input_ids=ids, output_attentions=True)
    for weights in out.attentions:
        weights.retain_grad()
    out.logits[0, label].backward()
    hook.remove()
    weights = torch.stack([weights[0].detach() for weights in out.attentions])
    gradients = torch.stack([weights.grad[0] for weights in out.attentions])

    integrated = LayerIntegratedGradients(scores, embeddings)
    arrays = dict(
        ids=ids,
        baseline=torch.tensor([[BASELINE]]),
        label=torch.tensor([[label]]),
        scores=out.logits.detach(),
        baseline_scores=scores(blank).detach(),
        gradient=entered[0].grad[0],
        gradient_input=LayerGradientXActivation(scores, embeddings).attribute(ids, target=label)[0].detach(),
        integrated=integrated.attribute(ids, baselines=blank, target=label, n_steps=64, method="riemann_middle")[0].detach(),
        weights=weights,
        weight_gradients=gradients,
        chefer=chefer(weights, gradients)[0],
    )
    arrays = {
        key: np.ascontiguousarray(value.numpy().astype(np.float32 if value.is_floating_point() else np.int32))
        for key, value in arrays.items()
    }
    packages = {"transformers": transformers.__version__, "captum": captum.__version__}
    save_file(arrays, HERE / "attribution.safetensors", packages)


if __name__ == "__main__":
    main()
