'use strict';

// The numbers in which JavaScript and the core talk: operations, flags, kinds of messages, sizes of heads.
//
// src/binding/numbers.rs has the same table; test/unit/numbers.test.js compares both. The Rust file says what each member means.

/**
 * Raise it, here and in src/binding/numbers.rs, with every change of the table, of what its members mean, or of the add-on's
 * classes: the main package and the add-on are two packages, and an install may mix their versions.
 */
const PROTOCOL_VERSION = 12;

/** What a frame asks for. */
const OP = {
  DEFINE: 1,
  FORGET: 2,
  QUERY: 3,
  BEGIN: 4,
  COMMIT: 5,
  ROLLBACK: 6,
  CANCEL: 7,
  PASSWORD: 8,
  PANIC: 9,
  CREDIT: 10,
  BATCH: 11,
  LOAD: 12,
  DATA: 13,
  END_DATA: 14,
  UNLOAD: 15,
  LISTEN: 16,
  UNLISTEN: 17,
  SCRIPT: 18,
  NOTICES: 19,
  END_PREPARED: 20,
  PIN: 21,
  FLIGHT: 22,
  FETCH: 23,
  CLOSE_PORTAL: 24,
  CHECK: 25,
};

/** Bits of a frame's flags. */
const FLAG = {
  READ_ONLY: 1,
  HAS_SIGNAL: 2,
  MANAGED: 4,
  FAILED: 8,
  STREAM: 16,
  DESCRIBE: 32,
  READ: 64,
  TOKEN: 128,
  READ_OPTIONS: 256,
  PRIMARY: 512,
  SIMPLE: 1024,
  NAMED: 2048,
  PORTAL: 4096,
  BINARY: 8192,
  PIPELINED: 16384,
  BEGINS: 32768,
  OWN: 65536,
  COMMITS: 131_072,
};

/** Kinds of messages from the core. */
const MESSAGE = {
  DONE: 0,
  ROWS: 1,
  ERROR: 2,
  SHAPE: 3,
  FORGET_SHAPE: 4,
  EVENT: 5,
  PASSWORD: 6,
  JSON_SHAPE: 7,
  GRANT: 8,
  BYTES: 9,
};

/**
 * Bits beside the kind. ANEW: the statement was run again, so the rows of earlier messages are dropped. STRUCTURE: a parameter of
 * the statement takes an object by its members.
 */
const MESSAGE_FLAG = { ANEW: 256, STRUCTURE: 512 };

/** Words of 32 bits: of a frame's head, of the head of a statement within a batch, of a batch's head, of a message's head. */
const WORDS = { FRAME: 10, ITEM: 4, BATCH: 8, MESSAGE: 13 };

/** Credit for all pieces of a stream that can follow. */
const DRAINED = 0x4000_0000;

module.exports = { DRAINED, FLAG, MESSAGE, MESSAGE_FLAG, OP, PROTOCOL_VERSION, WORDS };
