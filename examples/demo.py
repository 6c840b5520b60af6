"""`make demo`: flyball's whole loop on one machine, with a real job on input that every machine has.

The input is this Python installation's own source files; the job (index_python.py) indexes them. Every figure
that is printed was measured in the runs you see; nothing is prepared.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parent / ".demo"
FILES_MAX = 5000  # some 60 MB of source: enough to see memory grow, and done in seconds
SHARES_PERCENT = (10, 20, 40, 70)
LIMIT_TOO_SMALL = "96MiB"  # a tenth of the files needs more than this


def say(text: str) -> None:
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}", flush=True)


def flyball(*arguments: str) -> None:
    """Run one flyball command as a user would type it, and show it."""
    print("$ flyball " + shlex.join(arguments), flush=True)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    env = {**os.environ, "FLYBALL_HOME": str(FOLDER / "home"), "PATH": path}
    code = subprocess.run(
        [sys.executable, "-m", "flyball", *arguments], env=env, cwd=HERE.parent, check=False
    ).returncode
    if code:
        sys.exit(f"the demo stops here: exit code {code}")


def source_files() -> list[Path]:
    """The installation's source files, mixed (by the hash of their paths) so that any part is like the whole."""
    roots = {sysconfig.get_path("stdlib"), sysconfig.get_path("purelib")}
    found = {
        Path(folder) / name
        for root in roots
        for folder, _, names in os.walk(root)
        for name in names
        if name.endswith(".py")
    }
    return sorted(
        found, key=lambda path: hashlib.sha256(path.name.encode() + path.parent.name.encode()).digest()
    )[:FILES_MAX]


def list_file(files: list[Path], percent: int) -> Path:
    """A text file that names the first `percent` of the files."""
    path = FOLDER / f"files-{percent:03d}.txt"
    path.write_text("\n".join(map(str, files[: len(files) * percent // 100])))
    return path


def index(files: list[Path], percent: int, *options: str) -> None:
    listed = list_file(files, percent).relative_to(HERE.parent)
    output = FOLDER.relative_to(HERE.parent) / f"index-{percent:03d}.parquet"
    command = ("python", "examples/index_python.py", str(listed), "--output", str(output))
    flyball("run", "--name", "index-python", "--input", f"@{listed}", *options, "--", *command)


JOBS = """\
[[job]]
name = "index-python"
command = "python examples/index_python.py .demo/files-020.txt --output .demo/index.parquet"
inputs = ["@.demo/files-020.txt"]
outputs = [".demo/index.parquet"]      # without it, exit code 0 is not a success
workdir = ".."
schedule = "0 6 * * *"
deadline = "2h"
retries = 1

[[job]]
name = "most-imported"
command = "python examples/most_imported.py .demo/index.parquet --output .demo/most-imported.csv"
outputs = [".demo/most-imported.csv"]
workdir = ".."
after = ["index-python"]
"""


def govern() -> None:
    say("The same job under the governor: every morning at six, and another job after it.")
    (FOLDER / "flyball.toml").write_text(JOBS)
    print(JOBS, flush=True)
    definitions = f"{FOLDER.name}/flyball.toml"
    flyball("apply", definitions)
    say("Nobody waits for the morning: it is submitted by hand, and flyball up runs what there is to run.")
    flyball("submit", "index-python")
    flyball("up", "--until-idle", "-f", definitions)
    flyball("ps", "--all")
    flyball("costs", "--by", "job")


def main() -> int:
    started = time.monotonic()
    FOLDER.mkdir(exist_ok=True)
    shutil.rmtree(FOLDER / "home", ignore_errors=True)  # each demo starts with an empty memory
    files = source_files()
    size = sum(path.stat().st_size for path in files)
    say(f"The input: {len(files):,} Python source files of this installation, {size / 1e6:.0f} MB.")
    for step, percent in enumerate(SHARES_PERCENT, start=1):
        say(
            f"{step}. Index {percent} % of them. flyball meters the command, and its last line says what the next run should get."
        )
        index(files, percent)
    say(
        f"{len(SHARES_PERCENT) + 1}. Now 40 % under a limit of {LIMIT_TOO_SMALL}, far too small on purpose: it is killed, and retried with more, by evidence."
    )
    index(files, 40, "--memory", f"{LIMIT_TOO_SMALL}..4GiB")
    say(
        f"{len(SHARES_PERCENT) + 2}. And all of them, with the limit that flyball itself plans from the runs so far."
    )
    index(files, 100, "--memory", "auto")
    say("What flyball remembers of the job:")
    flyball("jobs")
    flyball("show", "index-python")
    say("Why the last run got what it got:")
    flyball("why", "last")
    say("Where the next run over all files would be cheapest (prices from the built-in catalogue):")
    flyball("plan", "index-python", "--input", f"@{FOLDER.name}/files-100.txt")
    flyball("report", "index-python", "-o", f"{FOLDER.name}/report.html")
    govern()
    say(
        f"Done in {time.monotonic() - started:.0f} s. The page {FOLDER.name}/report.html shows the same in pictures; try: flyball doctor"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
