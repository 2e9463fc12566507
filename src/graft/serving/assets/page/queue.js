// @ts-check
/**
 * The photos that wait for an answer: they go to the service one after another.
 *
 * @typedef {import("./history.js").Photo} Photo
 */

import { answerIsShown, hideAnswer, present, show, showWaiting } from "./answer.js";
import { known } from "./classifier.js";
import { announce, at, named } from "./elements.js";
import { addFailure, countMore, forgetFailures, note, worthAnotherTry } from "./failures.js";
import { newest, remember } from "./history.js";
import { check, Refusal, send } from "./service.js";
import { judged } from "./verdict.js";
import { clean, counted } from "./words.js";

const PATIENCE_MS = 250; // quicker answers replace the last one without a flicker

const state = {
  waiting: /** @type {Photo[]} */ ([]),
  asked: 0, // photos since the page was last idle; so are the next two
  begun: 0,
  answered: 0,
  stopping: /** @type {AbortController | null} */ (null), // set while photos are being sent
  looking: false, // the visitor chose an earlier photo: new answers do not push it away
};

/** Ask for the answers to these files, after those that still wait. @param {Iterable<File>} files */
export function ask(files) {
  const photos = [...files].map((file) => ({ file, name: file.name || "picture", thumbnail: "", answer: null }));
  if (photos.length === 0) return;
  if (!state.stopping) forgetFailures();
  state.waiting.push(...photos);
  state.asked += photos.length;
  state.looking = false;
  if (!state.stopping) void work();
}

/** Send once more what may succeed now. */
export function tryAgain() {
  const files = worthAnotherTry();
  forgetFailures();
  at("choose").focus();
  ask(files);
}

/** Send nothing more, and wait no longer. */
export function stop() {
  state.stopping?.abort();
}

/** Send what waits, one photo after another. */
async function work() {
  state.stopping = new AbortController();
  for (let photo = state.waiting.shift(); photo; photo = state.waiting.shift()) {
    state.begun += 1;
    showProgress(photo);
    await answerOne(photo, state.stopping.signal);
    if (state.stopping.signal.aborted) break;
  }
  rest();
}

/** @param {Photo} photo @param {AbortSignal} signal */
async function answerOne(photo, signal) {
  const patience = setTimeout(() => showPatience(photo), PATIENCE_MS);
  const busy = (/** @type {number} */ left, /** @type {number} */ seconds) => {
    clearTimeout(patience); // or its words would come after these
    showBusy(photo, left, seconds);
  };
  try {
    await check(photo.file, (await known()).limit);
    const guesses = await send(photo.file, signal, busy);
    photo.answer = judged(guesses, await known());
    state.answered += 1;
    remember(photo, lookBack);
    if (state.asked === 1) present(photo);
    else if (!state.looking) show(photo);
  } catch (error) {
    const refusal = error instanceof Refusal ? error : new Refusal(`The page has a defect: ${error}`);
    if (!signal.aborted) fail(photo, refusal);
  } finally {
    clearTimeout(patience);
  }
}

/** @param {Photo} photo @param {Refusal} refusal */
function fail(photo, refusal) {
  addFailure(photo, refusal.message, refusal.again);
  if (!refusal.lost) return;
  for (const other of state.waiting.splice(0)) addFailure(other, "It was not sent.", true);
}

/** All is sent, or the visitor stopped it, or the service is lost. */
function rest() {
  const missing = state.asked - state.answered;
  const lacking = missing ? `, ${missing} without an answer` : "";
  if (state.stopping?.signal.aborted) note(`Stopped: ${counted(missing, "photo")} without an answer.`);
  else if (state.asked > 1) announce(`${counted(state.answered, "photo")} answered${lacking}.`);
  state.stopping = null;
  state.waiting = [];
  state.asked = state.begun = state.answered = 0;
  if (document.activeElement === at("stop")) at("choose").focus(); // it goes away
  at("progress").hidden = true;
  at("progress-text").replaceChildren();
  countMore();
  if (answerIsShown()) return;
  const last = newest();
  last ? show(last) : hideAnswer();
}

/** @param {Photo} photo */
function lookBack(photo) {
  state.looking = state.stopping !== null;
  present(photo);
}

/** @param {Photo} photo */
function showProgress(photo) {
  const many = state.asked > 1;
  const before = many ? `Photo ${state.begun} of ${state.asked}: ` : "Looking at ";
  at("progress-text").replaceChildren(before, named(photo.name), " …");
  at("progress-bar").hidden = !many;
  at("progress-bar").max = state.asked;
  at("progress-bar").value = state.begun - 1;
  at("progress").hidden = false;
}

/** @param {Photo} photo */
function showPatience(photo) {
  if (state.looking) return;
  showWaiting(photo);
  if (state.asked === 1) announce(`Looking at ${clean(photo.name)}.`);
}

/** @param {Photo} photo @param {number} left @param {number} seconds */
function showBusy(photo, left, seconds) {
  if (left === seconds) {
    showPatience(photo);
    announce(`The service is busy. Trying again in ${counted(seconds, "second")}.`);
  }
  at("progress-text").replaceChildren(`The service is busy. Trying again in ${left}\u00a0s …`);
}
