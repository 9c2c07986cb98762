// The map of the parameters: one cell for each combination of the values of one or two parameters.

// Browsers draw no canvas of more than some ten thousand pixels, so two parameters have at most this many values each.
const MOST = 2000;

const byId = (id) => document.getElementById(id);

class ParameterMap {
  constructor(story, section, open) {
    Object.assign(this, { story, section, open, fits: null });
    const hint = section.querySelector(".hint");
    this.canvas = section.querySelector("canvas");
    this.field = new Field(this.canvas, hint, (cell) => this.#tell(cell), (cell) => this.#open(cell));
    this.#fill("map-down", story.params.map(({ key }) => key));
    this.#fill("map-across", ["", ...story.params.map(({ key }) => key)]);
    this.#fill("map-template", ["", ...story.data.templates], ["all steps", ...story.data.templates]);
    byId("map-across").value = story.params[1]?.key ?? "";
    byId("map-template").value = this.#widest();
    for (const select of section.querySelectorAll("select")) {
      select.addEventListener("change", () => {
        this.group();
        this.draw();
      });
    }
    section.hidden = !story.params.length;
    if (story.params.length) this.group();
  }

  #fill(id, values, texts = values) {
    byId(id).replaceChildren();
    values.forEach((value, at) => byId(id).append(new Option(texts[at] || "-", value)));
  }

  // The template whose steps have the most parameters; of several, the one with the most failures.
  #widest() {
    const { story } = this;
    const weight = new Float64Array(story.data.templates.length);
    for (let step = 0; step < story.count; step++) {
      weight[story.template[step]] += story.params.reduce((sum, param) => sum + (param.of[step] >= 0 ? 1 : 0), 0);
      if (FAILURES.includes(story.state[step])) weight[story.template[step]] += 0.001;
    }
    return story.data.templates[weight.indexOf(d3.max(weight))];
  }

  // The steps of each cell.
  group() {
    const { story } = this;
    const [down, across] = ["map-down", "map-across"].map((id) => story.params.find(({ key }) => key === byId(id).value));
    const template = story.data.templates.indexOf(byId("map-template").value);
    this.down = down;
    this.across = across === down ? undefined : across;
    const most = this.across ? MOST : Infinity;
    this.rows = sortedValues(down).slice(0, most);
    this.columns = this.across ? sortedValues(this.across).slice(0, most) : null;
    const [rowOf, columnOf] = [positions(this.rows, down), this.columns && positions(this.columns, this.across)];
    const left = [down, this.across].filter((param) => param?.values.length > most);
    this.note = left.map(({ key, values }) => `the first ${most} of ${values.length.toLocaleString()} values of ${key}`).join(", ");
    const wide = this.columns ? this.columns.length : 1;
    this.cells = new Array(this.rows.length * wide);
    for (let step = 0; step < story.count; step++) {
      const [row, column] = [down.of[step], this.across ? this.across.of[step] : 0];
      if (row < 0 || column < 0 || (template >= 0 && story.template[step] !== template)) continue;
      if (rowOf[row] < 0 || columnOf?.[column] < 0) continue;
      const cell = rowOf[row] * wide + (columnOf ? columnOf[column] : 0);
      (this.cells[cell] ??= []).push(step);
    }
  }

  // The number that the colour of a cell shows: the greatest of its steps; undefined if there is none.
  #value(steps, what) {
    const { story } = this;
    const { requested, started, ended } = story.attempt;
    let most;
    for (const step of steps) {
      let tried = 0;
      let own;
      for (let place = story.firstOf[step]; place < story.firstOf[step + 1]; place++) {
        const at = story.members[place];
        if (requested[at] > story.moment) break;
        tried++;
        const begun = started[at] >= 0 && started[at] <= story.moment;
        if (what === "queue") own = (begun ? started[at] : story.moment) - requested[at];
        else if (what === "run") own = begun ? Math.min(ended[at] < 0 ? story.moment : ended[at], story.moment) - started[at] : own;
        else if (what === "exit" && ended[at] >= 0 && ended[at] <= story.moment) own = exitCode(story.data.ends[story.attempt.end[at]]);
      }
      if (what === "attempts") own = tried || undefined;
      if (own !== undefined && (most === undefined || own > most)) most = own;
    }
    return most;
  }

  #worst(steps) {
    let best = -1;
    for (const step of steps) {
      const kind = this.story.state[step];
      if (kind !== UNBORN && (best < 0 || this.story.data.attention[kind] < this.story.data.attention[best])) best = kind;
    }
    return best;
  }

  draw() {
    if (this.section.hidden) return;
    const { palette, story } = this;
    const what = byId("map-colour").value;
    const values = what === "state" ? [] : this.cells.map((steps) => steps && this.#value(steps, what));
    const greatest = values.reduce((most, value) => (value > most ? value : most), 0);
    this.values = values;
    const shown = (steps) => !this.fits || steps.some((step) => this.fits[step]);
    const faint = [palette.line, palette.faint, ""];
    const ofKind = looks(story.kinds, palette);
    const look = (cell) => {
      const steps = this.cells[cell];
      if (!steps) return undefined;
      if (!shown(steps)) return faint;
      if (what === "state") return ofKind[this.#worst(steps)] ?? faint;
      const value = values[cell];
      if (value === undefined) return faint;
      if (what === "exit") return [...ofKind[value ? 4 : FINISHED].slice(0, 2), String(value)];
      const share = greatest ? value / greatest : 0;
      return [palette.shade(share), share > 0.5 ? palette.ramp[3] : palette.ramp[2], what === "attempts" ? String(value) : ""];
    };
    const legend = what === "run" || what === "queue" ? `pale: 0 s; strong: ${showSpan(greatest)}` : what === "attempts" ? `pale: few; strong: ${greatest}` : "";
    byId("map-legend").textContent = [legend, this.note].filter(Boolean).join("; ");
    this.#layOut(look);
    const title = `Map of ${this.down.key}${this.across ? ` and ${this.across.key}` : ""}, ${this.cells.length} cells, coloured by ${what}.`;
    this.canvas.setAttribute("aria-label", `${title} Arrow keys move from cell to cell.`);
  }

  #layOut(look) {
    const { palette } = this;
    const room = this.section.clientWidth - 4;
    if (!this.columns) { // the cells of one parameter fill lines; a single line has labels above
      const count = this.cells.length;
      const side = cellSize(count, room, 400, 30);
      const columns = Math.max(Math.floor(room / side), 1);
      const top = count <= columns ? 34 : 0;
      const size = [top ? Math.min(Math.floor(room / count), 60) : side, side];
      const before = top ? (context) => this.#label(context, this.down, this.rows, 0, size[0], room) : undefined;
      const height = top + Math.ceil(count / columns) * side + 2;
      this.field.draw({ columns: top ? count : columns, count, size, origin: [0, top], width: room, height, cell: look, palette, before });
      return;
    }
    const [rows, columns] = [this.rows.length, this.columns.length];
    const texts = (param, order) => order.map((at) => param.values[at][0]);
    const left = Math.min(Math.max(d3.max(texts(this.down, this.rows), (text) => text.length), this.down.key.length + 2) * 7 + 14, 160);
    const tall = Math.max(Math.min(Math.floor(820 / rows), 26), 3);
    const size = [Math.max(Math.min(Math.floor((room - left) / columns), 2 * tall), 3), tall];
    const top = 34;
    const width = Math.max(left + columns * size[0] + 2, 100);
    const before = (context) => {
      this.#label(context, this.across, this.columns, left, size[0], width);
      context.fillStyle = palette.ink;
      write(context, `${this.down.key} \u2193`, 0, 24, left - 6);
      context.fillStyle = palette.faint;
      const skip = Math.ceil(16 / size[1]);
      context.textAlign = "right";
      this.rows.forEach((at, row) => {
        if (row % skip === 0) write(context, this.down.values[at][0], left - 6, top + (row + 0.5) * size[1], left - 8);
      });
    };
    this.field.draw({
      columns, count: this.cells.length, size, origin: [left, top], cell: look, palette, before,
      width, height: top + rows * size[1] + 2,
    });
  }

  // Write the name of a parameter above its columns, and the value of each column. A value without room is left out.
  #label(context, param, order, left, step, width) {
    context.font = "12px system-ui, 'DejaVu Sans', sans-serif";
    context.textBaseline = "middle";
    context.textAlign = "left";
    context.fillStyle = this.palette.ink;
    write(context, `${param.key} \u2192`, left, 9, width - left);
    context.fillStyle = this.palette.faint;
    let free = 0;
    order.forEach((at, column) => {
      const text = param.values[at][0];
      const wide = Math.min(context.measureText(text).width, 120);
      const x = left + column * step + 1;
      if (x < free || (column && x + wide > width)) return;
      write(context, text, x, 24, 120);
      free = x + wide + 8;
    });
  }

  #tell(cell) {
    const { story } = this;
    const wide = this.columns ? this.columns.length : 1;
    const names = [[this.down, this.rows[Math.floor(cell / wide)]]];
    if (this.columns) names.push([this.across, this.columns[cell % wide]]);
    const where = names.map(([param, at]) => `${param.key}=${param.values[at][0]}`).join(", ");
    const steps = this.cells[cell];
    if (!steps) return `${where}: no step`;
    const counts = story.counts(steps).flatMap((count, kind) => (count ? [`${count} ${story.kinds[kind].name}`] : []));
    const what = byId("map-colour").value;
    const value = this.values[cell];
    const number = value === undefined ? "" : what === "run" || what === "queue" ? showSpan(value) : what === "state" ? "" : value;
    return `${where}: ${counts.join(", ") || "not added yet"}${number === "" ? "" : `; ${byId("map-colour").selectedOptions[0].text} ${number}`}`;
  }

  #open(cell) {
    const steps = this.cells[cell];
    if (!steps) return;
    const worst = this.#worst(steps);
    this.open(steps.find((step) => this.story.state[step] === worst) ?? steps[0]);
  }
}

// The numbers of the values of a parameter in order: numbers by size, texts by letters.
function sortedValues(param) {
  const order = param.values.map((_, at) => at);
  const value = (at) => param.values[at][0];
  const numeric = order.every((at) => value(at).trim() && Number.isFinite(Number(value(at))));
  if (numeric) return order.sort((one, other) => value(one) - value(other));
  const { compare } = new Intl.Collator(undefined, { numeric: true });
  return order.sort((one, other) => compare(value(one), value(other)));
}

// The position of each value of a parameter in an order; -1 if it is not in it.
function positions(order, param) {
  const result = new Int32Array(param.values.length).fill(-1);
  order.forEach((at, position) => (result[at] = position));
  return result;
}

function exitCode([type, , , code]) {
  return type === "StepFinished" ? 0 : code ?? undefined;
}
