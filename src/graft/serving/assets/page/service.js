// @ts-check
/**
 * Speaking to the service: what it says of itself, and its answer to one photo.
 *
 * Addresses are relative to the page, so that it also works below a path of a proxy.
 *
 * @typedef {{label: string, probability: number}} Guess  probability in [0, 1]
 */

import { byteSize } from "./words.js";

const MAX_TRIES = 10; // for a photo that a busy service turned away
const MAX_WAIT_SECONDS = 60; // longest pause between two tries, whatever Retry-After says
const ANSWER_SECONDS = 120; // uploading included; a service that needs longer is taken for lost
const ABOUT_SECONDS = 10; // photos wait for it
const SENTENCES = /** @type {Record<number, string>} */ ({
  413: "This photo is larger than the service takes. A smaller copy will do.",
  415: "The service does not take this kind of file.",
  422: "This file could not be read as a photo. It may be damaged, or no photo at all.",
  429: "The service is too busy at the moment.",
  503: "The service is not ready at the moment.",
});

/** A photo that got no answer. `again`: another try may help; `lost`: the service cannot be reached at all. */
export class Refusal extends Error {
  /** @param {string} sentence @param {{again?: boolean, lost?: boolean}} [how] */
  constructor(sentence, { again = false, lost = false } = {}) {
    super(sentence);
    this.again = again;
    this.lost = lost;
  }
}

/** @returns {Promise<any>} the service's own description; null where it could not be read */
export async function readAbout() {
  try {
    const signal = AbortSignal.timeout(ABOUT_SECONDS * 1000);
    const reply = await fetch("about", { headers: { accept: "application/json" }, signal });
    return reply.ok ? await reply.json() : null;
  } catch {
    return null;
  }
}

/** @param {File} file @param {number} limit in bytes @throws {Refusal} for what need not be sent */
export async function check(file, limit) {
  if (file.size > limit) {
    const sizes = `It has ${byteSize(file.size)}, and the service takes at most ${byteSize(limit)}.`;
    throw new Refusal(`This photo is too large. ${sizes} A smaller copy will do.`);
  }
  try {
    await file.slice(0, 1).arrayBuffer();
  } catch {
    throw new Refusal("This file could not be read from the disk. It may be a folder, or have been moved.");
  }
  if (file.size === 0) throw new Refusal("This file is empty.");
}

/**
 * Ask as often as a busy service needs.
 * @param {File} file @param {AbortSignal} signal
 * @param {(left: number, seconds: number) => void} count told each second how many are `left` until the next try
 * @returns {Promise<Guess[]>} best first, at least one
 */
export async function send(file, signal, count) {
  for (let attempt = 1; ; attempt += 1) {
    const reply = await post(file, signal);
    if (reply.ok) return readGuesses(reply);
    const seconds = pauseSeconds(reply);
    if (seconds === null || attempt === MAX_TRIES) throw await refusalOf(reply);
    for (let left = seconds; left > 0 && !signal.aborted; left -= 1) {
      count(left, seconds);
      await new Promise((done) => setTimeout(done, 1000));
    }
  }
}

/** @param {File} file @param {AbortSignal} signal @returns {Promise<Response>} */
async function post(file, signal) {
  const clock = AbortSignal.timeout(ANSWER_SECONDS * 1000);
  const type = file.type.startsWith("image/") ? file.type : "application/octet-stream"; // what it is, the service says
  const headers = { "content-type": type, accept: "application/json" };
  try {
    const either = AbortSignal.any([signal, clock]);
    return await fetch("predict", { method: "POST", body: file, headers, signal: either });
  } catch {
    if (clock.aborted) throw new Refusal(`No answer came within ${ANSWER_SECONDS} seconds.`, { again: true });
    throw new Refusal("The service cannot be reached. Is it still running?", { again: true, lost: true });
  }
}

/** @param {Response} reply @returns {number | null} seconds until the next try; null where none would help */
function pauseSeconds(reply) {
  const stated = reply.headers.get("retry-after");
  if (reply.status !== 429 && !(reply.status === 503 && stated)) return null;
  const seconds = Number(stated ?? 1);
  const left = Number.isFinite(seconds) ? seconds : (Date.parse(stated ?? "") - Date.now()) / 1000;
  return Math.min(MAX_WAIT_SECONDS, Math.max(1, Math.ceil(left || 1)));
}

/** @param {Response} reply @returns {Promise<Guess[]>} */
async function readGuesses(reply) {
  const body = await reply.json().catch(() => null);
  const guesses = Array.isArray(body?.top) ? body.top.map(asGuess) : [];
  if (guesses.length === 0 || !guesses.every((/** @type {Guess} */ guess) => guess.probability >= 0)) {
    throw new Refusal("The service's answer could not be understood.");
  }
  return guesses;
}

/** @param {any} item @returns {Guess} */
const asGuess = (item) => ({ label: String(item?.label), probability: Number(item?.probability ?? NaN) });

/** @param {Response} reply @returns {Promise<Refusal>} in the service's own words where it has some */
async function refusalOf(reply) {
  const body = await reply.json().catch(() => null);
  const own = typeof body?.error === "string" ? body.error.trim() : "";
  const sentence = own || SENTENCES[reply.status] || `The service answered with an error (status ${reply.status}).`;
  return new Refusal(sentence, { again: reply.status === 429 || reply.status >= 500 });
}
