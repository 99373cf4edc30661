// The page: takes the events of the server, and shows what they say. connection.mjs has the events, store.mjs what is known of them;
// health.mjs, tiles.mjs, nodes.mjs, charts.mjs, failovers.mjs, errors.mjs and pool.mjs show a part each.

import { makeCharts } from './charts.mjs';
import { Connection } from './connection.mjs';
import { byId, setAttribute, setText } from './dom.mjs';
import { showErrors } from './errors.mjs';
import { showFailovers } from './failovers.mjs';
import { clock } from './format.mjs';
import { announce, showHealth } from './health.mjs';
import { showNodes } from './nodes.mjs';
import { showPool } from './pool.mjs';
import { settings } from './settings.mjs';
import { Store } from './store.mjs';
import { showTiles } from './tiles.mjs';

/** Of the events; feed.js has the same. */
const VERSION = 1;
const LIVE = {
  connecting: 'Connecting',
  live: 'Live',
  lost: 'Not connected',
  closed: 'Pool closed',
  refused: 'Refused',
  resting: 'Resting',
};

const store = new Store();
const charts = makeCharts(store);
/** @type {string | null} */
let name = null;
let isPaused = false;
/** @type {import('./connection.mjs').Status | null} */
let status = null;
let isDrawing = false;

function draw() {
  isDrawing = false;
  const { sample } = store;
  if (sample === null || isPaused) return;
  if (status?.state === 'live') showHealth(sample, name);
  showTiles(sample);
  showNodes(sample.nodes);
  showFailovers(sample);
  showErrors(sample, store.minutes);
  showPool(sample);
  for (const chart of charts) chart.update();
}

/** Once a frame: of a page that nobody sees only the title is looked at. */
function drawSoon() {
  if (document.hidden && store.sample !== null && status?.state === 'live' && !isPaused) showHealth(store.sample, name);
  if (isDrawing) return;
  isDrawing = true;
  requestAnimationFrame(draw);
}

/** What stands above the figures while no new ones come. */
function showStatus() {
  if (status === null) return;
  const { state, reason, retryAt } = status;
  document.body.dataset.connection = isPaused && state === 'live' ? 'paused' : state;
  setText(byId('live-text'), isPaused && state === 'live' ? 'Paused' : LIVE[state]);
  const isDown = state === 'lost' || state === 'refused' || state === 'closed';
  byId('notice').hidden = !isDown;
  if (state === 'resting') document.title = name ?? 'hyperiondb';
  if (!isDown) return;
  const old =
    store.sample === null ? 'There are no figures yet.' : `The figures are those of ${clock(store.sample.at)}.`;
  const wait = retryAt === null ? 0 : Math.max(0, Math.ceil((retryAt - Date.now()) / 1000));
  const again = wait > 0 ? `Trying again in ${wait} s.` : 'Trying again.';
  const titles = { closed: 'The pool is closed.', refused: 'This page may not see the figures.' };
  const title = state === 'closed' || state === 'refused' ? titles[state] : 'Not connected.';
  const cure =
    state === 'refused' ? 'Open the address with the token again: it was printed when the server was started.' : again;
  setText(byId('notice-title'), title);
  setText(byId('notice-text'), [reason, old, cure].filter(Boolean).join(' '));
  setAttribute(byId('health'), 'data-level', 'wait');
  setAttribute(byId('health-icon'), 'href', '#icon-wait');
  document.title = `! ${title.replace('.', '')} · ${name ?? 'hyperiondb'}`;
  announce(title);
}

settings({
  minutes(value) {
    store.minutes = value;
    drawSoon();
  },
  colours() {
    for (const chart of charts) chart.recolour();
  },
  pause(value) {
    isPaused = value;
    showStatus();
    drawSoon();
  },
});

const connection = new Connection({
  hello(data) {
    // A page of before an update of the server.
    if (data.version !== VERSION) return location.reload();
    name = data.name;
    setText(byId('name'), name ?? '');
    store.hello(data);
    drawSoon();
  },
  sample(data) {
    store.add(data);
    drawSoon();
  },
  status(next) {
    status = next;
    showStatus();
    drawSoon();
  },
});
byId('retry').addEventListener('click', () => connection.retry());
// The seconds until the next attempt.
setInterval(showStatus, 1_000);
