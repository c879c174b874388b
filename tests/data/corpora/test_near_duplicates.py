"""Which rows count as the same, and that looking them up by bands misses none."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from care_verl.data.corpora.fingerprints import (
    UnreadableImageError,
    distances,
    image_fingerprint,
    question_key,
    stacked,
)
from care_verl.data.corpora.look_index import LookIndex
from care_verl.data.corpora.mixture import NEAR_DISTANCE
from care_verl.data.corpora.near_duplicates import Duplicate, find_duplicates
from care_verl.data.corpora.row_fingerprints import RowFingerprint

from .samples import SIZE, drawing, encoded, retouched


def row(
    number: int | tuple[int, ...],
    question: str = "Find x.",
    gold: str = "1",
    choices: tuple[str, ...] | None = None,
    form: str = "PNG",
) -> RowFingerprint:
    numbers = number if isinstance(number, tuple) else (number,)
    prints = tuple(image_fingerprint(encoded(drawing(n), form)) for n in numbers)
    return RowFingerprint(Path("f"), 0, "s", "0", question_key(question), gold, choices, prints)


def found(*rows: RowFingerprint, distance: int = NEAR_DISTANCE) -> list[tuple[int, int, str]]:
    dropped = find_duplicates(rows, distance).dropped
    return [(d.row, d.of, d.kind) for d in dropped.values()]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("<image>Find x.", "find  X"),
        ("<image 1> What is the value?", "What is the value"),
        ("<image1>\nFind $x$.", "Find x"),
        ("２ ＋ ２？", "2+2"),
        ("Maß\u00a0of `A`", "mass of A"),
    ],
)
def test_questions_that_are_the_same(one: str, other: str) -> None:
    assert question_key(one) == question_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a + b", "a - b"),
        ("Is 1.5 right?", "Is 15 right?"),
        ("x < 3", "x > 3"),
        ("x ≤ 3", "x ≥ 3"),
        ("30°", "30"),
        ("की", "का"),
        ("x^2", "x2"),
        (r"\sqrt2", "sqrt2"),
        ("<imagery> of it", "of it"),
    ],
)
def test_questions_that_are_not(one: str, other: str) -> None:
    assert question_key(one) != question_key(other)


def test_pixels_count_not_their_encoding() -> None:
    image = drawing(0)
    png, bmp = image_fingerprint(encoded(image)), image_fingerprint(encoded(image, "BMP"))
    assert png.pixels == bmp.pixels
    assert png.pixels != image_fingerprint(encoded(image, "JPEG")).pixels
    assert image_fingerprint(encoded(image.convert("RGBA"))).pixels == png.pixels


def test_what_is_transparent_is_white() -> None:
    clear = Image.new("RGBA", SIZE, (0, 0, 0, 0))
    white = Image.new("RGB", SIZE, "white")
    assert image_fingerprint(encoded(clear)).pixels == image_fingerprint(encoded(white)).pixels


def test_an_equal_number_of_pixels_in_another_shape_is_another_image() -> None:
    flat, tall = Image.new("RGB", (40, 10), "red"), Image.new("RGB", (10, 40), "red")
    assert image_fingerprint(encoded(flat)).pixels != image_fingerprint(encoded(tall)).pixels


def test_a_damaged_image_is_refused() -> None:
    for data in (b"", b"no image", encoded(drawing(0))[:300]):
        with pytest.raises(UnreadableImageError):
            image_fingerprint(data)


def test_copies_are_near_and_other_drawings_are_far() -> None:
    looks = stacked([image_fingerprint(encoded(drawing(n))).look for n in range(60)])
    for number in range(60):
        others = np.delete(looks, number, axis=0)
        assert distances(looks[number], others).min() > NEAR_DISTANCE
        image = drawing(number)
        copies = [image.resize((2 * SIZE[0], 2 * SIZE[1])), ImageOps.autocontrast(image)]
        prints = [image_fingerprint(encoded(copy, "JPEG")).look for copy in copies]
        assert distances(looks[number], stacked(prints)).max() <= NEAR_DISTANCE


def test_exact_and_near_duplicates_and_the_first_one_stays() -> None:
    assert found(row(1), row(1, "find x")) == [(1, 0, "exact duplicate")]
    assert found(row(1), row(1, form="JPEG")) == [(1, 0, "near duplicate")]
    assert found(row(1), row(1, form="JPEG"), row(1)) == [
        (2, 0, "exact duplicate"),
        (1, 0, "near duplicate"),
    ]


def test_another_question_or_another_image_is_no_duplicate() -> None:
    assert found(row(1), row(1, "Find y."), row(2)) == []


def test_a_distance_of_zero_leaves_copies_in() -> None:
    assert found(row(1), row(1, form="JPEG"), distance=0) == []


def test_rows_with_several_images_are_compared_image_by_image() -> None:
    assert found(row((1, 2)), row((2, 1))) == [(1, 0, "exact duplicate")]
    assert found(row((1, 2)), row((1, 2), form="JPEG")) == [(1, 0, "near duplicate")]
    assert found(row((1, 2)), row((1, 3), form="JPEG"), row(1, form="JPEG")) == []


def test_rows_without_images_are_compared_by_their_questions() -> None:
    assert found(row(()), row(()), row((), "Find y.")) == [(1, 0, "exact duplicate")]


def test_equal_pixels_with_other_golds_drop_the_whole_group() -> None:
    kind = "conflicting golds"
    rows = [row(1, gold="2"), row(1, gold="2"), row(1, gold="3")]
    assert found(*rows) == [(0, 2, kind), (1, 0, kind), (2, 0, kind)]


def test_golds_that_are_written_differently_agree() -> None:
    assert found(row(1, gold="2"), row(1, gold="2.0")) == [(1, 0, "exact duplicate")]


def test_like_images_with_other_golds_stay_and_are_listed() -> None:
    marked = image_fingerprint(encoded(retouched(1)))
    other = RowFingerprint(Path("f"), 1, "s", "1", question_key("Find x."), "7", None, (marked,))
    duplicates = find_duplicates([row(1), other], NEAR_DISTANCE)
    assert duplicates.dropped == {}
    (pair,) = duplicates.like
    assert (pair.row, pair.of) == (1, 0)
    assert 0 < pair.distance <= NEAR_DISTANCE


def test_a_near_duplicate_is_dropped_for_the_row_with_its_gold() -> None:
    marked = image_fingerprint(encoded(retouched(1)))
    other = RowFingerprint(Path("f"), 1, "s", "1", question_key("Find x."), "7", None, (marked,))
    copy = row(1, gold="7", form="JPEG")
    dropped = find_duplicates([row(1), other, copy], NEAR_DISTANCE).dropped
    assert set(dropped) == {2}
    assert dropped[2] == Duplicate(2, 1, "near duplicate", dropped[2].distance)


@given(
    seed=st.integers(0, 2**32),
    distance=st.integers(0, 64),
    count=st.integers(0, 30),
    flips=st.integers(0, 70),
)
def test_the_index_finds_what_comparing_all_pairs_finds(
    seed: int, distance: int, count: int, flips: int
) -> None:
    rng = np.random.default_rng(seed)
    members = rng.integers(0, 2**64, (count, 4), dtype=np.uint64)
    wanted = members.copy()
    bits = np.unpackbits(wanted.view(np.uint8), axis=1)
    for member in bits:
        member[rng.choice(256, min(flips, 256), replace=False)] ^= 1
    wanted = np.packbits(bits, axis=1).view(np.uint64).reshape(count, 4)
    index = LookIndex(members, distance)
    for look, places in zip(wanted, index.near(wanted), strict=True):
        assert places.tolist() == np.flatnonzero(distances(look, members) <= distance).tolist()
    if count and flips <= distance:
        assert all(number in places for number, places in enumerate(index.near(wanted)))


@pytest.mark.parametrize("distance", [1, 8, 32, 64])
def test_the_index_finds_hashes_that_differ_a_little_everywhere(distance: int) -> None:
    """The hardest case for bands: the bits that differ are spread evenly."""
    member = np.random.default_rng(distance).integers(0, 2**64, (1, 4), dtype=np.uint64)
    bits = np.unpackbits(member.view(np.uint8))
    bits[((np.arange(distance) + 0.5) * 256 / distance).astype(int)] ^= 1
    wanted = np.packbits(bits).view(np.uint64).reshape(1, 4)
    assert distances(wanted[0], member).tolist() == [distance]
    (places,) = LookIndex(member, distance).near(wanted)
    assert places.tolist() == [0]
