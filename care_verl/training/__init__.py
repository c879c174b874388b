"""How CARE meets verl 0.9.1: thin adapters around `care_verl.algorithm`.

Only this package imports verl and Ray. The adapters hold no mathematics.
"""
