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

import pyarrow as pa

FORMAT = "care-verl record"
VERSION = 2
READABLE = (1, 2)
HEADER = b"care_verl.record"
"""Key of a file's metadata: JSON with `format`, `version`, `step`, `start`, the number n of the
`run_<n>.parquet` it belongs to, and `metrics`, the step's metrics as verl logs them, by name."""

GROUP_KINDS = ("mixed", "all_wrong", "all_right")
ROLES = ("anchor", "negative", "positive", "outside")
RGR_OUTCOMES = ("succeeded", "failed", "skipped")

_TOKENS = pa.list_(pa.int32())
_SPAN = pa.list_(pa.int32())
"""[begin, end) in tokens of the response; null where there is no such region."""

ROW = pa.schema(
    [
        # Which row this is.
        pa.field("uid", pa.string(), nullable=False),
        pa.field("session", pa.int32(), nullable=False),
        pa.field("reflected_from", pa.int32(), nullable=False),
        pa.field("data_source", pa.string()),
        pa.field("index", pa.string()),
        # The prompt, in the first row of a group only; null in the others.
        pa.field("question", pa.string()),
        pa.field("gold", pa.string()),
        pa.field("images", pa.list_(pa.string())),
        pa.field("prompt_ids", _TOKENS),
        # The response.
        pa.field("response", pa.string(), nullable=False),
        pa.field("response_ids", _TOKENS, nullable=False),
        pa.field("response_mask", pa.list_(pa.int8()), nullable=False),
        pa.field("pieces", pa.list_(pa.binary())),
        pa.field("rationale", _SPAN),
        pa.field("answer", _SPAN),
        pa.field("tags", pa.list_(_SPAN)),
        pa.field("end", pa.int32(), nullable=False),
        # What the verifier said.
        pa.field("acc", pa.float32(), nullable=False),
        pa.field("fmt", pa.float32()),
        pa.field("reward", pa.float32(), nullable=False),
        pa.field("pred", pa.string()),
        pa.field("read", pa.string()),
        pa.field("rule", pa.string()),
        # What the method made of it; null where only the other one has such a thing.
        pa.field("kind", pa.string(), nullable=False),
        pa.field("role", pa.string()),
        pa.field("is_source", pa.bool_()),
        pa.field("k_prime", pa.int32()),
        pa.field("k_s", pa.int32()),
        pa.field("d_cos", pa.float32()),
        pa.field("rank", pa.int32()),
        pa.field("advantage_raw", pa.float32()),
        pa.field("advantage", pa.float32(), nullable=False),
        pa.field("credit", pa.list_(pa.float32())),
        # GRPO-CARE's own. Likelihoods are compared with each other, and kept as they were.
        pa.field("accurate", pa.bool_()),
        pa.field("answer_tokens", _SPAN),
        pa.field("answer_likelihood", pa.float64()),
        pa.field("bonus", pa.float32()),
        pa.field("advantage_base", pa.float32()),
        # Sums of log-probabilities over the decoded tokens.
        pa.field("logp_rollout", pa.float32()),
        pa.field("logp_old", pa.float32()),
        pa.field("logp_ref", pa.float32()),
        # RGR; `rgr_*` stand on the reflected row, a reason for none on its source.
        pa.field("rgr_prefix_tokens", pa.int32()),
        pa.field("rgr_cue", pa.string()),
        pa.field("rgr_outcome", pa.string()),
        pa.field("rgr_skipped", pa.string()),
        # Seconds of decoding, where the rollout engine's client measured them.
        pa.field("seconds", pa.float32()),
    ]
)

MEANING = {
    "uid": "the group, `s000012p00003`: step 12, the fourth prompt",
    "session": "the row's number in its group; a reflection's comes after the last original's",
    "reflected_from": "session of the failed row that a reflection was made from; -1 for originals",
    "data_source": "the data's own name of where the prompt comes from",
    "index": "the row's index in the data",
    "question": "the prompt's text, of all messages; `<image>` where an image stands",
    "gold": "the gold answer",
    "images": "names of files in `images/`; one that could not be read is left out",
    "prompt_ids": "token ids of the prompt as the policy saw it",
    "response": "its text, special tokens included but not the end-of-sequence token",
    "response_ids": "its token ids",
    "response_mask": "1 on tokens the policy decoded; 0 on a reflection's copied prefix and cue",
    "pieces": "the bytes of each token; joined they are the response, a token may cut a character, "
    "and end-of-sequence tokens are empty",
    "rationale": "tokens that carry the rationale, pieces of tags in the same token included",
    "answer": "tokens that carry the answer, pieces of tags in the same token included",
    "tags": "tokens of the tags that are there",
    "end": "number of text tokens; the end-of-sequence token stands there, if any",
    "acc": "1 where the verifier calls the answer right, else 0; with GRPO-CARE a reward function "
    "of your own may say something between",
    "fmt": "1 where the response has the required form, else 0; null with another verifier",
    "reward": "the shaped reward (Eq. 1), before any bonus",
    "pred": "the answer as written; null, as the next two, with a verifier that does not say",
    "read": "the answer as the verifier understood it",
    "rule": "the rule that compared it",
    "kind": "of the group: " + ", ".join(GROUP_KINDS) + "; a row is right with acc 1",
    "role": "CARE: in the group's update: anchor (the pseudo-anchor in an all-wrong group), "
    "negative, positive (a successful reflection), outside",
    "is_source": "whether the group's reflection was made from this row",
    "k_prime": "K', hard negatives of the group before any reflection",
    "k_s": "K_S, negatives of the group's update; 0 where it is skipped",
    "d_cos": "cosine distance to the anchor in rationale space; null where there is none",
    "rank": "place among the group's failed originals by d_cos, from 0, a pseudo-anchor included; "
    "null for others",
    "advantage_raw": "A_raw (Eq. 7); 0 outside the update",
    "advantage": "A, as the optimizer sees it; 0 outside the update",
    "credit": "the token advantages a_t: Eq. 11, with GRPO-CARE A on every decoded token; null for "
    "rows that are not updated",
    "accurate": "GRPO-CARE: whether the row was compared with the group's other accurate rows",
    "answer_tokens": "GRPO-CARE: the same as `answer`, but null where that is empty",
    "answer_likelihood": "GRPO-CARE: exp of the mean log-probability of these tokens under the "
    "moving reference, held at `confidence_upper_bound`; null without an answer",
    "bonus": "GRPO-CARE: the consistency bonus on top of the reward; 0 where none was given",
    "advantage_base": "GRPO-CARE: what A would be without any bonus; the rest of A is the bonuses'",
    "logp_rollout": "the rollout engine's; null where it returns none, which CARE does not allow",
    "logp_old": "the actor's before the update; null for dropped rows",
    "logp_ref": "the reference policy's, with GRPO-CARE the moving reference's; null for dropped "
    "rows, and without a KL term",
    "rgr_prefix_tokens": "tokens given to a reflection: opening tag, failed rationale, cue",
    "rgr_cue": "the cue's text; null where the mode has none",
    "rgr_outcome": "of a reflection: succeeded or failed; skipped on a source without one",
    "rgr_skipped": "why a group went without its reflection; on the source's row",
    "seconds": "seconds from request to response, waiting included",
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


class RecordError(ValueError):
    """A file that is no record, or one of another version."""
