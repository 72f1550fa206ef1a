// Draws one Plotly figure: hover box, legend, drag to zoom, clicks, PNG export. The figure and its words come from
// pages/widgets/chart_component.py. Every name is set as text, never as HTML.

// The look of all figures. A color is a variable, which `resolveColors` replaces by the value of the theme.
const TEXT = "var(--st-text-color)";
const AXIS = {
  zeroline: false,
  ticks: "",
  showline: false,
  fixedrange: true,
  automargin: true,
  ticklabeloverflow: "allow",
  gridcolor: "var(--st-border-color)",
  tickangle: 0,
  tickfont: { color: TEXT, size: 11 },
  title: { font: { color: TEXT, size: 11 }, standoff: 6 },
};
const TEMPLATE = {
  layout: {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: "var(--st-font)", color: TEXT, size: 12 },
    margin: { l: 8, r: 20, t: 28, b: 8 },
    showlegend: false,
    legend: { orientation: "h", y: -0.15, font: { color: TEXT } },
    barmode: "stack",
    bargap: 0.14,
    hoverdistance: -1,
    xaxis: AXIS,
    yaxis: { ...AXIS, ticklabelstandoff: 6 },
  },
};

const charts = new WeakMap();
let library = null;

function loadPlotly(version) {
  library ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = new URL(`../plotly.bundle/plotly.min.js?v=${encodeURIComponent(version)}`, import.meta.url).href;
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => {
      library = null;
      reject(new Error("plotly.min.js could not be loaded"));
    };
    document.head.append(script);
  });
  return library;
}

export default function chart(component) {
  const { parentElement, data, setTriggerValue } = component;
  let state = charts.get(parentElement);
  if (!state) {
    state = createChart(parentElement);
    charts.set(parentElement, state);
  }
  state.next = data;
  state.send = setTriggerValue;
  loadPlotly(data.plotly).then((plotly) => {
    state.plotly = plotly;
    update(state);
  });
  return () => {
    charts.delete(parentElement);
    state.observer.disconnect();
    window.removeEventListener("pointerup", state.release);
    state.removed = true;
    state.root.remove();
    // A drawing and Plotly's timers for the pointer read the chart until they end: a purge before breaks them.
    const purge = () => setTimeout(() => state.plotly.purge(state.plot), 1000);
    state.ready?.then(purge, purge);
  };
}

function element(tag, className, parent) {
  const created = document.createElement(tag);
  created.className = className;
  parent.append(created);
  return created;
}

function createChart(parent) {
  const root = element("div", "tracker-chart", parent);
  root.setAttribute("role", "group");
  const stage = element("div", "tracker-chart-stage", root);
  const plot = element("div", "tracker-chart-plot", stage);
  plot.setAttribute("aria-hidden", "true");
  const save = element("button", "tracker-chart-save", stage);
  save.type = "button";
  save.textContent = "PNG";
  const box = element("div", "tracker-chart-hover", stage);
  box.hidden = true;
  const flags = element("div", "tracker-chart-flags", stage);
  flags.setAttribute("aria-hidden", "true");
  const legend = element("div", "tracker-chart-legend", root);
  const marks = element("details", "tracker-chart-marks", root);
  marks.hidden = true;
  const spoken = element("div", "tracker-chart-spoken", root);
  spoken.setAttribute("aria-live", "polite");
  const state = {
    parent, root, stage, plot, save, box, flags, legend, marks, spoken,
    hidden: new Set(), hovered: null, pressed: false, updating: false, figure: null, data: null, next: null,
  };
  // A refresh while the reader drags would end the drag: it waits for the release.
  plot.addEventListener("pointerdown", () => (state.pressed = true), true);
  state.release = () => {
    if (!state.pressed) return;
    state.pressed = false;
    setTimeout(() => update(state), 350);
  };
  window.addEventListener("pointerup", state.release);
  save.onclick = () => exportPng(state);
  stage.onkeydown = (event) => pressKey(state, event);
  stage.onblur = () => hideHover(state);
  stage.tabIndex = 0;
  state.observer = new ResizeObserver(() => {
    if (!state.pressed && state.data && Math.abs(stage.clientWidth - state.width) > 1) draw(state);
  });
  state.observer.observe(stage);
  return state;
}

function update(state) {
  if (state.removed || state.pressed || !state.next || !state.plotly) return;
  state.data = state.next;
  state.source = JSON.parse(state.data.figure);
  state.source.layout.template = TEMPLATE;
  // Between a click and the answer of the server, the selection is the clicked point.
  const given = JSON.stringify(state.data.selected);
  if (given !== state.given) state.selected = state.data.selected;
  state.given = given;
  state.root.setAttribute("aria-label", state.data.alt);
  state.root.classList.toggle("tracker-chart-clickable", state.data.can_click && !state.data.can_drag);
  state.stage.setAttribute("aria-label", `${state.data.alt}. ${state.data.words.keys}`);
  state.stage.setAttribute("role", "group");
  state.save.title = state.data.words.png;
  state.save.setAttribute("aria-label", state.data.words.png);
  draw(state);
}

// --- drawing

function draw(state) {
  const styles = getComputedStyle(state.parent.host ?? state.parent);
  const figure = resolveColors(structuredClone(state.source), styles);
  for (const trace of figure.data) {
    trace.visible = !state.hidden.has(trace.uid);
    if (state.selected) fadeOthers(trace, state.selected);
  }
  state.width = state.stage.clientWidth;
  scaleValueAxis(state, figure);
  thinTimeTicks(state, figure);
  state.figure = figure;
  const config = { displayModeBar: false, responsive: false, doubleClick: "reset", showTips: false };
  figure.layout.width = Math.max(state.width, 60);
  // On a touch screen a drag scrolls the page; the custom range sets times there.
  if (matchMedia("(pointer: coarse)").matches) figure.layout.dragmode = false;
  state.stage.style.height = `${figure.layout.height}px`;
  state.updating = true;
  const first = !state.listening;
  state.ready = first
    ? state.plotly.newPlot(state.plot, figure.data, figure.layout, config)
    : state.plotly.react(state.plot, figure.data, figure.layout, config);
  state.ready.then(() => {
    if (state.removed) return;
    if (first) listen(state);
    state.updating = false;
    drawLegend(state);
    drawMarks(state);
    if (state.hovered) showHover(state, state.hovered);
  });
}

function fadeOthers(trace, [row, column]) {
  if (!trace.customdata) return;
  const isSelected = (custom) => custom[2] === row && (column === null || custom[3] === column);
  trace.marker = { ...trace.marker, opacity: trace.customdata.map((custom) => (isSelected(custom) ? 1 : 0.35)) };
}

function resolveColors(value, styles) {
  if (typeof value === "string") {
    const match = /^var\(--(series|scale)-(\d+)\)$/.exec(value);
    if (match) {
      const name = match[1] === "series" ? "--st-chart-categorical-colors" : "--st-chart-sequential-colors";
      const colors = styles.getPropertyValue(name).split(",").map((color) => color.trim()).filter(Boolean);
      return colors[Number(match[2]) % colors.length] ?? "#888888";
    }
    const variable = /^var\((--[\w-]+)\)$/.exec(value);
    return variable ? styles.getPropertyValue(variable[1]).trim() || "#888888" : value;
  }
  if (Array.isArray(value)) return value.map((item) => resolveColors(item, styles));
  if (value && typeof value === "object") {
    for (const key of Object.keys(value)) value[key] = resolveColors(value[key], styles);
  }
  return value;
}

// The axis of values ends at a tick, so that no bar exceeds the last one; it follows the visible series.
function scaleValueAxis(state, figure) {
  const { unit, stacked, least, value_axis: name } = state.data;
  if (!name) return;
  const sums = new Map();
  let highest = 0;
  for (const trace of figure.data) {
    if (!trace.visible) continue;
    const values = name === "xaxis" ? trace.x : trace.y;
    const positions = name === "xaxis" ? trace.y : trace.x;
    values.forEach((value, index) => {
      const total = (stacked ? (sums.get(positions[index]) ?? 0) : 0) + (value ?? 0);
      sums.set(positions[index], total);
      highest = Math.max(highest, total);
    });
  }
  if (highest <= least) highest = 0;
  const size = unit === "ms" ? 1000 * (durationUnit(highest / 1000, state.data)?.[1] ?? 0.001) : 1;
  const isWhole = unit === "count" || (unit === "usd" && state.data.currency_decimals === 0 && highest >= 4);
  const step = size * niceStep((highest || 1) / 4 / size, isWhole ? 1 : 0);
  const count = Math.max(1, Math.ceil((highest || 1) / step - 1e-9));
  const ticks = Array.from({ length: count + 1 }, (_, index) => index * step);
  const narrow = name === "xaxis" && state.width < 420;
  const axis = (figure.layout[name] ??= {});
  // Points at the first and the last tick are not cut in half.
  const margin = figure.data.some((trace) => trace.mode?.includes("markers")) ? count * step * 0.03 : 0;
  axis.range = [-margin, count * step + margin];
  axis.tickvals = ticks;
  axis.ticktext = ticks.map((tick, index) => (narrow && index % 2 ? "" : tickText(tick, step, count * step, state.data)));
}

function niceStep(raw, least) {
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].find((factor) => factor * power >= raw * 0.999) * power;
  return Math.max(least ? Math.ceil(step) : step, least);
}

function thinTimeTicks(state, figure) {
  const axis = figure.layout.xaxis;
  if (!axis?.ticktext || state.data.value_axis === "xaxis") return;
  const longest = Math.max(...axis.ticktext.map((text) => text.length));
  const room = Math.max(1, Math.floor((state.width - 70) / (longest * 7 + 14)));
  const every = Math.ceil(axis.tickvals.length / room);
  if (every < 2) return;
  axis.tickvals = axis.tickvals.filter((_, index) => index % every === 0);
  axis.ticktext = axis.ticktext.filter((_, index) => index % every === 0);
}

// --- numbers

// The rules of pages/support/formats.py, which delivers the sign of the currency and the units of durations.

const STEPS = {
  en: [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "K"]],
  ko: [[1e12, "조"], [1e8, "억"], [1e4, "만"]],
};
const SHORT_FROM = 100000;

function grouped(value, least = 0, most = least) {
  return Number(value.toPrecision(12)).toLocaleString("en-US", { minimumFractionDigits: least, maximumFractionDigits: most });
}

function threeDigits(value) {
  const size = Math.abs(value);
  return grouped(value, 0, size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2);
}

// The seconds and the text of the unit of a duration; null below a second.
function durationUnit(seconds, data) {
  return data.duration_units.find(([limit]) => seconds >= limit * 0.9995) ?? null;
}

function durationText(ms, data) {
  const unit = durationUnit(ms / 1000, data);
  if (ms > 0 && ms < 0.005) return "< 0.01 ms";
  return unit ? unit[2].replace("{n}", threeDigits(ms / 1000 / unit[1])) : `${threeDigits(ms)} ms`;
}

function costText(value, data) {
  const { currency_sign: sign, currency_decimals: decimals } = data;
  if (value === 0) return `${sign}0`;
  if (value >= 999.995) return sign + grouped(value);
  const rounded = Number(value.toPrecision(2));
  if (value >= 1 || rounded >= 1) return sign + grouped(value, decimals);
  return value < 1e-6 ? `< ${sign}0.000001` : sign + grouped(rounded, 1 - Math.floor(Math.log10(rounded)));
}

function percentText(percent) {
  if (percent > 0 && percent < 0.05) return "< 0.1%";
  if (percent >= 99.5 && percent < 100) return `${grouped(Math.floor(percent * 10 + 1e-9) / 10, 0, 1)}%`;
  return `${grouped(percent, 0, percent < 9.95 ? 1 : 0)}%`;
}

// A value in the hover box: counts have all digits there.
function valueText(value, data) {
  if (data.unit === "usd") return costText(value, data);
  if (data.unit === "ms") return durationText(value, data);
  return data.unit === "percent" ? percentText(value) : grouped(value);
}

// All ticks of an axis have the unit of the highest one and the decimals of the step.
function tickText(tick, step, highest, data) {
  const { unit } = data;
  if (unit === "ms") {
    const [, seconds, text] = durationUnit(highest / 1000, data) ?? [0, 0.001, "{n} ms"];
    return tick === 0 ? "0" : text.replace("{n}", grouped(tick / 1000 / seconds, 0, 3));
  }
  if (unit === "percent") return `${grouped(tick, 0, 3)}%`;
  const sign = unit === "usd" ? data.currency_sign : "";
  const steps = STEPS[data.language] ?? STEPS.en;
  const [size, name] = highest >= SHORT_FROM ? steps.find(([least]) => highest >= least) : [1, ""];
  if (tick === 0) return `${sign}0`;
  const cents = sign && size === 1 && !Number.isInteger(step) ? Math.min(2, data.currency_decimals || (step < 1 ? 2 : 0)) : 0;
  return sign + grouped(tick / size, cents, Math.max(cents, 8)) + name;
}

// --- hover

function listen(state) {
  state.listening = true;
  const { plot } = state;
  plot.on("plotly_hover", (event) => {
    const point = event.points[0];
    showHover(state, { trace: point.data.uid, curve: point.curveNumber, index: point.pointIndex ?? point.pointNumber });
  });
  plot.on("plotly_unhover", () => {
    if (!state.updating && !state.pressed) hideHover(state);
  });
  plot.on("plotly_click", (event) => clickPoint(state, pressedPoint(state, event)));
  plot.on("plotly_afterplot", () => placeFlags(state));
  plot.on("plotly_relayout", (event) => changeRange(state, event));
  plot.on("plotly_doubleclick", () => {
    state.hidden.clear();
    if (state.data.can_reset) state.send("reset", true);
    draw(state);
  });
}

function hoverText(state, point) {
  const { data, figure } = state;
  if (!data.titles) {
    const custom = figure.data[point.curve]?.customdata?.[point.index];
    return custom && { title: custom[0], rows: [[figure.data[point.curve].name, custom[1], null]], total: null };
  }
  const rows = figure.data
    .filter((trace) => trace.visible && (trace.y[point.index] || (trace.y[point.index] === 0 && !data.stacked)))
    .map((trace) => [trace.meta, trace.y[point.index], trace.marker?.color ?? trace.line?.color])
    .sort((one, other) => other[1] - one[1]);
  const total = data.stacked && rows.length > 1 ? rows.reduce((sum, row) => sum + row[1], 0) : null;
  return { title: data.titles[point.index] ?? "", rows, total };
}

function showHover(state, point) {
  const text = hoverText(state, point);
  if (!text) return hideHover(state);
  state.hovered = point;
  const { box, data } = state;
  const format = (value) => valueText(value, data);
  box.replaceChildren();
  element("div", "tracker-chart-title", box).textContent = text.title;
  if (data.titles && !text.rows.length) addRow(box, null, data.words.none, "");
  for (const [name, value, color] of text.rows) addRow(box, color, data.titles ? name : data.label, format(value));
  if (text.total !== null) addRow(box, null, `${data.words.total} · ${data.label}`, format(text.total), true);
  else if (data.titles && text.rows.length) box.firstChild.textContent += ` · ${data.label}`;
  if (data.titles) addMarkTexts(state, marksAt(data.marks, (x) => Math.round(x) === point.index));
  box.hidden = false;
  placeHover(state, point);
}

function addRow(box, color, name, value, strong = false) {
  const row = element("div", strong ? "tracker-chart-row tracker-chart-total" : "tracker-chart-row", box);
  const swatch = element("span", "tracker-chart-swatch", row);
  if (color) swatch.style.background = color;
  element("span", "tracker-chart-name", row).textContent = name;
  element("span", "tracker-chart-value", row).textContent = value;
}

function placeHover(state, point) {
  const layout = state.plot._fullLayout;
  const trace = state.figure.data[point.curve];
  if (!layout?.xaxis || !trace) return;
  const at = (axis, value) => axis._offset + axis.d2p(value);
  const x = at(layout.xaxis, trace.x[point.index]);
  const y = state.data.titles ? layout.yaxis._offset : at(layout.yaxis, trace.y[point.index]);
  const { box, stage } = state;
  const right = x + 14 + box.offsetWidth <= stage.clientWidth;
  box.style.left = `${right ? x + 14 : Math.max(0, x - 14 - box.offsetWidth)}px`;
  box.style.top = `${Math.max(0, Math.min(y, stage.clientHeight - box.offsetHeight))}px`;
}

// --- marks of deployments

const FLAG_WIDTH = 12;

function marksAt(marks, matches) {
  return (marks?.items ?? []).filter((mark) => matches(Math.max(mark.x, 0)));
}

function addMarkTexts(state, marks) {
  for (const mark of marks) element("div", "tracker-chart-mark", state.box).textContent = mark.text;
}

// The list below the chart: for screen readers, keyboards and phones, and the legend of the lines.
function drawMarks(state) {
  const { marks } = state.data;
  const described = JSON.stringify(marks);
  if (state.marks.dataset.described !== described) {
    state.marks.dataset.described = described;
    state.marks.replaceChildren();
    state.marks.hidden = !marks;
    if (marks) {
      element("summary", "", state.marks).textContent = marks.summary;
      const list = element("ul", "", state.marks);
      for (const mark of marks.items) element("li", "", list).textContent = mark.text;
    }
  }
  placeFlags(state);
}

// A flag above each line, which a mouse or a finger reaches; flags that would overlap are one flag.
function placeFlags(state) {
  const axis = state.plot._fullLayout?.xaxis;
  const top = state.plot._fullLayout?.yaxis?._offset;
  if (!axis || top === undefined) return;
  const groups = [];
  for (const mark of state.data.marks?.items ?? []) {
    const x = axis._offset + axis.d2p(mark.x);
    if (x < axis._offset - 1 || x > axis._offset + axis._length + 1) continue;
    const last = groups.at(-1);
    if (last && x - last.x < FLAG_WIDTH) last.marks.push(mark);
    else groups.push({ x, marks: [mark] });
  }
  // A flag that a reader points at stays as it is during a refresh.
  const described = JSON.stringify([top, groups]);
  if (state.flags.dataset.described === described) return;
  state.flags.dataset.described = described;
  state.flags.replaceChildren();
  for (const group of groups) addFlag(state, group, top);
}

function addFlag(state, { x, marks }, top) {
  const flag = element("span", "tracker-chart-flag", state.flags);
  flag.style.left = `${x}px`;
  flag.style.top = `${top}px`;
  const show = () => {
    state.hovered = null;
    state.box.replaceChildren();
    addMarkTexts(state, marks);
    state.box.hidden = false;
    const right = x + 14 + state.box.offsetWidth <= state.stage.clientWidth;
    state.box.style.left = `${right ? x + 14 : Math.max(0, x - 14 - state.box.offsetWidth)}px`;
    state.box.style.top = `${top}px`;
  };
  flag.onpointerenter = show;
  flag.onclick = show;
  flag.onpointerleave = () => hideHover(state);
}

function hideHover(state) {
  state.hovered = null;
  state.box.hidden = true;
}

// --- actions

// Sends the row and the column of a point that names them, else the uid of its series and its number.
function clickPoint(state, { uid, index, custom }) {
  if (!state.data.can_click) return;
  if (!Array.isArray(custom) || custom.length < 4) {
    state.send("click", { series: uid, index });
    return;
  }
  state.selected = custom.slice(2, 4);
  state.send("click", state.selected);
  draw(state);
}

// Hover of stacked bars delivers the points of all series: the height of the pointer decides. Above the bar: no series.
function pressedPoint(state, event) {
  const point = event.points[0];
  const index = point.pointIndex ?? point.pointNumber;
  if (!state.data.titles || !state.data.stacked) return { uid: point.data.uid ?? "", index, custom: point.customdata };
  const axis = state.plot._fullLayout.yaxis;
  let rest = axis.p2d(event.event.clientY - state.plot.getBoundingClientRect().top - axis._offset);
  for (const trace of state.figure.data.filter((one) => one.visible)) {
    rest -= trace.y[index];
    if (rest < 0) return { uid: trace.uid, index };
  }
  return { uid: "", index };
}

function changeRange(state, event) {
  const from = event["xaxis.range[0]"];
  const to = event["xaxis.range[1]"];
  if (state.updating || !state.data.can_drag || typeof from !== "number" || typeof to !== "number") return;
  const [first, last] = state.source.layout.xaxis.range;
  if (from <= first && to >= last) return;
  state.send("range", [from, to]);
}

function pressKey(state, event) {
  if (event.target !== state.stage || !state.figure) return;
  const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
  if (event.key === "Escape") {
    hideHover(state);
  } else if (event.key in steps) {
    movePoint(state, steps[event.key]);
    event.preventDefault();
  } else if (event.key === "Enter" && state.hovered) {
    const { curve, index } = state.hovered;
    clickPoint(state, { uid: "", index, custom: state.figure.data[curve].customdata?.[index] });
  }
}

function movePoint(state, step) {
  const points = [];
  const traces = state.data.titles ? state.figure.data.slice(0, 1) : state.figure.data;
  traces.forEach((trace) => {
    const curve = state.figure.data.indexOf(trace);
    if (trace.visible || state.data.titles) trace.x.forEach((_, index) => {
      if (state.data.titles || trace.customdata?.[index]) points.push({ curve, index });
    });
  });
  if (!points.length) return;
  const held = state.hovered;
  const now = held ? points.findIndex((point) => point.curve === held.curve && point.index === held.index) : -1;
  const start = state.data.titles && held ? held.index : now;
  const next = held ? (start + step + points.length) % points.length : step > 0 ? 0 : points.length - 1;
  showHover(state, points[next]);
  const lines = [...state.box.querySelectorAll(".tracker-chart-row")].map((row) => row.innerText.replace(/\s+/g, " "));
  state.spoken.textContent = [state.box.firstChild.textContent, ...lines].join(", ");
}

// --- legend and export

function drawLegend(state) {
  const shown = state.figure.data.filter((trace) => trace.showlegend);
  const described = JSON.stringify(shown.map((trace) => [trace.uid, trace.meta, trace.visible, colorOf(trace)]));
  if (state.described === described) return;
  state.described = described;
  const focused = state.legend.contains(document.activeElement) ? document.activeElement.dataset.uid : null;
  state.legend.replaceChildren();
  for (const trace of shown) {
    const button = element("button", "tracker-chart-series", state.legend);
    button.type = "button";
    button.dataset.uid = trace.uid;
    button.setAttribute("aria-pressed", String(trace.visible));
    button.title = `${trace.meta}\n${state.data.words.legend}`;
    element("span", "tracker-chart-swatch", button).style.background = colorOf(trace);
    element("span", "tracker-chart-name", button).textContent = trace.meta;
    button.onclick = (event) => selectSeries(state, trace.uid, event.ctrlKey || event.metaKey || event.shiftKey);
    if (trace.uid === focused) button.focus();
  }
}

function colorOf(trace) {
  return (typeof trace.marker?.color === "string" ? trace.marker.color : trace.line?.color) ?? "#888888";
}

function selectSeries(state, uid, toggle) {
  const all = state.figure.data.filter((trace) => trace.showlegend).map((trace) => trace.uid);
  const visible = all.filter((name) => !state.hidden.has(name));
  if (toggle) {
    if (!state.hidden.delete(uid)) state.hidden.add(uid);
  } else if (visible.length === 1 && visible[0] === uid) {
    state.hidden.clear();
  } else {
    state.hidden = new Set(all.filter((name) => name !== uid));
  }
  if (all.every((name) => state.hidden.has(name))) state.hidden.clear();
  draw(state);
}

async function exportPng(state) {
  const { figure, plotly, data } = state;
  const layout = { ...figure.layout, showlegend: figure.data.some((trace) => trace.showlegend) };
  layout.paper_bgcolor = layout.plot_bgcolor = getComputedStyle(state.parent).getPropertyValue("--st-background-color").trim();
  layout.title = { text: escapeText(data.alt), font: { size: 14 } };
  layout.margin = { ...layout.margin, t: 44 };
  layout.height = figure.layout.height + 100;
  const size = { format: "png", width: Math.max(state.width, 640), height: layout.height, scale: 2 };
  const link = document.createElement("a");
  link.href = await plotly.toImage({ data: figure.data, layout: { ...layout, width: size.width } }, size);
  link.download = `${data.alt.replace(/[^\p{L}\p{N}]+/gu, "-").toLowerCase()}.png`;
  link.click();
}

function escapeText(text) {
  return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}
