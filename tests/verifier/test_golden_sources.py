"""Verdicts settled by hand, by the source that such answers come from."""

import pytest

from care_verl.verifier import verify

Row = tuple[str, tuple[str, ...] | None, str, list[str], list[str]]
"""Gold, the row's choices, data source, answers that are right, answers that are wrong."""

LENGTHS = ("10 cm", "12 cm", "14 cm", "16 cm")
COLOURS = ("red", "blue", "green", "dark blue")
ANGLES = ("30", "45", "60", "90")
SHAPES = ("square", "rhombus", "kite", "trapezoid")
ROOTS = (r"\sqrt{2}", r"\sqrt{3}", "2", r"2\sqrt{3}")

CHOICES: list[Row] = [
    (
        "B",
        LENGTHS,
        "virl39k",
        [
            "B",
            "(B)",
            "B.",
            "B)",
            "B. 12 cm",
            "(B) 12 cm",
            "B: 12 cm",
            "**B**",
            "**B.** 12 cm",
            r"\boxed{B}",
            r"$\boxed{\text{B}}$",
            r"\text{B}",
            "$B$",
            "b",
            " B\n",
            "12 cm",
            "12cm",
        ],
        [
            "A",
            "C",
            "(D)",
            "B. 14 cm",
            "A. 12 cm",
            "(C) 12 cm",
            "14 cm",
            "A, B",
            "A and B",
            "B or C",
            "(A) (B)",
            "12 m",
            "AB",
            "Because",
            "Bees",
            "E",
        ],
    ),
    (
        "C",
        COLOURS,
        "mathvista",
        ["C", "(C)", "green", "Green", "C. green", r"\boxed{C}", r"\boxed{green}", "c"],
        ["B", "red", "C. red", "A. green", "Colour", "Cyan", "greenish", "B, C", "dark green"],
    ),
    (
        "blue",
        COLOURS,
        "mathvista",
        ["blue", "Blue", "BLUE", "B", "(B)", "B. blue", "**blue**"],
        ["dark blue", "D", "red", "A", "B. red", "blueish", "D. dark blue", "bl"],
    ),
    (
        "D",
        COLOURS,
        "mmmu",
        ["D", "(D)", "D.", "dark blue", "Dark Blue", r"\boxed{\text{D}}", "D. dark blue"],
        ["B", "blue", "dark", "D. blue", "Dark", "Definitely", "A B C D", "None"],
    ),
    (
        "C",
        ANGLES,
        "mathverse",
        ["C", "60", r"60^\circ", "(C) 60", r"C. $60^\circ$", "60°", r"\boxed{60}"],
        ["A", "D", "30", "C. 30", "90", "B. 45", "6", "160", "-60"],
    ),
    (
        "A",
        SHAPES,
        "mathverse",
        ["A", "(A)", "a", "square", "Square", "A. square", r"\boxed{A}"],
        ["kite", "B", "A. kite", "rhombus", "A rhombus", "An angle", "All", "squares and kites"],
    ),
    (
        "D",
        ROOTS,
        "mathvision",
        ["D", r"2\sqrt{3}", r"\sqrt{12}", "(D)", r"D. $2\sqrt{3}$", r"\boxed{D}"],
        ["B", r"\sqrt{3}", "2", r"D. $\sqrt{3}$", "C", r"3\sqrt{2}"],
    ),
    ("E", None, "mathvision", ["E", "(E)", "E.", "e", r"\boxed{E}"], ["A", "D", "Even", "EE", "F"]),
    (
        "A",
        None,
        "mmmu",
        ["A", "(A)", "A.", "**A**", r"\boxed{A}", "$A$"],
        ["B", "(B)", "An apple", "Answer", "A and C", "AC", "Apple"],
    ),
]

NUMBERS: list[Row] = [
    (
        "1000000",
        None,
        "virl39k",
        ["1,000,000", "1000000", "1000000.0", r"1{,}000{,}000", "10^6", r"10^{6}", r"1\times 10^6"],
        ["1,000", "100000", "1,000,001", "-1000000", "10^5", r"10^{-6}"],
    ),
    (
        "12",
        None,
        "",
        ["12", "12.0", "12.", "012", "+12", "$12$", r"\boxed{12}", "x = 12", "**12**", "24/2"],
        ["-12", "21", "1.2", "12.01", "120", "1 2", "12/2", "11", "twelve dozen"],
    ),
    (
        "-3.5",
        None,
        "mathvista",
        ["-3.5", "−3.5", "-3.50", "-7/2", r"-\frac{7}{2}", r"\frac{-7}{2}", "-3 1/2"],
        ["3.5", "-3", "-35", "-5.3", "7/2", "-3.05", "-2 1/2"],
    ),
    (
        r"\frac{3}{4}",
        None,
        "virl39k",
        ["3/4", "0.75", r"\frac{3}{4}", r"\dfrac{3}{4}", r"\tfrac34", "6/8", ".75", "¾"],
        ["4/3", "0.34", "3.4", "-3/4", "0.7", r"\frac{3}{5}", "34", r"3\frac{1}{4}"],
    ),
    (
        "7/2",
        None,
        "mathvision",
        ["3 1/2", r"3\frac{1}{2}", "3.5", r"\frac{7}{2}", "3½", "14/4"],
        ["31/2", "2/7", "3 1/3", "7", "3", r"2\frac{1}{2}"],
    ),
    (
        "0.00012",
        None,
        "mathvista",
        ["0.00012", r"1.2\times 10^{-4}", "1.2e-4", "1.2E-4", r"1.2 \cdot 10^{-4}", "1.2 × 10^-4"],
        [r"1.2\times 10^{4}", "1.2e-5", "1.2", "12", r"1.2\times 10^{-3}", "0.0012"],
    ),
    ("25%", None, "mathverse", ["25%", r"25\%", "25 %", r"$25\%$"], ["52%", "2.5%", "-25%", "26%"]),
    (
        "17",
        None,
        "virl39k",
        ["17", r"17^\circ", r"17^{\circ}", "17°", "17 degrees", r"$17^\circ$", "17.0"],
        [r"71^\circ", r"-17^\circ", r"17.5^\circ", "18", r"107^\circ"],
    ),
    (
        r"60^\circ",
        None,
        "mathverse",
        ["60", r"60^\circ", r"60^{\circ}", "60°", "60 degrees", r"60\degree"],
        [r"30^\circ", r"6^\circ", "61", r"120^\circ", "-60", "60 cm"],
    ),
    (
        "12 cm",
        None,
        "mathverse",
        ["12 cm", "12cm", "12", r"12\text{ cm}", r"12\,\mathrm{cm}", "12.0 cm", r"$12$ cm"],
        ["12 m", "12 mm", "12 cm^2", "21 cm", "-12 cm", r"12\text{ m}", "12 kg", "1.2 cm"],
    ),
    (
        r"24\text{ cm}^2",
        None,
        "geometry3k",
        ["24", "24 cm^2", r"24\text{ cm}^2", r"24\,\mathrm{cm}^2", "24 cm²"],
        ["24 cm", "24 cm^3", "24 m^2", "42 cm^2", "42"],
    ),
    (
        "3 hours",
        None,
        "mathvista",
        ["3 hours", "3", "3 Hours", r"3\text{ hours}"],
        ["3 minutes", "3 days", "4 hours", "3.5 hours", "-3 hours"],
    ),
    ("0", None, "", ["0", "0.0", "-0", "00", r"\boxed{0}"], ["1", "O", "none", "0.1", "o", "10"]),
]

LATEX: list[Row] = [
    (
        r"2 \sqrt { 221 }",
        None,
        "geometry3k",
        [r"2\sqrt{221}", r"2 \sqrt { 221 }", r"\sqrt{884}", r"$2\sqrt{221}$", "2√221"],
        [r"\sqrt{221}", r"2\sqrt{212}", r"4\sqrt{221}", r"-2\sqrt{221}", "221", "442"],
    ),
    (
        r"\frac { 35 } { 17 }",
        None,
        "geometry3k",
        [r"\frac{35}{17}", "35/17", r"2\frac{1}{17}", r"\frac{70}{34}"],
        ["17/35", "2", r"\frac{35}{71}"],
    ),
    (
        r"6 \pi",
        None,
        "geometry3k",
        [r"6\pi", "6π", r"6 \cdot \pi", r"\pi \cdot 6", r"\frac{12\pi}{2}"],
        ["6", r"\pi", r"5\pi", r"6\pi^2", r"12\pi", r"-6\pi"],
    ),
    (
        r"\frac{\sqrt{3}}{3}",
        None,
        "mathvision",
        [r"\frac{1}{\sqrt{3}}", r"\frac{\sqrt3}{3}", r"\dfrac{\sqrt{3}}{3}", r"\sqrt{\frac{1}{3}}"],
        [r"\sqrt{3}", r"\frac{\sqrt{3}}{2}", r"\frac{3}{\sqrt{3}}", r"-\frac{\sqrt{3}}{3}", "1/3"],
    ),
    (
        r"\boxed{2x+3}",
        None,
        "virl39k",
        ["2x+3", "3+2x", "$2x + 3$", r"\boxed{2x+3}", r"2 \cdot x + 3"],
        ["2x-3", "3x+2", "2x", "5x", "2y+3", "2x+3+1"],
    ),
    (
        r"(x-1)(x+2)",
        None,
        "virl39k",
        ["(x+2)(x-1)", "x^2+x-2", r"x^{2} + x - 2"],
        ["x^2-x-2", "(x+1)(x-2)", "x^2+x+2", "x-1"],
    ),
    (
        r"1-\frac{1}{e}",
        None,
        "",
        [r"1 - \frac{1}{e}", "1-1/e", r"\frac{e-1}{e}", r"1-e^{-1}"],
        [r"1+\frac{1}{e}", r"\frac{1}{e}", r"\frac{1-e}{e}", r"1-e"],
    ),
    (
        r"x \geq 5",
        None,
        "virl39k",
        [r"x \ge 5", "x >= 5", r"5 \leq x", "x ≥ 5"],
        ["x > 5", r"x \leq 5", "x = 5", "x < 5"],
    ),
]

COLLECTIONS: list[Row] = [
    (
        "(1,3)",
        None,
        "virl39k",
        ["(1,3)", "(1, 3)"],
        ["1.3", "13", "(1.3)", "(3,1)", "3", "(1,3,1)"],
    ),
    (
        r"2 and \sqrt{3}",
        None,
        "virl39k",
        [r"2, \sqrt{3}", r"\sqrt{3} and 2", r"2 and \sqrt{3}", r"\sqrt{3}, 2"],
        ["2", r"\sqrt{3}", r"2 and \sqrt{5}", r"3 and \sqrt{3}", r"2\sqrt{3}"],
    ),
    (
        r"\begin{pmatrix} 1 & 2 \\ 3 & 0 \end{pmatrix}",
        None,
        "virl39k",
        [
            r"\begin{pmatrix}1&2\\3&0\end{pmatrix}",
            r"\begin{bmatrix} 1 & 2 \\ 3 & 0 \end{bmatrix}",
            r"$\begin{pmatrix} 1 & 2 \\ 3 & 0 \end{pmatrix}$",
        ],
        [
            "0",
            "1",
            r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}",
            r"\begin{pmatrix} 1 & 3 \\ 2 & 0 \end{pmatrix}",
            r"\begin{pmatrix} 1 & 2 \end{pmatrix}",
        ],
    ),
    (
        "(1, 2)",
        None,
        "virl39k",
        ["(1,2)", "(1, 2)", r"\left(1, 2\right)", "$(1,2)$", r"(1.0, \frac{4}{2})"],
        ["(2,1)", "(1,3)", "(1,2,3)", "(-1,2)", "[1,2]", "1", "1.2", "12"],
    ),
    (
        r"\{1, 2, 3\}",
        None,
        "virl39k",
        [r"\{3, 2, 1\}", r"\{1,2,3\}", "{1, 2, 3}", r"\left\{2,1,3\right\}"],
        [r"\{1,2\}", r"\{1,2,4\}", r"\{1,2,3,4\}", r"\{-1,2,3\}"],
    ),
    (
        "[0, 1)",
        None,
        "mathvision",
        ["[0,1)", r"\left[0, 1\right)", "$[0, 1)$"],
        ["(0,1)", "[0,1]", "(0,1]", "[0,2)", "[-1,0)"],
    ),
    (
        r"(-\infty, 2]",
        None,
        "virl39k",
        [r"(-\infty,2]", r"\left(-\infty, 2\right]", "(-∞, 2]"],
        [r"(-\infty,2)", r"[2,\infty)", r"(-\infty,-2]", r"(-\infty,3]"],
    ),
]

TEXT: list[Row] = [
    ("Yes", None, "chartqa", ["Yes", "yes", "YES", "**Yes**"], ["No", "Yes and No", "Not sure"]),
    (
        "United States",
        None,
        "chartqa",
        ["United States", "united states", "UNITED STATES"],
        ["United Kingdom", "States", "United", "China"],
    ),
    ("14", None, "chartqa", ["14", "14.5", "13.5", "14.0"], ["15", "13", "41", "fourteen dozen"]),
    ("red", None, "mathvista", ["red", "Red", r"\text{red}"], ["blue", "dark red", "read", "r"]),
    (
        "isosceles triangle",
        None,
        "mathverse",
        ["isosceles triangle", "Isosceles triangle", r"\text{isosceles triangle}"],
        ["equilateral triangle", "triangle", "isosceles trapezoid"],
    ),
    ("Monday", None, "mmmu", ["Monday", "monday", " Monday "], ["Tuesday", "Mon Tue", "Sunday"]),
    ("", None, "", [], ["", " ", "0"]),
]

ROWS = CHOICES + NUMBERS + LATEX + COLLECTIONS + TEXT
CASES = [
    (answer, gold, data_source, choices, expected)
    for gold, choices, data_source, right, wrong in ROWS
    for expected, answers in ((1.0, right), (0.0, wrong))
    for answer in answers
]


@pytest.mark.parametrize(
    ("answer", "gold", "data_source", "choices", "expected"),
    CASES,
    ids=[f"{source}-{gold}-{answer}" for answer, gold, source, _, _ in CASES],
)
def test_golden(
    answer: str, gold: str, data_source: str, choices: tuple[str, ...] | None, expected: float
) -> None:
    response = f"<think>x</think><answer>{answer}</answer>"
    options = None if choices is None else list(choices)
    assert verify(response, gold, data_source, options).acc == expected


@pytest.mark.parametrize(("gold", "choices", "data_source"), [row[:3] for row in ROWS if row[0]])
def test_a_gold_answer_equals_itself(
    gold: str, choices: tuple[str, ...] | None, data_source: str
) -> None:
    response = f"<think>x</think><answer>{gold}</answer>"
    assert verify(response, gold, data_source, None if choices is None else list(choices)).acc == 1
