// The load of the last minute, on a logarithmic scale: the lines differ by powers of ten.

const SECONDS = 60;
const LEFT = 76;
const RIGHT = 534;
const TOP = 14;
const BOTTOM = 200;
const LARGEST = 10000;
const NAME_HEIGHT = 19;

const SERIES = [
  { key: "without", label: "without" },
  { key: "reads", label: "reads" },
  { key: "backend", label: "backend" },
];

function svg(name, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

// Everything up to one a second lies on the ground line.
function height(rate) {
  const share = Math.log10(Math.min(Math.max(rate, 1), LARGEST)) / Math.log10(LARGEST);
  return BOTTOM - share * (BOTTOM - TOP);
}

export class Chart {
  constructor(element) {
    this.samples = [];
    for (let rate = 1; rate <= LARGEST; rate *= 10) {
      const y = height(rate);
      element.append(
        svg("line", { x1: LEFT, x2: RIGHT, y1: y, y2: y, class: "grid" }),
        svg("text", { x: LEFT - 8, y: y + 4, "text-anchor": "end" }, rate.toLocaleString("en")),
      );
    }
    this.lines = SERIES.map(({ key, label }) => {
      const path = svg("path", { class: key });
      const name = svg("text", { class: `name ${key}`, x: RIGHT + 8 }, label);
      element.append(path, name);
      return { key, path, name };
    });
  }

  // `rates` has a number for each series; `now` is in ms.
  add(now, rates) {
    this.samples.push({ now, rates });
    this.samples = this.samples.filter((sample) => now - sample.now <= SECONDS * 1000);
    let lowest = Infinity;
    // From the bottom up, so that no name covers another.
    const byHeight = [...this.lines].sort((a, b) => rates[a.key] - rates[b.key]);
    for (const { key, path, name } of byHeight) {
      path.setAttribute("d", this.path(now, key));
      const y = Math.min(height(rates[key]) + 4, lowest - NAME_HEIGHT);
      name.setAttribute("y", y);
      lowest = y;
    }
  }

  path(now, key) {
    const x = (sample) => RIGHT - ((now - sample.now) / 1000 / SECONDS) * (RIGHT - LEFT);
    return this.samples
      .map((sample, index) =>
        `${index ? "L" : "M"}${x(sample).toFixed(1)} ${height(sample.rates[key]).toFixed(1)}`)
      .join("");
  }
}
