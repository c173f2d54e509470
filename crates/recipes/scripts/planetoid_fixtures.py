"""Writes a small graph as Planetoid's files, with Python's own pickler.

    pip install numpy scipy
    python crates/recipes/scripts/planetoid_fixtures.py

Planetoid's files were written by Python 2; here bytes and names are put down as Python 2 did (protocol 2, strings without an
encoding, the modules' old names). 24 nodes in a ring of three arcs, a class each, and a few chords; 7 features, of which the class
decides most. Nodes 0 to 5 are to learn from, 6 to 14 to stop by; of 15 to 23, which `test.index` lists in another order, 19 is left out.
expected.json says what is in them.
"""

import io
import json
import pickle
from collections import defaultdict
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix

HERE = Path(__file__).parent.parent / "tests" / "fixtures" / "planetoid"
OLD = {"numpy._core.multiarray": "numpy.core.multiarray", "scipy.sparse._csr": "scipy.sparse.csr", "builtins": "__builtin__"}
NODES, FEATURES, CLASSES, KNOWN, LEARNED = 24, 7, 3, 15, 6


class Python2(pickle._Pickler):
    dispatch = dict(pickle._Pickler.dispatch)

    def save_bytes(self, text):
        if isinstance(text, str):
            text = text.encode("ascii")
        short = len(text) < 256
        self.write((b"U" + bytes([len(text)]) if short else b"T" + len(text).to_bytes(4, "little")) + text)

    def save_global(self, thing, name=None):
        module, name = thing.__module__, name or thing.__qualname__
        self.write(f"c{OLD.get(module, module)}\n{name}\n".encode())
        self.memoize(thing)

    dispatch[bytes] = dispatch[str] = save_bytes
    dispatch[type] = save_global
    dispatch[type(np.array)] = save_global


def write(part, thing):
    out = io.BytesIO()
    Python2(out, protocol=2).dump(thing)
    (HERE / f"ind.tiny.{part}").write_bytes(out.getvalue())
    back = pickle.loads(out.getvalue(), encoding="latin1")
    same = back == thing if isinstance(thing, dict) else abs(back - thing).max() == 0
    assert same, part
    print(part, len(out.getvalue()), "bytes")


if __name__ == "__main__":
    HERE.mkdir(exist_ok=True)
    random = np.random.default_rng(5)
    # The first nodes are one of each class in turn, the others by arc.
    place = np.concatenate([np.arange(6) % 3 * 8 + np.arange(6) // 3, np.arange(6, NODES)])
    rest = sorted(set(range(NODES)) - set(place[:6]))
    place[6:] = random.permutation(rest)
    label = place // 8
    hot = np.eye(CLASSES, dtype=np.int32)[label]
    words = (random.random((NODES, FEATURES)) < 0.25) | (np.arange(FEATURES) % CLASSES == label[:, None])
    words = words.astype(np.float32)
    node_at = {int(at): node for node, at in enumerate(place)}
    lists = defaultdict(list)
    for at in range(NODES):
        # One way, two ways and twice, as in the real files.
        lists[node_at[at]] += [node_at[(at + 1) % NODES]] * (1 + at % 2)
        lists[node_at[at]] += [node_at[at - 1 if at else NODES - 1]] * (at % 3 == 0)
    lists[node_at[2]].append(node_at[2])
    lists[node_at[0]].append(node_at[4])
    tested = [node for node in random.permutation(np.arange(KNOWN, NODES)).tolist() if node != 19]
    write("x", csr_matrix(words[:LEARNED]))
    write("y", hot[:LEARNED])
    write("allx", csr_matrix(words[:KNOWN]))
    write("ally", hot[:KNOWN])
    write("tx", csr_matrix(words[tested]))
    write("ty", hot[tested])
    write("graph", lists)
    (HERE / "ind.tiny.test.index").write_text("".join(f"{node}\n" for node in tested))
    words[19] = 0
    sums = words.sum(1, keepdims=True)
    edges = {(a, b) for one, others in lists.items() for other in others for a, b in ((one, other), (other, one)) if a != b}
    expected = {
        "features": (words / np.where(sums > 0, sums, 1)).tolist(),
        "labels": [None if node == 19 else int(label[node]) for node in range(NODES)],
        "edges": sorted(edges, key=lambda edge: edge[::-1]),
        "test": tested,
    }
    (HERE / "expected.json").write_text(json.dumps(expected) + "\n")
