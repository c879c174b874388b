"""Rationale embeddings harvested in vLLM while it decodes (Section 3.3).

Only this package imports vLLM, and of its modules only those that run inside vLLM do:
`settings`, `checks` and `watchdog` are for the driver and import neither vLLM nor Ray's workers.

A tagged request travels like this: `server` gives it a ticket and tags it through
`SamplingParams.extra_args`; in the worker `extension` has hooked the model runner (`runner`), and
`harvest` pools its rows step by step; when the request ends, `channel` carries the embedding back
to the server, which returns it in `TokenOutput.extra_fields`.
"""
