"""Writes tests/fixtures/pieces.bin and pieces.json: a small vocabulary of SentencePiece's and how it cuts some texts.

    pip install sentencepiece==0.2.3
    python crates/recipes/scripts/sentencepiece_fixtures.py

Byte pair encoding with bytes for what is unknown, nothing normalised, a space before the text: as LLaMA's. pieces.bin is in the
format of llama2.c, spaces written as spaces.
"""

import io
import json
import struct
from pathlib import Path

import sentencepiece

FIXTURES = Path(__file__).parent.parent / "tests/fixtures"
WORDS = "the cat sat on the mat and then the other cat that sat there ate a hat while another one chatted with the rat".split()
TEXTS = [
    "the cat", "another that chatted", " the  other hat ", "theatre\n\nhatter", "aaaaaaaaaaa", "", " ", "Cat!", "über",
    "a 猫 sat", "the 😀", "ttthhheee", "x", "\tcat\u00a0mat", "then then then thenthen", "Once upon a time",
]


def main():
    sentences = [" ".join(WORDS[i % len(WORDS)] for i in range(start, start + 9)) for start in range(len(WORDS))]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences), model_writer=model, model_type="bpe", vocab_size=300, byte_fallback=True,
        normalization_rule_name="identity", remove_extra_whitespaces=False, add_dummy_prefix=True, minloglevel=2,
    )
    pieces = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    names = ["<unk>", "\n<s>\n", "\n</s>\n"]
    names += [pieces.id_to_piece(id).replace("▁", " ") for id in range(3, pieces.vocab_size())]
    names = [name.encode() for name in names]
    entries = [struct.pack("<fi", pieces.get_score(id), len(name)) + name for id, name in enumerate(names)]
    (FIXTURES / "pieces.bin").write_bytes(struct.pack("<i", max(map(len, names))) + b"".join(entries))
    cases = [{"text": text, "ids": [1] + pieces.encode(text) if text else [1]} for text in TEXTS]
    document = {"package": f"sentencepiece {sentencepiece.__version__}", "count": len(names), "cases": cases}
    (FIXTURES / "pieces.json").write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()
