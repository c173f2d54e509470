"""Says at the end how many cases of each operator have passed."""

from cases import CASES, EXPECTED, operator


def pytest_terminal_summary(terminalreporter):
    """A line an operator, and one for those whose scores become weights."""
    names = {f"[{case.name.removeprefix('test_')}]": operator(case) for case in CASES}
    passed = dict.fromkeys(EXPECTED, 0)
    for report in terminalreporter.stats.get("passed", []):
        name = names.get(report.nodeid[report.nodeid.find("[") :])
        if name:
            passed[name] += 1
    terminalreporter.section("onnx node cases")
    for name, expected in EXPECTED.items():
        terminalreporter.line(f"{name}: {passed[name]} of {expected}")
    attention = [name for name in EXPECTED if name.endswith("Attention")]
    terminalreporter.line(
        f"attention: {sum(passed[name] for name in attention)} of {sum(EXPECTED[name] for name in attention)}"
    )
