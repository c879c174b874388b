"""Rationale embeddings harvested in vLLM while it decodes (Section 3.3).

Only this package imports vLLM. `settings`, `checks` and `watchdog` do not: they are the driver's.

A tagged request travels like this: `server` gives it a ticket and tags it through
`SamplingParams.extra_args`; in the worker `extension` has hooked the model runner (`runner`), and
`harvest` pools its rows step by step, in `slots`; when the request ends, the `channel`
carries the embedding back to the server, which returns it in `TokenOutput.extra_fields`.
"""
