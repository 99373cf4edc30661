// Colours and dashes of the lines. Each line has both, so that colour alone never tells them apart.

/** Of page.css: --line-1 and so on. */
const COLOURS = 8;
/** In pixels: drawn, left out. parts.css draws the same for the legend. */
const DASHES = [[], [8, 3], [3, 2], [10, 3, 2, 3], [5, 4], [13, 3], [3, 4], [8, 2, 2, 2, 2, 2]];

/** The number of a line, from 1, as page.css has it. @param {number} index */
export const lineOf = (index) => String((index % COLOURS) + 1);

/** @param {number} index @returns {number[]} */
export const dashOf = (index) => DASHES[index % DASHES.length];

/** @param {string} name of a custom property */
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
