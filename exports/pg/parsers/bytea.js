'use strict';

// The text of bytea, in both forms of the server's bytea_output, as postgres-bytea 1.0.1 reads them, which pg uses.

const BACKSLASH = '\\'.charCodeAt(0);

/** @param {string} text */
function parseBytea(text) {
  if (text.startsWith('\\x')) return Buffer.from(text.slice(2), 'hex');
  const bytes = Buffer.allocUnsafe(text.length);
  let length = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    const octal = code === BACKSLASH ? text.slice(at + 1, at + 4) : '';
    if (/^[0-7]{3}$/.test(octal)) {
      bytes[length++] = Number.parseInt(octal, 8);
      at += 3;
    } else {
      bytes[length++] = code;
      // A backslash is printed as two.
      if (octal.startsWith('\\')) at++;
    }
  }
  return bytes.subarray(0, length);
}

module.exports = { parseBytea };
