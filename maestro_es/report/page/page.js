// The page: the moment, the filter, and the parts that show them.

class Page {
  constructor(story) {
    this.story = story;
    this.kinds = new Set(); // of states, that the user has chosen
    this.step = -1;
    const open = (step) => this.openStep(step);
    this.timeline = new Timeline(story, byId("timeline"), byId("timeline-hint"), open);
    this.map = new ParameterMap(story, byId("parameters"), open);
    this.list = new EventList(story, byId("events"), open);
    const instances = byId("instances");
    this.instances = new Field(
      instances.querySelector("canvas"), instances.querySelector("output"),
      (at) => `${story.name(this.members[at])}: ${story.kinds[story.state[this.members[at]]]?.name ?? "not added yet"}`,
      (at) => open(this.members[at]),
    );
    this.members = [];
    this.template = -1;
    this.named = null;
    this.counts = []; // of the steps of each box, as they are drawn
    this.drawRest = later(() => {
      this.#drawResources();
      byId("resources").removeAttribute("aria-busy");
    }, 50);
    this.#listen();
    this.#fitTheme();
    this.resize();
  }

  #listen() {
    const { story } = this;
    const slider = byId("slider");
    slider.max = 10000;
    slider.value = slider.max;
    let frame = 0; // several moves of the slider may come before the next frame
    slider.addEventListener("input", () => {
      cancelAnimationFrame(frame);
      frame = requestAnimationFrame(() => this.show((slider.value / slider.max) * story.end));
    });
    byId("before").addEventListener("click", () => this.stepBy(-1));
    byId("after").addEventListener("click", () => this.stepBy(1));
    byId("last").addEventListener("click", () => this.show(story.end));
    byId("filter").addEventListener("input", later(() => this.select()));
    byId("search").addEventListener("input", later(() => {
      this.list.search(byId("search").value);
      this.list.update();
    }));
    byId("zoom-in").addEventListener("click", () => this.timeline.scale(1.6));
    byId("zoom-out").addEventListener("click", () => this.timeline.scale(1 / 1.6));
    byId("zoom-all").addEventListener("click", () => this.timeline.all());
    byId("close").addEventListener("click", () => this.closeStep());
    document.addEventListener("keydown", (event) => this.#key(event));
    byId("totals").setAttribute("role", "group"); // of buttons
    for (const item of document.querySelectorAll("#totals li")) this.#makeToggle(item);
    document.querySelectorAll(".diagram .node").forEach((node, at) => {
      const expand = () => this.expand(this.template === at ? -1 : at);
      node.addEventListener("click", expand);
      node.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        expand();
      });
    });
    for (const step of document.querySelectorAll(".cause [data-step]")) {
      step.tabIndex = 0;
      step.setAttribute("role", "button");
      step.addEventListener("click", () => this.openStep(Number(step.dataset.step)));
      step.addEventListener("keydown", (event) => event.key === "Enter" && this.openStep(Number(step.dataset.step)));
    }
    window.addEventListener("resize", later(() => this.resize()));
    const themes = [matchMedia("(prefers-color-scheme: dark)"), matchMedia("print")];
    for (const theme of themes) theme.addEventListener("change", () => {
      this.#fitTheme();
      this.draw();
    });
  }

  #makeToggle(item) {
    const kind = this.story.kinds.findIndex(({ name }) => name === item.dataset.kind);
    const toggle = () => {
      if (!this.kinds.delete(kind)) this.kinds.add(kind);
      item.setAttribute("aria-pressed", this.kinds.has(kind));
      this.select();
    };
    item.tabIndex = 0;
    item.title = "Show only these steps";
    item.setAttribute("role", "button");
    item.setAttribute("aria-pressed", false);
    item.addEventListener("click", toggle);
    item.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      toggle();
    });
  }

  #key(event) {
    if (event.key === "Escape") this.closeStep();
    if (event.target.matches("input[type=search], select") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === ",") this.stepBy(-1);
    if (event.key === ".") this.stepBy(1);
    if (event.key === "/") {
      event.preventDefault();
      byId("filter").focus();
    }
  }

  #fitTheme() {
    const palette = colours(this.story.kinds);
    const dark = matchMedia("(prefers-color-scheme: dark)").matches && !matchMedia("print").matches;
    const ramp = dark ? ["#26303a", "#5db7ff", "#ffffff", "#000000"] : ["#e4eefa", "#0b3f7a", "#000000", "#ffffff"];
    Object.assign(palette, { ramp, shade: shades(ramp) });
    for (const part of [this, this.timeline, this.map]) part.palette = palette;
  }

  // -- the moment ----------------------------------------------------------------------------------------------------

  show(moment) {
    const { story } = this;
    story.showMoment(Math.min(Math.max(moment, 0), story.end));
    byId("slider").value = story.end ? (story.moment / story.end) * byId("slider").max : 0;
    this.draw();
  }

  // Go to the next or the last event at another time.
  stepBy(direction) {
    const { story } = this;
    const { time } = story;
    if (direction > 0) this.show(story.events < time.length ? time[story.events] : story.end);
    else {
      const at = upperBound(time, story.moment - 0.5); // times are whole numbers
      this.show(at > 0 ? time[at - 1] : 0);
    }
  }

  select() {
    this.named = this.story.selected(byId("filter").value);
    this.draw();
  }

  // The steps that the filter and the chosen states select at the moment; null if all.
  #selected() {
    const { kinds, named, story } = this;
    return kinds.size ? story.state.map((kind, step) => (kinds.has(kind) && (named?.[step] ?? 1) ? 1 : 0)) : named;
  }

  draw() {
    const { story } = this;
    const fits = (this.fits = this.#selected());
    for (const part of [this.timeline, this.map, this.list]) part.fits = fits;
    const ago = story.moment >= story.end ? "" : `, ${showSpan(story.end - story.moment)} before the end`;
    byId("as-of").textContent = `${showTime(story.data.start + story.moment)}${ago}`;
    byId("slider").setAttribute("aria-valuetext", byId("as-of").textContent);
    byId("matches").textContent = fits ? `${fits.reduce((sum, fit) => sum + fit, 0).toLocaleString()} of ${story.count.toLocaleString()} steps` : "";
    this.#drawTotals();
    this.#drawDiagram();
    this.#drawFailures();
    this.#drawPast();
    this.#drawInstances();
    this.timeline.draw();
    this.map.draw();
    this.list.update();
    if (this.step >= 0) this.#drawStep();
    byId("resources").setAttribute("aria-busy", true);
    this.drawRest();
  }

  resize() {
    this.timeline.resize();
    this.draw();
  }

  #drawTotals() {
    const { kinds, tally } = this.story;
    this.totals = [];
    for (const item of document.querySelectorAll("#totals li")) {
      let count = 0;
      for (let at = kinds.findIndex(({ name }) => name === item.dataset.kind); at < tally.length; at += kinds.length) count += tally[at];
      item.querySelector(".count").textContent = count.toLocaleString();
      if (count) this.totals.push(`${count.toLocaleString()} ${item.dataset.kind}`);
      item.classList.toggle("none", !count);
    }
  }

  #drawDiagram() {
    const { story } = this;
    document.querySelectorAll(".diagram .node").forEach((node, at) => {
      const own = story.countsOf(story.data.nodes[at]);
      if (this.counts[at] === own.join()) return;
      this.counts[at] = own.join();
      const total = own.reduce((sum, count) => sum + count, 0);
      const texts = Array.from(own).flatMap((count, kind) => (count ? [`${count} ${story.kinds[kind].name}`] : []));
      const title = `${story.data.templates[story.data.nodes[at]]}: ${texts.join(", ") || "not added yet"}`;
      node.setAttribute("aria-label", title);
      node.querySelector("title").textContent = title;
      const box = node.querySelector("rect");
      const room = box.width.baseVal.value - 24 - 2 * texts.length;
      let x = box.x.baseVal.value + 12;
      const bars = Array.from(own).flatMap((count, kind) => {
        if (!count) return [];
        const bar = document.createElementNS("http://www.w3.org/2000/svg", "rect");
        const wide = 2 + (room * count) / total;
        const place = { x, y: box.y.baseVal.value + 44, width: wide, height: 8, class: `bar ${story.kinds[kind].css}` };
        for (const [name, value] of Object.entries(place)) bar.setAttribute(name, value);
        x += wide;
        return [bar];
      });
      node.querySelector(".bars").replaceChildren(...bars);
    });
  }

  #drawFailures() {
    const { story } = this;
    let shown = 0;
    for (const article of document.querySelectorAll(".cause")) {
      const steps = story.data.failures[article.dataset.group];
      const count = steps.filter((step) => FAILURES.includes(story.state[step])).length;
      article.hidden = !count;
      const all = count < steps.length ? ` of ${steps.length.toLocaleString()}` : ""; // the text is about all of them
      article.querySelector(".count").textContent = count.toLocaleString() + all;
      shown += count;
    }
    byId("no-failures").hidden = shown > 0;
  }

  // A chart of all states over time: which share of the steps was in which state.
  #drawPast() {
    const { story, palette } = this;
    const canvas = byId("past");
    const [width, height] = [canvas.parentElement.clientWidth, 44];
    if (this.history?.width !== width || this.history.palette !== palette) this.history = this.#summarise(width, height);
    const context = sized(canvas, width, height);
    context.drawImage(this.history.image, 0, 0, width, height);
    canvas.setAttribute("aria-label", `How many steps were in each state over time. At the moment of the slider: ${this.totals.join(", ")}`);
    const x = story.end ? (story.moment / story.end) * width : width;
    context.fillStyle = palette.paper;
    context.globalAlpha = 0.6;
    context.fillRect(x, 0, width - x, height);
    context.globalAlpha = 1;
    context.fillStyle = palette.ink;
    context.fillRect(Math.min(x, width - 2), 0, 2, height);
  }

  #summarise(width, height) {
    const { story, palette } = this;
    const image = document.createElement("canvas");
    const context = sized(image, width, height);
    const order = [4, 5, 7, 6, 3, 2, 1, 0]; // failures at the bottom, waiting steps on top
    const counts = new Array(story.kinds.length).fill(0);
    const state = new Uint8Array(story.count).fill(UNBORN);
    let event = 0;
    for (let x = 0; x < width; x++) {
      const until = ((x + 1) / width) * story.end;
      for (; event < story.time.length && story.time[event] <= until; event++) {
        const [step, kind] = [story.step[event], story.kind[event]];
        if (kind < 0) continue;
        if (state[step] !== UNBORN) counts[state[step]]--;
        counts[(state[step] = kind)]++;
      }
      let y = height;
      for (const kind of order) {
        if (!counts[kind]) continue;
        const tall = Math.max((height * counts[kind]) / story.count, FAILURES.includes(kind) ? 1.5 : 0);
        context.fillStyle = palette.kind[kind];
        context.fillRect(x, Math.max(y - tall, 0), 1, Math.min(tall, y));
        y -= tall;
      }
    }
    return { image, width, palette };
  }

  // -- one template and one step -------------------------------------------------------------------------------------

  expand(at) {
    this.template = at;
    const { story } = this;
    const template = story.data.nodes[at];
    document.querySelectorAll(".diagram .node").forEach((node, index) => node.setAttribute("aria-expanded", index === at));
    byId("instances").hidden = at < 0;
    this.members = [];
    for (let step = 0; step < story.count; step++) if (story.template[step] === template) this.members.push(step);
    if (at >= 0) byId("instances").querySelector("bdi").textContent = `${story.data.templates[template]}: each step`;
    this.instances.chosen = -1;
    this.#drawInstances();
  }

  #drawInstances() {
    if (this.template < 0) return;
    const { story, palette, fits } = this;
    const box = byId("instances");
    const size = cellSize(this.members.length, box.clientWidth, 360);
    const columns = Math.max(Math.floor(box.clientWidth / size), 1);
    const ofKind = looks(story.kinds, palette);
    const faint = [palette.line, palette.faint, ""];
    const near = new Set(this.step >= 0 ? [...this.#parents(this.step), ...this.#children(this.step)] : []);
    box.querySelector("canvas").setAttribute("aria-label", `${this.members.length} steps. Arrow keys move, Enter opens one.`);
    this.instances.draw({
      columns, count: this.members.length, size: [size, size], width: box.clientWidth,
      height: Math.ceil(this.members.length / columns) * size + 2, palette,
      cell: (at) => {
        const step = this.members[at];
        const kind = story.state[step];
        if (kind === UNBORN || (fits && !fits[step])) return faint;
        if (step === this.step || near.has(step)) return [palette.accent, palette.paper, story.kinds[kind].letter];
        return ofKind[kind];
      },
    });
  }

  #edges() {
    this.edges ??= [summed(this.story.data.edge.child), summed(this.story.data.edge.parent)];
    return this.edges;
  }

  #parents(step) {
    const [children, parents] = this.#edges();
    const result = [];
    for (let at = 0; at < children.length; at++) if (children[at] === step) result.push(parents[at]);
    return result;
  }

  #children(step) {
    const [children, parents] = this.#edges();
    const result = [];
    for (let at = 0; at < parents.length; at++) if (parents[at] === step) result.push(children[at]);
    return result;
  }

  openStep(step) {
    const panel = byId("step");
    if (!panel.contains(document.activeElement)) this.opener = document.activeElement;
    this.step = step;
    panel.hidden = false;
    this.#drawStep();
    byId("close").focus({ preventScroll: true });
    this.#drawInstances();
  }

  closeStep() {
    if (this.step < 0) return;
    this.step = -1;
    byId("step").hidden = true;
    this.opener.focus({ preventScroll: true }); // where the user was before
    this.#drawInstances();
  }

  #drawStep() {
    const { story, step } = this;
    const kind = story.kinds[story.state[step]];
    const name = story.name(step);
    byId("step-name").replaceChildren(element("bdi", "", name), " ", element("b", `letter ${kind?.css ?? ""}`, kind?.letter ?? ""), ` ${kind?.name ?? "not added yet"}`);
    const params = story.params.filter((param) => param.of[step] >= 0).map((param) => `${param.key} = ${param.values[param.of[step]][0]}`);
    const { attempt } = story;
    const { usage } = story.data;
    const used = [["cpu", "CPU time", (micros) => showSpan(micros / 1000)], ["memory", "Memory", showBytes]].filter(([name]) => usage[name]);
    const header = ["Attempt", "Job", "Host", "Submitted", "In the queue", "Ran", ...used.map(([, title]) => title), "Outcome"];
    const rows = Array.from(story.attemptsOf(step)).filter((at) => attempt.requested[at] <= story.moment).map((at) => {
      const [requested, started, ended] = [attempt.requested[at], attempt.started[at], attempt.ended[at]].map((time) => (time <= story.moment ? time : -1));
      const until = ended >= 0 ? ended : story.moment;
      return [
        attempt.number[at], attempt.job[at], story.hostOf(at), showTime(story.data.start + requested),
        showSpan((started >= 0 ? started : until) - requested), started >= 0 ? showSpan(until - started) : "",
        ...used.map(([name, , show]) => (ended >= 0 && usage[name][at] >= 0 ? show(usage[name][at]) : "")),
        ended >= 0 ? story.data.ends[attempt.end[at]][1] : started >= 0 ? "is running" : "is queued",
      ];
    });
    const table = element("table", "", [
      element("thead", "", [element("tr", "", header.map((text) => element("th", "", text)))]),
      element("tbody", "", rows.map((row) => element("tr", "", row.map((cell) => element("td", "", [element("bdi", "", cell)]))))),
    ]);
    const study = story.data.shellPath;
    byId("step").lastElementChild.replaceChildren(
      ...(params.length ? [element("p", "", [element("bdi", "", params.join(", "))])] : []),
      ...(rows.length ? [element("div", "wide", [table])] : [element("p", "", "No attempt yet.")]),
      this.#links("Waits for", this.#parents(step), story.data.funnels.filter(([own]) => own === step).map(([, template]) => `all of ${story.data.templates[template]}`)),
      this.#links("Before", this.#children(step)),
      ...["why", "logs"].map((command) => element("p", "note", [element("code", "", `maestro-es ${command} ${study} ${quoted(name)}`)])),
    );
  }

  #links(title, steps, others = []) {
    const { story } = this;
    if (!steps.length && !others.length) return "";
    const links = steps.slice(0, 20).map((step) => {
      const link = element("button", "", [element("bdi", "", story.name(step)), ` ${story.kinds[story.state[step]]?.letter ?? ""}`]);
      link.addEventListener("click", () => this.openStep(step));
      return link;
    });
    const more = steps.length > 20 ? [`and ${steps.length - 20} more`] : [];
    return element("p", "row", [`${title}: `, ...links, ...more, ...others]);
  }

  // -- time and resources --------------------------------------------------------------------------------------------

  #drawResources() {
    const { story } = this;
    const { attempt, data } = story;
    const of = data.templates.map(() => ({ queue: [], run: [], lost: 0, cpu: 0, memory: [], hours: 0, nodes: false }));
    for (let at = 0; at < story.attempts; at++) {
      if (attempt.requested[at] > story.moment) break;
      const own = of[story.template[attempt.step[at]]];
      const [started, ended] = [attempt.started[at], attempt.ended[at]];
      if (started < 0 || started > story.moment) continue;
      own.queue.push(started - attempt.requested[at]);
      if (ended < 0 || ended > story.moment) continue;
      own.run.push(ended - started);
      if (data.ends[attempt.end[at]][2] !== FINISHED) own.lost += ended - started;
      const usage = (name) => data.usage[name]?.[at] ?? -1;
      if (usage("cpu") >= 0) own.cpu += usage("cpu") / 1000;
      if (usage("memory") >= 0) own.memory.push(usage("memory"));
      if (usage("nodes") >= 0) [own.hours, own.nodes] = [own.hours + (usage("nodes") * (ended - started)) / 3.6e6, true];
    }
    const columns = [
      ["Step", (_, at) => element("bdi", "", data.templates[at])],
      ["Attempts that started", ({ queue }) => queue.length.toLocaleString()],
      ["In the queue: median", ({ queue }) => shown(d3.median(queue), showSpan)],
      ["longest", ({ queue }) => shown(d3.max(queue), showSpan)],
      ["Run time: median", ({ run }) => shown(d3.median(run), showSpan)],
      ["longest", ({ run }) => shown(d3.max(run), showSpan)],
      ["Walltime", (_, at) => (data.walltimes[at] ? showSpan(1000 * data.walltimes[at]) : "")],
      ["longest / walltime", ({ run }, at) => (data.walltimes[at] && run.length ? `${Math.max(Math.round(d3.max(run) / data.walltimes[at] / 10), 1)}%` : "")],
      ["Lost in unsuccessful attempts", ({ lost }) => (lost ? showSpan(lost) : "")],
      ["CPU time of all", ({ cpu }) => (cpu ? showSpan(cpu) : "")],
      ["Memory: median", ({ memory }) => shown(d3.median(memory), showBytes)],
      ["largest", ({ memory }) => shown(d3.max(memory), showBytes)],
      ["Node hours", ({ hours, nodes }) => (nodes ? hours.toFixed(1) : "")],
    ];
    const started = of.map((_, at) => at).filter((at) => of[at].queue.length);
    const most = started.sort((one, other) => of[other].queue.length - of[one].queue.length).slice(0, 200);
    const rows = most.sort((one, other) => one - other).map((at) => columns.map(([, cell]) => cell(of[at], at)));
    const used = columns.map((_, column) => rows.some((row) => row[column] !== ""));
    const kept = (cells) => cells.filter((_, column) => used[column]);
    const line = (cells, name) => element("tr", "", kept(cells).map((cell) => element(name, "", [cell])));
    byId("resources").tHead.replaceChildren(line(columns.map(([title]) => title), "th"));
    byId("resources").tBodies[0].replaceChildren(...rows.map((row) => line(row, "td")));
  }
}

const shown = (value, show) => (value === undefined ? "" : show(value));

// A word as a shell reads it.
const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'"'"'`)}'`);

// A function that runs once the user pauses.
function later(action, milliseconds = 120) {
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(action, milliseconds);
  };
}

readData(byId("data")).then(
  (data) => {
    document.documentElement.classList.add("live");
    for (const time of document.querySelectorAll("time")) time.textContent = showTime(Date.parse(time.dateTime));
    window.page = new Page(new Story(data));
    document.documentElement.dataset.ready = "yes";
  },
).catch((error) => {
  byId("problem").hidden = false;
  byId("problem").textContent = `This browser can't show more than the texts below: ${error}`;
  throw error;
});
