// @ts-check
/** The camera: on only while the visitor sees what it sees. */

import { announce, at, drawn } from "./elements.js";
import { note } from "./failures.js";
import { ask } from "./queue.js";

const state = {
  stream: /** @type {MediaStream | null} */ (null),
  opening: false, // the browser asks whether the camera may be used
  pictures: 0,
};

/** Offer the camera where the browser has a way to one. */
export function offerCamera() {
  at("camera-open").hidden = !navigator.mediaDevices?.getUserMedia;
}

/** Ask for the camera and show what it sees. */
export async function openCamera() {
  if (state.stream || state.opening) return;
  state.opening = true;
  try {
    const video = { facingMode: { ideal: "environment" }, width: { ideal: 1280 } };
    state.stream = await navigator.mediaDevices.getUserMedia({ video, audio: false });
    await showCamera(state.stream);
  } catch (error) {
    closeCamera();
    note(sentenceOf(error instanceof Error ? error.name : ""));
  } finally {
    state.opening = false;
  }
}

/** Let go of the camera: its light goes out. */
export function closeCamera() {
  state.stream?.getTracks().forEach((track) => track.stop());
  const inside = at("camera").contains(document.activeElement);
  state.stream = null;
  at("camera-view").srcObject = null;
  at("camera-take").disabled = true;
  at("camera").hidden = true;
  offerCamera();
  if (inside) at("camera-open").focus();
}

/** Ask about what the camera sees now. */
export async function takePicture() {
  const view = at("camera-view");
  const blob = await drawn(view.videoWidth, view.videoHeight, (context) => context.drawImage(view, 0, 0));
  state.pictures += 1;
  ask([new File([blob], `camera picture ${state.pictures}.jpg`, { type: blob.type })]);
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
function sentenceOf(name) {
  if (name === "NotAllowedError") {
    return "The browser may not use the camera. Allow it beside the address above, then try again.";
  }
  if (name === "NotFoundError" || name === "OverconstrainedError") return "No camera was found.";
  if (name === "NotReadableError") return "The camera cannot be used. Another program may be using it.";
  return "The camera could not be started.";
}
