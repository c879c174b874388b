"""The failure atlas: groups of a run's record as one HTML file that opens offline.

Needs neither verl nor torch. `selection` chooses groups, `view` says what is shown of each, `html`
writes the page.
"""
