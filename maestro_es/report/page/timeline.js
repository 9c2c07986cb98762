// The timeline of attempts. Each template has lanes, and an attempt is in the first free one.

const LABEL = "12px system-ui, 'DejaVu Sans', sans-serif";

class Timeline {
  constructor(story, box, hint, open) {
    Object.assign(this, { story, box, hint, open, transform: d3.zoomIdentity, fits: null, chosen: -1 });
    this.canvas = box.querySelector("canvas");
    this.axis = d3.select(box.querySelector("svg")).append("g");
    this.#pack();
    this.zoom = d3.zoom()
      .filter((event) => (event.type === "wheel" ? event.ctrlKey || event.metaKey : !event.button))
      .on("zoom", ({ transform }) => {
        this.transform = transform;
        this.draw();
      });
    this.selection = d3.select(this.canvas).call(this.zoom).on("dblclick.zoom", null);
    this.canvas.addEventListener("pointermove", (event) => this.#choose(this.#at(event)));
    this.canvas.addEventListener("click", () => this.#open());
    this.canvas.addEventListener("keydown", (event) => this.#key(event));
  }

  // Give each attempt the first lane of its template that is free.
  #pack() {
    const { story } = this;
    const { requested, ended, step } = story.attempt;
    const free = story.data.templates.map(() => []); // heaps of [the time from which a lane is free, the lane]
    const lanes = new Uint32Array(story.data.templates.length);
    this.lane = new Uint32Array(story.attempts);
    for (let at = 0; at < story.attempts; at++) {
      const template = story.template[step[at]];
      const heap = free[template];
      const lane = heap.length && heap[0][0] <= requested[at] ? pop(heap)[1] : lanes[template]++;
      push(heap, [ended[at] < 0 ? Infinity : ended[at], lane]);
      this.lane[at] = lane;
    }
    this.first = [];
    this.lanes = 0;
    lanes.forEach((count, template) => {
      this.first[template] = this.lanes;
      this.lanes += count + (count ? 1 : 0); // an empty one separates templates
    });
    this.counts = lanes;
    const context = this.canvas.getContext("2d");
    context.font = LABEL;
    const widths = story.data.templates.map((name, at) => (lanes[at] ? context.measureText(name).width : 0));
    this.left = Math.min((d3.max(widths) ?? 0) + 10, 160); // the names of the templates are left of the bars
    this.begin = requested.reduce((least, time) => Math.min(least, time), story.end);
    const { end } = story.attempt;
    this.row = Uint32Array.from(step, (number, at) => this.first[story.template[number]] + this.lane[at]);
    [this.firstIn, this.inRow] = grouped(this.row, this.lanes);
    this.failed = Uint32Array.from(step.keys()).filter((at) => ended[at] >= 0 && FAILURES.includes(story.data.ends[end[at]][2]));
  }

  resize() {
    this.box.closest("section").hidden = !this.lanes;
    this.width = this.box.clientWidth;
    this.height = Math.min(Math.max(this.lanes * 14, 60), 520);
    const extent = [[this.left, 0], [this.width, this.height]];
    this.zoom.extent(extent).translateExtent(extent).scaleExtent([1, Math.max(1000, this.story.attempts)]);
  }

  // How much lanes grow when the user zooms: not beyond the size at which a letter fits.
  get #growth() {
    return Math.min(this.transform.k, Math.max((16 * this.lanes) / this.height, 1));
  }

  #scales() {
    const scale = d3.scaleTime()
      .domain([this.story.data.start + this.begin, this.story.data.start + this.story.end])
      .range([this.left, this.width]);
    const growth = this.#growth;
    const top = (this.transform.y / this.transform.k) * growth;
    const least = this.height - this.height * growth;
    return [this.transform.rescaleX(scale), (lane) => Math.max(top, least) + (lane * this.height * growth) / this.lanes];
  }

  draw() {
    const { story, width, height, palette } = this;
    if (!width || !this.lanes) return;
    const context = sized(this.canvas, width, height);
    const [scale, place] = (this.scales = this.#scales());
    const view = [this.transform, this.fits, palette, width, height, this.canvas.width];
    if (!view.every((part, at) => part === this.view?.[at])) {
      this.view = view;
      this.bars = new Bars(this, context);
      this.axis.call(d3.axisBottom(scale).ticks(Math.max(Math.floor(width / 110), 2)).tickFormat(showTick));
      this.axis.selectAll("text").attr("text-anchor", (time) => (scale(time) > width - 32 ? "end" : "middle"));
    }
    const { image, letters } = this.bars.asOf(story.moment);
    context.putImageData(image, 0, 0);
    context.font = "600 11px ui-monospace, 'DejaVu Sans Mono', monospace";
    context.textBaseline = "middle";
    for (const [kind, left, y] of letters) {
      context.fillStyle = palette.onKind[kind];
      context.fillText(story.kinds[kind].letter, left, y);
    }
    this.#label(context, place);
    context.fillStyle = palette.accent;
    const x = scale(story.data.start + story.moment);
    if (x >= this.left) context.fillRect(x - 1, 0, 2, height);
    this.#mark(context, place);
    const shown = `${story.attempts.toLocaleString()} attempts, ${this.failed.length.toLocaleString()} of them unsuccessful`;
    this.canvas.setAttribute("aria-label", `Timeline of ${shown}. The arrow keys move from attempt to attempt, F to the next unsuccessful one, and Enter opens its step.`);
  }

  // Draw a frame around the chosen attempt.
  #mark(context, place) {
    const { chosen, story, palette, width } = this;
    if (chosen < 0 || story.kindOfAttempt(chosen) < 0) return;
    const [scale] = this.scales;
    const [from, to] = this.#times(chosen).map((time) => Math.min(Math.max(scale(story.data.start + time), this.left), width));
    context.strokeStyle = palette.ink;
    context.lineWidth = 2;
    context.strokeRect(from - 1, place(this.row[chosen]) - 1, Math.max(to - from, 1) + 2, this.bars.thick + 2);
  }

  // When an attempt was requested, and when it ended, as of the moment.
  #times(at) {
    const { moment, attempt: { requested, ended } } = this.story;
    return [requested[at], ended[at] >= 0 && ended[at] <= moment ? ended[at] : moment];
  }

  #label(context, place) {
    context.font = LABEL;
    context.fillStyle = this.palette.ink;
    this.story.data.templates.forEach((name, template) => {
      const top = Math.max(place(this.first[template]), 0);
      const bottom = Math.min(place(this.first[template] + this.counts[template]), this.height);
      if (this.counts[template] && bottom - top >= 10) write(context, name, 0, (top + bottom) / 2 + 1, this.left - 6);
    });
  }

  // Find the attempt at a point; -1 if there is none. Of several on the same pixel, a failed one counts.
  #at(event) {
    if (!this.scales) return -1;
    const [scale, place] = this.scales;
    const { story } = this;
    const time = Number(scale.invert(event.offsetX)) - story.data.start;
    const slack = Number(scale.invert(event.offsetX + 2)) - story.data.start - time;
    const { requested, ended, step } = story.attempt;
    let found = -1;
    for (let at = 0; at < story.attempts && requested[at] <= time + slack; at++) {
      const done = ended[at] < 0 ? story.end : ended[at];
      if (done < time - slack || requested[at] > story.moment) continue;
      const top = place(this.first[story.template[step[at]]] + this.lane[at]);
      const bottom = Math.max(place(this.first[story.template[step[at]]] + this.lane[at] + 1), top + 1);
      if (event.offsetY < top || event.offsetY >= bottom) continue;
      if (found < 0 || FAILURES.includes(story.kindOfAttempt(at))) found = at;
    }
    return found;
  }

  #choose(at) {
    if (at === this.chosen) return;
    this.chosen = at;
    this.hint.textContent = at < 0 ? "" : tellAttempt(this.story, at);
    this.canvas.style.cursor = at < 0 ? "grab" : "pointer";
    this.draw();
  }

  #open() {
    if (this.chosen >= 0) this.open(this.story.attempt.step[this.chosen]);
  }

  // Choose another attempt, and bring it into view.
  #goTo(at) {
    if (at === undefined || this.story.kindOfAttempt(at) < 0) return;
    this.#choose(at);
    const [scale, place] = this.scales;
    const [x, y] = [scale(this.story.data.start + this.#times(at)[0]), place(this.row[at])];
    if (x >= this.left && x <= this.width && y >= 0 && y + this.bars.thick <= this.height) return;
    this.selection.call(this.zoom.translateTo, this.transform.invertX(x), ((this.row[at] + 0.5) * this.height) / this.lanes);
  }

  // The attempt next to the chosen one: before or after it in its lane, or at its time in the lane above or below.
  #neighbour(key) {
    const { chosen, firstIn, inRow, row, story } = this;
    const { requested } = story.attempt;
    if (chosen < 0 || story.kindOfAttempt(chosen) < 0) return inRow[0];
    const inLane = (lane) => inRow.subarray(firstIn[lane], firstIn[lane + 1]);
    const own = inLane(row[chosen]);
    if (key === "ArrowRight" || key === "ArrowLeft") return own[own.indexOf(chosen) + (key === "ArrowRight" ? 1 : -1)];
    const way = key === "ArrowDown" ? 1 : -1;
    let lane = row[chosen] + way;
    while (lane >= 0 && lane < this.lanes && !inLane(lane).length) lane += way;
    const other = lane >= 0 && lane < this.lanes ? inLane(lane) : [];
    let at = 0;
    while (requested[other[at + 1]] <= requested[chosen]) at++;
    return other[at];
  }

  #key(event) {
    const moves = { ArrowRight: [-80, 0], ArrowLeft: [80, 0], ArrowDown: [0, -60], ArrowUp: [0, 60] };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in moves && event.shiftKey) {
      const [x, y] = moves[event.key];
      this.selection.call(this.zoom.translateBy, x / this.transform.k, y / this.transform.k);
    } else if (event.key in moves) this.#goTo(this.#neighbour(event.key));
    else if (event.key === "f" || event.key === "F") {
      const failed = this.failed.filter((at) => FAILURES.includes(this.story.kindOfAttempt(at)));
      this.#goTo(failed.find((at) => at > this.chosen) ?? failed[0]);
    } else if (event.key === "Enter") this.#open();
    else if (event.key === "+" || event.key === "=") this.scale(1.6);
    else if (event.key === "-") this.scale(1 / 1.6);
    else if (event.key === "0") this.all();
    else return;
    event.preventDefault();
  }

  scale(factor) {
    this.selection.call(this.zoom.scaleBy, factor);
  }

  all() {
    this.selection.call(this.zoom.transform, d3.zoomIdentity);
  }
}

// The bars of the attempts, in the pixels of an image: this is ten times faster than rectangles. Failures come last, so
// that nothing covers them. All bars are painted once, as of the last moment. An earlier moment has their part before
// it, and then once more the attempts that had not ended, and the failures.
class Bars {
  constructor(timeline, context) {
    const { story, width, height, palette, fits, left, row, failed, scales: [scale, place] } = timeline;
    const { canvas } = context;
    const ratio = canvas.width / width;
    this.image = context.createImageData(canvas.width, canvas.height);
    Object.assign(this, { story, fits, row, failed, height, ratio, left: Math.round(left * ratio) });
    this.pixels = new Uint32Array(this.image.data.buffer);
    const [from, to] = scale.domain().map(Number);
    this.perMillisecond = (ratio * (width - left)) / (to - from);
    this.origin = ratio * left + (story.data.start - from) * this.perMillisecond;
    const tall = place(1) - place(0);
    this.thick = tall * (tall > 4 ? 0.86 : 1);
    this.top = Float64Array.from({ length: timeline.lanes }, (_, lane) => place(lane));
    this.solid = palette.kind.map((colour) => pixelOf(colour));
    this.light = pixelOf(palette.kind[QUEUED], 0.35, palette.paper);
    this.dim = pixelOf(palette.line);
    this.letters = [];
    for (let at = 0; at < story.attempts; at++) this.#bar(at, story.end, this.letters);
    for (const at of failed) this.#bar(at, story.end);
    this.whole = this.pixels.slice();
  }

  // The bars and letters as of a moment.
  asOf(moment) {
    const { story, image, pixels } = this;
    const { requested, ended } = story.attempt;
    const now = Math.max(Math.round(this.#x(moment)), 0);
    pixels.set(this.whole);
    for (let end = image.width; now < image.width && end <= pixels.length; end += image.width) pixels.fill(0, end - image.width + now, end);
    const letters = this.letters.filter(([, , , at]) => ended[at] >= 0 && ended[at] <= moment);
    for (let at = 0; at < story.attempts && requested[at] <= moment; at++) if (ended[at] < 0 || ended[at] > moment) this.#bar(at, moment, letters);
    for (const at of this.failed) if (ended[at] <= moment) this.#bar(at, moment);
    return { image, letters: letters.slice(0, 2000) };
  }

  #x(time) {
    return this.origin + time * this.perMillisecond;
  }

  // Paint the bar of one attempt as of a moment, and add its letter if there is room for it.
  #bar(at, moment, letters) {
    const { story, height, ratio, thick } = this;
    const { requested, started, ended, step, end } = story.attempt;
    const top = this.top[this.row[at]];
    if (top > height || top + thick < 0) return;
    const [hasEnded, hasStarted] = [ended[at] >= 0 && ended[at] <= moment, started[at] >= 0 && started[at] <= moment];
    const kind = hasEnded ? story.data.ends[end[at]][2] : RUNNING;
    const failing = hasEnded && FAILURES.includes(kind);
    const done = hasEnded ? ended[at] : moment;
    const run = hasStarted ? started[at] : done;
    const [begin, middle, right] = [this.#x(requested[at]), this.#x(run), this.#x(done)];
    if (right < this.left || begin > this.image.width) return;
    const shown = !this.fits || this.fits[step[at]];
    if (run > requested[at]) this.#fill(begin, middle, top, shown ? this.light : this.dim);
    if (run === done && !failing) return;
    this.#fill(middle, Math.max(right, middle + (failing ? 2 : 1) * ratio), top, shown ? this.solid[kind] : this.dim);
    const from = Math.max(middle, this.left) / ratio;
    if (letters && shown && thick > 10 && right / ratio - from > 12) letters.push([kind, from + 3, top + thick / 2 + 1, at]);
  }

  #fill(left, right, top, pixel) {
    const { pixels, ratio, image: { width, height } } = this;
    const from = Math.max(Math.round(left), this.left);
    const to = Math.min(Math.max(Math.round(right), Math.round(left) + 1), width);
    const high = Math.round(top * ratio);
    const low = Math.min(Math.max(Math.round((top + this.thick) * ratio), high + 1), height);
    for (let y = Math.max(high, 0); y < low; y++) for (let at = y * width + from, last = y * width + to; at < last; at++) pixels[at] = pixel;
  }
}

function tellAttempt(story, at) {
  const { requested, started, ended, number, step } = story.attempt;
  const kind = story.kindOfAttempt(at);
  const queue = (started[at] >= 0 ? started[at] : ended[at] >= 0 ? ended[at] : story.moment) - requested[at];
  const run = started[at] >= 0 ? (ended[at] >= 0 ? ended[at] : story.moment) - started[at] : 0;
  const how = kind >= 0 && ended[at] >= 0 && ended[at] <= story.moment ? story.data.ends[story.attempt.end[at]][1] : story.kinds[kind]?.name;
  return `${story.name(step[at])}, attempt ${number[at]}: ${how}; waited ${showSpan(queue)}, ran ${showSpan(run)}${story.hostOf(at) && ` on ${story.hostOf(at)}`}`;
}

// A heap of pairs, the smallest first.
function push(heap, pair) {
  let at = heap.push(pair) - 1;
  for (let up; at && heap[(up = (at - 1) >> 1)][0] > pair[0]; at = up) heap[at] = heap[up];
  heap[at] = pair;
}

function pop(heap) {
  const [first, last] = [heap[0], heap.pop()];
  if (!heap.length) return first;
  let at = 0;
  for (let down; (down = 2 * at + 1) < heap.length; at = down) {
    if (down + 1 < heap.length && heap[down + 1][0] < heap[down][0]) down++;
    if (heap[down][0] >= last[0]) break;
    heap[at] = heap[down];
  }
  heap[at] = last;
  return first;
}
