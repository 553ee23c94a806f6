"""The live page's process: `python -m sparsectl.hil.live.page DESCRIPTOR PORT SETUP`.

It reads what the trial sends, draws it for every browser that is connected, and sends the buttons
that a person presses. NiceGUI brings its own scripts and fonts: no network is needed.

A heartbeat goes round: each message of the trial's control loop is a beat for the browsers, they
answer, and the trial learns ten times a second how many did. So each end notices within half a
second when the other, or this process between them, is gone (`hil.live.script`, `hil.live.feed`).
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Any

from fastapi import Response
from nicegui import Client, app, background_tasks, ui

from sparsectl.hil.live.channel import Channel, channel_of
from sparsectl.hil.live.guard import STOP_PATH, Access, LoopbackOnly, TokenGate
from sparsectl.hil.live.picture import Shape, pendulum
from sparsectl.hil.live.script import BANNER, SCRIPT
from sparsectl.hil.live.view import EDGES_US, HISTORY_S, Setup, View

READY = "READY"
DRAW_S, PLOT_S, BEAT_S = 0.05, 0.25, 0.1
BROWSER_TIMEOUT_S = 3.0
"""A browser that is connected but has not answered for so long hangs: its e-stop would too. One
that is closed is gone at once; one on a busy machine may take a second to draw."""
LINGER_S = 3.5
"""Between the trial's end and this process's, at most: until each browser has drawn the end."""
COLUMN_OF = {"sample to motor": 5, "inference": 6}

STYLE = """
<style>
  body { background: #f6f7f9; color: #1d2733 }
  .body--dark { background: #12171d; color: #dfe6ee }
  .card { background: rgba(127,127,127,.09); border-radius: 12px; padding: 14px 18px;
          min-width: 0 /* a chart was drawn for a wider window: it may shrink */ }
  .figure { font-variant-numeric: tabular-nums }
  .over #popup { display: none }
  .estop { font-size: 1.7rem !important; font-weight: 700; min-height: 5.5rem }
  .chart svg text { fill: currentColor !important }
  #lost { display: none; position: fixed; inset: 0 0 auto 0; z-index: 9999; padding: 14px 20px;
          background: #c62f2f; color: #fff; text-align: center; font-size: 1.1rem }
  .lost #lost { display: block }
  .lost .shown { filter: grayscale(1); opacity: .4 }
  .lost .commands { pointer-events: none }
</style>
"""
STATE_COLOURS = {"ACTIVE": "#1a8f5a", "ARMED": "#c98a00", "STOPPING": "#c98a00", "FAULT": "#c62f2f"}
POLE_COLOUR = "#d2651a"
LINE_COLOURS = ["#3b7dd8", POLE_COLOUR]


class Page:
    """The state that all browsers share: the view, and the channel to the trial."""

    def __init__(self, channel: Channel, setup: Setup) -> None:
        self.channel, self.setup, self.view = channel, setup, View()
        self.shape = Shape(setup.is_rotary, setup.base_limit)
        self._answered_s: dict[str, float] = {}
        """Time at which each browser last answered a beat, in s."""
        self._drawn = 0
        self._seen: dict[str, int] = {}
        """The number of the last drawing that each browser has answered to."""
        self._asked: list[str] = []
        """Commands from buttons that the channel has not taken yet."""

    def listen(self) -> None:
        """Take the trial's messages as they come, until it closes its end; tell it of us."""
        asyncio.get_running_loop().add_reader(self.channel.descriptor, self._read)
        background_tasks.create(self._beat())

    async def stop(self) -> Response:
        """The emergency stop's own request."""
        self._ask("estop")()
        return Response(status_code=204)

    def build(self) -> None:
        """Build the page, for one browser."""
        client = ui.context.client
        ui.add_head_html(STYLE + SCRIPT)
        ui.add_body_html(BANNER)
        ui.dark_mode(None)
        ui.on("estop", self._ask("estop", client))
        ui.on("beat", lambda event: self._saw(client, event.args))
        client.on_disconnect(lambda: self._left(client))
        with ui.column().classes("shown w-full max-w-5xl mx-auto gap-4 p-2"):
            ended = self._heading()
            with ui.row().classes("w-full gap-4 items-stretch wrap"):
                with ui.column().classes("card grow").style("flex: 2 1 380px"):
                    picture = ui.html(sanitize=False).classes("w-full")
                with ui.column().classes("grow gap-3").style("flex: 1 1 250px"):
                    self._buttons()
                    figures = ui.html(sanitize=False).classes("card w-full figure")
            chart, histogram = self._charts()
        beats = -1

        def draw() -> None:
            nonlocal beats
            ended.set_text(f"ended: {self.view.ended}" if self.view.ended else "")
            picture.set_content(self._picture())
            figures.set_content(self._figures())
            if beats != self.view.beats or not self.view.is_beating:
                beats = self.view.beats
                self._drawn += 1
                ui.run_javascript(f"sparsectl.beat({self._drawn})")

        def plot() -> None:
            angle, base = self.view.lines()
            chart.options["series"][0]["data"] = angle
            chart.options["series"][1]["data"] = base
            histogram.options["series"][0]["data"] = self.view.histogram
            chart.update()
            histogram.update()

        ui.timer(DRAW_S, draw)
        ui.timer(PLOT_S, plot)

    def _answered(self, client: Client) -> None:
        self._answered_s[client.id] = time.monotonic()

    def _saw(self, client: Client, number: Any) -> None:
        self._answered(client)
        if isinstance(number, int):
            self._seen[client.id] = number

    def _left(self, client: Client) -> None:
        self._answered_s.pop(client.id, None)
        self._seen.pop(client.id, None)

    async def _beat(self) -> None:
        """From the event loop that serves the e-stop: where that hangs, the beats end."""
        while self.view.ended is None:
            self._tell()
            if not self._asked:
                self.channel.send({"browsers": self._watching()})
            await asyncio.sleep(BEAT_S)

    def _tell(self) -> None:
        """Send the buttons that were pressed while the channel was full, in their order."""
        while self._asked and self.channel.send(
            {"command": self._asked[0], "browsers": self._watching()}
        ):
            self._asked.pop(0)

    def _watching(self) -> int:
        """Return the browsers that show the page and answer."""
        before_s = time.monotonic() - BROWSER_TIMEOUT_S
        return sum(answered_s > before_s for answered_s in self._answered_s.values())

    def _read(self) -> None:
        try:
            for message in self.channel.receive():
                self.view.take(message, COLUMN_OF[self.setup.latency_of])
        except EOFError:
            asyncio.get_running_loop().remove_reader(self.channel.descriptor)
            self.view.vanish()
            background_tasks.create(self._linger())

    async def _linger(self) -> None:
        """Stay until every browser has answered to what was drawn after the end, and go."""
        before, ended_s = self._drawn, time.monotonic()
        while time.monotonic() < ended_s + LINGER_S:
            await asyncio.sleep(BEAT_S)
            if all(number > before for number in self._seen.values()):
                break
        app.shutdown()

    def _ask(self, command: str, client: Client | None = None) -> Callable[[], None]:
        def ask() -> None:
            if client is not None:
                self._answered(client)  # whoever presses a button is there
            if command == "estop":
                self._asked.clear()  # nothing that was asked before may come after it
            self._asked.append(command)
            self._tell()

        return ask

    def _heading(self) -> ui.label:
        """Return the place for how the trial ended."""
        with ui.row().classes("w-full items-baseline justify-between wrap"):
            ui.label(self.setup.title).classes("text-xl font-bold")
            return ui.label().classes("text-base")

    def _buttons(self) -> None:
        stop = ui.button("E-STOP", color="red-8")  # its press is the script's affair
        stop.classes("estop w-full").props('id="estop" aria-keyshortcuts="Space Enter Escape"')
        ui.label("Space, Enter or Esc do the same").classes("text-xs opacity-70")
        with ui.row().classes("commands w-full gap-3 no-wrap"):
            for word in ("arm", "disarm"):
                ask = self._ask(word, ui.context.client)
                button = ui.button(word, on_click=ask, color="blue-grey-7")
                button.classes("grow").props(f'id="{word}"')

    def _picture(self) -> str:
        base = self.view.base[-1] if self.view.base else 0.0
        angle_deg = self.view.angle_deg[-1] if self.view.angle_deg else 180.0
        return pendulum(self.shape, base, angle_deg * 0.017453292519943295, POLE_COLOUR)

    def _figures(self) -> str:
        view, unit = self.view, self.setup.base_unit
        colour = STATE_COLOURS.get(view.state, "#5c6b7a")
        chip = (
            f'<span id="state" style="background:{colour};color:#fff;border-radius:6px;'
            f'padding:2px 10px;font-weight:700">{view.state}</span>'
        )
        over = ""
        if view.ended is not None:  # for the script, which may not hear it otherwise any more
            over = f'<i id="over" data-vanished="{str(view.has_vanished).lower()}" hidden></i>'
        fault = "" if view.fault == "NONE" else f' <b id="fault">{view.fault}</b>'
        rows = {
            "now": view.phase,
            "angle": f"{view.angle_deg[-1] if view.angle_deg else 180.0:+.1f}°",
            "position": f"{view.base[-1] if view.base else 0.0:+.4f} {unit}",
            "motor duty": self.setup.shown(view.duty),
            "skipped ticks": str(view.skipped),
            **self._recurrent(),
            **{f"frames {name}": str(count) for name, count in view.counters.items()},
        }
        cells = "".join(
            f'<tr><td style="opacity:.7;padding-right:1em">{name}</td><td>{value}</td></tr>'
            for name, value in rows.items()
        )
        return f'<div>{chip}{fault}{over}</div><table class="mt-2">{cells}</table>'

    def _recurrent(self) -> dict[str, str]:
        size = self.setup.state_size
        return {"policy's state": f"{size} values{self.view.resets}"} if size else {}

    def _charts(self) -> tuple[ui.echart, ui.echart]:
        with ui.row().classes("w-full gap-4 wrap"):
            with ui.column().classes("card grow").style("flex: 2 1 380px"):
                options = _lines(self.setup.base_unit, self.setup.base_limit)
                chart = ui.echart(options, renderer="svg").classes("chart w-full h-64")
            with ui.column().classes("card grow").style("flex: 1 1 250px"):
                histogram = ui.echart(_bars(self.setup.latency_of), renderer="svg")
                histogram.classes("chart w-full h-64")
        return chart, histogram


def _lines(unit: str, limit: float) -> dict[str, Any]:
    axis = {"type": "value", "scale": True, "splitLine": {"show": False}}
    series = [
        {"name": name, "type": "line", "yAxisIndex": index, "showSymbol": False, "data": []}
        for index, name in enumerate(("angle, °", f"position, {unit}"))
    ]
    return {
        "animation": False,
        "color": LINE_COLOURS,
        "legend": {"top": 0, "textStyle": {"color": "#8794a3"}},
        "grid": {"left": 48, "right": 56, "top": 34, "bottom": 42},
        "xAxis": {
            "type": "value", "nameLocation": "middle",
            "name": f"time, s (the last {HISTORY_S:g} s)",
            "nameGap": 26, "min": "dataMin", "max": "dataMax", "splitLine": {"show": False},
            "axisLabel": {"formatter": "{value}", "showMinLabel": False, "showMaxLabel": False},
        },
        "yAxis": [
            {**axis, "min": -180, "max": 180, "interval": 90},
            {**axis, "min": -limit, "max": limit, "interval": limit / 2},
        ],
        "series": series,
    }  # fmt: skip


def _bars(latency_of: str) -> dict[str, Any]:
    return {
        "animation": False,
        "title": {
            "text": latency_of,
            "textStyle": {"fontSize": 13, "fontWeight": "normal", "color": "#8794a3"},
        },
        "grid": {"left": 48, "right": 12, "top": 34, "bottom": 42},
        "xAxis": {
            "type": "category", "data": [str(edge) for edge in EDGES_US[:-1]],
            "name": "µs, on a logarithmic scale", "nameLocation": "middle", "nameGap": 26,
        },
        "yAxis": {"type": "value", "name": "ticks", "minInterval": 1, "splitLine": {"show": False}},
        "color": LINE_COLOURS,
        "series": [{"type": "bar", "data": [], "barCategoryGap": "10%"}],
    }  # fmt: skip


async def announce(port: int) -> None:
    """Say on stdout that the page answers; the server listens only after its start-up handlers."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.02)
            continue
        writer.close()
        print(READY, flush=True)
        return


def main(descriptor: int, port: int, setup: Setup) -> None:
    """Serve until the trial closes its end of the channel."""
    channel = channel_of(descriptor)
    access = Access.from_json(next(channel.receive())["access"])  # there before this process was
    page = Page(channel, setup)
    app.on_startup(page.listen)
    app.on_startup(lambda: background_tasks.create(announce(port)))
    app.add_middleware(TokenGate, access=access)
    app.add_middleware(LoopbackOnly, port=port)  # the last one added is the first one asked
    app.post(STOP_PATH)(page.stop)
    ui.page("/", title=f"sparsectl: {setup.title}")(page.build)
    ui.run(
        host="127.0.0.1",
        port=port,
        reload=False,
        show=False,
        show_welcome_message=False,
        timeout_graceful_shutdown=1,  # browsers keep their connections; they get a message first
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Setup.from_json(sys.argv[3]))
