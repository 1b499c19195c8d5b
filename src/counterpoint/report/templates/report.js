// Draws each figure when it gets a width, refits it when that changes, and fits all of them to paper for printing.
(() => {
  "use strict";
  const config = { displayModeBar: false, scrollZoom: false, doubleClick: false, showTips: false, responsive: false };
  const plots = [...document.querySelectorAll(".plot")];
  const tables = [...document.querySelectorAll(".scroll > table")];
  const folds = [...document.querySelectorAll("details")];
  const sizes = new WeakMap();

  const show = (plot) => {
    const width = plot.clientWidth;
    if (!width || sizes.get(plot) === width) return;
    const size = { width, height: plot.clientHeight };
    if (sizes.has(plot)) {
      Plotly.relayout(plot, size);
    } else {
      const { data, layout } = JSON.parse(plot.nextElementSibling.textContent);
      Plotly.newPlot(plot, data, { ...layout, ...size }, config);
    }
    sizes.set(plot, width);
  };

  // One plot a task of the event loop: the page stays responsive while many are drawn.
  const waiting = new Set();
  const drain = () => {
    const [next] = waiting;
    if (!next) return;
    waiting.delete(next);
    show(next);
    setTimeout(drain);
  };
  const observer = new ResizeObserver((entries) => {
    const idle = waiting.size === 0;
    entries.forEach((entry) => waiting.add(entry.target));
    if (idle) setTimeout(drain);
  });
  plots.forEach((plot) => observer.observe(plot));

  // The class gives the page the width of paper while the screen still lays it out, because plots cannot be refitted
  // once printing has begun.
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = folds.filter((fold) => !fold.open);
    folded.forEach((fold) => { fold.open = true; });
    document.documentElement.classList.add("paper");
    plots.forEach(show);
    tables.forEach((table) => { table.style.zoom = Math.min(1, table.parentElement.clientWidth / table.scrollWidth); });
  });
  addEventListener("afterprint", () => {
    document.documentElement.classList.remove("paper");
    tables.forEach((table) => { table.style.zoom = ""; });
    folded.forEach((fold) => { fold.open = false; });
    plots.forEach(show);
  });

  // Tables that can be sorted get their buttons here: without JavaScript there are none that do nothing.
  const amount = (row, column) => {
    const value = parseFloat(row.cells[column].dataset.value);
    return Number.isNaN(value) ? -Infinity : value;
  };
  document.querySelectorAll("table.sortable").forEach((table) => {
    const heads = [...table.tHead.rows[0].cells];
    const original = [...table.tBodies[0].rows];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = column > 0 && head.getAttribute("aria-sort") !== "descending";
        const sign = down ? -1 : 1;
        const rows = column ? [...original].sort((a, b) => sign * (amount(a, column) - amount(b, column))) : original;
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        if (column) head.setAttribute("aria-sort", down ? "descending" : "ascending");
        table.tBodies[0].append(...rows);
      });
    });
  });
})();
