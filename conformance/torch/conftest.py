"""At the end, our errors beside PyTorch's."""

import sys
from statistics import median


def pytest_terminal_summary(terminalreporter):
    errors = getattr(sys.modules.get("test_grid"), "ERRORS", [])
    for kind in dict.fromkeys((what, dtype) for what, dtype, *_ in errors):
        ours, theirs = zip(*(pair for what, dtype, *pair in errors if (what, dtype) == kind))
        name = f"{kind[0]}, {kind[1]}".replace("torch.", "")
        row = f"median error {median(ours):.1e} (PyTorch {median(theirs):.1e}), greatest {max(ours):.1e} ({max(theirs):.1e})"
        terminalreporter.write_line(f"{name:20} {row}, {len(ours)} cases")
