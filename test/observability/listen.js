'use strict';

// Listens to a TracingChannel for the time of a test.

const { tracingChannel } = require('node:diagnostics_channel');

/** @typedef {'start' | 'end' | 'asyncStart' | 'asyncEnd' | 'error'} EventName */
/** `known`: what the message had at that time. @typedef {{ event: EventName, message: any, known: any }} Heard */

const EVENTS = /** @type {const} */ (['start', 'end', 'asyncStart', 'asyncEnd', 'error']);
/** What is told of work that succeeds, and of work that fails. */
const SUCCESS = ['start', 'end', 'asyncStart', 'asyncEnd'];
const FAILURE = ['start', 'end', 'error', 'asyncStart', 'asyncEnd'];

/**
 * What a channel tells until the test ends.
 * @param {import('node:test').TestContext} t
 * @param {'hyperiondb:query' | 'hyperiondb:transaction'} name
 * @param {unknown} [pool] only of this one
 */
function listenTo(t, name, pool) {
  /** @type {Heard[]} */
  const heard = [];
  const subscribers = Object.fromEntries(
    EVENTS.map((event) => [
      event,
      (/** @type {any} */ message) => {
        if (pool === undefined || message.pool === pool) heard.push({ event, message, known: { ...message } });
      },
    ]),
  );
  subscribe(t, name, subscribers);
  return {
    heard,
    /** The events of all, in their order. */
    events: () => heard.map(({ event }) => event),
    /** What is known of each that has ended. */
    ended: () => heard.filter(({ event }) => event === 'asyncStart').map(({ known }) => known),
  };
}

/**
 * Subscribes to a TracingChannel until the test ends.
 * @param {import('node:test').TestContext} t
 * @param {'hyperiondb:query' | 'hyperiondb:transaction'} name
 * @param {Partial<Record<EventName, (message: any) => void>>} subscribers
 */
function subscribe(t, name, subscribers) {
  const channel = tracingChannel(name);
  for (const event of EVENTS) if (subscribers[event] !== undefined) channel[event].subscribe(subscribers[event]);
  t.after(() => {
    for (const event of EVENTS) if (subscribers[event] !== undefined) channel[event].unsubscribe(subscribers[event]);
  });
}

/**
 * Binds a value to `start` until the test ends, as a tracer does.
 * @param {import('node:test').TestContext} t
 * @param {'hyperiondb:query' | 'hyperiondb:transaction'} name
 * @param {import('node:async_hooks').AsyncLocalStorage<any>} storage
 * @param {(message: any) => unknown} value
 */
function bind(t, name, storage, value) {
  const { start } = tracingChannel(name);
  start.bindStore(storage, value);
  t.after(() => void start.unbindStore(storage));
}

module.exports = { FAILURE, SUCCESS, bind, listenTo, subscribe };
