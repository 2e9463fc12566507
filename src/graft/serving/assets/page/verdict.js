// @ts-check
/**
 * From probabilities to words: whether an answer is sure, and what is said of it.
 *
 * @typedef {import("./service.js").Guess} Guess
 * @typedef {{sure: boolean, top: Guess[], others: number, threshold: number | null}} Answer
 *   `top`: the likeliest classes, best first; `others`: how many classes are not among them
 */

import { named } from "./elements.js";
import { chance, percent } from "./words.js";

const MAX_BARS = 5; // beside a photo, without scrolling
const SURE = 0.6; // without a threshold; probabilities are calibrated: below this, about every other answer is wrong
const RIVAL = 0.5; // without a threshold, a second class more than half as likely as the first is no clear answer

/** @param {Guess[]} guesses best first @param {import("./classifier.js").Known} known @returns {Answer} */
export function judged(guesses, { classes, threshold }) {
  const top = guesses.slice(0, MAX_BARS);
  return { sure: isSure(top, threshold), top, others: Math.max(0, classes.length - top.length), threshold };
}

/** @param {Guess[]} top @param {number | null} threshold @returns {boolean} */
function isSure([first, second], threshold) {
  if (threshold !== null) return first.probability >= threshold;
  return first.probability >= SURE && (second?.probability ?? 0) <= RIVAL * first.probability;
}

/** @param {Answer} answer @returns {(Node | string)[]} what is in the photo */
export function verdict({ sure, top: [first, second] }) {
  if (sure) return [named(first.label)];
  if (!second) return ["Not sure: maybe ", named(first.label)];
  const other = first.probability + second.probability < SURE ? ", or something else" : "";
  return ["Not sure: maybe ", named(first.label), " or ", named(second.label), other];
}

/** @param {Answer} answer @returns {string} how sure it is, and why it is not */
export function verdictNote({ sure, top: [first], threshold }) {
  const share = chance(first.probability);
  if (sure) return `It is ${share} sure.`;
  if (threshold === null) return `Its best guess has ${share}. Take it as a hint, not as an answer.`;
  const needed = threshold > 0.999 ? percent(1) : percent(threshold);
  const just = share === needed ? "just under " : ""; // they differ in a decimal that is not shown
  return `Its best guess has ${just}${share}. Answers below ${needed} are too often wrong.`;
}
