// @ts-check
/**
 * This visit: the photos that were answered, as small pictures. It ends with the tab.
 *
 * @typedef {{file: File, name: string, thumbnail: string, answer: import("./verdict.js").Answer | null}} Photo
 *   `thumbnail`: a blob's address
 */

import { at, drawn, make, named } from "./elements.js";
import { chance, clean } from "./words.js";

const THUMBNAIL_PIXELS = 160; // twice the size it is shown in, for fine screens

const state = {
  past: /** @type {Photo[]} */ ([]), // newest first
  thumbnails: Promise.resolve(), // made one after another: large photos need much memory
};

/** @param {Photo} photo answered @param {(photo: Photo) => void} choose called when the visitor wants to see it again */
export function remember(photo, choose) {
  state.past.unshift(photo);
  at("past").prepend(entry(photo, choose));
  at("history").hidden = false;
}

/** @returns {Photo | undefined} */
export const newest = () => state.past[0];

/** Which of the past photos is the one above. @param {Photo} shown */
export function mark(shown) {
  state.past.forEach((photo, place) => {
    const button = at("past").children[place]?.firstElementChild;
    photo === shown ? button?.setAttribute("aria-current", "true") : button?.removeAttribute("aria-current");
  });
}

/** Forget this visit's photos and answers. */
export function forgetPast() {
  for (const photo of state.past) URL.revokeObjectURL(photo.thumbnail);
  state.past = [];
  at("past").replaceChildren();
  at("history").hidden = true;
}

/** @param {Photo} photo @param {(photo: Photo) => void} choose @returns {HTMLElement} a button that shows it again */
function entry(photo, choose) {
  const image = document.createElement("img");
  image.alt = "";
  const button = make("button", "", image, ...caption(photo));
  button.setAttribute("type", "button");
  button.addEventListener("click", () => choose(photo));
  state.thumbnails = state.thumbnails.then(() => thumbnail(photo, image)).catch(() => undefined);
  return make("li", "", button);
}

/** @param {Photo} photo @returns {(Node | string)[]} */
function caption({ name, answer }) {
  if (!answer) return [];
  const amount = `${answer.sure ? "" : "not sure, "}${chance(answer.top[0].probability)}`;
  const file = make("span", "hidden", ` ${clean(name)}`);
  return [named(answer.top[0].label), " ", make("span", "quiet", amount), file];
}

/**
 * A small square copy, so that a hundred large photos do not stay decoded.
 * @param {Photo} photo
 * @param {HTMLImageElement} image where it is shown
 */
async function thumbnail(photo, image) {
  const bitmap = await createImageBitmap(photo.file);
  const side = Math.min(bitmap.width, bitmap.height);
  const [left, top] = [(bitmap.width - side) / 2, (bitmap.height - side) / 2];
  const blob = await drawn(THUMBNAIL_PIXELS, THUMBNAIL_PIXELS, (context) => {
    context.drawImage(bitmap, left, top, side, side, 0, 0, THUMBNAIL_PIXELS, THUMBNAIL_PIXELS);
    bitmap.close();
  });
  if (state.past.includes(photo)) photo.thumbnail = image.src = URL.createObjectURL(blob);
}
