"""What is in the files of a record, version 2.

A step's file, `step_000012.parquet`, has one row for each response that was rolled out, dropped
ones and reflections too, in the order of groups and sessions. What belongs to the step as a whole
stands in the file's metadata. Fields are only added within a version; a reader takes the columns it
knows.

Version 2 has rows of GRPO-CARE as well, in which columns are null that version 1 promised never to
be. In files of CARE they are not, so that a reader of version 2 reads those of version 1 as they
are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pyarrow as pa

from care_verl.common.errors import CareVerlError
from care_verl.methods import METHODS, Column

FORMAT = "care-verl record"
VERSION = 2
READABLE = (1, 2)
HEADER = b"care_verl.record"
"""Key of a file's metadata: JSON with `format`, `version`, `step`, `start`, the number n of the
`run_<n>.parquet` it belongs to, and `metrics`, the step's metrics as verl logs them, by name."""

_TOKENS = pa.list_(pa.int32())
TYPES: Mapping[str, pa.DataType] = {
    "string": pa.string(),
    "strings": pa.list_(pa.string()),
    "bool": pa.bool_(),
    "int32": pa.int32(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "numbers": pa.list_(pa.float32()),
    "flags": pa.list_(pa.int8()),
    "tokens": _TOKENS,
    "pieces": pa.list_(pa.binary()),
    "span": _TOKENS,
    "spans": pa.list_(_TOKENS),
}
"""What a column may hold. A span is [begin, end) in tokens of the response; null where there is no
such region."""

COMMON = (
    # Which row this is.
    Column("uid", "string", "the group, `s000012p00003`: step 12, the fourth prompt", null=False),
    Column(
        "session",
        "int32",
        "the row's number in its group; a reflection's comes after the last original's",
        null=False,
    ),
    Column(
        "reflected_from",
        "int32",
        "session of the failed row that a reflection was made from; -1 for originals",
        null=False,
    ),
    Column("data_source", "string", "the data's own name of where the prompt comes from"),
    Column("index", "string", "the row's index in the data"),
    # The prompt, in the first row of a group only; null in the others.
    Column(
        "question", "string", "the prompt's text, of all messages; `<image>` where an image stands"
    ),
    Column("gold", "string", "the gold answer"),
    Column(
        "images", "strings", "names of files in `images/`; one that could not be read is left out"
    ),
    Column("prompt_ids", "tokens", "token ids of the prompt as the policy saw it"),
    # The response.
    Column(
        "response",
        "string",
        "its text, special tokens included but not the end-of-sequence token",
        null=False,
    ),
    Column("response_ids", "tokens", "its token ids", null=False),
    Column(
        "response_mask",
        "flags",
        "1 on tokens the policy decoded; 0 on a reflection's copied prefix and cue",
        null=False,
    ),
    Column(
        "pieces",
        "pieces",
        "the bytes of each token; joined they are the response, a token may cut a "
        "character, and end-of-sequence tokens are empty",
    ),
    Column(
        "rationale",
        "span",
        "tokens that carry the rationale, pieces of tags in the same token included",
    ),
    Column(
        "answer", "span", "tokens that carry the answer, pieces of tags in the same token included"
    ),
    Column("tags", "spans", "tokens of the tags that are there"),
    Column(
        "end",
        "int32",
        "number of text tokens; the end-of-sequence token stands there, if any",
        null=False,
    ),
    # What the verifier said.
    Column(
        "acc",
        "float32",
        "1 where the verifier calls the answer right, else 0; with GRPO-CARE a reward "
        "function of your own may say something between",
        null=False,
    ),
    Column(
        "fmt",
        "float32",
        "1 where the response has the required form, else 0; null with another verifier",
    ),
    Column("reward", "float32", "the shaped reward (Eq. 1), before any bonus", null=False),
    Column(
        "pred",
        "string",
        "the answer as written; null, as the next two, with a verifier that does not say",
    ),
    Column("read", "string", "the answer as the verifier understood it"),
    Column("rule", "string", "the rule that compared it"),
    # What the method made of it.
    Column(
        "kind",
        "string",
        "of the group: mixed, all_wrong, all_right; a row is right with acc 1",
        null=False,
    ),
    Column("advantage", "float32", "A, as the optimizer sees it; 0 outside the update", null=False),
    Column(
        "credit",
        "numbers",
        "the token advantages a_t: Eq. 11, with GRPO-CARE A on every decoded token; null "
        "for rows that are not updated",
    ),
    # Sums of log-probabilities over the decoded tokens.
    Column(
        "logp_rollout",
        "float32",
        "the rollout engine's; null where it returns none, which CARE does not allow",
    ),
    Column("logp_old", "float32", "the actor's before the update; null for dropped rows"),
    Column(
        "logp_ref",
        "float32",
        "the reference policy's, with GRPO-CARE the moving reference's; null for dropped "
        "rows, and without a KL term",
    ),
    # Where the rollout engine's client measured them.
    Column("seconds", "float32", "seconds from request to response, waiting included"),
)
"""Columns that rows of every method have."""


def _schema(columns: Iterable[Column]) -> pa.Schema:
    return pa.schema([pa.field(c.name, TYPES[c.type], nullable=c.null) for c in columns])


ROW = _schema((*COMMON, *(column for method in METHODS.values() for column in method.columns)))
"""All columns; those of another method than a row's are null in it."""

MEANING = {column.name: column.meaning for column in COMMON} | {
    column.name: f"{method.title}: {column.meaning}"
    for method in METHODS.values()
    for column in method.columns
}
"""One line for each column of `ROW`."""

RUN = pa.schema(
    [
        pa.field("started", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("first_step", pa.int32(), nullable=False),
        pa.field("config", pa.string(), nullable=False),
        pa.field("versions", pa.string(), nullable=False),
        pa.field("git", pa.string(), nullable=False),
        pa.field("seeds", pa.string(), nullable=False),
    ]
)
"""`run_<n>.parquet`, one row for each start of the run: the whole configuration, versions of
packages, state of the git checkout it was started in (`{}` outside of one) and all seeds, each as
JSON."""


class RecordError(CareVerlError, ValueError):
    """A file that is no record, or one of another version."""
