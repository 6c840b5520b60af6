"""Runs a command under resource-tracker's Python API: drive_resource_tracker.py SAID.json COMMAND..."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from resource_tracker import ResourceTracker


def main() -> int:
    child = subprocess.Popen(sys.argv[2:])
    tracker = ResourceTracker(
        pid=child.pid,
        interval=1,
        track_system=False,
        discover_server=False,
        discover_cloud=False,
        autostart=True,
    )
    code = child.wait()
    tracker.stop()
    rows = list(tracker.process_metrics)
    said = {
        "memory_bytes": max((row["memory_mib"] for row in rows), default=None),
        "cpu_seconds": sum(row["utime"] + row["stime"] for row in rows) if rows else None,
    }
    if said["memory_bytes"] is not None:
        said["memory_bytes"] *= 2**20
    Path(sys.argv[1]).write_text(json.dumps(said))
    return code


if __name__ == "__main__":
    sys.exit(main())
