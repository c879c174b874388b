"""Answers that math-verify 0.9.0 gets wrong: (answer, gold, whether they say the same).

`WRONG_IN_A_BOX` are wrong however they are written; `WRONG_AS_WRITTEN` are wrong as they stand and
right once both are put into `\\boxed{…}`, which no response can be relied on to do.
"""

WRONG_IN_A_BOX: list[tuple[str, str, bool]] = [
    # Units are dropped.
    ("12 m", "12 cm", False),
    ("12 cm", "12 m", False),
    ("12 km", "12 mm", False),
    ("12 kg", "12 g", False),
    ("3 minutes", "3 hours", False),
    ("3 hours", "3 minutes", False),
    ("12 seconds", "12 minutes", False),
    ("5 inches", "5 feet", False),
    ("8 years", "8 months", False),
    (r"12\text{ m}", r"12\text{ cm}", False),
    (r"12\,\mathrm{m}", r"12\,\mathrm{cm}", False),
    (r"15\text{ cm}^2", r"15\text{ cm}^3", False),
    ("1 m", "100 cm", True),
    ("60 minutes", "1 hour", True),
    ("1 kg", "1000 g", True),
    # A constant at the end is taken for a unit.
    (r"3\mathrm{e}", "3", False),
    # Letters with the decoration of a list of options.
    ("B.", "B", True),
    ("**B**", "B", True),
    ("B)", "B", True),
    # Unicode.
    ("–5", "-5", True),
    ("½", "1/2", True),
    ("3½", "3.5", True),
    ("√2", r"\sqrt{2}", True),
    ("2√3", r"2\sqrt{3}", True),
    ("5×10³", "5000", True),
    ("x²", "x^2", True),
    ("60°", "60", True),
    ("60°", r"60^\circ", True),
    ("∞", r"\infty", True),
    ("≤5", r"\le 5", True),
    ("１２", "12", True),
    ("5\u202f000", "5000", True),
    # Forms of one number.
    ("1 1/2", "3/2", True),
    ("1 1/2", "1.5", True),
    ("2 3/4", "11/4", True),
    ("3 1/4 in", "3.25 in", True),
    ("1e3", "1000", True),
    ("1.5e3", "1500", True),
    ("1 000", "1000", True),
    ("50%", "50", True),
    (r"0.\overline{3}", r"\frac{1}{3}", True),
    (r"\sin 30^\circ", "0.5", True),
    (r"\sin(30^\circ)", r"\frac{1}{2}", True),
    (r"\cos 60^\circ", "1/2", True),
    (r"\tan 45^\circ", "1", True),
    # Words.
    ("True", "true", True),
]

WRONG_AS_WRITTEN: list[tuple[str, str, bool]] = [
    # Everything before `\mathrm` is lost.
    (r"1-\frac{1}{\mathrm{e}}", r"1+\frac{1}{\mathrm{e}}", False),
    (r"1+\frac{1}{\mathrm{e}}", r"1-\frac{1}{\mathrm{e}}", False),
    (r"2-\mathrm{e}", r"2+\mathrm{e}", False),
    # Units are dropped.
    ("3 days", "3 weeks", False),
    ("40 mph", "40 km/h", False),
    ("7 dollars", "7 cents", False),
    ("12 cm^2", "12 cm", False),
    ("12 cm^3", "12 cm^2", False),
    ("5 ml", "5 l", False),
    ("€5", "$5", False),
    ("5 kWh", "5 W", False),
    ("45°", "45 radians", False),
    ("3.5 million", "3.5 billion", False),
    ("not 5", "5", False),
    ("more than 5", "5", False),
    # A bare letter is no answer.
    ("A", "A", True),
    ("B", "B", True),
    ("(B)", "B", True),
    (r"\text{B}", "B", True),
    ("E", "E", True),
    # Unicode.
    ("−5", "-5", True),
    ("−1/2", "-1/2", True),
    ("−2.5", "-2.5", True),
    ("x = −3", "-3", True),
    ("(−1, 2)", "(-1,2)", True),
    ("π", r"\pi", True),
    ("x≠2", r"x \neq 2", True),
    ("∅", r"\emptyset", True),
    # Mathematics without dollar signs.
    (r"1\frac{1}{2}", "3/2", True),
    (r"2 \sqrt { 221 }", r"2\sqrt{221}", True),
    (r"\sqrt{884}", r"2\sqrt{221}", True),
    (r"2\sqrt{212}", r"2\sqrt{221}", False),
    (r"\frac{1}{2}x", r"\frac{x}{2}", True),
    (r"10^{-3}", "0.001", True),
    (r"2.5\times 10^{3}", "2500", True),
    ("y=2x+1", "y=2x-1", False),
    ("5!", "120", True),
    ("+5", "5", True),
    ("{2,1}", r"\{1,2\}", True),
    ("2:3", "4:6", True),
    (r"\$5", "5", True),
    # Words.
    ("red", "red", True),
    ("Red", "red", True),
    ("Monday", "Monday", True),
    ("isosceles triangle", "isosceles triangle", True),
]
