"""Every command that README and docs/ show is run, in the order shown, each page in a home of its own.

A block marked `console` holds `$ command` lines and what they print. The command must end with 0 (or with the code in
a trailing `# exit N`), and must print the words that the page says it prints; figures differ from run to run.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
WORD = re.compile(r"[A-Za-z]{4,}")
SHARE_OF_WORDS = 0.7  # names of machines and jobs' figures may differ


def commands(page: Path) -> list[tuple[str, str]]:
    """(command, what the page says it prints) in order."""
    found = []
    for block in BLOCK.findall(page.read_text()):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found.append((command, output))
    return found


@pytest.mark.parametrize("page", [p for p in PAGES if commands(p)], ids=lambda p: p.name)
def test_what_the_page_shows_is_what_happens(page, tmp_path):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {
        **os.environ,
        "PATH": path,
        "FLYBALL_HOME": str(tmp_path / "home"),
        "NO_COLOR": "1",
        "COLUMNS": "110",
    }
    for command, expected in commands(page):
        code = int(match[1]) if (match := re.search(r"# exit (\d+)$", command)) else 0
        result = subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
            stdin=subprocess.DEVNULL,
        )
        printed = result.stdout + result.stderr
        assert result.returncode == code, f"$ {command}\n{printed}"
        words = set(WORD.findall(expected))
        missing = words - set(WORD.findall(printed))
        assert len(missing) <= (1 - SHARE_OF_WORDS) * len(words), (
            f"$ {command}\nnot printed: {missing}\n{printed}"
        )


def test_every_page_is_linked_from_the_readme():
    readme = (ROOT / "README.md").read_text()
    assert not [page.name for page in PAGES[1:] if f"docs/{page.name}" not in readme]


def test_no_link_between_pages_is_broken():
    for page in [*PAGES, *ROOT.glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
