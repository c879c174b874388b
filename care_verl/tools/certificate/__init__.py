"""The invariance certificate: one update, cut in every way, against a plain reference.

`reference` computes Eqs. 11 to 13 from a captured step, one row at a time, on the unsharded model.
`engine` computes the same update as a run does: verl's FSDP2 engine behind CARE's worker, on one
process and on two. `bounds` says how far they may be apart.
"""
