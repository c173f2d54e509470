"""What the tests share."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import pytest  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402

import regard.torch  # noqa: E402
import regard.transformers  # noqa: E402


@pytest.fixture(autouse=True, scope="session")
def quiet():
    """Models this small go without some of what their configs warn of."""
    transformers.logging.set_verbosity_error()


@pytest.fixture
def attended():
    """The modules that attended through Regard, in order."""
    modules = []
    with regard.torch.observed(lambda module, *_: modules.append(module)):
        yield modules


def scores(output):
    """What a model is there for."""
    return next(output[name] for name in ("logits", "logits_per_text", "last_hidden_state") if name in output)


def run(model, **inputs):
    with torch.no_grad():
        return scores(model(**inputs))


def close(given, expected, tolerance=1e-5):
    """Within 1e-5 of what "eager" gives, which for numbers larger than 1 is relative."""
    torch.testing.assert_close(given, expected, rtol=tolerance, atol=tolerance)
