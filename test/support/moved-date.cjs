// Preloaded into a broker: its wall clock is off by as many milliseconds as the file says that
// MOVED_DATE_FILE names, which is read again twenty times a second. Timers and performance.now() go
// on as they were, as on a machine whose clock is set.
const { readFileSync } = require('node:fs');

const RealDate = Date;
let offMs = 0;

function look() {
  try {
    offMs = Number(readFileSync(process.env.MOVED_DATE_FILE, 'utf8')) || 0;
  } catch {
    // Not moved yet.
  }
}

class MovedDate extends RealDate {
  constructor(...parts) {
    if (parts.length === 0) super(RealDate.now() + offMs);
    else super(...parts);
  }

  static now() {
    return RealDate.now() + offMs;
  }
}

look();
setInterval(look, 50).unref();
globalThis.Date = MovedDate;
