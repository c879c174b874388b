"""What is refused before it costs a worker, and that refusing costs nothing itself."""

import time

import pytest

from care_verl.verifier.symbolic import too_costly


@pytest.mark.parametrize(
    "text",
    [
        "9^{9^{9}}",
        "9^9^9",
        "2**3**4",
        "10^{100000}",
        "x ^ { 10000 }",
        "100000!",
        "(12345) !",
        "3!!",
        "7" * 400,
        "(" * 65 + "1" + ")" * 65,
        "{" * 3000,
        "x" * 40_000,
    ],
    ids=lambda text: text[:20],
)
def test_refused(text: str) -> None:
    assert too_costly(text)


@pytest.mark.parametrize(
    "text",
    ["2^{10}", "x^{2y}", "e^{x^2}", "(x+1)^{999}", "12!", "999!", "7" * 399, "((((1))))", "", "^^"],
    ids=lambda text: text[:20],
)
def test_let_through(text: str) -> None:
    assert too_costly(text) is None


@pytest.mark.parametrize(
    "unit", ["7", "７", "1234 ", "^", "^1", "!", "1!", " ", "(", "{^{9", "9^{9", "**"]
)
def test_the_time_is_linear(unit: str) -> None:
    """32,000 characters; a quadratic pattern takes ten seconds and more."""
    begin = time.process_time()
    too_costly("1234" + unit * (31_000 // len(unit)))
    too_costly("1234" + "\n" * 20_000 + unit * (10_000 // len(unit)))
    assert time.process_time() - begin < 5
