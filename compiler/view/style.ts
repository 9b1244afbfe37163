/** How the page looks: light and dark, on screen and on paper. */
export const style = `
:root { color-scheme: light dark;
  --page: light-dark(#f6f7f9, #14161a); --panel: light-dark(#ffffff, #1b1e24);
  --line: light-dark(#d9dde3, #343a44); --text: light-dark(#1d2330, #e6e9ef);
  --soft: light-dark(#5d6675, #9aa3b2); --accent: light-dark(#2458d6, #7fa7ff);
  --accent-soft: light-dark(#e6edfd, #22304f); --bar: light-dark(#b9ccfa, #37528f);
  --bar-2: light-dark(#bfe3cf, #2d6147); --op: light-dark(#ffffff, #23272f);
  --part: light-dark(#f0f4fe, #1e2636); --layers: light-dark(#eef7f1, #1b2a23);
  --layers-line: light-dark(#5fa37e, #4e8a69); --inside: light-dark(#fafbfd, #171a1f);
  --weight: light-dark(#8a5a00, #e0b05c); --edge: light-dark(#8b95a5, #69748a);
  --mono: ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
* { box-sizing: border-box; }
body { margin: 0; height: 100vh; display: grid; grid-template: auto 1fr / minmax(420px, 30vw) 1fr 290px;
  background: var(--page); color: var(--text); font: 13px/1.45 system-ui, "DejaVu Sans", sans-serif; }
header { grid-column: 1 / -1; display: flex; gap: 28px; align-items: baseline; padding: 10px 18px;
  background: var(--panel); border-bottom: 1px solid var(--line); }
h1 { font-size: 17px; margin: 0; } h2 { font-size: 15px; margin: 0 0 2px; overflow-wrap: anywhere; }
h3 { font-size: 11px; margin: 16px 0 5px; color: var(--soft); text-transform: uppercase; letter-spacing: .06em; }
header div { white-space: nowrap; } header b { font-weight: 600; } .soft { color: var(--soft); }
main, aside, nav { overflow: auto; min-height: 0; min-width: 0; }
nav { border-right: 1px solid var(--line); background: var(--panel); padding: 10px 0 20px; }
nav input { margin: 0 12px 8px; width: calc(100% - 24px); padding: 6px 9px; font: inherit; color: inherit;
  background: var(--page); border: 1px solid var(--line); border-radius: 6px; }
aside { border-left: 1px solid var(--line); background: var(--panel); padding: 14px 16px 30px; }
nav table { table-layout: fixed; } nav th:first-child { width: auto; } nav th.n { width: 78px; }
table { border-collapse: collapse; width: 100%; } td, th { padding: 2px 6px; text-align: left; vertical-align: top; }
nav th { position: sticky; top: 0; background: var(--panel); font-weight: 500; padding: 0; z-index: 1; }
nav th button { all: unset; cursor: pointer; padding: 4px 6px; color: var(--soft); font-size: 12px; }
nav th[aria-sort] button { color: var(--text); font-weight: 600; }
nav td.n, nav th.n { text-align: right; white-space: nowrap; } nav td { white-space: nowrap; padding: 3px 6px; }
nav td.n { font-variant-numeric: tabular-nums; font-size: 12px; }
nav td.n i { display: block; height: 3px; border-radius: 2px; background: var(--bar); margin: 1px 0 0 auto; }
nav td.f i { background: var(--bar-2); }
nav tr.row { cursor: pointer; } nav tr.row:hover td { background: var(--page); }
nav tr[aria-selected=true] td { background: var(--accent-soft); }
nav .twist { display: inline-block; width: 15px; color: var(--soft); }
nav .weight { color: var(--weight); font-family: var(--mono); font-size: 12px; }
nav td:first-child { overflow: hidden; text-overflow: ellipsis; }
.note { color: var(--soft); margin-left: 6px; font-size: 12px; }
aside td { padding: 2px 8px 2px 0; overflow-wrap: anywhere; } aside td:first-child { color: var(--soft); white-space: nowrap; }
aside td.v { font-family: var(--mono); font-size: 12px; } aside .card { border: 1px solid var(--line);
  border-radius: 6px; padding: 6px 8px; margin-bottom: 6px; overflow-wrap: anywhere; }
aside .card code { color: var(--weight); } code { font-family: var(--mono); font-size: 12px; }
main { display: flex; flex-direction: column; }
.tools { display: flex; gap: 6px; align-items: center; padding: 8px 12px; border-bottom: 1px solid var(--line);
  position: sticky; top: 0; background: var(--page); z-index: 1; flex-wrap: wrap; }
button.tool { font: inherit; font-size: 12px; color: inherit; background: var(--panel); border: 1px solid var(--line);
  border-radius: 6px; padding: 3px 9px; cursor: pointer; } button.tool:hover { border-color: var(--accent); }
.crumbs { flex: 1; } .crumbs button { all: unset; cursor: pointer; color: var(--accent); } .crumbs span { color: var(--soft); margin: 0 5px; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
.canvas { overflow: auto; flex: 1; padding: 18px; } svg { display: block; margin: 0 auto; }
svg text { font: 12px system-ui, "DejaVu Sans", sans-serif; fill: var(--text); }
svg .small { font-size: 11px; fill: var(--soft); } svg .type { font: 10.5px var(--mono); fill: var(--soft); }
svg .operand { font: 10.5px var(--mono); fill: var(--weight); } svg .name { font-weight: 600; }
svg .mono { font: 12px var(--mono); } svg .type .var { fill: var(--text); font-weight: 600; }
svg .box { fill: var(--op); stroke: var(--line); } svg .part > .box { fill: var(--part); stroke: var(--accent); }
svg .layers > .box { fill: var(--layers); stroke: var(--layers-line); }
svg .open > .box { fill: var(--inside); } svg .port > .box { fill: none; stroke: var(--edge); stroke-dasharray: 3 2; }
svg .part, svg .op { cursor: pointer; } svg .head:hover { fill: var(--accent-soft); } svg .head { fill: transparent; }
svg .chosen > .box { stroke: var(--accent); stroke-width: 2.5; }
svg g:focus { outline: none; } svg g:focus-visible > .box { stroke: var(--accent); stroke-width: 3; }
svg .edge { fill: none; stroke: var(--edge); stroke-width: 1.3; } svg .edge:hover { stroke: var(--accent); stroke-width: 2.5; }
svg .loop { stroke: var(--layers-line); stroke-dasharray: 5 3; stroke-width: 1.6; }
svg .backing { fill: var(--page); } svg .open .backing { fill: var(--inside); }
@media print { body { display: block; height: auto; } nav, .tools { display: none; } main, aside, .canvas { overflow: visible; border: 0; }
  svg { max-width: 100%; height: auto; } header { flex-wrap: wrap; } }
`;
