"""Tests of `care_verl.algorithm`; they run on CPU without verl, Ray or vLLM."""
