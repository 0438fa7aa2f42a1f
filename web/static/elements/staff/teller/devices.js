import { t } from "../../../lib/i18n.js"

const CAMERA = { width: { ideal: 960 }, height: { ideal: 540 }, frameRate: { ideal: 25, max: 30 } }
const MICROPHONE = { echoCancellation: true, noiseSuppression: true, autoGainControl: true }

/**
 * The camera and microphone of somebody of the bank. A customer must at least hear the bank: without a microphone
 * there is nothing, without a camera the teller is told.
 * @param {boolean} [seen] false for a voice alone
 * @returns {Promise<{media: MediaStream|null, problem: string}>}
 */
export async function openDevices(seen = true) {
  if (!navigator.mediaDevices) return { media: null, problem: t("teller.devices_insecure") }
  const wished = await ask({ audio: MICROPHONE, video: seen && CAMERA })
  if (wished instanceof MediaStream) return { media: wished, problem: "" }
  const voice = await ask({ audio: MICROPHONE })
  if (voice instanceof MediaStream) return { media: voice, problem: t("teller.no_camera") }
  const refused = voice.name === "NotAllowedError"
  return { media: null, problem: t(refused ? "teller.devices_refused" : "teller.no_microphone") }
}

/** @param {MediaStreamConstraints} wish */
function ask(wish) {
  return navigator.mediaDevices.getUserMedia(wish).catch((error) => /** @type {DOMException} */ (error))
}
