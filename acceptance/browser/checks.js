// What is wrong with the open page, as lists of sentences; an empty list is a page without that fault.
(() => {
  "use strict";
  const visible = (element) => element.checkVisibility({ visibilityProperty: true }) && element.getClientRects().length > 0;
  const named = (element) => {
    const kind = element.tagName.toLowerCase() + [...element.classList].map((name) => `.${name}`).join("");
    return `${kind} '${(element.getAttribute("aria-label") || element.textContent || "").trim().slice(0, 60)}'`;
  };
  const all = (selector) => [...document.querySelectorAll(selector)].filter(visible);
  const finite = (value) => value !== null && value !== undefined && value !== "";

  // Plotly packs long columns of numbers as base64.
  const hasPoints = (trace) => {
    const filled = (values) => (values && values.bdata ? values.bdata.length > 0 : (values || []).flat().some(finite));
    return trace.type === "heatmap" ? filled(trace.z) : filled(trace.x) && filled(trace.y);
  };
  const MARKS = ".trace path, .trace image, .hm image, .heatmaplayer image, .errorbar path, .points path, .text text";

  const undrawn = () => all(".plot").filter((plot) => !plot.querySelector("svg.main-svg")).map(named);
  const figures = () => all(".plot").flatMap((plot) => {
    const faults = [];
    const box = plot.getBoundingClientRect();
    const svg = plot.querySelector("svg.main-svg");
    if (!svg) return [`${named(plot)} has not drawn`];
    const drawn = svg.getBoundingClientRect();
    if (drawn.width < 50 || drawn.height < 50) faults.push(`${named(plot)} is ${drawn.width} x ${drawn.height}`);
    if (drawn.right > box.right + 1 || drawn.bottom > box.bottom + 1) faults.push(`${named(plot)} is larger than its box`);
    const marks = [...svg.querySelectorAll(MARKS)].filter((mark) => {
      const size = mark.getBoundingClientRect();
      return size.width + size.height > 0;
    });
    const { data } = JSON.parse(plot.nextElementSibling.textContent);
    if (!data.some(hasPoints)) faults.push(`${named(plot)} was given no points`);
    if (!marks.length) faults.push(`${named(plot)} shows no points`);
    for (const text of svg.parentElement.querySelectorAll("text")) {
      const place = text.getBoundingClientRect();
      if (!place.width) continue;
      if (/NaN|undefined/.test(text.textContent)) faults.push(`${named(plot)} says '${text.textContent}'`);
      const outside = Math.max(box.left - place.left, place.right - box.right, box.top - place.top, place.bottom - box.bottom);
      if (outside > 2) faults.push(`${named(plot)}: '${text.textContent}' leaves it by ${Math.round(outside)} px`);
    }
    for (const axis of [".xtick text", ".ytick text"]) {
      const upright = [...svg.querySelectorAll(axis)].filter((text) => !/rotate\((?!0[,)])/.test(text.getAttribute("transform") || ""));
      const places = upright.map((text) => text.getBoundingClientRect());
      places.forEach((one, i) => places.slice(i + 1).forEach((other, j) => {
        const across = Math.min(one.right, other.right) - Math.max(one.left, other.left);
        const down = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
        if (across > 1 && down > 3) {
          faults.push(`${named(plot)}: '${upright[i].textContent}' and '${upright[i + 1 + j].textContent}' overlap`);
        }
      }));
    }
    return faults;
  });

  // A region that scrolls by itself may be wider inside, and a picture may cut what it draws.
  const scrolls = (element) => {
    for (let at = element.parentElement; at && at !== document.body; at = at.parentElement) {
      if (["auto", "scroll"].includes(getComputedStyle(at).overflowX)) return true;
    }
    return false;
  };
  const overflow = () => {
    const faults = [];
    const root = document.scrollingElement;
    if (root.scrollWidth > root.clientWidth) faults.push(`the page is ${root.scrollWidth} px wide, the window ${root.clientWidth}`);
    for (const element of all("body *")) {
      if (element.closest("svg, .sr, .plot > *") || scrolls(element)) continue;
      const place = element.getBoundingClientRect();
      if (place.right > root.clientWidth + 1 || place.left < -1) {
        faults.push(`${named(element)} reaches from ${Math.round(place.left)} to ${Math.round(place.right)} px`);
      }
    }
    return faults;
  };
  const TEXTS = "h1, h2, h3, h4, p, li, dt, dd, th, td, summary, figcaption, pre, b, small, span, a, label, button";
  const clipped = () => all(TEXTS).filter((element) => {
    if (element.closest(".sr, .plot > *")) return false;
    const inline = getComputedStyle(element).display === "inline";
    if (inline) {
      // The nearest box that is not inline holds it.
      let box = element.parentElement;
      while (getComputedStyle(box).display === "inline") box = box.parentElement;
      return element.getBoundingClientRect().right > box.getBoundingClientRect().right + 1;
    }
    return element.scrollWidth > element.clientWidth + 1 || element.scrollHeight > element.clientHeight + 8;
  }).map((element) => `${named(element)} does not fit into its box`);

  const collisions = () => all("tr").flatMap((row) => [...row.cells].flatMap((cell, place) => {
    const next = row.cells[place + 1];
    if (!next) return [];
    const shown = [...cell.childNodes].filter((node) => !node.classList?.contains("sr"));
    const parts = shown.flatMap((node) => {
      const text = document.createRange();
      text.selectNodeContents(node);
      return [...text.getClientRects()].filter((part) => part.width > 1);
    });
    const right = Math.max(0, ...parts.map((part) => part.right));
    const sticky = getComputedStyle(cell).position === "sticky";
    return !sticky && right > cell.getBoundingClientRect().right + 1 ? [`${named(cell)} runs into its neighbour`] : [];
  }));

  const images = () => all("img").flatMap((image) => [
    ...(image.complete && image.naturalWidth > 0 ? [] : [`${image.src.slice(0, 60)} has not loaded`]),
    ...((image.getAttribute("alt") || "").trim() ? [] : [`${image.src.slice(0, 60)} has no alternative text`]),
  ]);

  // Everything that plotly drew is one picture to a screen reader: its words stand on the box and below it.
  const words = () => all(".plot").flatMap((plot) => [
    ...(plot.getAttribute("role") === "img" && (plot.getAttribute("aria-label") || "").length > 20 ? [] : [`${named(plot)} has no text alternative`]),
    ...((plot.closest("figure")?.querySelector("figcaption")?.textContent || "").length > 20 ? [] : [`${named(plot)} has no caption`]),
  ]);

  // Two scripts belong to the page; what a name could have made would be more of them, or attributes that run.
  const intruders = () => [
    ...[...document.querySelectorAll("script:not([type])")].slice(2).map((element) => `a script that is not the page's: ${element.textContent.slice(0, 60)}`),
    ...[...document.querySelectorAll("*")].filter((element) => [...element.attributes].some((each) => each.name.startsWith("on"))).map((element) => `${named(element)} has an attribute that runs`),
  ];

  const hidden = () => [
    ...[...document.querySelectorAll("main > section, main > header, table, figure")].filter((element) => !visible(element)).map((element) => `${named(element)} is not shown`),
  ];

  window.faults = { undrawn, figures, overflow, clipped, collisions, images, words, intruders, hidden };
})();
