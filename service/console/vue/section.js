// A part of a page: a tree of plain nodes [tag, attributes, children], drawn without templates, so
// that nothing is ever made of text (no eval) and every text stays a text (no innerHTML).
import { h } from "vue";
import { echarts } from "nicegui-echart";

const TAGS = new Set(
  ("a abbr article aside b button caption code dd details div dl dt em fieldset footer form h1 h2 " +
    "h3 header i input label legend li main nav ol option output p section select small span " +
    "strong summary table tbody td textarea th thead tr ul").split(" "),
);
const FIELDS = new Set(["input", "select", "textarea"]);

function draw(node, emit, skew) {
  if (typeof node === "string") return node;
  const [tag, given, children] = node;
  const attrs = {};
  for (const name in given) {
    if (name.startsWith("on") || ["act", "innerHTML", "srcdoc", "style"].includes(name)) continue;
    attrs[name] = given[name];
  }
  if (attrs.href !== undefined && !/^(\/console\/|#|\?)/.test(attrs.href)) delete attrs.href;
  if (attrs.action !== undefined && attrs.action !== "/console/logout") delete attrs.action;
  if (given.width !== undefined) attrs.style = { inlineSize: `${Math.max(0, +given.width)}%` };
  if (tag === "moment") return h(Moment, { ...attrs, skew });
  if (tag === "chart") return h(Chart, { spec: given.spec, key: given.key, label: given.label });
  if (tag === "flow") return h("div", { class: "hg-flow", tabindex: 0, key: given.key }, [flow(given.spec, given.label)]);
  const inner = () => children.map((child) => draw(child, emit, skew));
  const act = given.act;
  if (tag === "dialog") return h(Dialog, { ...attrs, onLeft: () => emit(act) }, inner);
  if (!TAGS.has(tag)) return h("span", {}, "");
  if (act && tag === "form") {
    attrs.onSubmit = (event) => {
      event.preventDefault();
      const fields = Object.fromEntries(new FormData(event.target, event.submitter));
      emit(act, fields);
    };
  } else if (act && tag === "select") {
    attrs.onChange = (event) => emit(act, { [event.target.name]: event.target.value });
  } else if (act) {
    attrs.onClick = () => emit(act, {});
  }
  if (FIELDS.has(tag) && attrs.value !== undefined && attrs.type !== "hidden") {
    const value = attrs.value; // as it begins: what is typed afterwards stays
    delete attrs.value;
    attrs.onVnodeMounted = (vnode) => (vnode.el.value = value);
  }
  return h(tag, attrs, inner());
}

// A time: how long ago, or how long still; ticks by itself and costs the service nothing.
const Moment = {
  props: { at: Number, skew: Number, mode: String },
  data() {
    return { tick: 0 };
  },
  mounted() {
    this.timer = setInterval(() => this.tick++, 1000);
  },
  unmounted() {
    clearInterval(this.timer);
  },
  render() {
    this.tick;
    const now = Date.now() / 1000 - this.skew;
    const iso = new Date(this.at * 1000).toISOString();
    const shown = iso.slice(0, 19).replace("T", " ") + " UTC";
    const apart = this.mode === "left" ? this.at - now : now - this.at;
    let text;
    if (this.mode === "clock") text = shown.slice(0, 19) + " UTC";
    else if (this.mode === "left") text = apart <= 0 ? "ending now" : clock(apart);
    else text = ago(apart);
    return h("time", { datetime: iso, title: shown }, text);
  },
};

function clock(seconds) {
  const whole = Math.ceil(seconds);
  const [d, hh] = [Math.floor(whole / 86400), Math.floor((whole % 86400) / 3600)];
  const [m, s] = [Math.floor((whole % 3600) / 60), whole % 60];
  const two = (n) => String(n).padStart(2, "0");
  if (d) return `${d} d ${two(hh)} h`;
  if (hh) return `${hh} h ${two(m)} min`;
  return `${m}:${two(s)} min`;
}

function ago(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 2) return "just now";
  if (s < 60) return `${s} s ago`;
  if (s < 3600) return `${Math.floor(s / 60)} min ago`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ago`;
  return `${Math.floor(s / 86400)} d ago`;
}

// A native modal dialog: the browser keeps the focus inside, Escape leaves it.
const Dialog = {
  props: { label: String },
  emits: ["left"],
  mounted() {
    this.before = document.activeElement;
    this.$el.showModal();
  },
  unmounted() {
    this.before?.focus?.(); // back to where it was opened
  },
  render() {
    return h(
      "dialog",
      {
        class: "hg-dialog",
        "aria-label": this.label,
        onCancel: (event) => {
          event.preventDefault();
          this.$emit("left");
        },
      },
      this.$slots.default(),
    );
  },
};

// A chart by what it shows; colours and fonts come from the style sheet, so it follows the theme.
const Chart = {
  props: { spec: Object, label: String },
  mounted() {
    this.chart = echarts.init(this.$el, null, { renderer: "canvas" });
    this.resized = new ResizeObserver(() => this.chart.resize());
    this.resized.observe(this.$el);
    this.themed = () => this.fill(true);
    window.addEventListener("headgate-theme", this.themed);
    this.system = matchMedia("(prefers-color-scheme: dark)");
    this.system.addEventListener("change", this.themed);
    this.fill(true);
  },
  updated() {
    this.fill(false);
  },
  beforeUnmount() {
    window.removeEventListener("headgate-theme", this.themed);
    this.system.removeEventListener("change", this.themed);
    this.resized.disconnect();
    this.chart.dispose();
  },
  methods: {
    fill(whole) {
      const told = JSON.stringify(this.spec);
      if (!whole && told === this.told) return;
      this.told = told;
      this.chart.setOption(options(this.spec, this.$el.clientWidth), { notMerge: true });
    },
  },
  render() {
    this.spec;
    return h("div", { class: "hg-chart", role: "img", "aria-label": this.label });
  },
};

// A graph of steps, as it was laid out; its colours come from the style sheet.
function flow(spec, label) {
  const { width, height, wide, high } = spec;
  const lines = spec.lines.map((each) => {
    const middle = (each.y1 + each.y2) / 2;
    const way = `M${each.x1} ${each.y0}V${each.y1}C${each.x1} ${middle} ${each.x2} ${middle} ${each.x2} ${each.y2}`;
    return h("path", { d: way, class: "hg-way" });
  });
  const tips = spec.lines.filter((each) => each.ends).map(({ x2, y2 }) =>
    h("path", { d: `M${x2 - 4} ${y2 - 6}L${x2} ${y2}L${x2 + 4} ${y2 - 6}`, class: "hg-way" }));
  const boxes = spec.boxes.map((each) =>
    h("g", { class: `hg-box ${each.tone}`, transform: `translate(${each.x} ${each.y})` }, [
      h("title", each.told),
      h("rect", { width: wide, height: high, rx: 8 }),
      h("text", { x: 12, y: 21, class: "hg-box-title" }, each.title),
      h("text", { x: 12, y: 38, class: "hg-box-note" }, each.note),
    ]));
  const size = { width, height, viewBox: `0 0 ${width} ${height}` };
  return h("svg", { ...size, role: "img", "aria-label": label }, [...lines, ...tips, ...boxes]);
}

function options(spec, width) {
  const style = getComputedStyle(document.documentElement);
  const ink = (name) => style.getPropertyValue(`--${name}`).trim();
  const tone = (n) => ink(`c${(n % 8) + 1}`);
  const unit = spec.unit || "";
  const digits = spec.digits ?? 0;
  const front = spec.front || "";
  const number = (v) =>
    v === null || v === undefined ? "no data" : front + v.toFixed(digits) + unit;
  const text = { color: ink("quiet"), fontFamily: ink("sans"), fontSize: 12 };
  const names = spec.series.filter((each) => !each.hidden).map((each) => each.name);
  const narrow = width < 480;
  const at = spec.series[0]?.data ?? [];
  const long = at.length ? at[at.length - 1][0] - at[0][0] : 0;
  const slice = spec.days ? [5, 10] : long < 600e3 && !spec.from ? [11, 19] : [11, 16];
  const series = spec.series.map((each) => one(each, spec, tone, ink));
  if (spec.zero !== undefined && series.length) {
    series[0].markLine = {
      silent: true, symbol: "none", label: { show: false },
      lineStyle: { color: ink("quiet"), type: "solid", width: 1 }, data: [{ yAxis: spec.zero }],
    };
  }
  return {
    animation: false,
    textStyle: { fontFamily: ink("sans") },
    aria: { enabled: true, decal: { show: spec.kind !== "band" } },
    grid: { left: 8, right: 16, top: 16, bottom: names.length > 1 ? 36 : 8, containLabel: true },
    legend: {
      show: names.length > 1, bottom: 0, icon: "roundRect", itemWidth: 12, itemHeight: 8,
      type: narrow ? "scroll" : "plain", textStyle: { ...text, color: ink("ink") }, data: names,
      pageTextStyle: text, pageIconColor: ink("ink"), pageIconInactiveColor: ink("line"),
    },
    tooltip: {
      trigger: "axis", backgroundColor: ink("card"), borderColor: ink("line"), confine: true,
      textStyle: { color: ink("ink"), fontSize: 12, fontFamily: ink("sans") },
      valueFormatter: number, renderMode: "richText",
    },
    xAxis: {
      type: "time", axisLine: { lineStyle: { color: ink("line") } }, splitNumber: narrow ? 3 : 6,
      axisTick: { show: false }, axisLabel: { ...text, hideOverlap: true,
        formatter: (at) => new Date(at).toISOString().slice(...slice) },
      min: spec.from ?? undefined, max: spec.until ?? undefined,
    },
    yAxis: {
      type: "value", max: spec.max ?? undefined, min: spec.min ?? undefined,
      scale: spec.min === undefined, splitNumber: 4,
      splitLine: { lineStyle: { color: ink("line") } },
      axisLabel: { ...text, formatter: (v) => `${front}${+v.toFixed(digits + 1)}${unit}` },
      interval: spec.max === 100 ? 25 : undefined,
    },
    series,
  };
}

function one(each, spec, tone, ink) {
  const colour = each.tone === undefined ? ink("accent") : tone(each.tone);
  const base = {
    name: each.name, type: "line", data: each.data, showSymbol: false, connectNulls: false,
    lineStyle: { width: each.hidden ? 0 : 2, color: colour, type: each.dashed ? "dashed" : "solid" },
    itemStyle: { color: colour }, emphasis: { disabled: true },
  };
  if (spec.kind === "bars") {
    return { ...base, type: "bar", stack: "all", barCategoryGap: "20%", barMaxWidth: 26 };
  }
  if (spec.kind === "areas") {
    return { ...base, stack: "all", step: "end", areaStyle: { color: colour, opacity: 0.85 },
      lineStyle: { width: 1, color: ink("card") } };
  }
  if (each.band) return { ...base, stack: "band", stackStrategy: "all", silent: true, tooltip: { show: false },
    areaStyle: { color: ink("accent"), opacity: each.band === "fill" ? 0.16 : 0 } };
  return base;
}

export default {
  props: { tree: Array, now: Number },
  emits: ["act"],
  created() {
    this.skew = Date.now() / 1000 - this.now; // this clock less the service's
  },
  mounted() {
    const here = this.$el.querySelector("[aria-current=page]");
    const nav = here?.closest("nav"); // on a narrow screen the present page may be far aside
    if (nav) nav.scrollLeft = here.offsetLeft - nav.offsetLeft - 60;
  },
  render() {
    const emit = (act, fields) => this.$emit("act", { name: act[0], of: act[1], fields: fields || {} });
    return h("div", { class: "hg-section" }, this.tree.map((node) => draw(node, emit, this.skew)));
  },
};
