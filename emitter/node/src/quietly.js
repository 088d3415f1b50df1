'use strict';

/** Does work of the emitter's own: its faults never reach the app. Undefined where there was one. */
function quietly(work) {
  try {
    return work();
  } catch {
    return undefined;
  }
}

module.exports = { quietly };
