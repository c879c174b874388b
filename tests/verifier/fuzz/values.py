"""Answers a dataset could hold, and the ways in which a policy could write them."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

Generator = Callable[[Random], str]

WORDS = ["red", "Blue", "yes", "No", "United States", "isosceles triangle", "Q1 2019", "none", "É"]
UNITS = ["cm", "m", r"\text{ cm}", "cm^2", "°", r"^\circ", "%", r"\%", "hours", "dollars", "kg"]
COMMANDS = [r"\sin x", r"\log_2 8", r"\pi", r"\infty", r"\alpha", r"\frac13", r"\sqrt2", "e", "i"]


def integer(rng: Random) -> str:
    value = rng.choice([rng.randint(-20, 20), rng.randint(-(10**6), 10**6), rng.getrandbits(80)])
    return rng.choice([f"{value}", f"{value:,}", f"{value:+}", f"{value}.0"])


def decimal(rng: Random) -> str:
    value = rng.uniform(-1000, 1000)
    return rng.choice([f"{value:.3f}", f"{value:.1f}", f"{value:.2e}", f"{value!r}"])


def fraction(rng: Random) -> str:
    top, bottom, whole = (rng.randint(-9, 99) for _ in range(3))
    forms = [r"\frac{%d}{%d}", r"\dfrac{%d}{%d}", "%d/%d"]
    form = rng.choice(forms) % (top, bottom)
    return rng.choice(["", "", f"{whole} "]) + form


def latex(rng: Random) -> str:
    a, b, n = rng.randint(1, 30), rng.randint(1, 300), rng.randint(2, 5)
    forms = [
        rf"{a}\sqrt{{{b}}}",
        rf"\sqrt[{n}]{{{b}}}",
        rf"{a}x^{{{n}}}+{b}x-1",
        rf"(x-{a})(x+{b})",
        rf"\frac{{{a}\pi}}{{{b}}}",
        rf"{a}\times 10^{{{n}}}",
        rf"{a}\pm\sqrt{{{b}}}",
        rf"\begin{{pmatrix}}{a} & {b} \\ {n} & 0\end{{pmatrix}}",
        rf"x \ge {a}",
        rf"x = {a}",
        rf"\sum_{{k=1}}^{{{n}}} k",
        rf"\binom{{{b}}}{{{n}}}",
        rng.choice(COMMANDS),
    ]
    return rng.choice(forms)


def quantity(rng: Random) -> str:
    return rng.choice([integer, decimal, fraction])(rng) + rng.choice(["", " "]) + rng.choice(UNITS)


def collection(rng: Random) -> str:
    items = rng.choice([", ", ",", ";", " and "]).join(
        rng.choice([integer, fraction, latex])(rng) for _ in range(rng.randint(2, 4))
    )
    left, right = rng.choice(["()", "[]", "[)", "(]", "{}", ("", ""), (r"\{", r"\}")])
    return f"{left}{items}{right}"


def letter(rng: Random) -> str:
    return rng.choice("ABCDE")


def word(rng: Random) -> str:
    return rng.choice(WORDS)


VALUES: list[Generator] = [integer, decimal, fraction, latex, quantity, collection, letter, word]


def value(rng: Random) -> str:
    return rng.choice(VALUES)(rng)


DECORATIONS = [
    "{}",
    "{}",
    "{}",
    "${}$",
    r"\boxed{{{}}}",
    r"$\boxed{{{}}}$",
    r"\({}\)",
    r"\[ {} \]",
    "**{}**",
    "({})",
    "{}.",
    " {}\n",
    "The answer is {}.",
    "x = {}",
    r"\text{{{}}}",
    "≈ {}",
    r"\left({}\right)",
]


def decorated(rng: Random, text: str) -> str:
    return rng.choice(DECORATIONS).format(text)
