'use strict';
// What is captured at all: lists of what is let in and what is kept out (C-2.1).

/** Lets in what `only` lists, all where it is empty, and nothing that `skip` lists. A `*` at an item's end stands for any characters. */
class Filter {
  #only;
  #skip;
  /** Whether it lets everything in. */
  isOpen;

  constructor(only, skip) {
    this.#only = only.map(matcher);
    this.#skip = skip.map(matcher);
    this.isOpen = only.length + skip.length === 0;
  }

  /** Whether a text is let in. */
  lets(text) {
    if (this.isOpen) return true;
    return (this.#only.length === 0 || this.#only.some((fits) => fits(text))) && !this.#skip.some((fits) => fits(text));
  }
}

function matcher(item) {
  if (!item.endsWith('*')) return (text) => text === item;
  const start = item.slice(0, -1);
  return (text) => text.startsWith(start);
}

module.exports = { Filter };
