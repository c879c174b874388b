"""A second, independently written reading of answers, and where it disagrees with the verifier.

`second_opinion` judges by numeric evaluation, without computer algebra and without the verifier's
own parsing. `care-verl court` runs it over a data set or a run's dump and lists the disputes.
"""

from care_verl.tools.court.opinion import Opinion
from care_verl.tools.court.options import second_opinion
from care_verl.tools.court.reading import Reading, read

__all__ = ["Opinion", "Reading", "read", "second_opinion"]
