// Takes a picture with the camera of the computer or the phone.

import { h } from "../dom.js";
import { openDialog, runAction } from "../feedback.js";

const REASONS = {
  NotAllowedError:
    "The browser was not allowed to use the camera. Allow it in the address bar, then try again.",
  NotFoundError: "There is no camera on this device.",
  NotReadableError: "Another program uses the camera. Close it, then try again.",
};

/** A button that opens the camera. `onPicture(blob)` gets each picture taken. */
export function createCamera(onPicture, signal) {
  const open = async () => {
    const stream = await start();
    const video = h("video", {
      autoplay: true,
      playsinline: true,
      "aria-label": "What the camera sees",
    });
    video.muted = true;
    video.srcObject = stream;
    const stop = () => stream.getTracks().forEach((track) => track.stop());
    const { dialog, body, close } = openDialog("Camera", { narrow: true });
    const shoot = h(
      "button",
      {
        class: "button primary",
        type: "button",
        onclick: () =>
          runAction(shoot, async () => {
            onPicture(await take(video));
            close();
          }),
      },
      "Take the picture",
    );
    body.append(h("div", { class: "camera" }, video, shoot));
    dialog.addEventListener("close", stop);
    signal.addEventListener("abort", stop, { once: true });
  };
  const button = h(
    "button",
    { class: "button", type: "button", onclick: () => runAction(button, open) },
    "Use the camera…",
  );
  return button;
}

async function start() {
  // Browsers hide the camera from pages that came over plain HTTP from another host.
  if (!navigator.mediaDevices)
    throw new Error("The browser gives the camera to https and localhost addresses only.");
  try {
    return await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch (error) {
    throw new Error(REASONS[error.name] || error.message);
  }
}

function take(video) {
  const canvas = h("canvas", { width: video.videoWidth, height: video.videoHeight });
  canvas.getContext("2d").drawImage(video, 0, 0);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}
