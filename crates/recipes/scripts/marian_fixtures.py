"""Writes tests/fixtures/marian: the tokenizer's files of a small Marian, and how SentencePiece and transformers' rules cut some texts.

    pip install sentencepiece==0.2.3
    python crates/recipes/scripts/marian_fixtures.py

source.spm is a unigram model with a few rules for characters in place of the large ones that published models have; vocab.json numbers
most of its pieces in another order, and some that it does not know. cases.json has for each text its pieces, its ids, and the text that
the ids make again; rules for languages, unknown pieces and ends are those of transformers' MarianTokenizer.
"""

import io
import json
import os
from pathlib import Path

import sentencepiece

FOLDER = Path(__file__).resolve().parent.parent / "tests/fixtures/marian"
WORDS = "the cat sat on the mat and then the other cat that sat there ate a hat while another one chatted with the rat".split()
# From, to: code points. A ligature, a wide letter, an accent that is joined, a space that does not break, one of no width, three dots.
RULES = ["FB01\t66 69", "FF41\t61", "65 301\tE9", "A0\t20", "200B\t", "2026\t2E 2E 2E", "61 301 301\t61", "9\t20"]
TEXTS = [
    "the cat", "another that chatted", " the  other hat ", "theatre hatter", "aaaaaaaaaaa", "", " ", "Cat!", "über", "a 猫猫 sat", "the 😀",
    "ttthhheee", "x", "\tcat\u00a0mat", "ﬁne he\u0301 a\u0301 a\u0301\u0301 a\u0301\u0301\u0301", "wait\u2026 wh\u200bile", "\u200b", "a \u200b b",
    ">>fr<< the cat", ">>xx<<the cat", ">>fr the cat", "</s> <unk>", "the ▁ cat▁", "line\nbreak", "ａｂ", "the\u0000cat", "<special> cat",
]


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    # The model keeps the name of the file with the rules as it is given.
    os.chdir(FOLDER)
    rules = Path("rules.tsv")
    rules.write_text("\n".join(RULES) + "\n")
    sentences = [" ".join(WORDS[i % len(WORDS)] for i in range(start, start + 9)) for start in range(len(WORDS))]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences), model_writer=model, model_type="unigram", vocab_size=50, hard_vocab_limit=False,
        normalization_rule_tsv=str(rules), user_defined_symbols=["<special>"], minloglevel=2,
    )
    rules.unlink()
    (FOLDER / "source.spm").write_bytes(model.getvalue())
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    pieces = [processor.id_to_piece(id) for id in range(3, processor.vocab_size())]
    # One of them is not numbered, and what comes before and after the others is not the source's.
    names = ["</s>", "<unk>", "▁Katze", *reversed(pieces[1:]), ">>fr<<", "猫", "<pad>"]
    vocabulary = {name: id for id, name in enumerate(names)}
    (FOLDER / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False) + "\n")
    cases = []
    for text in TEXTS:
        code, rest = [], text
        if text.startswith(">>") and (end := text.find("<<")) != -1:
            code, rest = [text[: end + 2]], text[end + 2 :]
        cut = code + processor.encode(rest, out_type=str)
        ids = [vocabulary.get(piece, vocabulary["<unk>"]) for piece in cut]
        kept = [names[id] for id in ids if names[id] not in ("</s>", "<unk>", "<pad>")]
        again = processor.decode_pieces(kept).replace("▁", " ").strip()
        cases.append({"text": text, "pieces": cut[len(code) :], "ids": ids + [vocabulary["</s>"]], "again": again})
    document = {"package": f"sentencepiece {sentencepiece.__version__}", "count": len(names), "cases": cases}
    (FOLDER / "cases.json").write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()
