// Showing one's own screen. No DOM here.

const PICTURE = { frameRate: { ideal: 10, max: 15 }, width: { max: 1920 }, height: { max: 1200 } }

/** Whether this browser can show its screen at all: phones cannot. */
export function canShare() {
  return typeof navigator.mediaDevices?.getDisplayMedia === "function"
}

/**
 * Ask which screen, window or tab to show.
 * @returns {Promise<MediaStreamTrack|null>} null when the person thought better of it
 */
export async function pickScreen() {
  try {
    const picked = await navigator.mediaDevices.getDisplayMedia({ video: PICTURE, audio: false })
    return picked.getVideoTracks()[0] ?? null
  } catch {
    return null
  }
}
