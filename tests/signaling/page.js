/** A page's side of the protocol, as short as can be: joins, calls, shows the other person. */
window.run = async (url, room) => {
  const socket = new WebSocket(url);
  const waiting = {};
  window.heard = [];
  socket.onmessage = (event) => {
    const message = JSON.parse(event.data);
    window.heard.push(message);
    waiting[message.type]?.(message);
  };
  const next = (type) => new Promise((resolve) => { waiting[type] = resolve; });
  const send = (message) => socket.send(JSON.stringify(message));
  await next("welcome");
  send({ type: "join", room });
  await next("joined");
  const media = { audio: true, video: { width: 1280, height: 720, frameRate: 25 } };
  const stream = await navigator.mediaDevices.getUserMedia(media);
  const connection = window.connection = new RTCPeerConnection();
  for (const track of stream.getTracks()) {
    const transceiver = connection.addTransceiver(track, { streams: [stream] });
    if (track.kind === "video") {
      const parameters = transceiver.sender.getParameters();
      parameters.degradationPreference = "maintain-resolution";
      await transceiver.sender.setParameters(parameters);
    }
  }
  connection.ontrack = (event) => {
    const video = document.createElement("video");
    video.autoplay = video.muted = true;
    video.srcObject = new MediaStream([event.track]);
    document.body.append(video);
  };
  await connection.setLocalDescription();
  send({ type: "offer", call: 1, sdp: connection.localDescription.sdp });
  const { sdp } = await next("answer");
  await connection.setRemoteDescription({ type: "answer", sdp });
};

window.look = async () => {
  const found = { state: window.connection.connectionState, streams: {} };
  (await window.connection.getStats()).forEach((entry) => {
    if (entry.type === "inbound-rtp" || entry.type === "outbound-rtp") {
      found.streams[`${entry.type === "inbound-rtp" ? "in" : "out"} ${entry.kind}`] = entry;
    } else if (entry.type === "transport") {
      found.transport = entry;
    } else if (entry.type === "remote-inbound-rtp" && entry.kind === "video") {
      found.roundTrip = entry.roundTripTime;
    }
  });
  return found;
};
