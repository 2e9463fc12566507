// @ts-check
/**
 * The page of `graft serve`: photos go to the service one after another, and its answers are shown in words and bars.
 *
 * Nothing that comes from outside (labels, file names, error sentences) is ever read as HTML: texts are set as text.
 * Addresses are relative, so that the page also works below a path of a proxy.
 *
 * @typedef {{label: string, probability: number}} Guess  probability in [0, 1]
 * @typedef {{sure: boolean, top: Guess[]}} Answer  `top`: the likeliest classes, best first
 * @typedef {{file: File, name: string, thumbnail: string, answer: Answer | null}} Photo  `thumbnail`: a blob's address
 * @typedef {{photo: Photo | null, text: string, again: boolean}} Failure  `again`: another try may help
 * @typedef {{classes: string[], limit: number}} Known  `limit`: the largest photo that is taken, in bytes
 */

const MAX_BARS = 5; // beside a photo, without scrolling
const SURE = 0.6; // probabilities are calibrated: below this, about every other answer is wrong
const RIVAL = 0.5; // a second class more than half as likely as the first is no clear answer
const MAX_TRIES = 10; // for a photo that a busy service turned away
const MAX_WAIT_SECONDS = 60; // longest pause between two tries, whatever Retry-After says
const ANSWER_SECONDS = 120; // uploading included; a service that needs longer is taken for lost
const PATIENCE_MS = 250; // quicker answers replace the last one without a flicker
const JPEG_QUALITY = 0.92; // of the camera's pictures
const THUMBNAIL_PIXELS = 160; // twice the size it is shown in, for fine screens
const LONG_VERDICT = 60; // letters; longer ones are set smaller
const MAX_SENTENCES = 5; // errors told one by one
const MAX_NAMED_CLASSES = 8; // classes named in the opening; more are folded up
const SENTENCES = /** @type {Record<number, string>} */ ({
  413: "This photo is larger than the service takes. A smaller copy will do.",
  415: "The service does not take this kind of file.",
  422: "This file could not be read as a photo. It may be damaged, or no photo at all.",
  429: "The service is too busy at the moment.",
  503: "The service is not ready at the moment.",
});

/** A photo that got no answer. `again`: another try may help; `lost`: the service cannot be reached at all. */
class Refusal extends Error {
  /** @param {string} sentence @param {{again?: boolean, lost?: boolean}} [how] */
  constructor(sentence, { again = false, lost = false } = {}) {
    super(sentence);
    this.again = again;
    this.lost = lost;
  }
}

/** What this visit knows; it ends with the tab. */
const state = {
  known: /** @type {Known} */ ({ classes: [], limit: Infinity }),
  waiting: /** @type {Photo[]} */ ([]),
  past: /** @type {Photo[]} */ ([]),
  failures: /** @type {Failure[]} */ ([]),
  asked: 0, // photos since the page was last idle; so are the next two
  begun: 0,
  answered: 0,
  stopping: /** @type {AbortController | null} */ (null), // set while photos are being sent
  shown: /** @type {Photo | null} */ (null),
  looking: false, // the visitor chose an earlier photo: new answers do not push it away
  camera: /** @type {MediaStream | null} */ (null),
  opening: false, // the browser asks whether the camera may be used
  pictures: 0,
  thumbnails: Promise.resolve(), // made one after another: large photos need much memory
};

// ---------------------------------------------------------------------------------------------------------------------
// Words

/** @param {string} id @returns {any} the element with that id; its kind is known to who asks */
const at = (id) => document.getElementById(id);

/** @param {string} text @returns {string} control and direction characters made visible as one sign */
function clean(text) {
  return text.replace(/[\p{Cc}\p{Cs}\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]/gu, "\ufffd");
}

/** @param {number} share @returns {string} "97 %", "99.6 %"; all or nothing only where it is */
function percent(share) {
  if (share !== 0 && share !== 1 && (share < 0.001 || share > 0.999)) return chance(share);
  const round = share === 0 || share === 1 || (share >= 0.01 && share <= 0.99);
  return `${(share * 100).toFixed(round ? 0 : 1)}\u00a0%`;
}

/** @param {number} probability @returns {string} as `percent`, but nothing is ever certain: a 1 is a rounded number */
function chance(probability) {
  if (probability < 0.001) return "under 0.1\u00a0%";
  return probability > 0.999 ? "over 99.9\u00a0%" : percent(probability);
}

/** @param {number} bytes @returns {string} "5.2 MB" (1 MB = 1,000,000 bytes) */
function byteSize(bytes) {
  if (bytes < 1e6) return `${Math.max(1, Math.round(bytes / 1e3))}\u00a0kB`;
  return `${(bytes / 1e6).toFixed(bytes < 1e8 ? 1 : 0)}\u00a0MB`;
}

/** @param {number} number @param {string} noun @returns {string} "1 photo", "2,062 photos" */
function counted(number, noun) {
  const ending = number === 1 ? "" : noun.endsWith("s") ? "es" : "s";
  return `${number.toLocaleString("en")} ${noun}${ending}`;
}

/** @param {string} name @returns {HTMLElement} a name from outside: as text, in its own direction */
function named(name) {
  const element = document.createElement("bdi");
  element.dir = "auto";
  element.textContent = clean(name);
  return element;
}

/** @param {string} tag @param {string} kind @param {...(Node | string)} content @returns {HTMLElement} */
function make(tag, kind, ...content) {
  const element = document.createElement(tag);
  element.className = kind;
  element.append(...content);
  return element;
}

/** Say something to a screen reader once it has finished speaking. @param {string} sentence */
function announce(sentence) {
  at("status").textContent = sentence;
}

// ---------------------------------------------------------------------------------------------------------------------
// What the classifier is

/** Tell what the classifier knows and how good it is; without an answer, photos can be sent all the same. */
async function introduce() {
  try {
    const reply = await fetch("about", { headers: { accept: "application/json" } });
    if (!reply.ok) throw new Refusal(`status ${reply.status}`);
    describe(await reply.json());
  } catch {
    at("about").textContent = "What this classifier knows could not be read. Photos can be sent all the same.";
  }
}

/** @param {any} about the service's own description; every part may be missing */
function describe(about) {
  const classes = Array.isArray(about?.classes) ? about.classes.map(String) : [];
  const limits = [about?.limits?.max_body_bytes, about?.limits?.max_bytes].map(Number).filter((bytes) => bytes > 0);
  state.known = { classes, limit: Math.min(...limits) }; // of none: Infinity
  const name = typeof about?.name === "string" && about.name !== "classifier" ? about.name : "";
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
  const accuracy = about?.accuracy;
  const value = Number(accuracy?.value ?? accuracy ?? NaN);
  if (!(value >= 0 && value <= 1)) return [];
  const scored = Number(about.n_scored ?? accuracy.n ?? accuracy.on);
  const many = scored > 0 ? scored.toLocaleString("en") : "the";
  const photos = about.scored_on === "validation" ? "validation photos" : "photos it never saw";
  const interval = about.accuracy_interval ?? accuracy.interval;
  return [` Right on ${percent(value)} of ${many} ${photos}`, ...range(interval), "."];
}

/** @param {any} interval [low, high] @returns {(Node | string)[]} in whole percent, rounded outwards */
function range(interval) {
  const [low, high] = [Number(interval?.[0]), Number(interval?.[1])];
  if (!(low >= 0 && high <= 1)) return [];
  const text = `(${Math.floor(low * 100 + 1e-9)}–${Math.ceil(high * 100 - 1e-9)}\u00a0%)`;
  return [" ", make("span", "whole", text)];
}

/** @param {string[]} classes */
function foldUp(classes) {
  at("classes").querySelector("summary").textContent = `The ${counted(classes.length, "class")}`;
  at("classes").querySelector("ul").replaceChildren(...classes.map((name) => make("li", "", named(name))));
  at("classes").hidden = false;
}

// ---------------------------------------------------------------------------------------------------------------------
// Sending

/** Ask for the answers to these files, after those that still wait. @param {Iterable<File>} files */
function ask(files) {
  const photos = [...files].map((file) => ({ file, name: file.name || "picture", thumbnail: "", answer: null }));
  if (photos.length === 0) return;
  if (!state.stopping) forgetFailures();
  state.waiting.push(...photos);
  state.asked += photos.length;
  state.looking = false;
  if (!state.stopping) void work();
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
  const patience = setTimeout(() => showWaiting(photo), PATIENCE_MS);
  try {
    await check(photo.file);
    photo.answer = await send(photo.file, signal);
    state.answered += 1;
    remember(photo);
    if (state.asked === 1) present(photo);
    else if (!state.looking) show(photo);
  } catch (error) {
    const refusal = error instanceof Refusal ? error : new Refusal(`The page has a defect: ${error}`);
    if (!signal.aborted) failed(photo, refusal);
  } finally {
    clearTimeout(patience);
  }
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
  showMoreFailures();
  if (state.shown?.answer) return;
  state.past.length ? show(state.past[0]) : (at("answer").hidden = true);
}

/** @param {File} file @throws {Refusal} for what need not be sent */
async function check(file) {
  if (file.size > state.known.limit) {
    const sizes = `It has ${byteSize(file.size)}, and the service takes at most ${byteSize(state.known.limit)}.`;
    throw new Refusal(`This photo is too large. ${sizes} A smaller copy will do.`);
  }
  try {
    await file.slice(0, 1).arrayBuffer();
  } catch {
    throw new Refusal("This file could not be read from the disk. It may be a folder, or have been moved.");
  }
  if (file.size === 0) throw new Refusal("This file is empty.");
}

/** Ask as often as a busy service needs. @param {File} file @param {AbortSignal} signal @returns {Promise<Answer>} */
async function send(file, signal) {
  for (let attempt = 1; ; attempt += 1) {
    const reply = await post(file, signal);
    if (reply.ok) return readAnswer(reply);
    const seconds = pauseSeconds(reply);
    if (seconds === null || attempt === MAX_TRIES) throw await refusalOf(reply);
    await pause(seconds, signal);
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

/** Count the seconds down. @param {number} seconds @param {AbortSignal} signal */
async function pause(seconds, signal) {
  announce(`The service is busy. Trying again in ${counted(seconds, "second")}.`);
  for (let left = seconds; left > 0 && !signal.aborted; left -= 1) {
    at("progress-text").replaceChildren(`The service is busy. Trying again in ${left}\u00a0s …`);
    await new Promise((done) => setTimeout(done, 1000));
  }
}

/** @param {Response} reply @returns {Promise<Answer>} */
async function readAnswer(reply) {
  const body = await reply.json().catch(() => null);
  const guesses = Array.isArray(body?.top) ? body.top.map(asGuess) : [];
  if (guesses.length === 0 || !guesses.every((/** @type {Guess} */ guess) => guess.probability >= 0)) {
    throw new Refusal("The service's answer could not be understood.");
  }
  return { sure: isSure(guesses), top: guesses.slice(0, MAX_BARS) };
}

/** @param {any} item @returns {Guess} */
const asGuess = (item) => ({ label: String(item?.label), probability: Number(item?.probability ?? NaN) });

/** @param {Guess[]} top @returns {boolean} true where one class is likely and no other is near */
function isSure([first, second]) {
  return first.probability >= SURE && (second?.probability ?? 0) <= RIVAL * first.probability;
}

/** @param {Response} reply @returns {Promise<Refusal>} in the service's own words where it has some */
async function refusalOf(reply) {
  const body = await reply.json().catch(() => null);
  const own = typeof body?.error === "string" ? body.error.trim() : "";
  const sentence = own || SENTENCES[reply.status] || `The service answered with an error (status ${reply.status}).`;
  return new Refusal(sentence, { again: reply.status === 429 || reply.status >= 500 });
}

// ---------------------------------------------------------------------------------------------------------------------
// Failures

/** @param {Photo} photo @param {Refusal} refusal */
function failed(photo, refusal) {
  addFailure({ photo, text: refusal.message, again: refusal.again });
  if (!refusal.lost) return;
  for (const other of state.waiting.splice(0)) addFailure({ photo: other, text: "It was not sent.", again: true });
}

/** Tell an error that belongs to no photo. @param {string} text */
function note(text) {
  addFailure({ photo: null, text, again: false });
}

function forgetFailures() {
  state.failures = [];
  at("alert").replaceChildren();
  showAlert();
}

/** @param {Failure} failure */
function addFailure(failure) {
  state.failures.push(failure);
  if (state.failures.length <= MAX_SENTENCES) at("alert").append(sentenceOf(failure));
  showAlert();
  if (!state.stopping) showMoreFailures();
  if (state.failures.length === 1) void bringIntoView("trouble", "trouble");
}

/** Count the failures that are not told one by one: at the end only, or a screen reader would hear each number. */
function showMoreFailures() {
  const more = state.failures.length - MAX_SENTENCES;
  at("alert").querySelector(".more")?.remove();
  if (more > 0) at("alert").append(make("p", "more", `${counted(more, "more photo")} without an answer.`));
}

function showAlert() {
  at("trouble").hidden = state.failures.length === 0;
  at("again").hidden = !state.failures.some((failure) => failure.again);
}

/** @param {Failure} failure @returns {HTMLElement} */
function sentenceOf({ photo, text }) {
  return make("p", "", ...(photo ? [make("b", "", named(photo.name), ":"), " "] : []), clean(text));
}

/** Send once more what may succeed now. */
function tryAgain() {
  const files = state.failures.flatMap((failure) => (failure.again && failure.photo ? [failure.photo.file] : []));
  forgetFailures();
  at("choose").focus();
  ask(files);
}

// ---------------------------------------------------------------------------------------------------------------------
// Showing

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

/** The photo without its answer, which takes a while. @param {Photo} photo */
function showWaiting(photo) {
  if (state.looking) return;
  showPhoto(photo);
  at("verdict").className = "verdict waiting";
  at("verdict").textContent = "Looking …";
  at("verdict-note").textContent = "";
  at("bars").replaceChildren();
  at("rest").hidden = true;
  if (state.asked === 1) announce(`Looking at ${clean(photo.name)}.`);
}

/** The photo with its answer. @param {Photo} photo */
function show(photo) {
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
function present(photo) {
  show(photo);
  announce(`${clean(photo.name)}: ${at("verdict").textContent}. ${at("verdict-note").textContent}`);
  void bringIntoView("answer", "verdict");
}

/** @param {Answer} answer @returns {(Node | string)[]} */
function verdict({ sure, top: [first, second] }) {
  if (sure) return [named(first.label)];
  if (!second) return ["Not sure: maybe ", named(first.label)];
  const other = first.probability + second.probability < SURE ? ", or something else" : "";
  return ["Not sure: maybe ", named(first.label), " or ", named(second.label), other];
}

/** @param {Answer} answer @returns {string} */
function verdictNote({ sure, top: [first] }) {
  const share = chance(first.probability);
  return sure ? `It is ${share} sure.` : `Its best guess has ${share}. Take it as a hint, not as an answer.`;
}

/** @param {Guess} guess @returns {HTMLElement} a row that reads "name 97 %"; the bar itself says nothing more */
function bar(guess) {
  const length = make("i", "");
  length.style.inlineSize = `${100 * Math.min(1, guess.probability)}%`;
  const track = make("span", "track", length);
  track.setAttribute("aria-hidden", "true");
  return make("li", "", named(guess.label), " ", make("span", "amount", chance(guess.probability)), track);
}

/** @param {Answer} answer */
function showRest({ top }) {
  const others = state.known.classes.length - top.length;
  const left = 1 - top.reduce((sum, guess) => sum + guess.probability, 0);
  at("rest").hidden = others < 1;
  const who = others === 1 ? "The other class has" : `The other ${counted(others, "class")} share`;
  at("rest").textContent = `${who} ${chance(left)}.`;
}

/** @param {Photo} photo */
function showPhoto(photo) {
  const image = at("photo");
  if (state.shown !== photo || !image.src) {
    if (image.src) URL.revokeObjectURL(image.src);
    at("no-photo").hidden = true;
    image.hidden = false;
    image.src = URL.createObjectURL(photo.file);
  }
  state.shown = photo;
  image.alt = `The photo ${clean(photo.name)}`;
  at("photo-name").textContent = clean(photo.name);
  at("answer").hidden = false;
  document.body.classList.add("used");
  markShown();
}

/** A kind of picture that the service reads and the browser does not, as TIFF. */
function showNoPhoto() {
  at("photo").hidden = true;
  at("no-photo").hidden = false;
}

/** Scroll to `whole` where `part` of it is out of sight, as on a phone. @param {string} whole @param {string} part */
async function bringIntoView(whole, part) {
  await at("photo").decode().catch(() => null); // what it leaves of the window is known only now
  const box = at(part).getBoundingClientRect();
  if (box.top >= 0 && box.bottom <= innerHeight) return;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  at(whole).scrollIntoView({ block: "start", behavior: still ? "auto" : "smooth" });
}

// ---------------------------------------------------------------------------------------------------------------------
// This visit

/** @param {Photo} photo */
function remember(photo) {
  state.past.unshift(photo);
  at("past").prepend(entry(photo));
  at("history").hidden = false;
}

/** @param {Photo} photo @returns {HTMLElement} a button that shows the photo again */
function entry(photo) {
  const image = document.createElement("img");
  image.alt = "";
  const button = make("button", "", image, ...caption(photo));
  button.setAttribute("type", "button");
  button.addEventListener("click", () => lookBack(photo));
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

/** @param {Photo} photo */
function lookBack(photo) {
  state.looking = state.stopping !== null;
  present(photo);
}

/**
 * A small square copy, so that a hundred large photos do not stay decoded.
 * @param {Photo} photo
 * @param {HTMLImageElement} image where it is shown
 */
async function thumbnail(photo, image) {
  const bitmap = await createImageBitmap(photo.file);
  const canvas = Object.assign(document.createElement("canvas"), { width: THUMBNAIL_PIXELS, height: THUMBNAIL_PIXELS });
  const side = Math.min(bitmap.width, bitmap.height);
  const [left, top] = [(bitmap.width - side) / 2, (bitmap.height - side) / 2];
  canvas.getContext("2d")?.drawImage(bitmap, left, top, side, side, 0, 0, THUMBNAIL_PIXELS, THUMBNAIL_PIXELS);
  bitmap.close();
  const blob = await asBlob(canvas);
  if (state.past.includes(photo)) photo.thumbnail = image.src = URL.createObjectURL(blob);
}

/** @param {HTMLCanvasElement} canvas @returns {Promise<Blob>} a JPEG file */
function asBlob(canvas) {
  return new Promise((done, fail) => {
    canvas.toBlob((blob) => (blob ? done(blob) : fail(new Error("no picture"))), "image/jpeg", JPEG_QUALITY);
  });
}

/** Which of the past photos is the one above. */
function markShown() {
  state.past.forEach((photo, place) => {
    const button = at("past").children[place]?.firstElementChild;
    photo === state.shown ? button?.setAttribute("aria-current", "true") : button?.removeAttribute("aria-current");
  });
}

/** Forget this visit's photos and answers. */
function clear() {
  for (const photo of state.past) URL.revokeObjectURL(photo.thumbnail);
  if (at("photo").src) URL.revokeObjectURL(at("photo").src);
  at("photo").removeAttribute("src");
  at("photo").alt = "";
  state.past = [];
  state.shown = null;
  for (const id of ["past", "photo-name", "verdict", "verdict-note", "bars", "rest"]) at(id).replaceChildren();
  at("history").hidden = at("answer").hidden = true;
  document.body.classList.remove("used");
  at("choose").focus();
  announce("The list is empty.");
}

// ---------------------------------------------------------------------------------------------------------------------
// Camera

/** Ask for the camera and show what it sees. */
async function openCamera() {
  if (state.camera || state.opening) return;
  state.opening = true;
  try {
    const video = { facingMode: { ideal: "environment" }, width: { ideal: 1280 } };
    state.camera = await navigator.mediaDevices.getUserMedia({ video, audio: false });
    await showCamera(state.camera);
  } catch (error) {
    closeCamera();
    note(cameraSentence(error instanceof Error ? error.name : ""));
  } finally {
    state.opening = false;
  }
}

/** @param {MediaStream} stream */
async function showCamera(stream) {
  stream.getVideoTracks()[0].addEventListener("ended", closeCamera);
  at("camera").hidden = false;
  document.body.classList.add("used");
  at("camera-open").hidden = true;
  at("camera-view").srcObject = stream;
  await at("camera-view").play();
  at("camera-take").disabled = false;
  at("camera-take").focus();
  announce("The camera is on.");
}

/** @param {string} name of a DOMException @returns {string} */
function cameraSentence(name) {
  if (name === "NotAllowedError") {
    return "The browser may not use the camera. Allow it beside the address above, then try again.";
  }
  if (name === "NotFoundError" || name === "OverconstrainedError") return "No camera was found.";
  if (name === "NotReadableError") return "The camera cannot be used. Another program may be using it.";
  return "The camera could not be started.";
}

/** Let go of the camera: its light goes out. */
function closeCamera() {
  state.camera?.getTracks().forEach((track) => track.stop());
  const inside = at("camera").contains(document.activeElement);
  state.camera = null;
  at("camera-view").srcObject = null;
  at("camera-take").disabled = true;
  at("camera").hidden = true;
  at("camera-open").hidden = !navigator.mediaDevices?.getUserMedia;
  if (inside) at("camera-open").focus();
}

/** Ask about what the camera sees now. */
async function takePicture() {
  const view = at("camera-view");
  const canvas = Object.assign(document.createElement("canvas"), { width: view.videoWidth, height: view.videoHeight });
  canvas.getContext("2d")?.drawImage(view, 0, 0);
  const blob = await asBlob(canvas);
  state.pictures += 1;
  ask([new File([blob], `camera picture ${state.pictures}.jpg`, { type: blob.type })]);
}

// ---------------------------------------------------------------------------------------------------------------------
// What the visitor does

/** @param {DragEvent} event */
function drop(event) {
  event.preventDefault();
  document.body.classList.remove("dragging");
  const files = [...(event.dataTransfer?.files ?? [])];
  files.length ? ask(files) : note("That is no file. Save the picture first, or copy it and paste it here.");
}

/** @param {ClipboardEvent} event */
function paste(event) {
  const files = [...(event.clipboardData?.files ?? [])];
  files.length ? ask(files) : note("There is no picture to paste. Copy one first.");
}

/** @param {DragEvent} event */
function drag(event) {
  event.preventDefault();
  document.body.classList.toggle("dragging", event.type !== "dragleave" || event.relatedTarget !== null);
}

function choose() {
  ask(at("files").files);
  at("files").value = ""; // the same file can be chosen again
}

/** @param {KeyboardEvent} event */
function escape(event) {
  if (event.key === "Escape") closeCamera();
}

function dismiss() {
  forgetFailures();
  at("choose").focus();
}

/** @param {string} id @param {() => void} action */
const onClick = (id, action) => at(id).addEventListener("click", action);

function begin() {
  onClick("choose", () => at("files").click());
  onClick("camera-open", openCamera);
  onClick("camera-take", takePicture);
  onClick("camera-close", closeCamera);
  onClick("stop", () => state.stopping?.abort());
  onClick("again", tryAgain);
  onClick("dismiss", dismiss);
  onClick("clear", clear);
  at("files").addEventListener("change", choose);
  at("photo").addEventListener("error", showNoPhoto);
  at("camera").addEventListener("keydown", escape);
  for (const type of ["dragenter", "dragover", "dragleave"]) document.addEventListener(type, /** @type {any} */ (drag));
  document.addEventListener("drop", drop);
  document.addEventListener("paste", paste);
  addEventListener("pagehide", closeCamera);
  at("camera-open").hidden = !navigator.mediaDevices?.getUserMedia;
  if (navigator.platform.startsWith("Mac")) at("paste-key").textContent = "⌘";
  void introduce();
}

begin();
