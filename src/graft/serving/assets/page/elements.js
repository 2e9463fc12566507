// @ts-check
/**
 * The page's elements: found, made, spoken, scrolled to.
 *
 * Nothing that comes from outside (labels, file names, error sentences) is ever read as HTML: texts are set as text.
 */

import { clean } from "./words.js";

const JPEG_QUALITY = 0.92;

/** @param {string} id @returns {any} the element with that id; its kind is known to who asks */
export const at = (id) => document.getElementById(id);

/** @param {string} name @returns {HTMLElement} a name from outside: as text, in its own direction */
export function named(name) {
  const element = document.createElement("bdi");
  element.dir = "auto";
  element.textContent = clean(name);
  return element;
}

/** @param {string} tag @param {string} kind @param {...(Node | string)} content @returns {HTMLElement} */
export function make(tag, kind, ...content) {
  const element = document.createElement(tag);
  element.className = kind;
  element.append(...content);
  return element;
}

/** Say something to a screen reader once it has finished speaking. @param {string} sentence */
export function announce(sentence) {
  at("status").textContent = sentence;
}

/** Scroll to `whole` where `part` of it is out of sight, as on a phone. @param {string} whole @param {string} part */
export async function bringIntoView(whole, part) {
  await at("photo").decode().catch(() => null); // what it leaves of the window is known only now
  const box = at(part).getBoundingClientRect();
  if (box.top >= 0 && box.bottom <= innerHeight) return;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  at(whole).scrollIntoView({ block: "start", behavior: still ? "auto" : "smooth" });
}

/**
 * @param {number} width @param {number} height in pixels
 * @param {(context: CanvasRenderingContext2D) => void} draw
 * @returns {Promise<Blob>} what `draw` draws, as a JPEG file
 */
export function drawn(width, height, draw) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d");
  if (context) draw(context);
  return new Promise((done, fail) => {
    canvas.toBlob((blob) => (blob ? done(blob) : fail(new Error("no picture"))), "image/jpeg", JPEG_QUALITY);
  });
}
