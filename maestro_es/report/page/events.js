// The list of events. Only the rows in view are elements, so it can be as long as the log.

const ROW = 24;
const TALLEST = 8e6; // browsers do not draw elements of more than some ten million pixels

class EventList {
  constructor(story, box, open) {
    Object.assign(this, { story, box, open, fits: null, shown: null, chosen: -1 });
    this.search("");
    [this.space, this.rows] = [box.firstElementChild, box.firstElementChild.firstElementChild];
    box.addEventListener("scroll", () => this.#render());
    box.addEventListener("keydown", (event) => this.#key(event));
    box.addEventListener("click", (event) => {
      const step = event.target.closest("[data-step]");
      if (step) open(Number(step.dataset.step));
    });
  }

  // Show only events that contain a text: in their type, sentence, user, or the name of their step.
  search(entered) {
    const { story } = this;
    const text = entered.trim().toLowerCase();
    this.text = text;
    this.named = new Uint8Array(text ? story.count : 0);
    for (let step = 0; step < this.named.length; step++) this.named[step] = story.name(step).toLowerCase().includes(text) ? 1 : 0;
    this.matches = text ? this.#matcher(text) : () => true;
  }

  // Find the events up to the moment.
  update() {
    const { story, text, named, matches } = this;
    if (!text && !this.fits) {
      this.shown = null;
    } else {
      const found = new Uint32Array(story.events);
      let size = 0;
      for (let event = 0; event < story.events; event++) {
        const step = story.step[event];
        if (this.fits && (step < 0 || !this.fits[step])) continue;
        if ((step >= 0 && named[step]) || matches(event)) found[size++] = event;
      }
      this.shown = found.subarray(0, size);
    }
    this.size = this.shown ? this.shown.length : story.events;
    this.space.style.height = `${Math.min(this.size * ROW, TALLEST)}px`;
    this.box.setAttribute("aria-rowcount", this.size);
    byId("found").textContent = `${this.size.toLocaleString()} of ${story.time.length.toLocaleString()} events`;
    this.chosen = -1;
    this.box.scrollTop = this.box.scrollHeight; // the last events before the moment
    this.#render();
  }

  // Texts that many events share are compared once.
  #matcher(text) {
    const { story } = this;
    const { data } = story;
    const has = (own) => own.toLowerCase().includes(text);
    const types = TYPES.map(has);
    const [ends, sentences] = [data.ends.map(([type, sentence]) => has(type) || has(sentence)), data.sentences.map(has)];
    const [noteTypes, people, hosts] = [data.types.map(has), data.people.map(has), data.hosts.map(has)];
    const requests = data.submissions.map((submission) => has(`attempt (${submission}) will be submitted`));
    const fixed = [has("was added"), false, has("was submitted"), has("started on")];
    return (event) => {
      const [what, of] = [story.what[event], story.of[event]];
      if (what === WHAT.note) return noteTypes[data.note.type[of]] || sentences[data.note.sentence[of]] || people[data.note.by[of]] === true;
      if (what === WHAT.ended) return ends[story.attempt.end[of]];
      if (types[what] || fixed[what]) return true;
      if (what === WHAT.requested) return requests[story.attempt.submission[of]];
      if (what === WHAT.submitted) return story.attempt.job[of].toLowerCase().includes(text);
      return what === WHAT.started && hosts[story.attempt.host[of]] === true;
    };
  }

  // Move from event to event. The first key chooses the last event.
  #key(event) {
    const rows = { ArrowDown: 1, ArrowUp: -1, PageDown: 15, PageUp: -15, Home: -Infinity, End: Infinity }[event.key];
    if (event.key === "Enter" && this.chosen >= 0) this.#open();
    if (rows === undefined) return;
    event.preventDefault();
    const from = this.chosen < 0 ? this.size : this.chosen;
    this.chosen = Math.min(Math.max(from + rows, 0), this.size - 1);
    const [top, tall] = [this.chosen * ROW * this.#perPixel, this.box.clientHeight];
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    if (top + ROW > this.box.scrollTop + tall) this.box.scrollTop = top + ROW - tall;
    this.#render();
  }

  #open() {
    const step = this.story.step[this.shown ? this.shown[this.chosen] : this.chosen];
    if (step >= 0) this.open(step);
  }

  // How many pixels of the scroll bar stand for one of the list.
  get #perPixel() {
    return Math.min(1, TALLEST / Math.max(this.size * ROW, 1));
  }

  #render() {
    const { box } = this;
    const count = Math.min(Math.ceil(box.clientHeight / ROW) + 1, this.size);
    const row = box.scrollTop / this.#perPixel / ROW;
    const atEnd = box.scrollTop + box.clientHeight >= box.scrollHeight - 1;
    const first = atEnd ? this.size - count : Math.min(Math.floor(row), this.size - count);
    const rows = Array.from({ length: count }, (_, at) => this.#row(this.shown ? this.shown[first + at] : first + at, first + at));
    this.rows.replaceChildren(...rows);
    if (this.chosen >= first && this.chosen < first + count) this.box.setAttribute("aria-activedescendant", "event");
    else this.box.removeAttribute("aria-activedescendant");
    const last = Math.min(this.size * ROW, TALLEST) - count * ROW;
    this.rows.style.top = `${Math.max(atEnd ? last : Math.min(box.scrollTop - (row % 1) * ROW, last), 0)}px`;
  }

  #row(event, at) {
    const { story } = this;
    const [type, sentence, person] = story.tell(event);
    const step = story.step[event];
    const row = element("div", at === this.chosen ? "event chosen" : "event", [
      element("span", "", showTime(story.data.start + story.time[event])),
      element("bdi", step < 0 ? "" : "step", step < 0 ? "" : story.name(step)),
      element("span", "", type),
      element("bdi", "", sentence),
      element("bdi", "", person),
    ]);
    if (step >= 0) row.children[1].dataset.step = step;
    row.children[3].title = sentence;
    row.setAttribute("role", "row");
    row.setAttribute("aria-rowindex", at + 1);
    if (at === this.chosen) row.id = "event";
    for (const cell of row.children) cell.setAttribute("role", "gridcell");
    return row;
  }
}

// An element with a class and a text or children. Texts are never markup.
function element(name, kind, content = "") {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  made.append(...(Array.isArray(content) ? content : [String(content)]));
  return made;
}
