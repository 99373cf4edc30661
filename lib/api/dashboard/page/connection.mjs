// The events of the server. A connection that is lost is made again, later and later; one that is silent counts as lost.

const SILENT_MS = 5_000;
const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 10_000;
/**
 * A page that nobody has seen for so long gives its connection back: a browser has six for each server. That is as long as the server's
 * history goes back, so nothing is lost.
 */
const UNSEEN_MS = 900_000;
const URL = 'events';

/** @typedef {'connecting' | 'live' | 'lost' | 'closed' | 'refused' | 'resting'} State `resting`: nobody has seen the page for long */
/** @typedef {{ state: State, since: number, retryAt: number | null, reason: string }} Status */

export class Connection {
  #on;
  /** @type {EventSource | null} */
  #source = null;
  #retries = 0;
  #lastEvent = 0;
  #timer = 0;
  #unseen = 0;
  /** @type {Status} */
  status = { state: 'connecting', since: Date.now(), retryAt: null, reason: '' };

  /** @param {{ hello(data: any): void, sample(data: any): void, status(status: Status): void }} on */
  constructor(on) {
    this.#on = on;
    document.addEventListener('visibilitychange', () => this.#onVisibility());
    globalThis.addEventListener('online', () => this.retry());
    setInterval(() => this.#checkSilence(), 1_000);
    this.#open();
  }

  /** Tries at once. */
  retry() {
    if (this.status.state === 'live') return;
    this.#retries = 0;
    this.#open();
  }

  #open() {
    clearTimeout(this.#timer);
    this.#source?.close();
    const source = new EventSource(URL);
    this.#source = source;
    this.#lastEvent = performance.now();
    /** @param {string} name @param {(data: any) => void} handle */
    const listen = (name, handle) =>
      source.addEventListener(name, (event) => {
        if (this.#source !== source) return;
        this.#lastEvent = performance.now();
        handle(JSON.parse(/** @type {MessageEvent} */ (event).data));
      });
    listen('hello', (data) => {
      this.#on.hello(data);
      // The event `closed` follows.
      if (data.closed) return;
      this.#retries = 0;
      this.#tell('live');
    });
    listen('sample', (data) => {
      if (this.status.state === 'live') this.#on.sample(data);
    });
    listen('closed', () => this.#lose('closed', ''));
    source.onerror = () => {
      if (this.#source === source) void this.#onError();
    };
  }

  async #onError() {
    if (this.status.state === 'closed') return this.#lose('closed', '');
    this.#lose('lost', '');
    // EventSource does not say why: a request of our own does.
    const status = await fetch(URL, { method: 'HEAD', cache: 'no-store' }).then(
      (response) => response.status,
      () => 0,
    );
    if (this.#source !== null) return;
    if (status === 401 || status === 403) this.#lose('refused', `The server has refused this page (${status}).`);
    else if (status >= 400) this.#lose('lost', `The server has answered with ${status}.`);
  }

  /** @param {State} state @param {string} reason */
  #lose(state, reason) {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
    const delay = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 1.6 ** this.#retries++) * (0.8 + Math.random() * 0.4);
    this.#timer = setTimeout(() => this.#open(), delay);
    this.#tell(state, reason, Date.now() + delay);
  }

  #checkSilence() {
    if (document.hidden || this.#source === null) return;
    if (performance.now() - this.#lastEvent > SILENT_MS) this.#lose('lost', 'Nothing has come for some seconds.');
  }

  #onVisibility() {
    clearTimeout(this.#unseen);
    if (!document.hidden) {
      if (this.#source === null) this.retry();
      // Timers and events of a page in the background may have been held back.
      else this.#lastEvent = performance.now();
      return;
    }
    this.#unseen = setTimeout(() => {
      clearTimeout(this.#timer);
      this.#source?.close();
      this.#source = null;
      this.#tell('resting');
    }, UNSEEN_MS);
  }

  /** @param {State} state @param {string} [reason] @param {number | null} [retryAt] */
  #tell(state, reason = '', retryAt = null) {
    const since = state === this.status.state ? this.status.since : Date.now();
    this.status = { state, since, retryAt, reason };
    this.#on.status(this.status);
  }
}
