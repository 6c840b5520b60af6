"""`flyball report`: the page, written whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flyball.errors import InputError

if TYPE_CHECKING:
    from flyball.client import Client


def write_report(client: Client, run_or_job: str, output: str) -> int:
    """Bytes written. Raises: InputError for an unknown run or job, or a file that cannot be written."""

    from flyball.app import report

    found = client.find(run_or_job)
    if isinstance(found, str):
        view = client.job_view(found)
        plans = client.plans_of(view.rows)
        page = report.job_report(
            view.summary, view.rows, plan=view.plan, alternatives=view.alternatives, plans=plans
        )
    else:
        page = report.run_report(found, client.samples_of(found))
    data, target = page.encode(), Path(output)
    partial = target.with_name(target.name + ".partial")
    try:
        partial.write_bytes(data)
        partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise InputError(f"cannot write {output}", why=error.strerror or str(error)) from None
    return len(data)
