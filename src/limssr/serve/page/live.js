// The live view: plays the segments of a performance, or a recording whose features the server has computed, and
// draws each score as it comes.
"use strict";

import { drawLive } from "/static/draw.js";
import { rowsOf } from "/static/files.js";

const WATCH_MS = 40; // how often it is looked how far a recording has played

// Stream -> rows, from .npy files; empty where no file is one.
export async function arraysOf(parts) {
  const arrays = new Map();
  for (const [name, file] of parts) {
    const rows = await rowsOf(file).catch(() => null);
    if (rows) arrays.set(name, rows);
  }
  return arrays;
}

// Tells how many segments are due: by the clock, or by how far a recording has played.
function pace(total, speed, player, seconds) {
  if (!player) {
    const begun = performance.now();
    return () => Math.min(total, 1 + Math.floor(((performance.now() - begun) * speed()) / 1000));
  }
  return () => (player.ended ? total : Math.min(total, Math.floor(player.currentTime / seconds + 1e-6)));
}

// What the band was calibrated on, where there is one.
function bandOf(told, total) {
  const has = Object.values(told.scores).some((one) => one.low !== null);
  if (!has) return "; no band: the run has no intervals";
  if (told.interval_of) return `; band of performances of which ${told.interval_of} segments were seen`;
  return told.type === "ended" || told.segments >= total ? "; band of whole performances" : "; band of whole performances, which may be too narrow before the end";
}

// Plays a performance; returns what stops it.
export function play({ address, token, arrays, place, seen, speed, player, seconds, complain, ended }) {
  const total = Math.max(...[...arrays.values()].map((rows) => rows.length));
  const due = pace(total, speed, player, seconds);
  const points = [];
  let next = 0;
  let timer = 0;
  const socket = new WebSocket(address);
  const send = () => {
    if (next >= total) { socket.send(JSON.stringify({ type: "end" })); return; }
    const until = due();
    if (until <= next) { timer = setTimeout(send, WATCH_MS); return; }
    const streams = {};
    for (const [name, rows] of arrays) {
      const part = rows.slice(next, until);
      while (part.length && part.length < until - next) part.push(null);
      if (part.length) streams[name] = part;
    }
    next = until;
    socket.send(JSON.stringify({ type: "segments", streams }));
  };
  socket.onopen = () => {
    socket.send(JSON.stringify({ type: "start", token: token || undefined }));
    if (player) { player.currentTime = 0; player.play().catch((error) => { complain(`The recording does not play: ${error.message}`); socket.close(); }); }
    send();
  };
  socket.onmessage = (event) => {
    const told = JSON.parse(event.data);
    if (told.type === "problem") { complain(told.detail); return; }
    if (told.type === "started") return;
    points.push(told);
    seen.textContent = `after ${told.segments} of ${total} segments (${told.streams.join(", ") || "nothing yet"})${bandOf(told, total)}`;
    drawLive(place, points, total, told.interval);
    if (told.type !== "ended") send();
  };
  socket.onclose = () => { clearTimeout(timer); player?.pause(); ended(); };
  return () => socket.close();
}
