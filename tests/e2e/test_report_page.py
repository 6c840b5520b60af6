"""The report in a real browser: it draws, it lets nothing through, it answers the pointer."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from shown_runs import a_choice, a_plan, a_receipt, a_run, a_state, some_rows, some_samples

from flyball.app.report import job_report, run_report
from flyball.policy.summary import summarise

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--hide-scrollbars",
    "--mute-audio",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium: apt-get install chromium to see the page drawn"
)


def browse(folder: Path, page: str, *flags: str) -> str:
    """What the browser prints about that page."""
    file = folder / "page.html"
    file.write_text(page, encoding="utf-8")
    done = subprocess.run(
        [
            CHROMIUM,
            *FLAGS,
            f"--user-data-dir={folder / 'profile'}",
            "--enable-logging=stderr",
            *flags,
            file.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    complaints = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    assert complaints == []  # a blocked script or style, or an error in ours
    return done.stdout


def colours_of(picture: Path) -> dict[bytes, int]:
    """How often each colour occurs in an 8-bit RGB or RGBA PNG."""
    data = picture.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height, _, kind = struct.unpack(">IIBB", data[16:26])
    channels = {2: 3, 6: 4}[kind]
    chunks, at = b"", 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        if data[at + 4 : at + 8] == b"IDAT":
            chunks += data[at + 8 : at + 8 + length]
        at += 12 + length
    raw, stride = zlib.decompress(chunks), width * channels
    counts: dict[bytes, int] = {}
    before = bytearray(stride)
    for row in range(height):
        start = row * (stride + 1)
        line = _unfiltered(raw[start], bytearray(raw[start + 1 : start + 1 + stride]), before, channels)
        for x in range(0, stride, channels * 3):  # every third pixel is enough
            pixel = bytes(line[x : x + 3])
            counts[pixel] = counts.get(pixel, 0) + 1
        before = line
    return counts


def _unfiltered(kind: int, line: bytearray, up: bytearray, step: int) -> bytearray:
    """PNG's five row filters (RFC 2083, section 6)."""
    for i in range(len(line)):
        a = line[i - step] if i >= step else 0
        b, c = up[i], up[i - step] if i >= step else 0
        if kind == 1:
            line[i] = (line[i] + a) & 255
        elif kind == 2:
            line[i] = (line[i] + b) & 255
        elif kind == 3:
            line[i] = (line[i] + (a + b) // 2) & 255
        elif kind == 4:
            p = a + b - c
            nearest = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
            line[i] = (line[i] + nearest) & 255
    return line


def test_a_run_is_drawn_with_its_curve_and_its_limit(tmp_path):
    picture = tmp_path / "run.png"
    page = run_report(a_state(a_receipt(), plan=a_plan()), some_samples(2_000))
    browse(tmp_path, page, "--window-size=640,900", f"--screenshot={picture}")
    colours = colours_of(picture)
    assert colours.get(bytes.fromhex("0b7a6f"), 0) > 50  # the memory curve
    assert colours.get(bytes.fromhex("2460a7"), 0) > 50  # the CPU curve
    assert colours.get(bytes.fromhex("faf8f3"), 0) > 1_000  # our paper: the style sheet was let through


@pytest.mark.parametrize(
    "attack", ["<script>document.title='owned'</script>", '"><img src=x onerror="document.title=\'owned\'">']
)
def test_a_hostile_command_stays_text_in_a_browser(tmp_path, attack):
    run = a_run(job=attack, command=("sh", "-c", attack), tags={attack: attack})
    seen = browse(
        tmp_path, run_report(a_state(a_receipt(exit_cause=attack), run=run), some_samples(50)), "--dump-dom"
    )
    assert "<title>owned" not in seen
    assert not re.search(r"<img|onerror=[^&]*>(?!&)", re.sub(r'"[^"]*"', "", seen))
    assert 'class="bubble"' in seen  # our own script ran


def test_the_pointer_is_told_what_it_points_at(tmp_path):
    rows = some_rows(30)
    page = job_report(summarise(rows)[0], rows, plan=a_plan(), alternatives=[a_choice()])
    # The page's policy forbids any script but its own, so the test plays the pointer with one inside the policy's hash.
    policy = re.search(r'<meta http-equiv="Content-Security-Policy"[^>]*>', page)[0]
    probe = """<script>addEventListener("load", () => {
      const hit = (selector, x) => {
        const plot = [...document.querySelectorAll("svg.plot")].find((each) => each.querySelector(selector));
        const mark = plot.querySelector(selector), frame = plot.getBoundingClientRect();
        mark.dispatchEvent(new PointerEvent("pointermove",
          {bubbles: true, clientX: frame.left + frame.width * x, clientY: frame.top + 60}));
        return plot.parentElement.querySelector(".bubble").textContent;
      };
      document.title = [hit(".dot", 0.5), hit(".bar", 0.5), hit(".hair", 1)].join("|");
    });</script></body>"""
    seen = browse(tmp_path, page.replace(policy, "").replace("</body>", probe), "--dump-dom")
    title = re.search(r"<title>(.*?)</title>", seen, re.DOTALL)[1]
    dot, bar, line = title.split("|")
    assert "succeeded" in dot
    assert "run r000" in dot
    assert re.search(r"\d+ runs?$", bar)
    assert line.startswith("run 30")
    assert "cost so far" in line
