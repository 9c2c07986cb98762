// Canvases: their size in pixels of the screen, the colours of the style sheet, and fields of cells.

function colours(kinds) {
  const style = getComputedStyle(document.documentElement);
  const value = (name) => style.getPropertyValue(name).trim();
  return {
    kind: kinds.map(({ css }) => value(`--${css}`)),
    onKind: kinds.map(({ css }) => value(`--on-${css}`)),
    ink: value("--ink"),
    faint: value("--faint"),
    line: value("--line"),
    paper: value("--paper"),
    accent: value("--accent"),
  };
}

// Make a canvas sharp, and return its context in units of CSS.
function sized(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  const [wide, tall] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== wide || canvas.height !== tall) [canvas.width, canvas.height] = [wide, tall];
  canvas.style.height = `${height}px`;
  canvas.style.width = `${width}px`;
  const context = canvas.getContext("2d");
  context.setTransform(wide / width, 0, 0, tall / height, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

// Write a text; of one that needs more room, the middle is left out.
function write(context, text, x, y, room) {
  let cut = text;
  for (let kept = text.length - 1; kept > 2 && context.measureText(cut).width > room; kept--) {
    cut = `${text.slice(0, Math.ceil(kept / 2))}\u2026${text.slice(text.length - Math.floor(kept / 2))}`;
  }
  context.fillText(cut, x, y);
}

// A colour as a number whose bytes are those of a pixel.
function pixelOf(hex, opacity = 1, paper = "#ffffff") {
  const part = (text, at) => parseInt(text.slice(at, at + 2), 16);
  const mixed = [1, 3, 5].map((at) => Math.round(part(hex, at) * opacity + part(paper, at) * (1 - opacity)));
  return ((255 << 24) | (mixed[2] << 16) | (mixed[1] << 8) | mixed[0]) >>> 0;
}

// A function that returns one of 101 colours between two, by a share from 0 to 1.
function shades([low, high]) {
  const part = (text, at) => parseInt(text.slice(at, at + 2), 16);
  const between = (share) => {
    const mixed = [1, 3, 5].map((at) => Math.round(part(low, at) + (part(high, at) - part(low, at)) * share));
    return `#${mixed.map((value) => value.toString(16).padStart(2, "0")).join("")}`;
  };
  const all = Array.from({ length: 101 }, (_, percent) => between(percent / 100));
  return (share) => all[Math.round(100 * share)];
}

// How a cell of each kind looks: its colour, the colour of its letter, and the letter.
function looks(kinds, palette) {
  return kinds.map(({ letter }, kind) => [palette.kind[kind], palette.onKind[kind], letter]);
}

// A field of cells with one chosen cell, for pointer and keyboard. `describe` gives the text of a cell, and `open` is
// called for one that the user chooses.
class Field {
  constructor(canvas, hint, describe, open) {
    Object.assign(this, { canvas, hint, describe, open, columns: 1, count: 0, size: [1, 1], origin: [0, 0], chosen: -1 });
    canvas.addEventListener("pointermove", (event) => this.choose(this.#at(event)));
    canvas.addEventListener("click", (event) => {
      this.choose(this.#at(event));
      if (this.chosen >= 0) this.open(this.chosen);
    });
    canvas.addEventListener("keydown", (event) => this.#key(event));
  }

  #at(event) {
    const column = Math.floor((event.offsetX - this.origin[0]) / this.size[0]);
    const row = Math.floor((event.offsetY - this.origin[1]) / this.size[1]);
    const index = row * this.columns + column;
    return column >= 0 && column < this.columns && row >= 0 && index < this.count ? index : -1;
  }

  #key(event) {
    const moves = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.columns, ArrowUp: -this.columns };
    if (event.key in moves) {
      this.choose(Math.min(Math.max(this.chosen + moves[event.key], 0), this.count - 1));
    } else if (event.key === "Enter" && this.chosen >= 0) {
      this.open(this.chosen);
    } else return;
    event.preventDefault();
  }

  choose(index) {
    if (index === this.chosen) return;
    this.chosen = index;
    this.hint.textContent = index < 0 ? "" : this.describe(index);
    this.redraw();
  }

  // `cell` gives the colour, the colour of the letter, and the letter of a cell; or nothing.
  draw({ columns, count, size, origin = [0, 0], width, height, cell, palette, before = () => {} }) {
    Object.assign(this, { columns, count, size, origin });
    this.redraw = () => {
      const context = sized(this.canvas, width, height);
      before(context);
      const gap = Math.min(...size) >= 6 ? 1 : 0;
      const lettered = Math.min(...size) >= 13;
      context.font = `600 ${Math.min(Math.min(...size) - 2, 14)}px ui-monospace, "DejaVu Sans Mono", monospace`;
      context.textAlign = "center";
      context.textBaseline = "middle";
      for (let index = 0, next = count ? cell(0) : null; index < count; ) {
        const [first, look] = [index, next];
        do next = ++index < count ? cell(index) : null; // neighbours of one colour are one rectangle, without a gap
        while (!gap && index < count && index % columns && next?.[0] === look?.[0]);
        if (!look) continue;
        const x = origin[0] + (first % columns) * size[0];
        const y = origin[1] + Math.floor(first / columns) * size[1];
        context.fillStyle = look[0];
        context.fillRect(x, y, (index - first) * size[0] - gap, size[1] - gap);
        if (lettered && look[2]) {
          context.fillStyle = look[1];
          context.fillText(look[2], x + (size[0] - gap) / 2, y + (size[1] - gap) / 2 + 1, size[0] - 2);
        }
      }
      if (this.chosen >= 0 && this.chosen < count) {
        context.strokeStyle = palette.ink;
        context.lineWidth = 2;
        const [column, row] = [this.chosen % columns, Math.floor(this.chosen / columns)];
        context.strokeRect(origin[0] + column * size[0] - 1, origin[1] + row * size[1] - 1, size[0] + 1, size[1] + 1);
      }
    };
    this.redraw();
  }

  redraw() {}
}

// The size of square cells such that `count` of them fit.
function cellSize(count, width, height, most = 22) {
  for (let size = most; size > 2; size--) {
    if (Math.floor(width / size) * Math.floor(height / size) >= count) return size;
  }
  return 2;
}
