"""ChartQA's published rule, and that no other source is read by it.

Relaxed correctness (Methani et al., 2020; ChartQA, Masry et al., 2022): a number is right within
5 % of the gold number, any other answer when it is equal but for case.
"""

import pytest

from care_verl.verifier import verify

NEAR = [
    ("105", "100"),
    ("95", "100"),
    ("104.9", "100"),
    ("95.1", "100"),
    ("10.4", "10"),
    ("9.6", "10"),
    ("-10.4", "-10"),
    ("-9.6", "-10"),
    ("0.52", "0.5"),
    ("0.48", "0.5"),
    ("2010", "2015"),
    ("51000", "50000"),
    ("3.14", "3.2"),
    ("0.00104", "0.001"),
    ("52%", "50%"),
    ("48.5%", "50%"),
]
"""Right for ChartQA alone: (answer, gold)."""

FAR = [
    ("105.1", "100"),
    ("94.9", "100"),
    ("10.6", "10"),
    ("9.4", "10"),
    ("-10.6", "-10"),
    ("10", "-10"),
    ("-10", "10"),
    ("0.53", "0.5"),
    ("0.0011", "0.001"),
    ("1", "0"),
    ("0.01", "0"),
    ("0", "0.01"),
    ("53%", "50%"),
    ("1000", "100"),
    ("50", "500"),
    ("4.7", "5"),
    ("2015.5", "1900"),
]

EQUAL = [
    ("100", "100"),
    ("100.0", "100"),
    ("-3", "-3"),
    ("0", "0"),
    ("50%", "50%"),
    ("Yes", "Yes"),
    ("yes", "Yes"),
    ("NO", "No"),
    ("united states", "United States"),
    ("Light Blue", "light blue"),
    ("Q1 2019", "q1 2019"),
    ("2018-2019", "2018-2019"),
]

UNEQUAL = [
    ("Yes", "No"),
    ("China", "India"),
    ("United", "United States"),
    ("United States of America", "United States"),
    ("Light Blue", "Dark Blue"),
    ("Yess", "Yes"),
    ("Q1 2019", "Q2 2019"),
    ("2018-2020", "2018-2019"),
    ("about 100 people", "India"),
    ("100", "Yes"),
    ("Yes", "100"),
]

ELSEWHERE = ["", "geometry3k", "virl39k", "mathvista", "mmmu"]


def right(answer: str, gold: str, data_source: str) -> bool:
    response = f"<think>x</think><answer>{answer}</answer>"
    return verify(response, gold, data_source).acc == 1


@pytest.mark.parametrize(("answer", "gold"), NEAR + EQUAL)
def test_relaxed_right(answer: str, gold: str) -> None:
    assert right(answer, gold, "chartqa")


@pytest.mark.parametrize(("answer", "gold"), FAR + UNEQUAL)
def test_relaxed_wrong(answer: str, gold: str) -> None:
    assert not right(answer, gold, "chartqa")


@pytest.mark.parametrize("data_source", ELSEWHERE)
def test_no_other_source_is_relaxed(data_source: str) -> None:
    assert [case for case in NEAR if right(*case, data_source)] == []
    assert [case for case in EQUAL if not right(*case, data_source)] == []
