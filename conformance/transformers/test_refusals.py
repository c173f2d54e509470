"""What cannot be routed is refused, and what a caller may do besides is right."""

import pytest
import torch
import transformers
from architectures import ARCHITECTURES
from conftest import close, run

import regard.transformers

LLAMA = next(it for it in ARCHITECTURES if it.name == "llama")


def test_a_model_that_keeps_its_attention_to_itself():
    config = transformers.BloomConfig(vocab_size=99, hidden_size=32, n_layer=1, n_head=4)
    config._attn_implementation = "regard"
    model = transformers.BloomForCausalLM(config).eval()
    with pytest.raises(ValueError, match='keeps its attention to itself: load it with attn_implementation="eager"'):
        model(torch.ones(1, 5, dtype=torch.long))


@pytest.mark.parametrize("name", ["cache", "output_attentions", "sinks"])
def test_what_changes_the_result_and_is_not_known(name):
    tensor = torch.zeros(1, 1, 3, 4)
    with pytest.raises(ValueError, match=f'attention "regard" takes no {name}'):
        regard.transformers.attention_forward(torch.nn.Identity(), tensor, tensor, tensor, None, **{name: True})


def test_a_mask_for_other_keys():
    mask = regard.transformers.attention_mask(1, 3, 5)
    tensor = torch.zeros(1, 1, 3, 4)
    with pytest.raises(ValueError, match="attention_mask is for 5 keys: expected 3"):
        regard.transformers.attention_forward(torch.nn.Identity(), tensor, tensor, tensor, mask)


def test_another_type():
    with pytest.raises(TypeError, match="is float64: expected float32"):
        run(LLAMA.build("regard").double(), **LLAMA.inputs())


def test_a_mask_that_is_touched_is_a_tensor():
    mask = regard.transformers.attention_mask(2, 5, 5, attention_mask=torch.ones(2, 5, dtype=torch.bool))
    dense = torch.ones(5, 5, dtype=torch.bool).tril().expand(2, 1, 5, 5)
    assert torch.equal(mask.to(torch.int64), dense.long())
    assert torch.equal((~mask).sum(), (~dense).sum())
    assert isinstance(mask[:, :, :, :3], regard.transformers.MaskTensor)
    assert mask.clone().noun == mask.noun
    assert repr(mask) == "MaskTensor([2, 1, 5, 5], Causal(corner='bottom-right'))"


@pytest.mark.parametrize("kind, tolerance", [(torch.float16, 2e-2), (torch.bfloat16, 2e-1)])
def test_half_precision(kind, tolerance):
    given, expected = (run(LLAMA.build(name).to(kind), **LLAMA.inputs()) for name in ("regard", "eager"))
    assert given.dtype == kind
    close(given, expected, tolerance)


def test_dropout_follows_the_seed():
    model, inputs = LLAMA.build("regard", attention_dropout=0.4).train(), LLAMA.inputs()
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(run(model, **inputs))
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])


def test_gradient_checkpointing():
    inputs, gradients = LLAMA.inputs(), []
    for checkpointing in (False, True):
        model = LLAMA.build("regard", attention_dropout=0.4).train()
        if checkpointing:
            model.gradient_checkpointing_enable()
        torch.manual_seed(1)
        model(**inputs, labels=inputs["input_ids"], use_cache=False).loss.backward()
        gradients.append(model.model.layers[0].self_attn.q_proj.weight.grad)
    close(*gradients)


def test_beams():
    inputs = LLAMA.inputs() | {"max_new_tokens": 12, "num_beams": 3, "do_sample": False}
    given, expected = (LLAMA.build(name).generate(**inputs) for name in ("regard", "eager"))
    assert torch.equal(given, expected)


def test_compiled():
    model, inputs = LLAMA.build("regard"), LLAMA.inputs()
    expected = run(model, **inputs)
    close(run(torch.compile(model, backend="eager"), **inputs), expected)


def test_saved_and_loaded(tmp_path):
    LLAMA.build("eager").save_pretrained(tmp_path)
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="regard")
    assert model.config._attn_implementation == "regard"
    close(run(model.eval(), **LLAMA.inputs()), run(LLAMA.build("eager"), **LLAMA.inputs()))
