// @ts-check
/**
 * What went wrong, in sentences.
 *
 * @typedef {import("./history.js").Photo} Photo
 * @typedef {{photo: Photo | null, text: string, again: boolean}} Failure  `again`: another try may help
 */

import { at, bringIntoView, make, named } from "./elements.js";
import { clean, counted } from "./words.js";

const MAX_SENTENCES = 5; // errors told one by one

/** @type {Failure[]} */
let failures = [];

/** @param {Photo} photo that got no answer @param {string} text @param {boolean} again */
export function addFailure(photo, text, again) {
  add({ photo, text, again });
}

/** Tell an error that belongs to no photo. @param {string} text */
export function note(text) {
  add({ photo: null, text, again: false });
  countMore();
}

/** Count the failures that are not told one by one: at the end only, or a screen reader would hear each number. */
export function countMore() {
  const more = failures.length - MAX_SENTENCES;
  at("alert").querySelector(".more")?.remove();
  if (more > 0) at("alert").append(make("p", "more", `${counted(more, "more photo")} without an answer.`));
}

/** @returns {File[]} the files that may succeed now */
export function worthAnotherTry() {
  return failures.flatMap(({ again, photo }) => (again && photo ? [photo.file] : []));
}

export function forgetFailures() {
  failures = [];
  at("alert").replaceChildren();
  showAlert();
}

/** @param {Failure} failure */
function add(failure) {
  failures.push(failure);
  if (failures.length <= MAX_SENTENCES) at("alert").append(sentenceOf(failure));
  showAlert();
  if (failures.length === 1) void bringIntoView("trouble", "trouble");
}

function showAlert() {
  at("trouble").hidden = failures.length === 0;
  at("again").hidden = worthAnotherTry().length === 0;
}

/** @param {Failure} failure @returns {HTMLElement} */
function sentenceOf({ photo, text }) {
  return make("p", "", ...(photo ? [make("b", "", named(photo.name), ":"), " "] : []), clean(text));
}
