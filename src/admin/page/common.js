// What the page's parts have in common: elements, times, numbers.

export const byId = (id) => document.getElementById(id);

// An element with a class and contents; texts are never read as markup.
export function make(tag, className, ...contents) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...contents);
  return element;
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function setClass(element, className) {
  if (element.className !== className) element.className = className;
}

export const whole = (number) => number.toLocaleString("en");
export const plural = (count, one, many) => `${whole(count)} ${count === 1 ? one : many}`;

// A duration for people: three digits are enough.
export function span(seconds) {
  if (seconds < 0.0995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 120) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} days`;
}

// The same in whole seconds, below which nothing is known.
export const age = (seconds) => (seconds < 9.95 ? `${Math.floor(seconds)} s` : span(seconds));

const CLOCK = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

// A time of the day, with the day unless it is that of `now`; both in ms.
export function time(ms, now) {
  const [at, today] = [new Date(ms), new Date(now)];
  const clock = CLOCK.format(at);
  return at.toDateString() === today.toDateString() ? clock : `${DAY.format(at)} ${clock}`;
}

export function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  if (bytes < 1024 * 1024) return `${(bytes / 1024).toFixed(1)} KiB`;
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}

// Tells a screen reader, once.
export function announce(text) {
  setText(byId("announcer"), text);
}
