'use strict';

// The most memory that this process has had. (process.resourceUsage() will not do: what it tells begins with what the
// parent had when it forked.)

const fs = require('node:fs');

let most = 0;
const look = () => {
  most = Math.max(most, process.memoryUsage.rss());
};
// Where there is no /proc.
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
