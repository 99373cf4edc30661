'use strict';

// When the event loop has its turn while a large result is read: in slices of SLICE_MS, so that the loop never stalls for longer.
//
// V8 collects garbage in tasks of the loop, too, and when all objects survive, as rows do, its collections come in pairs: one in a
// task, and one as soon as more rows are made. So the loop makes one turn between two slices, and one more if that turn took long:
// timers that are due run between the two collections. What the core reports in the middle of a turn waits for its end, because
// setImmediate() leads to the end of the same turn from there.

const SLICE_MS = 4;

class Slices {
  /** @param {() => void} read reads what is there, and calls pause() if a slice is over before the end */
  constructor(read) {
    this.read = read;
    /** Whether the last slice was a part of a large result. */
    this.isLarge = false;
    this.pausedAt = 0;
    this.goOn = () => {
      if (performance.now() - this.pausedAt > SLICE_MS) setImmediate(this.read);
      else this.read();
    };
    this.endOfTurn = () => this.pause();
  }

  /** There is something to read. */
  wake() {
    if (this.isLarge) setImmediate(this.endOfTurn);
    else this.read();
  }

  /** Begins a slice. Returns when it is over, by performance.now(). */
  begin() {
    this.isLarge = false;
    return performance.now() + SLICE_MS;
  }

  /** The next slice comes after a turn of the event loop. */
  pause() {
    this.pausedAt = performance.now();
    setImmediate(this.goOn);
  }
}

module.exports = { Slices };
