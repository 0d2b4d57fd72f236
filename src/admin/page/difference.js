// The last difference of an endpoint, line by line.

import { byId, make, setText, time } from "/page/common.js";

// How many characters of a body, and how many pairs of lines, are compared.
const LONGEST = 500_000;
const MOST_PAIRS = 4_000_000;
const CONTEXT = 3;

// What was removed, added and kept between two lists of lines: [mark, line] each.
export function compare(before, after) {
  let head = 0;
  while (head < before.length && head < after.length && before[head] === after[head]) head += 1;
  let tail = 0;
  while (tail < before.length - head && tail < after.length - head
    && before.at(-1 - tail) === after.at(-1 - tail)) tail += 1;
  const old = before.slice(head, before.length - tail);
  const fresh = after.slice(head, after.length - tail);
  const kept = (lines) => lines.map((line) => [" ", line]);
  return [
    ...kept(before.slice(0, head)),
    ...middle(old, fresh),
    ...kept(before.slice(before.length - tail)),
  ];
}

// By the longest common subsequence; where that would take too long, all of one for all of the other.
function middle(old, fresh) {
  const [rows, columns] = [old.length, fresh.length];
  if (rows * columns > MOST_PAIRS) {
    return [...old.map((line) => ["−", line]), ...fresh.map((line) => ["+", line])];
  }
  const width = columns + 1;
  const length = new Uint32Array((rows + 1) * width);
  for (let row = rows - 1; row >= 0; row -= 1) {
    for (let column = columns - 1; column >= 0; column -= 1) {
      length[row * width + column] = old[row] === fresh[column]
        ? length[(row + 1) * width + column + 1] + 1
        : Math.max(length[(row + 1) * width + column], length[row * width + column + 1]);
    }
  }
  const lines = [];
  let [row, column] = [0, 0];
  while (row < rows || column < columns) {
    if (row < rows && column < columns && old[row] === fresh[column]) {
      lines.push([" ", old[row]]);
      row += 1;
      column += 1;
    } else if (column === columns
      || (row < rows && length[(row + 1) * width + column] >= length[row * width + column + 1])) {
      lines.push(["−", old[row]]);
      row += 1;
    } else {
      lines.push(["+", fresh[column]]);
      column += 1;
    }
  }
  return lines;
}

const CLASSES = { "−": "removed", "+": "added", " ": "" };

// The differing lines with some around them; the others are counted.
export function excerpt(lines) {
  const near = new Set();
  lines.forEach(([mark], at) => {
    if (mark === " ") return;
    for (let next = at - CONTEXT; next <= at + CONTEXT; next += 1) near.add(next);
  });
  const shown = [];
  let left = 0;
  const leaveOut = () => {
    if (left) shown.push(["…", left === 1 ? "one line the same" : `${left} lines the same`]);
    left = 0;
  };
  lines.forEach((line, at) => {
    if (!near.has(at)) {
      left += 1;
      return;
    }
    leaveOut();
    shown.push(line);
  });
  leaveOut();
  return shown;
}

function text(publication) {
  if (publication.data_base64 !== undefined) return null;
  const { data } = publication;
  return typeof data === "string" ? data : JSON.stringify(data, null, 2);
}

function row([mark, line]) {
  if (mark === "…") return make("p", "left-out", `… ${line}`);
  const element = make("p", CLASSES[mark], `${mark} ${line}`);
  return element;
}

function show(publications, lines) {
  const [newest, before] = publications;
  const detail = byId("difference-detail");
  if (!before) {
    setText(detail, newest
      ? `The newest part of the history holds one publication of it, ${newest.version}: there is nothing to compare it with.`
      : "The newest part of the history holds no publication of it.");
    return;
  }
  setText(detail, `From ${before.version}, fetched ${time(before.fetched_at, newest.fetched_at)}, `
    + `to ${newest.version}, fetched ${time(newest.fetched_at, newest.fetched_at)}.`);
  const [old, fresh] = [text(before), text(newest)];
  if (old === null || fresh === null) {
    lines.append(make("p", "", "One of them is no text: open the body to see it."));
  } else if (old.length + fresh.length > LONGEST) {
    lines.append(make("p", "", "They are too long to be compared here: open the body to see it."));
  } else {
    const found = compare(old.split("\n"), fresh.split("\n"));
    const differ = found.some(([mark]) => mark !== " ");
    const rows = differ ? excerpt(found).map(row)
      : [make("p", "", "They differ in nothing but white space, or in how numbers are written.")];
    lines.append(...rows);
  }
}

export async function showDifference(name) {
  const [dialog, lines] = [byId("difference"), byId("difference-lines")];
  setText(byId("difference-title"), `${name}: the last difference`);
  setText(byId("difference-detail"), "Reading the history …");
  lines.replaceChildren();
  lines.hidden = true;
  dialog.showModal();
  try {
    const answer = await fetch(`/v1/endpoints/${encodeURIComponent(name)}/history`);
    const content = await answer.json();
    if (!answer.ok) throw new Error(content.detail);
    show(content.publications, lines);
    lines.hidden = lines.children.length === 0;
  } catch (error) {
    setText(byId("difference-detail"), `It cannot be shown: ${error.message}`);
  }
}

byId("close-difference").addEventListener("click", () => byId("difference").close());
