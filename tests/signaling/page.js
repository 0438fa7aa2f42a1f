/** A page with the product's own wire modules, and pictures of whomever it sees. */
import { Call } from "/lib/call.js";
import { Socket } from "/lib/socket.js";

window.RTCPeerConnection = class extends window.RTCPeerConnection {
  constructor(configuration) {
    super(configuration);
    window.connection = this;
  }
};

/** Enter a room; the camera is Chromium's pretended one. */
window.run = async (name, room) => {
  const wish = { audio: true, video: { width: 1280, height: 720, frameRate: 25 } };
  const media = await navigator.mediaDevices.getUserMedia(wish);
  const socket = new Socket(`/ws?id=${name}`);
  const call = new Call({ socket, room, media });
  Object.assign(window, { socket, call, heard: [] });
  for (const type of ["condition", "screen", "error", "quality"]) {
    call.on(type, (data) => window.heard.push([type, data, performance.now()]));
  }
  call.on("people", (people) => people.forEach(show));
  call.join();
  socket.open();
};

function show({ id, stream, screen_stream }) {
  put(id, stream);
  put(`${id} screen`, screen_stream);
}

function put(id, stream) {
  const video = document.getElementById(id) ?? document.createElement("video");
  if (video.srcObject === stream) return;
  Object.assign(video, { id, autoplay: true, muted: true, srcObject: stream });
  document.body.append(video);
}

/** Share a drawing of this size as the own screen. */
window.share = async (width, height) => {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const pen = canvas.getContext("2d");
  let turn = 0;
  setInterval(() => {
    pen.fillStyle = `hsl(${(turn += 10) % 360} 80% 50%)`;
    pen.fillRect(0, 0, width, height);
  }, 100);
  await window.call.share(canvas.captureStream(10).getVideoTracks()[0]);
};

window.look = async () => {
  const found = { state: window.connection.connectionState, in: {}, out: {}, layers: {} };
  (await window.connection.getStats()).forEach((entry) => {
    if (entry.type === "inbound-rtp" && entry.packetsReceived) found.in[`${entry.kind} ${entry.mid}`] = entry;
    if (entry.type === "outbound-rtp") found.out[`${entry.kind} ${entry.mid} ${entry.rid ?? ""}`.trim()] = entry;
    if (entry.type === "transport") found.transport = entry;
  });
  return found;
};
