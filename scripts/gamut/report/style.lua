-- The report's style sheet: system fonts, light and dark by the reader's own setting, from a phone's
-- width to a wide screen.

return [[
:root {
  --paper: #f6f7f9; --card: #fff; --ink: #16202c; --faint: #5f6c7b; --line: #e0e5eb; --soft: #eef1f5;
  --c1: #2563c9; --c2: #d9660b; --c3: #0f8a62; --c4: #8b45c7; --c5: #c2255c; --c6: #0b7285; --c7: #846100;
    --c8: #5c677d; --warn: #a14a00; --warn-soft: #fff1e0;
  --mono: ui-monospace, "SF Mono", "Cascadia Mono", "DejaVu Sans Mono", Menlo, monospace;
  color-scheme: light dark;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #0f141a; --card: #171e26; --ink: #e3e9f0; --faint: #95a3b3; --line: #2a3541; --soft: #1f2831;
    --c1: #6ba4ff; --c2: #ff9d4d; --c3: #45c79a; --c4: #c08cf0; --c5: #ff7aa2; --c6: #4fc3d9; --c7: #e0bb4a;
      --c8: #a7b3c4; --warn: #ffb066; --warn-soft: #35281a;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.55 system-ui, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif; }
main { max-width: 1240px; margin: 0 auto; padding: 28px 24px 60px; }
header h1 { margin: 0; font-size: 27px; line-height: 1.2; letter-spacing: -.01em; overflow-wrap: anywhere; }
header p { margin: 4px 0 0; color: var(--faint); overflow-wrap: anywhere; }
.status { display: inline-block; vertical-align: middle; margin-left: 10px; padding: 2px 10px; border-radius: 99px;
  background: var(--soft); color: var(--faint); font-size: 13px; font-weight: 600; letter-spacing: 0; }
.status.finished { color: var(--c3); } .status.running { color: var(--c1); }
.status.stopped, .status.failed { color: var(--warn); background: var(--warn-soft); }
h2 { font-size: 18px; margin: 36px 0 12px; } h3 { font-size: 15px; margin: 20px 0 8px; }
a { color: var(--c1); text-decoration: none; } a:hover { text-decoration: underline; }
.card, .chart { background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
.card { padding: 6px 16px; overflow-x: auto; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(128px, 1fr)); gap: 10px; margin: 22px 0 0; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 11px 13px; }
.tile b { display: block; font-size: 20px; line-height: 1.25; font-weight: 650; font-variant-numeric: tabular-nums;
  white-space: nowrap; }
.tile span { display: block; color: var(--faint); font-size: 13px; line-height: 1.35; }
.bar { display: flex; flex-wrap: wrap; align-items: baseline; justify-content: space-between; gap: 4px 20px; }
.bar label { color: var(--faint); font-size: 13px; display: inline-flex; align-items: center; gap: 8px; }
.bar output { width: 2.6em; font-variant-numeric: tabular-nums; }
input[type=range] { width: 130px; accent-color: var(--c1); }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 430px), 1fr)); gap: 14px; }
.chart { margin: 0; padding: 12px 12px 6px; min-width: 0; }
figcaption { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 2px 14px; padding: 0 4px 4px; }
.legend { color: var(--faint); font-size: 13px; } .key { margin-left: 14px; white-space: nowrap; }
.key i { display: inline-block; width: 14px; height: 3px; border-radius: 2px; margin-right: 6px;
  vertical-align: middle; background: currentColor; }
.plot { position: relative; } svg { display: block; width: 100%; height: auto; touch-action: pan-y; }
.grid { stroke: var(--line); stroke-width: 1; } .axis { stroke: var(--faint); stroke-width: 1; }
.grid, .axis, .curve { vector-effect: non-scaling-stroke; }
.tick { fill: var(--faint); font-size: calc(12px * var(--unit, 1)); font-variant-numeric: tabular-nums; }
.tick.y { text-anchor: end; dominant-baseline: middle; } .tick.x { text-anchor: middle; dominant-baseline: hanging; }
.curve { fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linejoin: round; stroke-linecap: round; }
.dashed { stroke-dasharray: 6 4; stroke-linecap: butt; }
.key i.dashed { background: repeating-linear-gradient(90deg, currentColor 0 4px, transparent 4px 7px); }
.noisy { stroke-width: 1; opacity: .32; } .raw .smooth { display: none; } .raw .noisy { opacity: 1; }
circle { fill: currentColor; } .c1 { color: var(--c1); } .c2 { color: var(--c2); } .c3 { color: var(--c3); }
.c4 { color: var(--c4); }
.c5 { color: var(--c5); } .c6 { color: var(--c6); } .c7 { color: var(--c7); } .c8 { color: var(--c8); }
.cursor line { stroke: var(--faint); stroke-width: 1; stroke-dasharray: 3 3; vector-effect: non-scaling-stroke; }
.cursor circle { stroke: var(--card); stroke-width: 1.5; }
.readout { position: absolute; top: 6px; pointer-events: none; background: var(--card);
  border: 1px solid var(--line); border-radius: 7px; box-shadow: 0 3px 12px #0003; padding: 5px 10px;
    font-size: 13px; line-height: 1.45; white-space: nowrap; font-variant-numeric: tabular-nums; }
.readout[hidden] { display: none; } .readout span { color: var(--faint); }
.two { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 430px), 1fr)); gap: 0 14px;
  align-items: start; }
.two > section { min-width: 0; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th { text-align: left; color: var(--faint); font-weight: 500; }
td, th { padding: 6px 12px 6px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
tr:last-child > * { border-bottom: 0; } td:last-child, th:last-child { padding-right: 0; }
td { overflow-wrap: anywhere; } .facts th { white-space: nowrap; width: 1%; padding-right: 20px; }
.narrow { width: 1%; }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.mono, code { font-family: var(--mono); font-size: 13px; } .faint { color: var(--faint); }
.config td, .config th, .modules td { padding-top: 3px; padding-bottom: 3px; }
.modules td:first-child { white-space: pre; overflow-wrap: normal; }
.share { display: inline-block; height: 6px; border-radius: 3px; background: var(--c1); opacity: .65;
  min-width: 1px; }
.modules .meter { width: 90px; }
details { border-bottom: 1px solid var(--line); padding: 8px 0; } details:last-child { border-bottom: 0; }
summary { cursor: pointer; font-weight: 600; }
pre { margin: 10px 0 6px; padding: 12px 14px; background: var(--soft); border-radius: 7px; white-space: pre-wrap;
  overflow-wrap: anywhere; font: 13px/1.55 var(--mono); }
audio { width: 100%; max-width: 620px; display: block; margin: 10px 0 6px; }
.compared th, .compared td { padding-right: 24px; white-space: nowrap; } .compared .best { font-weight: 650; }
.compared i { display: inline-block; width: 12px; height: 12px; border-radius: 3px; background: currentColor;
  margin-right: 8px; vertical-align: -1px; }
.results th, .results td { padding-right: 14px; white-space: nowrap; }
.results thead th { font-size: 13px; vertical-align: bottom; }
.results thead tr:not(:last-child) > * { border-bottom: 0; padding-bottom: 0; }
.results .group { color: var(--ink); }
.results .first:not(:first-child) > * { border-top: 2px solid var(--line); }
.results .failed, .results .interrupted { color: var(--warn); } .results .planned { color: var(--faint); }
.notes { color: var(--faint); font-size: 14px; margin: 10px 0 0; padding-left: 20px; }
.event { font-weight: 600; white-space: nowrap; }
.event.skipped, .event.stopped, .event.failed { color: var(--warn); }
footer { margin-top: 40px; color: var(--faint); font-size: 13px; }
@media (max-width: 560px) { main { padding: 18px 12px 40px; } header h1 { font-size: 22px; }
.modules .meter { display: none; } .card { padding: 4px 12px; } }
@media print { body { background: #fff; } .bar label { display: none; } }
]]
