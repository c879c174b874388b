"""What the signs, words and LaTeX commands of an answer stand for."""

from __future__ import annotations


def _words(text: str) -> list[str]:
    return text.split()


TYPOGRAPHY = {
    **dict.fromkeys("−–—‐‑‒", "-"),
    **dict.fromkeys("×⋅·∙∗", "*"),
    **dict.fromkeys("“”", '"'),
    **dict.fromkeys("‘’", "'"),
    **dict.fromkeys("\u200b\u200c\u200d\ufeff", ""),
    "÷": "/",
    "∕": "/",
    "\u2044": "/",
    "º": "°",
    "˚": "°",
    "⩽": "≤",
    "⩾": "≥",
}

FUNCTIONS = frozenset(
    _words("sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh ln log lg exp")
)

SPACING = frozenset([",", ";", ":", " ", "!", ">", "quad", "qquad", "enspace", "thinspace", "\n"])
SILENT = frozenset(
    _words(
        "left right big Big bigg Bigg bigl bigr Bigl Bigr displaystyle textstyle limits boxed "
        "fbox hspace phantom"
    )
)
TEXT_COMMANDS = frozenset(
    _words(
        "text mathrm textrm mbox mathbf textbf mathit textit operatorname rm hbox mathsf "
        "boldsymbol textnormal mathnormal"
    )
)
CONNECTIVES = frozenset(["and", "or"])

GREEK = frozenset(
    _words(
        "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu "
        "nu xi rho sigma tau upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Sigma "
        "Phi Psi Omega ell"
    )
)
GREEK_LETTERS = dict(
    zip(
        "αβγδεζηθικλμνξρστυφχψωΓΔΘΛΞΣΦΨΩ",
        _words(
            "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho sigma "
            "tau upsilon phi chi psi omega Gamma Delta Theta Lambda Xi Sigma Phi Psi Omega"
        ),
        strict=True,
    )
)

COMMAND_TOKENS: dict[str, tuple] = {
    **dict.fromkeys(["frac", "dfrac", "tfrac", "cfrac"], ("command", "frac")),
    "sqrt": ("command", "sqrt"),
    **dict.fromkeys(["times", "cdot", "ast"], ("operator", "*")),
    "div": ("operator", "/"),
    **dict.fromkeys(["pm", "mp"], ("operator", "±")),
    "cup": ("operator", "∪"),
    "colon": ("operator", ":"),
    "backslash": ("mark", "\\"),
    **dict.fromkeys(["le", "leq", "leqslant"], ("relation", "≤")),
    **dict.fromkeys(["ge", "geq", "geqslant"], ("relation", "≥")),
    "lt": ("relation", "<"),
    "gt": ("relation", ">"),
    **dict.fromkeys(["ne", "neq"], ("relation", "≠")),
    **dict.fromkeys(["approx", "simeq", "thickapprox"], ("relation", "=")),
    "in": ("relation", "∈"),
    "pi": ("constant", "pi"),
    "infty": ("constant", "inf"),
    **dict.fromkeys(["circ", "degree"], ("degree", "°")),
    "%": ("percent", "%"),
    "$": ("currency", "$"),
    "pounds": ("currency", "£"),
    "euro": ("currency", "€"),
    **dict.fromkeys(["lvert", "rvert", "vert", "mid"], ("operator", "|")),
    **dict.fromkeys(["{", "lbrace"], ("open", "set")),
    **dict.fromkeys(["}", "rbrace"], ("close", "set")),
    "langle": ("open", "("),
    "rangle": ("close", ")"),
    **dict.fromkeys(["angle", "measuredangle"], ("mark", "∠")),
    "triangle": ("mark", "△"),
    **dict.fromkeys(["emptyset", "varnothing"], ("mark", "∅")),
}

SIGN_TOKENS: dict[str, tuple] = {
    **{sign: ("operator", sign) for sign in "+-*/^!|,:_±∪"},
    "∓": ("operator", "±"),
    ";": ("operator", ","),
    **{sign: ("relation", sign) for sign in "=<>≤≥≠∈"},
    "≈": ("relation", "="),
    **{sign: ("open", sign) for sign in "([{"},
    **{sign: ("close", sign) for sign in ")]}"},
    "√": ("function", "√"),
    "π": ("constant", "pi"),
    "∞": ("constant", "inf"),
    "°": ("degree", "°"),
    "%": ("percent", "%"),
    **{sign: ("currency", sign) for sign in "$€£¥₹"},
}

WORD_TOKENS: dict[str, tuple] = {
    "pi": ("constant", "pi"),
    **dict.fromkeys(["infinity", "inf", "oo"], ("constant", "inf")),
    "sqrt": ("function", "√"),
    # Of a time of day, no product.
    **{half: ("mark", half) for half in ("am", "pm", "AM", "PM")},
    **dict.fromkeys(["degrees", "degree", "deg", "Degrees"], ("degree", "°")),
    **dict.fromkeys(["percent", "Percent"], ("percent", "%")),
}

NUMBER_WORDS = {
    word: str(number)
    for number, word in enumerate(
        _words(
            "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
            "fifteen sixteen seventeen eighteen nineteen twenty"
        )
    )
}
