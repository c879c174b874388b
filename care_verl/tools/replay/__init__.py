"""What GRPO, DAPO, GRPO-CARE and CARE would have made of groups that were rolled out already.

Reads care-verl's records and the dumps of verl, TRL and ms-swift, and computes on the CPU. Needs
neither verl nor the framework that wrote the file.
"""
