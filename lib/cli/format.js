'use strict';

// Formats single values. '-' stands for a value that is not known.

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'];

/**
 * `host:port`, as in the pool's events.
 * @param {{ host: string, port: number }} node
 */
const label = ({ host, port }) => printable(host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`);

/**
 * Replaces control characters: a text of a server may contain line breaks and commands for the terminal.
 * @param {string} text
 */
const printable = (text) => text.replaceAll(/[\p{C}\p{Zl}\p{Zp}]+/gu, ' ').trim();

/** @param {number | null | undefined} value */
function bytes(value) {
  if (value === null || value === undefined) return '-';
  let amount = value;
  let unit = 0;
  while (amount >= 1024 && unit < UNITS.length - 1) {
    amount /= 1024;
    unit++;
  }
  return `${unit > 0 && amount < 10 ? amount.toFixed(1) : Math.round(amount)} ${UNITS[unit]}`;
}

/** @param {number | null | undefined} ms */
function duration(ms) {
  if (ms === null || ms === undefined) return '-';
  if (ms < 10_000) return `${ms > 0 && ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 120) return `${seconds} s`;
  return seconds < 7_200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}

module.exports = { bytes, duration, label, printable };
