#!/usr/bin/env python3
"""Draws tiles.svg, the picture in the kernel's documentation: `python3 crates/kernel/docs/tiles.py`."""

from pathlib import Path

# Middle tones, which stand out on white and on black; text takes the colour of the page.
FULL, PARTLY, WEIGHTS, CONTEXT = "#4a8fd9", "#8a7fd0", "#d98a3d", "#4fa36b"
WIDTH, HEIGHT = 900, 470
parts = []


def rect(x, y, width, height, fill="none", opacity=1.0, stroke="currentColor", dash="", line=1.0):
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    parts.append(
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" fill="{fill}" fill-opacity="{opacity:g}"'
        f' stroke="{stroke}" stroke-width="{line:g}"{dashed}/>'
    )


def text(x, y, words, size=13, anchor="start", weight="normal"):
    parts.append(
        f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}" font-weight="{weight}"'
        f' fill="currentColor">{words}</text>'
    )


def line(points, dash="", arrow=False, width=1.2):
    path = "M" + " L".join(f"{x:g} {y:g}" for x, y in points)
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    head = ' marker-end="url(#regard-arrow)"' if arrow else ""
    parts.append(f'<path d="{path}" fill="none" stroke="currentColor" stroke-width="{width:g}"{dashed}{head}/>')


def pairs():
    """Every pair of a query and a key, under a causal mask."""
    left, top, side, blocks, row = 66, 78, 54, 4, 2
    text(left, 24, "All pairs, causal", 15, weight="bold")
    text(left + 2 * side, top - 30, "keys, 64 at a time", anchor="middle")
    line([(left + 40, top - 18), (left + 4 * side - 40, top - 18)], arrow=True)
    parts.append(
        f'<text transform="translate({left - 18} {top + 2 * side}) rotate(-90)" font-size="13" text-anchor="middle"'
        f' fill="currentColor">blocks of 64 queries</text>'
    )
    for i in range(blocks):
        for j in range(blocks):
            x, y = left + j * side, top + i * side
            if j < i:
                rect(x, y, side, side, FULL, 0.55)
            elif j == i:
                parts.append(f'<path d="M{x} {y} l{side} {side} l{-side} 0 z" fill="{PARTLY}" fill-opacity="0.7"/>')
                rect(x, y, side, side)
            else:
                rect(x, y, side, side, dash="2 4", line=0.7)
    rect(left - 3, top + row * side - 3, 4 * side + 6, side + 6, line=2.4)
    for j, words in enumerate(["1st", "2nd", "3rd", "skip"]):
        text(left + j * side + side / 2, top + row * side + side / 2 + 5, words, anchor="middle", weight="bold")
    legend = top + 4 * side + 26
    for i, (fill, opacity, dash, words) in enumerate([
        (FULL, 0.55, "", "full: not masked"),
        (PARTLY, 0.7, "", "partly visible: masked"),
        ("none", 0.0, "2 4", "empty: no work at all"),
    ]):
        rect(left, legend + i * 24, 16, 16, fill, opacity, dash=dash)
        text(left + 26, legend + i * 24 + 13, words)
    text(left, legend + 90, "A block of queries lets its tiles")
    text(left, legend + 108, "stream by, and keeps one.")


def tile():
    """One tile, as it lies in memory: a query is a lane from top to bottom."""
    left, width, lane = 458, 176, 118
    text(left - 104, 24, "One tile: queries are lanes", 15, weight="bold")
    text(left + width / 2, 48, "64 queries, 16 to a vector", anchor="middle")
    notes = left + width + 22
    rows = [
        (58, 46, "Qᵀ", "none", ["packed once a block"]),
        (118, 86, "Sᵀ, then Pᵀ", WEIGHTS, ["Sᵀ = K · Qᵀ", "biases; −∞ where hidden", "m′ = max(m, S)", "P = exp(S − m′)"]),
        (218, 18, "m", "none", ["m, the greatest score so far"]),
        (246, 18, "ℓ", "none", ["ℓ = ℓ · exp(m − m′) + Σ P"]),
        (278, 62, "Cᵀ", CONTEXT, ["Cᵀ = Cᵀ · exp(m − m′)", "       + Vᵀ · Pᵀ"]),
    ]
    for y, height, name, fill, words in rows:
        rect(left, y, width, height, fill, 0.45 if fill != "none" else 0)
        for vector in (1, 2, 3):
            line([(left + vector * width / 4, y), (left + vector * width / 4, y + height)], width=0.5)
        shift = (height - 17 * (len(words) - 1)) / 2 + 5
        for i, word in enumerate(words):
            text(notes, y + shift + 17 * i, word.replace(" ", "\u00a0"))
        text(left + 10, y + height / 2 + 5, name, 14, weight="bold")
    rect(left + lane, 54, 6, 290, "currentColor", 0.55, stroke="none")
    line([(left + lane + 3, 362), (left + lane + 3, 347)], arrow=True)
    text(left + lane + 3, 378, "one query", anchor="middle")
    for y, height, name, size in [(118, 86, "K", "64 keys"), (278, 62, "Vᵀ", "features")]:
        rect(left - 76, y, 62, height, FULL, 0.45)
        text(left - 45, y + height / 2 + 5, name, 14, "middle", "bold")
        parts.append(
            f'<text transform="translate({left - 86} {y + height / 2:g}) rotate(-90)" font-size="12"'
            f' text-anchor="middle" fill="currentColor">{size}</text>'
        )
    text(left - 104, 412, "After the last tile C is divided by ℓ, and lse = m + ln ℓ is kept: with it, backward pass and")
    text(left - 104, 430, "probes make any weight again, exp(S − lse). Maxima, sums and factors go from row to row of")
    text(left - 104, 448, "the picture, vector by vector; nothing is ever moved from one lane to another.")


pairs()
tile()
svg = "\n".join([
    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="100%" style="max-width:{WIDTH}px"'
    ' font-family="sans-serif" role="img" aria-label="How attention is cut into tiles">',
    '<defs><marker id="regard-arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
    '<path d="M0 0 L8 4 L0 8 z" fill="currentColor"/></marker></defs>',
    *parts,
    "</svg>",
])
Path(__file__).with_name("tiles.svg").write_text(svg + "\n", encoding="utf-8")
