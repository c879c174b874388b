"""What the demo's run has to show: its report, and its last step as an atlas."""

from __future__ import annotations

from pathlib import Path

from care_verl.records.files import FOLDER


def draw_pages(run_dir: Path) -> dict[str, Path]:
    """Write both into the run's folder; a run without a record has its report only."""
    from care_verl.tools.atlas.wanted_groups import Wanted
    from care_verl.tools.atlas.write import PAGE, write_atlas
    from care_verl.tools.report.lines import lines_of
    from care_verl.tools.report.runs import load_run
    from care_verl.tools.report.write import write_report

    pages = {"report": write_report(lines_of([load_run(run_dir)], []), run_dir / "report").summary}
    if (run_dir / FOLDER).is_dir():
        pages["atlas"] = write_atlas(run_dir, Wanted(), run_dir / PAGE).path
    return pages
