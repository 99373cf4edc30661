'use strict';

// Checks an add-on before it is published: small, stripped, of Node-API, made for the platform in its name, and for no newer
// glibc than promised. `node scripts/release/artefact.js FILE...` says so of those that a release is made of.

const fs = require('node:fs');

const MOST_BYTES = 6_000_000;
/** What the builds with zig are made for, and lib/core/binding.js promises. */
const GLIBC_MINOR = 17;

// Processors, by the numbers that each format has for them.
const ELF = new Map([
  [62, 'x64'],
  [183, 'arm64'],
]);
const MACH_O = new Map([
  [0x01000007, 'x64'],
  [0x0100000c, 'arm64'],
]);
const PE = new Map([
  [0x8664, 'x64'],
  [0xaa64, 'arm64'],
]);

/** The first bytes of each kind of library, and where it says which processor it is for. */
const KINDS = [
  {
    platform: 'linux',
    isOne: (/** @type {Buffer} */ head) => head.readUInt32BE(0) === 0x7f454c46,
    arch: (/** @type {Buffer} */ head) => ELF.get(head.readUInt16LE(18)),
  },
  {
    platform: 'darwin',
    isOne: (/** @type {Buffer} */ head) => head.readUInt32LE(0) === 0xfeedfacf,
    arch: (/** @type {Buffer} */ head) => MACH_O.get(head.readUInt32LE(4)),
  },
  {
    platform: 'win32',
    isOne: (/** @type {Buffer} */ head) => head.toString('latin1', 0, 2) === 'MZ',
    arch: (/** @type {Buffer} */ head) => PE.get(head.readUInt16LE(head.readUInt32LE(0x3c) + 4)),
  },
];

/** Names of the sections of an ELF file. @param {Buffer} elf */
function sectionsOf(elf) {
  const from = Number(elf.readBigUInt64LE(0x28));
  const [size, count, names] = [elf.readUInt16LE(0x3a), elf.readUInt16LE(0x3c), elf.readUInt16LE(0x3e)];
  const strings = Number(elf.readBigUInt64LE(from + names * size + 0x18));
  return Array.from({ length: count }, (_, i) => {
    const start = strings + elf.readUInt32LE(from + i * size);
    return elf.toString('latin1', start, elf.indexOf(0, start));
  });
}

/**
 * The newest symbol version of glibc that an ELF file asks for; null when it asks for none (musl).
 * @param {Buffer} elf
 */
function glibcOf(elf) {
  const minors = [...elf.toString('latin1').matchAll(/\bGLIBC_2\.(\d+)/g)].map(([, minor]) => Number(minor));
  return minors.length === 0 ? null : `2.${Math.max(...minors)}`;
}

/**
 * @param {string} file
 * @returns {{ bytes: number, platform: string, arch: string, glibc: string | null, wrong: string[] }}
 */
function inspect(file) {
  const bytes = fs.readFileSync(file);
  const kind = KINDS.find(({ isOne }) => bytes.length > 64 && isOne(bytes));
  if (kind === undefined) throw new Error(`${file} is no library of a platform we build for`);
  const { platform } = kind;
  const arch = kind.arch(bytes) ?? 'another processor';
  const glibc = platform === 'linux' ? glibcOf(bytes) : null;
  const wrong = [];
  if (bytes.length >= MOST_BYTES) wrong.push(`has ${bytes.length} bytes: ${MOST_BYTES} are too many`);
  if (platform === 'linux') {
    const symbols = sectionsOf(bytes).filter((name) => name === '.symtab' || name.startsWith('.debug'));
    if (symbols.length > 0) wrong.push(`is not stripped: it has ${symbols.join(', ')}`);
  }
  if (!bytes.includes('napi_register_module_v1')) wrong.push('is no addon of Node-API');
  const name = /\.(linux|darwin|win32)-(x64|arm64)(?:-(gnu|musl|msvc))?\.node$/.exec(file);
  if (name !== null) {
    if (name[1] !== platform || name[2] !== arch) wrong.push(`is for ${platform}-${arch}`);
    if (name[3] === 'musl' && glibc !== null) wrong.push(`needs glibc ${glibc}`);
  }
  return { bytes: bytes.length, platform, arch, glibc, wrong };
}

if (require.main === module) {
  for (const file of process.argv.slice(2)) {
    const { bytes, platform, arch, glibc, wrong } = inspect(file);
    if (glibc !== null && Number(glibc.split('.')[1]) > GLIBC_MINOR) wrong.push(`needs glibc ${glibc}`);
    console.log(
      `${file}: ${platform}-${arch}, ${(bytes / 1e6).toFixed(2)} MB${glibc === null ? '' : `, glibc ${glibc}`}`,
    );
    for (const reason of wrong) console.error(`${file} ${reason}`);
    if (wrong.length > 0) process.exitCode = 1;
  }
}

module.exports = { inspect, MOST_BYTES };
