"""What is measured: the rows of the table, in groups whose rows take turns."""

from dataclasses import asdict, dataclass, replace

import numpy as np

from workers.jobs import visible

ALL_PEERS = ("pytorch", "onnxruntime", "candle", "burn")
BYTES = {"f32": 4, "f16": 2, "bf16": 2, "int8": 1}


@dataclass(frozen=True)
class Work:
    """One attention to compute; `protocol/src/work.rs` says what each word means."""

    task: str = "forward"
    batch: int = 1
    heads: int = 8
    key_heads: int = 8
    queries: int = 1024
    keys: int = 1024
    width: int = 64
    value_width: int = 64
    element: str = "f32"
    mask: object = "none"
    bias: str = "none"
    layout: str = "heads"

    def job(self):
        return asdict(self)

    def pairs(self, normals):
        """How many pairs of a query and a key are visible."""
        one = self.queries * self.keys
        if self.mask == "causal":
            offset = self.keys - self.queries
            one = sum(min(max(query + offset + 1, 0), self.keys) for query in range(self.queries))
        elif self.mask != "none" and "window" in self.mask:
            one = sum(min(query + 1, self.mask["window"]) for query in range(self.queries))
        elif self.mask != "none":
            one = int(np.count_nonzero(visible(self, normals)))
        return self.batch * self.heads * one

    def operations(self, normals):
        """Multiplications and additions: two products forward, five backward (the scores are computed again)."""
        forward, backward = self.width + self.value_width, 3 * self.width + 2 * self.value_width
        per_pair = {"train": forward + backward, "backward": backward}.get(self.task, forward)
        return 2 * per_pair * self.pairs(normals)

    def limit(self):
        """What the machine's limit is, or None where the work is neither."""
        if self.task == "decode":
            return "reading"
        return "multiply_adds" if self.task != "observe" and self.queries > 1 else None

    def amount(self, normals):
        """What the limit counts: bytes, or multiplications and additions."""
        return self.bytes() if self.task == "decode" else self.operations(normals)

    def bytes(self):
        """Of keys and values, which decoding reads once; int8 has a scale of four bytes a row."""
        row = (self.width + self.value_width) * BYTES[self.element] + (8 if self.element == "int8" else 0)
        return self.batch * self.key_heads * self.keys * row


@dataclass(frozen=True)
class Row:
    name: str
    work: Work
    # What the row is compared with: the name of another row of its group, and how.
    relation: str = ""
    reference: str = ""


@dataclass(frozen=True)
class Group:
    """Rows that take turns, since they are compared with each other, or since there is only one."""

    section: str
    rows: list
    peers: tuple = ALL_PEERS
    # Whether every number of threads is measured, or only the greatest.
    every_thread_count: bool = True
    # Whether the numbers of threads take turns, too.
    threads_take_turns: bool = False
    isa: str = ""
    quick: bool = False
    scratch: bool = False


def attention(length=1024, width=64, **more):
    """Self-attention."""
    sizes = {"queries": length, "keys": length, "width": width, "value_width": width}
    heads = {"key_heads": more["heads"]} if "heads" in more else {}
    return Work(**{**sizes, **heads, **more})


def both_masks(section, name, work, **more):
    """A group without a mask and one that is causal."""
    for mask, label in (("none", "full"), ("causal", "causal")):
        yield Group(section, [Row(f"{name} {label}", replace(work, mask=mask))], **more)


def groups():
    section = "forward"
    for length in (1024, 4096):
        for width in (64, 128):
            name = f"B1 H8 L{length} D{width}"
            yield from both_masks(section, name, attention(length, width), quick=length == 1024 and width == 64)
    yield from both_masks(section, "B8 H12 L128 D64", attention(128, batch=8, heads=12), quick=True)

    section = "forward + backward"
    for length in (1024, 4096):
        work = attention(length, task="train")
        yield from both_masks(section, f"B1 H8 L{length} D64", work, quick=length == 1024)

    section = "decode, one query"
    base = Work(task="decode", heads=32, key_heads=32, queries=1, width=128, value_width=128)
    for keys in (4096, 32_768):
        for key_heads, elements in ((32, ("f32", "f16", "bf16", "int8")), (8, ("f32", "bf16", "int8"))):
            name = f"{'H32' if key_heads == 32 else 'H32/8'} S{keys} D128"
            for element in elements:
                work = replace(base, keys=keys, element=element, key_heads=key_heads)
                relation = ("instead", f"{name} f32") if element != "f32" else ()
                row = Row(f"{name} {element}", work, *relation)
                yield Group(section, [row], quick=keys == 4096 and element in ("f32", "int8"))

    full = attention(8192, heads=4)
    yield Group(
        "sparse, B1 H4 L8192 D64",
        [
            Row("full", full),
            Row("causal window 256", replace(full, mask={"window": 256}), "share", "full"),
            Row("8 documents of 1024", replace(full, mask={"documents": 8}), "share", "full"),
            Row("10 % of 64×64 blocks", replace(full, mask={"blocks": 64}), "share", "full"),
        ],
        peers=("pytorch",),
        every_thread_count=False,
    )

    none = attention(2048)
    yield Group(
        "modifiers, B1 H8 L2048 D64",
        [
            Row("none", none),
            Row("dense bias", replace(none, bias="dense"), "overhead", "none"),
            Row("dense bias, one a head", replace(none, bias="dense_by_head"), "overhead", "none"),
            Row("soft cap", replace(none, bias="soft_cap"), "overhead", "none"),
            Row("ALiBi", replace(none, bias="alibi"), "overhead", "none"),
            Row("dense mask, half hidden", replace(none, mask="dense"), "overhead", "none"),
        ],
        peers=("pytorch", "onnxruntime"),
        every_thread_count=False,
        quick=True,
    )

    for task in ("forward", "backward"):
        row = Row(f"{task} B1 H1 L16384 D64", attention(16_384, heads=1, task=task), "threads")
        yield Group("one head, more threads", [row], peers=("pytorch",), threads_take_turns=True)

    for length in (1024, 4096):
        name = f"forward B1 H8 L{length} D64"
        yield from both_masks("AVX2 only", name, attention(length), peers=("pytorch",), isa="avx2")
    train = attention(1024, task="train")
    yield from both_masks("AVX2 only", "fwd + bwd B1 H8 L1024 D64", train, peers=("pytorch",), isa="avx2")

    for length in (1024, 4096):
        work = attention(length)
        rows = [Row(f"L{length} f32", work)]
        for element in ("f16", "bf16"):
            rows.append(Row(f"L{length} {element}", replace(work, element=element), "speed", f"L{length} f32"))
        section = "half precision in, forward B1 H8 D64"
        yield Group(section, rows, peers=("pytorch",), every_thread_count=False)

    work = attention(4096)
    look = "entropy, 8 strongest keys, received, pyramid of 256"
    yield Group(
        "looking, B1 H8 L4096 D64",
        [Row("forward", work), Row(look, replace(work, task="observe"), "times", "forward")],
        peers=(),
        every_thread_count=False,
    )

    rows = [Row(f"L{length}", attention(length), "speed", "L1024") for length in (1000, 1023, 1025)]
    section = "ragged lengths, forward B1 H8 D64"
    yield Group(section, [Row("L1024", attention(1024)), *rows], peers=("pytorch",), every_thread_count=False)

    section = "odd widths, forward B1 H8 L1024"
    for reference, widths in ((64, (40, 72, 80)), (128, (96, 112, 192, 256))):
        rows = [Row(f"D{width}", attention(1024, width), "speed", f"D{reference}") for width in widths]
        for width, value_width in ((64, 128), (128, 64)) if reference == 128 else ():
            work = replace(attention(1024, width), value_width=value_width)
            rows.append(Row(f"D{width}, values {value_width}", work, "speed", "D128"))
        rows.insert(0, Row(f"D{reference}", attention(1024, reference)))
        yield Group(section, rows, peers=("pytorch",), every_thread_count=False)

    for task, label in (("forward", "forward"), ("train", "fwd + bwd")):
        work = attention(1024, task=task)
        rows = [
            Row(f"{label} [batch, head, position, feature]", work),
            Row(
                f"{label} [batch, position, head, feature]",
                replace(work, layout="positions"),
                "speed",
                f"{label} [batch, head, position, feature]",
            ),
        ]
        yield Group("strides, B1 H8 L1024 D64", rows, peers=("pytorch",), every_thread_count=False)

    section = "one token"
    yield Group(section, [Row("B1 H8 L1 S1 D64", replace(attention(1), keys=1))])
    yield Group(section, [Row("B64 H8 L1 S128 D64", replace(attention(1, batch=64), keys=128))])

    section = "memory of one forward pass besides inputs and outputs, 131,072 tokens, H1 D64"
    long = attention(131_072, heads=1)
    for name, mask in (("causal window 256", {"window": 256}), ("full", "none")):
        peers = ("pytorch",) if mask == "none" else ()
        row = Row(name, replace(long, mask=mask))
        yield Group(section, [row], peers=peers, every_thread_count=False, scratch=True)
