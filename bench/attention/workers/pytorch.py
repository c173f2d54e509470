"""PyTorch's scaled_dot_product_attention as a contestant, called as one who knows it would for speed."""

import torch
from torch.nn.functional import scaled_dot_product_attention as attend

import jobs

ELEMENTS = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}


class Prepared:
    """Tensors, and the call that is timed."""

    def __init__(self, work, normals):
        if work.element not in ELEMENTS:
            raise jobs.Unsupported(f"no {work.element}")
        if work.task == "observe":
            raise jobs.Unsupported("keeps no log-sum-exp to look again")
        element = ELEMENTS[work.element]

        def tensor(start, shape):
            batch, heads, positions, features = shape
            if work.layout == "heads":
                return torch.from_numpy(normals.take(start, shape)).to(element)
            numbers = normals.take(start, (batch, positions, heads, features))
            return torch.from_numpy(numbers).to(element).transpose(1, 2)

        self.inputs = [
            tensor(jobs.QUERIES, work.query_shape()),
            tensor(jobs.KEYS, work.key_shape()),
            tensor(jobs.VALUES, work.value_shape()),
        ]
        self.gradients = []
        ways = self.ways(work, normals, element)
        if work.task in ("train", "backward"):
            self.grad_context = tensor(jobs.GRADIENT, work.context_shape())
            self.inputs = [tensor.requires_grad_() for tensor in self.inputs]
            if work.task == "backward":
                self.context = ways[0]()
            self.run = self.train if work.task == "train" else self.backward
            self.forward = ways[0]
        else:
            with torch.inference_mode():
                self.forward = jobs.fastest(ways)
            self.run = self.infer

    def ways(self, work, normals, element):
        """The calls that compute this attention; the fastest will be timed."""
        grouped = {"enable_gqa": True} if work.heads != work.key_heads else {}
        if work.bias == "soft_cap":
            return [lambda: capped(*self.inputs)]
        if work.mask == "causal" and work.bias == "none":
            if work.queries != work.keys:
                raise jobs.Unsupported("is_causal is top-left")
            return [lambda: attend(*self.inputs, is_causal=True, **grouped)]
        if isinstance(work.mask, dict) and "documents" in work.mask and work.queries == work.keys:
            return [lambda: by_document(*self.inputs, work.mask["documents"])]
        masks = added(work, normals, element)
        ways = [lambda mask=mask: attend(*self.inputs, attn_mask=mask, **grouped) for mask in masks]
        if grouped and work.mask == "none" and work.layout == "heads":
            # The heads of a group as more queries: keys and values are then read once.
            ways.append(lambda: folded(*self.inputs))
        return ways

    def infer(self):
        with torch.inference_mode():
            self.context = self.forward()

    def train(self):
        self.context = self.forward()
        self.gradients = torch.autograd.grad(self.context, self.inputs, self.grad_context)

    def backward(self):
        self.gradients = torch.autograd.grad(self.context, self.inputs, self.grad_context, retain_graph=True)

    def outputs(self):
        return [tensor.detach().float().numpy() for tensor in [self.context, *self.gradients]]


def added(work, normals, element):
    """The masks and biases to be added to scores, each of which says the same."""
    seen, bias = jobs.visible(work, normals), jobs.bias(work, normals)
    if bias is not None:
        if seen is not None:
            raise jobs.Unsupported("a bias with a mask")
        return [torch.from_numpy(bias)[None].to(element)]
    if seen is None:
        return [None]
    seen = torch.from_numpy(seen)[None, None]
    return [seen, torch.zeros(seen.shape, dtype=element).masked_fill_(~seen, float("-inf"))]


def capped(queries, keys, values):
    """No fused call caps scores."""
    scores = queries @ keys.transpose(-1, -2) * (queries.shape[-1] ** -0.5 / jobs.CAP)
    return scores.tanh_().mul_(jobs.CAP).softmax(-1) @ values


def by_document(queries, keys, values, count):
    """Documents of one length are more heads, without a copy."""
    cut = [tensor.unflatten(2, (count, -1)).flatten(1, 2) for tensor in (queries, keys, values)]
    return attend(*cut).unflatten(1, (queries.shape[1], count)).flatten(2, 3)


def folded(queries, keys, values):
    batch, heads, positions, width = queries.shape
    group = heads // keys.shape[1]
    context = attend(queries.reshape(batch, heads // group, group * positions, width), keys, values)
    return context.reshape(batch, heads, positions, -1)


def prepare(work, normals, threads):
    torch.set_num_threads(threads)
    return Prepared(work, normals)


if __name__ == "__main__":
    jobs.serve(prepare, f"torch {torch.__version__}")
