'use strict';

// The most memory that this process has used. (process.resourceUsage() does not help: its figure begins with what the parent
// had when it forked.)

const fs = require('node:fs');

let most = 0;
const look = () => {
  most = Math.max(most, process.memoryUsage.rss());
};
// On systems without /proc.
setInterval(look, 20).unref();

function peakMb() {
  look();
  try {
    const kib = /^VmHWM:\s+(\d+) kB$/m.exec(fs.readFileSync('/proc/self/status', 'utf8'))?.[1];
    if (kib !== undefined) return Math.round(Number(kib) / 1024);
  } catch {}
  return Math.round(most / 2 ** 20);
}

module.exports = { peakMb };
