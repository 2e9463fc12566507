// @ts-check
/** The page of `graft serve`: what happens when the visitor clicks, drops, pastes or presses a key. */

import { forgetAnswer, showNoPhoto } from "./answer.js";
import { closeCamera, offerCamera, openCamera, takePicture } from "./camera.js";
import { known } from "./classifier.js";
import { announce, at } from "./elements.js";
import { forgetFailures, note } from "./failures.js";
import { forgetPast } from "./history.js";
import { ask, stop, tryAgain } from "./queue.js";

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

function clear() {
  forgetPast();
  forgetAnswer();
  at("choose").focus();
  announce("The list is empty.");
}

/** @param {string} id @param {() => void} action */
const onClick = (id, action) => at(id).addEventListener("click", action);

function begin() {
  onClick("choose", () => at("files").click());
  onClick("camera-open", openCamera);
  onClick("camera-take", takePicture);
  onClick("camera-close", closeCamera);
  onClick("stop", stop);
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
  offerCamera();
  if (navigator.platform.startsWith("Mac")) at("paste-key").textContent = "⌘";
  void known();
}

begin();
