"""Writes tests/fixtures/sacrebleu.json: awkward segments with the scores that sacreBLEU gives them.

    pip install sacrebleu==2.6.0
    python crates/recipes/scripts/sacrebleu_fixtures.py
"""

import itertools
import json
import pathlib

from sacrebleu.metrics import BLEU, CHRF

# A case is a list of segments, a segment a hypothesis followed by its references.
CASES = {
    "equal": [["Bonjour, comment allez-vous ?"] * 2],
    "nothing in common": [["Bonjour.", "Salut !"]],
    "no character in common": [["abc", "xyz"]],
    "empty hypothesis": [["", "Salut !"]],
    "empty reference": [["Salut !", ""]],
    "both empty": [["", ""]],
    "empty hypothesis among others": [["", "Va !"], ["Il fait beau aujourd'hui.", "Il fait beau aujourd'hui."]],
    "blank hypothesis": [[" \t ", "Va !"]],
    "one word": [["Oui", "Oui"]],
    "two words": [["Oui .", "Oui !"]],
    "three tokens": [["Je pars.", "Je pars."]],
    "shorter": [["Le chat dort", "Le chat noir dort sur le tapis rouge"]],
    "longer": [["Le chat noir dort sur le tapis rouge", "Le chat dort sur le tapis"]],
    "repetition is clipped": [["the the the the the the the", "The cat is on the mat."]],
    "repetition, several references": [["the the the the the the the", "The cat is on the mat.", "the the cat"]],
    "ties of reference length": [["a b c d", "a b c d e", "a b c"]],
    "ties, shorter last": [["a b c d e", "a b c d e f g", "a b c"]],
    "closest is longer": [["a b c d e f", "a b c d e f g h", "a b"]],
    "varying references": [["Salut.", "Salut !", "Bonjour."], ["Va !", "Va !"], ["Qui est là ?", "Qui ?", "Qui va là ?", "C'est qui ?"]],
    "same reference twice": [["Il dort bien ici.", "Il dort ici.", "Il dort ici."]],
    "reference is empty, another is not": [["Va !", "", "Va donc !"]],
    "decimal comma and point": [["1,000.5 and 3.14, or 2,71.", "1,000.5 and 3.14 , or 2,71 ."]],
    "points": [["etc... U.S.A., p.m. and 5.", "etc. . . U.S.A. , p.m. and 5 ."]],
    "commas in a row": [["a,,b,,,c", "a , , b ,,, c"]],
    "dashes": [["1990-2000 well-known 3-fold - pre-", "1990 - 2000 well-known 3 -fold - pre -"]],
    "point at the beginning": [[".5 ,7 a.b 4.b b.4", ". 5 , 7 a . b 4 . b b . 4"]],
    "all of ASCII's punctuation": [["!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", "! \" # $ % & ' ( ) * + , - . / : ; < = > ? @ [ \\ ] ^ _ ` { | } ~"]],
    "entities": [["&quot;A&quot; &amp; &lt;b&gt; &amp;lt;", "\"A\" & <b> &lt;"]],
    "half entity": [["AT&T & co & quot;", "AT&amp;T &amp; co"]],
    "skipped": [["a <skipped> b c d", "a b c d"]],
    "line break inside": [["hyphen-\nated word\nhere now", "hyphenated word here now"]],
    "quotes": [["« Où ? » “Here” ‘there’ „dort“", "« Où ? » \"Here\" 'there' \"dort\""]],
    "halves and signs": [["½ of 3² is 4½ €… ™", "1/2 of 3² is 4.5 € … ™"]],
    "apostrophes": [["C'est l'été aujourd'hui", "C’est l’été aujourd’hui"]],
    "no-break spaces": [["Comment allez-vous\u202f? Bien\u00a0!", "Comment allez-vous ? Bien !"]],
    "odd spaces": [["a\u2009b\u3000c\u0085d\u001ce\u001ff\u200bg\u180eh", "a b c d e f g h"]],
    "spaces at the ends": [["  Le chat dort là.  \n", "\tLe chat dort là. "]],
    "case": [["LE CHAT DORT. Straße ΌΣΟΣ İ", "le chat dort. STRASSE όσος i̇"]],
    "decomposed": [["e\u0301te\u0301 ici là-bas", "été ici là-bas"]],
    "Chinese": [["我们今天去学校。", "我们 今天 去 学校 。"]],
    "emoji": [["Je t'aime 👩‍👩‍👧 ❤️ !", "Je t'aime 👩‍👧 ❤ !"]],
    "Cyrillic": [["Привет, мир! Как дела?", "Привет мир, как дела?"]],
    "Arabic digits": [["٣.٥ و ٢,٧", "٣ . ٥ و ٢ , ٧"]],
    "already tokenised": [["un homme , d&apos; une femme .", "un homme , d&apos; une femme blonde ."]],
    "joined subwords": [["un ho@@ mme dort ici", "un homme dort ici"]],
    "words in brackets": [["(hi) (there \"you\" it's. -x", "(hi ) ( there \" you \" it's . - x"]],
    "single punctuation": [["! ? . a", "! . ? a"]],
    "one character each": [["a", "a"], ["b", "c"]],
    "short references": [["abcdefgh", "ab"], ["xy", "xyz"]],
    "short among long": [["ab", "ab"], ["Une phrase bien plus longue que l'autre.", "Une phrase plus longue que l'autre."]],
    "no 4-gram in common": [["a b c x d e f", "a b c y d e f"], ["g h", "g h"]],
    "only unigrams in common": [["d c b a", "a b c d"]],
    "unigrams and bigrams": [["a b x c d y e f", "a b z c d w e f"]],
    "URL": [["See https://example.org/a_b?c=d&e=1.5#f, now.", "See https://example.org/a_b?c=d&e=1.5#f now ."]],
    "times and money": [["At 10:30 a.m., $1,299.99 (+5%)!", "At 10.30am, $ 1,299.99 (+ 5 %) !"]],
    "order of a long text": [[" ".join(f"w{i % 7}" for i in range(60)), " ".join(f"w{i % 5}" for i in range(50))]],
    "many segments": [[f"Le numéro {i} est {'pair' if i % 2 else 'impair'}.", f"Le numéro {i} est {'pair' if i % 3 else 'impair'}."] for i in range(20)],
}

BLEUS = {
    "default": {},
    "lowercase": {"lowercase": True},
    "untokenized": {"tokenize": "none"},
    "tokenized": {"tokenize": "none", "smooth_method": "none"},
    "floor": {"smooth_method": "floor"},
    "add-k": {"smooth_method": "add-k"},
    "effective": {"effective_order": True},
}
CHRFS = {"default": {}, "lowercase": {"lowercase": True}, "plus_plus": {"word_order": 2}}


def scored(metric, segments):
    hypotheses = [segment[0] for segment in segments]
    references = list(itertools.zip_longest(*(segment[1:] for segment in segments)))
    score = metric.corpus_score(hypotheses, references)
    return score.score, score.format(signature=metric.get_signature().format())


def main():
    metrics = {f"bleu {name}": BLEU(force=True, **options) for name, options in BLEUS.items()}
    metrics |= {f"chrf {name}": CHRF(**options) for name, options in CHRFS.items()}
    cases = []
    for name, segments in CASES.items():
        results = {variant: scored(metric, segments) for variant, metric in metrics.items()}
        # The whole line once a case for BLEU and chrF; of every variant in one case.
        lines = [v for v in results if name == "varying references" or v.endswith(" default")]
        case = {"name": name, "segments": segments, "scores": {v: score for v, (score, _) in results.items()}}
        cases.append(case | {"lines": {v: results[v][1] for v in lines}})
    path = pathlib.Path(__file__).parent.parent / "tests" / "fixtures" / "sacrebleu.json"
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    print(f"{len(cases)} cases in {path}")


if __name__ == "__main__":
    main()
