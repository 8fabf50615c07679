// The report's own script: draws the charts, sorts and filters tables, marks the place in the contents.
// All it reads is in the page; it asks no other machine for anything.
"use strict";
(() => {
  const root = document.documentElement;
  root.dataset.script = "1";
  const errors = [];
  const fail = (error) => {
    errors.push(String((error && error.message) || error));
    root.dataset.errors = errors.join(" | ");
  };
  addEventListener("error", (event) => fail(event.error || event.message));
  addEventListener("unhandledrejection", (event) => fail(event.reason));
  document.addEventListener("securitypolicyviolation", (event) =>
    fail(`blocked by the page's policy: ${event.violatedDirective} ${event.blockedURI}`),
  );

  // Data: columns, with repeated words coded, back into rows.
  const held = document.getElementById("chart-data");
  const { charts, tables } = held ? JSON.parse(held.textContent) : { charts: {}, tables: {} };
  const rows = {};
  const unpack = (name) => {
    if (rows[name]) return rows[name];
    const columns = Object.entries(tables[name]).map(([key, column]) => [
      key,
      Array.isArray(column) ? column : column.codes.map((code) => column.words[code]),
    ]);
    const count = columns.length ? columns[0][1].length : 0;
    rows[name] = Array.from({ length: count }, (_, i) =>
      Object.fromEntries(columns.map(([key, values]) => [key, values[i]])),
    );
    return rows[name];
  };

  // Charts: drawn when their section is open, by Vega's interpreter, so that no code is made from text.
  const font = getComputedStyle(document.body).fontFamily;
  const config = {
    background: null,
    font,
    view: { stroke: null },
    axis: { labelFontSize: 12, titleFontSize: 12, titleFontWeight: 600, titlePadding: 8, domain: false, tickSize: 4 },
    legend: { labelFontSize: 12, titleFontSize: 12, titleFontWeight: 600, rowPadding: 3 },
  };
  const drawn = new Set();
  const draw = async (plot) => {
    const key = plot.dataset.chart;
    if (drawn.has(plot) || !charts[key] || plot.clientWidth === 0) return;
    drawn.add(plot);
    const { spec, tables: names } = charts[key];
    const datasets = { ...spec.datasets };
    for (const name of names) datasets[name] = unpack(name);
    const options = {
      mode: "vega-lite", ast: true, renderer: "svg", actions: false, defaultStyle: false,
      tooltip: { disableDefaultStyle: true },
      config: { ...config, axisY: { labelLimit: Math.min(260, plot.clientWidth * 0.42) } },
    };
    const { view } = await vegaEmbed(plot, { ...spec, datasets, description: plot.dataset.description }, options);
    let width = plot.clientWidth;
    new ResizeObserver(() => {
      if (plot.clientWidth && plot.clientWidth !== width) {
        width = plot.clientWidth;
        view.width(width).runAsync().catch(fail);
      }
    }).observe(plot);
  };
  const drawAll = (within) => Promise.all([...within.querySelectorAll(".plot")].map((plot) => draw(plot).catch(fail)));
  document.addEventListener("toggle", (event) => event.target.open && drawAll(event.target), true);

  // Tables: sorted by a column's numbers where it has them, else by its text.
  const collator = new Intl.Collator(undefined, { numeric: true });
  const value = (row, column) => row.cells[column].textContent.trim();
  const number = (text) => parseFloat(text.replace(/[,#~]/g, ""));
  const sort = (table, heading) => {
    const column = heading.cellIndex;
    const order = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", order === 1 ? "ascending" : "descending");
    const isNumber = heading.classList.contains("n");
    const keyed = [...table.tBodies[0].rows].map((row) => {
      const text = value(row, column);
      return { row, key: isNumber ? number(text) : text, empty: isNumber ? Number.isNaN(number(text)) : text === "" };
    });
    keyed.sort((a, b) => {
      if (a.empty || b.empty) return a.empty - b.empty;
      return order * (isNumber ? a.key - b.key : collator.compare(a.key, b.key));
    });
    table.tBodies[0].append(...keyed.map(({ row }) => row));
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    for (const heading of table.tHead.rows[0].cells) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => sort(table, heading));
    }
  }
  for (const controls of document.querySelectorAll(".controls")) {
    const table = document.getElementById(controls.dataset.table);
    const words = controls.querySelector("input");
    const state = controls.querySelector("select");
    const shown = controls.querySelector("output");
    const filter = () => {
      const wanted = words.value.trim().toLowerCase().split(/\s+/);
      let count = 0;
      for (const row of table.tBodies[0].rows) {
        const text = row.textContent.toLowerCase();
        const fits = wanted.every((word) => text.includes(word)) && (!state.value || row.querySelector(".state").textContent === state.value);
        row.hidden = !fits;
        count += fits;
      }
      shown.textContent = `${count.toLocaleString("en")} of ${table.tBodies[0].rows.length.toLocaleString("en")} shown`;
    };
    words.addEventListener("input", filter);
    state.addEventListener("change", filter);
    filter();
  }

  // Contents: the section in view is marked; a link into a closed section opens it.
  const links = new Map([...document.querySelectorAll(".toc a")].map((link) => [link.hash.slice(1), link]));
  const watcher = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        for (const link of links.values()) link.removeAttribute("aria-current");
        links.get(entry.target.id).setAttribute("aria-current", "true");
      }
    },
    { rootMargin: "-10% 0px -80% 0px" },
  );
  for (const id of links.keys()) {
    const section = document.getElementById(id);
    if (section) watcher.observe(section);
  }
  const reveal = () => {
    const place = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let box = place; box; box = box.parentElement) if (box.tagName === "DETAILS") box.open = true;
    if (place) place.scrollIntoView();
  };
  addEventListener("hashchange", reveal);

  // Paper shows everything.
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details.card:not([open])")];
    for (const box of closed) box.open = true;
  });
  addEventListener("afterprint", () => closed.forEach((box) => (box.open = false)));

  drawAll(document).then(() => {
    root.dataset.overflow = String(document.scrollingElement.scrollWidth - root.clientWidth);
    root.dataset.charts = String(drawn.size);
    root.dataset.ready = "1";
    if (location.hash) reveal();
  });
})();
