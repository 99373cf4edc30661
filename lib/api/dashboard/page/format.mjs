// Numbers, times and sizes as text. What is not known is an en dash.

export const UNKNOWN = '–';

const grouped = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

/** Three digits are enough to see what changes. @param {number} value */
function digits(value) {
  if (value === 0) return '0';
  if (value < 0.01) return '<0.01';
  if (value < 10) return value.toFixed(value < 1 ? 2 : 1);
  return grouped.format(value);
}

/** @param {number | null | undefined} value */
export const count = (value) => (value === null || value === undefined ? UNKNOWN : grouped.format(value));

/** The same where there is no room for many digits: `1.23 M` from a million on. @param {number | null | undefined} value */
export function shortCount(value) {
  if (value === null || value === undefined || value < 1_000_000) return count(value);
  return value < 1_000_000_000 ? `${(value / 1_000_000).toFixed(2)} M` : `${(value / 1_000_000_000).toFixed(2)} G`;
}

/** `12.3 k` from ten thousand on. @param {number | null | undefined} value */
export function rate(value) {
  if (value === null || value === undefined) return UNKNOWN;
  if (value < 10) return value > 0 && value < 0.01 ? '<0.01' : trimmed(value.toFixed(value < 1 ? 2 : 1));
  if (value < 10_000) return digits(value);
  return value < 1_000_000 ? `${(value / 1_000).toFixed(1)} k` : `${(value / 1_000_000).toFixed(2)} M`;
}

/** @param {number | null | undefined} ms */
export function duration(ms) {
  if (ms === null || ms === undefined) return UNKNOWN;
  if (ms < 1_000) return `${digits(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(ms < 10_000 ? 2 : 1)} s`;
  if (ms < 3_600_000) return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1_000)} s`;
  return `${(ms / 3_600_000).toFixed(1)} h`;
}

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'];

/** @param {number | null | undefined} value */
export function bytes(value) {
  if (value === null || value === undefined) return UNKNOWN;
  let amount = value;
  let unit = 0;
  while (amount >= 1_024 && unit < UNITS.length - 1) {
    amount /= 1_024;
    unit++;
  }
  return `${unit > 0 && amount < 100 ? amount.toFixed(1) : Math.round(amount)} ${UNITS[unit]}`;
}

/** @param {number} share 0 to 1; what is not all is never shown as 100 % */
export function percent(share) {
  if (share > 0 && share < 0.0001) return '<0.01 %';
  const value = share * 100;
  if (value === 0 || value === 100) return `${value} %`;
  return `${value < 1 ? value.toFixed(2) : (Math.floor(value * 10) / 10).toFixed(1)} %`;
}

/** For an axis: `1.50 s` is `1.5 s`. @param {string} text */
export const trimmed = (text) => text.replace(/(\.\d*?)0+(?!\d)/, '$1').replace(/\.(?!\d)/, '');

/** @param {number} value */
const two = (value) => String(value).padStart(2, '0');

/** `14:03:09` @param {number} at */
export function clock(at) {
  const date = new Date(at);
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** `14:03` or `14:03:30`, for an axis. @param {number} at */
export const shortClock = (at) => (at % 60_000 === 0 ? clock(at).slice(0, 5) : clock(at));

/** With the day where it is another one. @param {number} at @param {number} now */
export function moment(at, now) {
  const [day, today] = [at, now].map((time) => new Date(time).toDateString());
  return day === today
    ? clock(at)
    : `${new Date(at).toLocaleDateString('en-GB', { day: 'numeric', month: 'short' })}, ${clock(at)}`;
}

/** `3 min ago` @param {number} ms */
export function ago(ms) {
  const seconds = Math.max(0, Math.round(ms / 1_000));
  if (seconds < 2) return 'just now';
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}

/** `1 node`, `2 nodes` @param {number} number @param {string} noun */
export const counted = (number, noun) => `${grouped.format(number)} ${noun}${number === 1 ? '' : 's'}`;

/** `a, b and c` @param {readonly string[]} words */
export const listed = (words) => [words.slice(0, -1).join(', '), words.at(-1)].filter(Boolean).join(' and ');
