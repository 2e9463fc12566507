// @ts-check
/**
 * The photo above, and its answer in words and bars.
 *
 * @typedef {import("./history.js").Photo} Photo
 * @typedef {import("./verdict.js").Answer} Answer
 */

import { announce, at, bringIntoView, make, named } from "./elements.js";
import { mark } from "./history.js";
import { verdict, verdictNote } from "./verdict.js";
import { chance, clean, counted } from "./words.js";

const LONG_VERDICT = 60; // letters; longer ones are set smaller

/** @type {Photo | null} the photo above */
let shown = null;

/** @returns {boolean} whether the photo above has its answer */
export const answerIsShown = () => Boolean(shown?.answer);

/** The photo without its answer, which takes a while. @param {Photo} photo */
export function showWaiting(photo) {
  showPhoto(photo);
  at("verdict").className = "verdict waiting";
  at("verdict").textContent = "Looking …";
  at("verdict-note").textContent = "";
  at("bars").replaceChildren();
  at("rest").hidden = true;
}

/** The photo with its answer. @param {Photo} photo */
export function show(photo) {
  const answer = photo.answer;
  if (!answer) return;
  showPhoto(photo);
  at("verdict").replaceChildren(...verdict(answer));
  at("verdict").className = answer.sure ? "verdict calm" : "verdict";
  at("verdict").classList.toggle("long", at("verdict").textContent.length > LONG_VERDICT);
  at("verdict-note").textContent = verdictNote(answer);
  at("bars").replaceChildren(...answer.top.map(bar));
  showRest(answer);
}

/** Show the photo with its answer, and say it. @param {Photo} photo */
export function present(photo) {
  show(photo);
  announce(`${clean(photo.name)}: ${at("verdict").textContent}. ${at("verdict-note").textContent}`);
  void bringIntoView("answer", "verdict");
}

/** Nothing came of the photo above. */
export function hideAnswer() {
  at("answer").hidden = true;
}

/** Take the photo and its answer away. */
export function forgetAnswer() {
  if (at("photo").src) URL.revokeObjectURL(at("photo").src);
  at("photo").removeAttribute("src");
  at("photo").alt = "";
  shown = null;
  for (const id of ["photo-name", "verdict", "verdict-note", "bars", "rest"]) at(id).replaceChildren();
  hideAnswer();
  document.body.classList.remove("used");
}

/** A kind of picture that the service reads and the browser does not, as TIFF. */
export function showNoPhoto() {
  at("photo").hidden = true;
  at("no-photo").hidden = false;
}

/** @param {Photo} photo */
function showPhoto(photo) {
  const image = at("photo");
  if (shown !== photo || !image.src) {
    if (image.src) URL.revokeObjectURL(image.src);
    at("no-photo").hidden = true;
    image.hidden = false;
    image.src = URL.createObjectURL(photo.file);
  }
  shown = photo;
  image.alt = `The photo ${clean(photo.name)}`;
  at("photo-name").textContent = clean(photo.name);
  at("answer").hidden = false;
  document.body.classList.add("used");
  mark(photo);
}

/** @param {import("./service.js").Guess} guess @returns {HTMLElement} a row that reads "name 97 %"; the bar adds nothing */
function bar(guess) {
  const length = make("i", "");
  length.style.inlineSize = `${100 * Math.min(1, guess.probability)}%`;
  const track = make("span", "track", length);
  track.setAttribute("aria-hidden", "true");
  return make("li", "", named(guess.label), " ", make("span", "amount", chance(guess.probability)), track);
}

/** @param {Answer} answer */
function showRest({ top, others }) {
  const left = 1 - top.reduce((sum, guess) => sum + guess.probability, 0);
  at("rest").hidden = others < 1;
  const who = others === 1 ? "The other class has" : `The other ${counted(others, "class")} share`;
  at("rest").textContent = `${who} ${chance(left)}.`;
}
