// @ts-check
/**
 * What the classifier is: which classes it tells apart, how good it is, and from when on it is sure.
 *
 * @typedef {{classes: string[], limit: number, threshold: number | null}} Known
 *   `limit`: the largest photo that is taken, in bytes; `threshold`: the probability from which an answer is sure
 */

import { at, make, named } from "./elements.js";
import { readAbout } from "./service.js";
import { clean, counted } from "./words.js";

const MAX_NAMED_CLASSES = 8; // classes named in the opening; more are folded up

/** @type {Promise<Known> | undefined} read once; photos wait for the same reply */
let reading;

/** @returns {Promise<Known>} what the service says of itself, told in the opening; every part may be missing */
export const known = () => (reading ??= introduce());

/** @returns {Promise<Known>} */
async function introduce() {
  const about = await readAbout();
  const classes = Array.isArray(about?.classes) ? about.classes.map(String) : [];
  if (about === null) {
    reading = undefined; // a service that was not ready may be so for the next photo
    at("about").textContent = "What this classifier knows could not be read. Photos can be sent all the same.";
  } else describe(about, classes);
  return { classes, limit: limitOf(about), threshold: isShare(about?.threshold) ? about.threshold : null };
}

/** @param {any} value @returns {boolean} */
const isShare = (value) => typeof value === "number" && value >= 0 && value <= 1;

/** @param {any} about @returns {number} Infinity where it names none */
function limitOf(about) {
  const limits = [about?.limits?.max_body_bytes, about?.limits?.max_bytes].map(Number);
  return Math.min(...limits.filter((bytes) => bytes > 0));
}

/** @param {any} about @param {string[]} classes */
function describe(about, classes) {
  const name = typeof about.name === "string" && about.name !== "classifier" ? about.name : "";
  at("name").textContent = clean(name);
  at("name").hidden = !name;
  at("about").replaceChildren(...opening(classes), ...howGood(about));
  at("caution").hidden = classes.length === 0;
  if (classes.length > MAX_NAMED_CLASSES) foldUp(classes);
}

/** @param {string[]} classes @returns {(Node | string)[]} one sentence */
function opening(classes) {
  if (classes.length === 0) return ["This classifier says what is in a photo."];
  if (classes.length > MAX_NAMED_CLASSES) return [`This classifier tells ${counted(classes.length, "class")} apart.`];
  const before = (/** @type {number} */ place) => (place === 0 ? "" : place === classes.length - 1 ? " and " : ", ");
  return ["This classifier tells ", ...classes.flatMap((name, place) => [before(place), quoted(name)]), " apart."];
}

/** @param {string} name @returns {HTMLElement} */
const quoted = (name) => make("span", "", "“", named(name), "”");

/** @param {any} about @returns {(Node | string)[]} one sentence, or none */
function howGood(about) {
  const accuracy = about.accuracy;
  const value = Number(accuracy?.value ?? accuracy ?? NaN);
  if (!(value >= 0 && value <= 1)) return [];
  const scored = Number(about.n_scored ?? accuracy.n ?? accuracy.on);
  const many = scored > 0 ? scored.toLocaleString("en") : "the";
  const photos = about.scored_on === "validation" ? "validation photos" : "photos it never saw";
  const interval = about.accuracy_interval ?? accuracy.interval;
  return [` Right on ${exact(value)}\u00a0% of ${many} ${photos}`, ...range(interval), "."];
}

/** @param {number} share @returns {string} percent as `graft show` says them: 100.0 only where it is all */
const exact = (share) => (100 * (share < 1 ? Math.min(share, 0.999) : share)).toFixed(1);

/** @param {any} interval [low, high] @returns {(Node | string)[]} in percent */
function range(interval) {
  const [low, high] = [Number(interval?.[0]), Number(interval?.[1])];
  if (!(low >= 0 && high <= 1)) return [];
  return [" ", make("span", "whole", `(${exact(low)}–${exact(high)}\u00a0%)`)];
}

/** @param {string[]} classes */
function foldUp(classes) {
  at("classes").querySelector("summary").textContent = `The ${counted(classes.length, "class")}`;
  at("classes").querySelector("ul").replaceChildren(...classes.map((name) => make("li", "", named(name))));
  at("classes").hidden = false;
}
