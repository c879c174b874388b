"""All figures of a report, in the order of the summary."""

from __future__ import annotations

from dataclasses import dataclass

from care_verl.methods import METHODS
from care_verl.tools.report.figures import bars, curves, progress, rescue, signature, stacks


@dataclass(frozen=True)
class Plot:
    """A figure: the name of its files, its title, and what draws it."""

    name: str
    title: str
    draw: curves.Draw


PLOTS = (
    Plot("progress", "Reward and accuracy, against steps and decoded tokens", progress.draw),
    Plot("signature", "The K′ signature and its check", signature.draw),
    Plot("failure_share", "Learning signal from failures", curves.failure_share),
    Plot("rgr", "Reflections that succeed", bars.rgr),
    Plot("rescue", "What follows all-wrong groups", rescue.draw),
    Plot("negatives", "Clip rate on negatives, and the variance ratio", curves.negatives),
    Plot("groups", "Kinds of groups", stacks.group_kinds),
    Plot("kprime", "Hard negatives of a group", bars.kprime),
    Plot("rationale", "Length of rationales", curves.rationale),
    Plot("kl", "KL to the reference policy", curves.kl),
    *(
        Plot(figure.name, figure.title, curves.of_method(method, figure))
        for method in METHODS.values()
        for figure in method.figures
    ),
    Plot("times", "Seconds of a step", stacks.times),
)
