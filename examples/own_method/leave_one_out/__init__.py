"""REINFORCE with a leave-one-out baseline, as care-verl's tools see it."""

from care_verl.methods import Column, Method

LEAVE_ONE_OUT = Method(
    name="leave_one_out",
    title="Leave-one-out",
    wiring="leave_one_out.wiring",
    columns=(Column("baseline", "float32", "mean reward of the group's other rows"),),
    marker="baseline",
)
