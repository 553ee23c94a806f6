"""The page's script, which runs in the browser and so still works if the page's server is gone.

It stops the motor by two ways at once, the page's WebSocket and a plain request of its own, from a
key wherever the focus is, or the button, at the press. And it watches over what it shows: every
beat of the trial's control loop comes through the page's process to here, is answered, and where
none comes for `SILENCE_MS` the page says so in grey.
"""

from __future__ import annotations

from typing import Final

SILENCE_MS: Final = 400
LOOK_MS: Final = 50

SCRIPT: Final = """
<script>
window.sparsectl = (() => {
  const KEYS = [" ", "Enter", "Escape"];
  let heard = null, isOver = false;

  function stop(event) {
    if (event) { event.preventDefault(); event.stopImmediatePropagation(); }
    if (isOver) return;
    try { emitEvent("estop"); } catch (error) { /* the page is not up yet; the request goes out */ }
    fetch("stop", {method: "POST", keepalive: true}).then(
      (answer) => { if (!answer.ok) show(true); }, () => show(true));
  }

  function show(isLost) {
    if (!document.body) return;
    document.body.classList.toggle("lost", isLost);
    const silent = document.getElementById("silent");
    if (silent && heard !== null)
      silent.textContent = ((performance.now() - heard) / 1000).toFixed(1) + " s";
  }

  // In the capture phase of the window: before any control that has the focus sees the key.
  addEventListener("keydown", (event) => { if (KEYS.includes(event.key)) stop(event); }, true);
  for (const kind of ["keyup", "keypress"])  // a focused button presses itself at these
    addEventListener(kind, (event) => {
      if (!isOver && KEYS.includes(event.key)) {
        event.preventDefault(); event.stopImmediatePropagation();
      }
    }, true);
  for (const kind of ["pointerdown", "click"])
    addEventListener(kind, (event) => {
      if (event.target.closest && event.target.closest("#estop")) stop(event);
    }, true);
  setInterval(() => {
    const over = document.getElementById("over");
    if (over && !isOver) {  // no message is needed when the page of a trial that has ended closes
      isOver = true;
      document.body.classList.add("over");
      show(over.dataset.vanished === "true");
    }
    if (heard !== null && !isOver) show(performance.now() - heard > SILENCE_MS);
  }, LOOK_MS);

  return {beat(number) { heard = performance.now(); emitEvent("beat", number); }};
})();
</script>
""".replace("SILENCE_MS", str(SILENCE_MS)).replace("LOOK_MS", str(LOOK_MS))

BANNER: Final = """
<div id="lost" role="alert">
  <b>No word from the trial for <span id="silent"></span>.</b>
  What this page shows is old, and its emergency stop may not get through:
  press space in the trial's terminal, or switch the motor's supply off.
</div>
"""
