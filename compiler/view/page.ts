/** The page: one file that asks for nothing else, and says so to the browser. */
import { canvasScript } from './canvas.ts';
import type { ViewData } from './data.ts';
import { layoutScript } from './layout.ts';
import { panelsScript } from './panels.ts';
import { style } from './style.ts';

/** A self-contained HTML page. Names reach it as data and text only, never as markup. */
export function pageOf(data: ViewData): string {
  const title = escapeText(data.name);
  // No text inside of a script element may close it.
  const json = JSON.stringify(data).replace(/</g, '\\u003c');
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>${title} - Cograph</title>
<style>${style}</style>
</head>
<body>
<header><h1>${title}</h1><div id="summary"></div></header>
<nav aria-label="parts">
<input id="search" type="search" aria-label="filter parts" placeholder="Filter: experts, layers[7].*, **.q_proj">
<table role="treegrid" aria-label="parts">
<thead><tr><th><button>part</button></th><th class="n"><button>parameters</button></th><th class="n"><button>bytes</button></th><th class="n"><button>FLOPs</button></th></tr></thead>
<tbody id="rows"></tbody>
</table>
</nav>
<main>
<div class="tools"><div class="crumbs" id="crumbs"></div>
<button class="tool" id="level">Open all</button><button class="tool" id="close">Close all</button><button class="tool" id="focus" title="show the chosen part alone, or the model again">Alone</button>
<button class="tool" id="out" aria-label="smaller">−</button><button class="tool" id="in" aria-label="larger">+</button><button class="tool" id="fit">Fit</button></div>
<div class="canvas" id="canvas"></div>
</main>
<aside id="details" aria-label="details" aria-live="polite"></aside>
<script type="application/json" id="data">${json}</script>
<script>
'use strict';
var data = JSON.parse(document.getElementById('data').textContent);
${layoutScript}${canvasScript}${panelsScript}${summaryScript}</script>
</body>
</html>
`;
}

const summaryScript = String.raw`
(function () {
  var c = data.total, box = document.getElementById('summary');
  [[countText(c[0]), ' parameters'], [sizeText(c[1]), data.typed ? ' as sheets say' : data.bound ? ' as stored' : ' as f32'], [flopText(c[2]), ' a token'], [sizeText(c[3]), ' of weights read'],
    [sizeText(c[4]), ' of state moved'], [String(data.context), ' entries of context']].forEach(function (p) {
    box.append(html('b', {}, [p[0]]), html('span', { class: 'soft', style: 'margin-right:20px' }, [p[1]]));
  });
})();
`;

const escapes: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

const escapeText = (text: string): string => text.replace(/[&<>"']/g, (c) => escapes[c] ?? c);
