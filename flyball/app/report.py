"""The report: one self-contained HTML page about a run or a job."""

from __future__ import annotations

from flyball.app.report_job import job_report
from flyball.app.report_run import run_report

__all__ = ["job_report", "run_report"]
