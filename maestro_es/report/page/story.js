// The data of the page: steps, attempts and events in typed arrays, and the states at a moment.
// Times are milliseconds since the first event. -1 means that there is no value.

const WHAT = { added: 0, requested: 1, submitted: 2, started: 3, ended: 4, note: 5 };
const TYPES = ["StepAdded", "SubmissionRequested", "JobSubmitted", "JobStarted"];
const [WAITING, QUEUED, RUNNING, FINISHED] = [0, 1, 2, 3];
const FAILURES = [4, 5, 7]; // failed, timed out, cancelled
const UNBORN = 255;

async function readData(element) {
  const text = atob(element.textContent);
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < bytes.length; at++) bytes[at] = text.charCodeAt(at);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  element.remove();
  return JSON.parse(await new Response(stream).text());
}

// Numbers that the data has as differences.
function summed(differences) {
  const sums = new Float64Array(differences.length);
  let sum = 0;
  for (let at = 0; at < sums.length; at++) sums[at] = sum += differences[at];
  return sums;
}

// Times that the data has relative to the first known one of the earlier times; 0 means unknown.
function after(waits, ...earlier) {
  const times = new Float64Array(waits.length).fill(-1);
  for (let at = 0; at < times.length; at++) {
    if (waits[at]) times[at] = waits[at] + earlier.find((column) => column[at] >= 0)[at];
  }
  return times;
}

// The order of times, by their digits. Equal times stay in their order. It takes the same time for every distribution.
function sortedOrder(times) {
  let order = new Uint32Array(times.length);
  let other = new Uint32Array(times.length);
  const digit = new Uint16Array(times.length);
  let greatest = 0;
  for (let at = 0; at < times.length; at++) {
    order[at] = at;
    if (times[at] > greatest) greatest = times[at];
  }
  for (let unit = 1; unit <= greatest; unit *= 65536) {
    const places = new Uint32Array(65537);
    for (let at = 0; at < times.length; at++) places[(digit[at] = Math.floor(times[at] / unit) % 65536) + 1]++;
    for (let at = 1; at < places.length; at++) places[at] += places[at - 1];
    for (const at of order) other[places[digit[at]]++] = at;
    [order, other] = [other, order];
  }
  return order;
}

function upperBound(sorted, value) {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}

// The places of equal keys: those of key K are `members[first[K]]` to `members[first[K + 1] - 1]`.
function grouped(keys, count) {
  const first = new Uint32Array(count + 1);
  for (const key of keys) first[key + 1]++;
  for (let at = 0; at < count; at++) first[at + 1] += first[at];
  const members = new Uint32Array(keys.length);
  const next = first.slice();
  for (let at = 0; at < keys.length; at++) members[next[keys[at]]++] = at;
  return [first, members];
}

class Story {
  constructor(data) {
    this.data = data;
    this.kinds = data.kinds;
    this.template = Int32Array.from(data.step.template);
    this.count = this.template.length;
    this.params = data.params.map((param) => ({ ...param, of: Int32Array.from(param.of) }));
    this.attempt = {
      step: Int32Array.from(summed(data.attempt.step)),
      number: Int32Array.from(data.attempt.number),
      requested: summed(data.attempt.requested),
      end: Int32Array.from(data.attempt.end),
      submission: data.attempt.submission,
      host: data.attempt.host,
    };
    const { requested } = this.attempt;
    const submitted = (this.attempt.submitted = after(data.attempt.submitted, requested));
    const started = (this.attempt.started = after(data.attempt.started, submitted, requested));
    this.attempt.ended = after(data.attempt.ended, started, submitted, requested);
    let job = 0;
    this.attempt.job = data.attempt.job.map((id) => (typeof id === "number" ? String((job += id)) : id));
    this.attempts = requested.length;
    [this.firstOf, this.members] = grouped(this.attempt.step, this.count);
    this.state = new Uint8Array(this.count).fill(UNBORN);
    this.tally = new Uint32Array(data.templates.length * this.kinds.length); // steps, by template and kind of state
    this.#listEvents();
    this.end = Math.max(data.moment, this.time.length ? this.time[this.time.length - 1] : 0);
    this.showMoment(this.end);
  }

  // The attempts of a step: those of `members` from `firstOf[step]` to `firstOf[step + 1]`.
  attemptsOf(step) {
    return this.members.subarray(this.firstOf[step], this.firstOf[step + 1]);
  }

  // All events in the order of time. `what` and `of` say what an event is, and `kind` is the new state of its step.
  #listEvents() {
    const { attempt, data } = this;
    const notes = data.note.kind.length;
    const most = this.count + 4 * this.attempts + notes;
    const time = new Float64Array(most);
    const step = new Int32Array(most);
    const what = new Uint8Array(most);
    const of = new Uint32Array(most);
    const kind = new Int8Array(most);
    let size = 0;
    const add = (at, number, code, index, state) => {
      time[size] = at;
      step[size] = number;
      what[size] = code;
      of[size] = index;
      kind[size++] = state;
    };
    const added = summed(data.step.added);
    for (let at = 0; at < this.count; at++) add(added[at], at, WHAT.added, at, WAITING);
    for (let at = 0; at < this.attempts; at++) {
      const number = attempt.step[at];
      add(attempt.requested[at], number, WHAT.requested, at, data.attempt.waits[at]);
      if (attempt.submitted[at] >= 0) add(attempt.submitted[at], number, WHAT.submitted, at, -1);
      if (attempt.started[at] >= 0) add(attempt.started[at], number, WHAT.started, at, RUNNING);
      if (attempt.ended[at] >= 0) add(attempt.ended[at], number, WHAT.ended, at, data.ends[attempt.end[at]][2]);
    }
    const noted = summed(data.note.time);
    for (let at = 0; at < notes; at++) add(noted[at], data.note.step[at], WHAT.note, at, data.note.kind[at]);
    const order = sortedOrder(time.subarray(0, size));
    const sorted = (column) => {
      const result = new column.constructor(size);
      for (let at = 0; at < size; at++) result[at] = column[order[at]];
      return result;
    };
    [this.time, this.step, this.what, this.of, this.kind] = [time, step, what, of, kind].map(sorted);
    this.before = new Uint8Array(size); // the state of the step before the event; events are taken back with it
    this.events = 0;
  }

  // Go to a moment: apply the events before it, or take back those after it.
  showMoment(moment) {
    const { step, kind, before } = this;
    this.moment = moment;
    const until = upperBound(this.time, moment);
    for (let at = this.events; at < until; at++) if (kind[at] >= 0) before[at] = this.#change(step[at], kind[at]);
    for (let at = this.events - 1; at >= until; at--) if (kind[at] >= 0) this.#change(step[at], before[at]);
    this.events = until;
  }

  #change(step, kind) {
    const { state, tally } = this;
    const old = state[step];
    const own = this.template[step] * this.kinds.length;
    if (old !== UNBORN) tally[own + old]--;
    if (kind !== UNBORN) tally[own + kind]++;
    state[step] = kind;
    return old;
  }

  // How many steps of a template are in each kind of state.
  countsOf(template) {
    return this.tally.subarray(template * this.kinds.length, (template + 1) * this.kinds.length);
  }

  name(step) {
    const explicit = this.data.names[step];
    if (explicit !== undefined) return explicit;
    const labels = this.params.filter((param) => param.of[step] >= 0).map((param) => param.values[param.of[step]][1]);
    const template = this.data.templates[this.template[step]];
    return labels.length ? `${template}_${labels.join(".")}` : template;
  }

  // The kind of state of an attempt at the moment; -1 if it was not requested yet.
  kindOfAttempt(attempt) {
    const { requested, started, ended, end } = this.attempt;
    if (requested[attempt] > this.moment) return -1;
    if (ended[attempt] >= 0 && ended[attempt] <= this.moment) return this.data.ends[end[attempt]][2];
    return started[attempt] >= 0 && started[attempt] <= this.moment ? RUNNING : QUEUED;
  }

  // How many of these steps are in each kind of state.
  counts(steps) {
    const counts = new Array(this.kinds.length).fill(0);
    for (const step of steps) if (this.state[step] !== UNBORN) counts[this.state[step]]++;
    return counts;
  }

  // The type, the sentence and the user of an event.
  tell(event) {
    const { attempt, data } = this;
    const [what, of] = [this.what[event], this.of[event]];
    switch (what) {
      case WHAT.added:
        return [TYPES[what], "was added", ""];
      case WHAT.requested:
        return [TYPES[what], `attempt ${attempt.number[of]} (${data.submissions[attempt.submission[of]]}) will be submitted`, ""];
      case WHAT.submitted:
        return [TYPES[what], `job ${attempt.job[of]} was submitted`, ""];
      case WHAT.started:
        return [TYPES[what], `started${this.hostOf(of) && ` on ${this.hostOf(of)}`}`, ""];
      case WHAT.ended:
        return [...data.ends[attempt.end[of]].slice(0, 2), ""];
      default:
        return [data.types[data.note.type[of]], data.sentences[data.note.sentence[of]], data.people[data.note.by[of]] ?? ""];
    }
  }

  hostOf(attempt) {
    return this.data.hosts[this.attempt.host[attempt]] ?? "";
  }

  // Which steps a text selects (null: all): each of its words is a part of the name, or PARAMETER=VALUE.
  selected(text) {
    const words = text.split(/\s+/).filter(Boolean);
    if (!words.length) return null;
    const tests = words.map((word) => {
      const [key, value] = word.split(/=(.*)/s);
      const param = value !== undefined && this.params.find((one) => one.key === key);
      if (!param) return (step) => this.name(step).includes(word);
      const numbers = new Set(param.values.flatMap(([own, label], at) => (own === value || label === value ? [at] : [])));
      return (step) => numbers.has(param.of[step]);
    });
    const fits = new Uint8Array(this.count);
    for (let step = 0; step < this.count; step++) fits[step] = tests.every((test) => test(step)) ? 1 : 0;
    return fits;
  }
}

// -- times and durations ---------------------------------------------------------------------------------------------

const two = (number) => String(number).padStart(2, "0");

function showTime(milliseconds) {
  const date = new Date(milliseconds);
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

// A time on an axis: midnight is a date.
function showTick(date) {
  const [hours, minutes, seconds] = [date.getHours(), date.getMinutes(), date.getSeconds() + date.getMilliseconds() / 1000];
  if (!hours && !minutes && !seconds) return `${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${two(hours)}:${two(minutes)}${seconds ? `:${seconds < 10 ? "0" : ""}${Number(seconds.toFixed(3))}` : ""}`;
}

function showSpan(milliseconds) {
  const seconds = milliseconds / 1000;
  if (seconds < 60) return `${seconds < 10 ? Number(seconds.toFixed(1)) : Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${Number((seconds / 3600).toFixed(1))} h` : `${Number((seconds / 86400).toFixed(1))} days`;
}

function showBytes(bytes) {
  const unit = Math.min(Math.floor(Math.log2(Math.max(bytes, 1)) / 10), 4);
  return `${Number((bytes / 1024 ** unit).toFixed(1))} ${["B", "KiB", "MiB", "GiB", "TiB"][unit]}`;
}
