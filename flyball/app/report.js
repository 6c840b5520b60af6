"use strict";
(() => {
  const scaled = (value, units, step) => {
    let size = Math.abs(value), at = 0;
    while (size >= step * 0.9995 && at < units.length - 1) { size /= step; at += 1; }
    const digits = at === 0 ? 0 : size < 9.995 ? 2 : size < 99.95 ? 1 : 0;
    return size.toFixed(digits) + " " + units[at];
  };
  const bytes = (value) => scaled(value, ["B", "KiB", "MiB", "GiB", "TiB"], 1024);
  const seconds = (value) => {
    if (value < 59.95) return value.toFixed(value < 9.995 ? 2 : 1) + " s";
    const whole = Math.round(value);
    for (const [big, name, small, rest] of [[86400, "d", 3600, "h"], [3600, "h", 60, "min"], [60, "min", 1, "s"]])
      if (whole >= big) {
        const more = Math.floor((whole % big) / small);
        return Math.floor(whole / big) + " " + name + (more ? " " + more + " " + rest : "");
      }
    return whole + " s";
  };
  const show = {
    "bytes": bytes, "bytes-per-second": (v) => bytes(v) + "/s", "seconds": seconds,
    "cores": (v) => String(Number(v.toFixed(2))), "share": (v) => (100 * v).toFixed(0) + " %",
    "usd": (v) => "$" + v.toFixed(v >= 0.995 ? 2 : v >= 0.01 ? 3 : 6), "run": (v) => "run " + (v + 1),
  };
  const numbers = (text) => text.split(" ").map((word) => (word === "-" ? null : Number(word)));

  const bubbleIn = (box) => {
    const bubble = document.createElement("div");
    bubble.className = "bubble";
    bubble.hidden = true;
    box.append(bubble);
    return (words, x, y) => {
      bubble.hidden = !words;
      if (!words) return;
      bubble.textContent = words;
      const left = x + 14 + bubble.offsetWidth > box.clientWidth ? x - 14 - bubble.offsetWidth : x + 14;
      bubble.style.left = Math.max(-60, left) + "px";
      bubble.style.top = Math.max(0, y - 10) + "px";
    };
  };

  const nearest = (xs, x) => {
    let low = 0, high = xs.length - 1;
    while (high - low > 1) { const middle = (low + high) >> 1; if (xs[middle] < x) low = middle; else high = middle; }
    return x - xs[low] < xs[high] - x ? low : high;
  };

  for (const box of document.querySelectorAll(".plot-box")) {
    const plot = box.querySelector("svg.plot"), say = bubbleIn(box), hair = plot.querySelector(".hair");
    plot.querySelector("title").remove();  // its words are in aria-label; a second tooltip would cover ours
    const series = [...box.querySelectorAll(".series")].map((element) => ({
      name: element.dataset.name, show: show[element.dataset.unit], showX: show[element.dataset.xUnit],
      xs: numbers(element.dataset.x), ys: numbers(element.dataset.y),
    }));
    for (const mark of plot.querySelectorAll(".tip")) {
      const title = mark.querySelector("title");
      mark.dataset.words = title.textContent;
      title.remove();
    }
    plot.addEventListener("pointermove", (event) => {
      const frame = plot.getBoundingClientRect(), x = event.clientX - frame.left, y = event.clientY - frame.top;
      const words = event.target.dataset && event.target.dataset.words;
      if (words) { say(words, x, y); return; }
      if (!series.length) { say("", 0, 0); return; }
      const first = series[0].xs[0], last = series[0].xs[series[0].xs.length - 1];
      const at = first + (last - first) * Math.min(1, Math.max(0, x / frame.width));
      const lines = series.map((one) => {
        const value = one.ys[nearest(one.xs, at)];
        return one.name + "  " + (value === null ? "unknown" : one.show(value));
      });
      say(series[0].showX(series[0].xs[nearest(series[0].xs, at)]) + "\n" + lines.join("\n"), x, y);
      const percent = (100 * (at - first)) / (last - first || 1) + "%";
      hair.setAttribute("x1", percent);
      hair.setAttribute("x2", percent);
      hair.setAttribute("visibility", "visible");
    });
    plot.addEventListener("pointerleave", () => { say("", 0, 0); if (hair) hair.setAttribute("visibility", "hidden"); });
    if (series.length) plot.classList.add("crossed");
  }
})();
