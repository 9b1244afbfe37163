/** The page's tree of parts, its details and what the user does, as script text. */
export const panelsScript = String.raw`
var open = new Set(), chosen = '', focused = '', zoom = 1, fitted = true, unfolded = new Set(['']), sortBy = -1, filter = '';
function scopeAt(key) {
  return key.split('/').slice(1).reduce(function (s, i) { return data.scopes[s.nodes[i].scope]; }, data.scopes[0]);
}
var times = function (c, copies, runs) { return c.map(function (x, i) { return x * (i < 2 ? copies : runs); }); };
var plus = function (a, b) { return a.map(function (x, i) { return i < 2 ? x : x + b[i]; }); };
/** Rows of the tree: figures are of the whole model, so that children sum up to their part. */
function rowOf(key, scope, label, total, copies, runs, depth) {
  var row = { key: key, scope: scope, label: label, note: scope.note, total: total, depth: depth, kids: [], times: runs, path: scope.path || scope.title };
  var by = new Map();
  scope.nodes.forEach(function (node, i) {
    if (node.kind !== 'part') return;
    var had = by.get(node.scope);
    if (had) { had.cost = plus(had.cost, node.cost); had.calls++; }
    else by.set(node.scope, { i: i, node: node, cost: node.cost, calls: 1 });
  });
  by.forEach(function (v) {
    var inner = data.scopes[v.node.scope], held = v.node.elsewhere ? 1 : copies;
    row.kids.push(rowOf(key + '/' + v.i, inner, v.node.label, times(v.cost, held, runs), held * inner.count, runs * inner.count * v.calls, depth + 1));
  });
  scope.weights.forEach(function (w) {
    row.kids.push({ key: key + '#' + w.path, weight: w, scope: scope, label: w.name, note: w.type, total: times(w.cost, copies, runs), depth: depth + 1, kids: [], times: runs, path: w.path });
  });
  return row;
}
var tree = rowOf('', data.scopes[0], data.name, data.total, 1, 1, 0);
/** A part that is called twice has one row: that of the first call. */
function rowKey(key) {
  var parts = key.split('#'), out = '', scope = data.scopes[0];
  parts[0].split('/').slice(1).forEach(function (i) {
    var inner = scope.nodes[i].scope;
    if (inner !== undefined) i = scope.nodes.findIndex(function (n) { return n.scope === inner; });
    out += '/' + i;
    scope = data.scopes[inner];
  });
  return parts.length > 1 ? out + '#' + parts[1] : out;
}
var rowsByKey = new Map();
(function index(row) { rowsByKey.set(row.key, row); row.kids.forEach(index); })(tree);
var columns = [['parameters', 0, countText], ['bytes', 1, sizeText], ['FLOPs', 2, countText]];

function matches(row) {
  if (!filter) return true;
  var path = row.path;
  (filter.match(/\[\d+\]/g) || []).forEach(function (one) {
    var n = Number(one.slice(1, -1));
    path = path.replace(/\[(\d+)\.\.(\d+)(?:::(\d+))?\]/, function (all, a, b, s) {
      return n >= Number(a) && n <= Number(b) && (n - a) % Number(s || 1) === 0 ? one : all;
    });
  });
  if (filter.includes('*')) {
    var pattern = filter.replace(/[.+?^$(){}|[\]\\]/g, '\\$&').replace(/\*\*/g, '\u0000').replace(/\*/g, '[^.]*').replace(/\u0000/g, '.*');
    return new RegExp('^' + pattern + '$', 'i').test(path);
  }
  var text = (path + ' ' + row.note).toLowerCase();
  return text.includes(filter.toLowerCase());
}
function drawTree() {
  var body = document.getElementById('rows'), shown = [];
  var keeps = function (row) { return matches(row) || row.kids.some(keeps); };
  var visit = function (row) {
    if (filter && !keeps(row)) return;
    shown.push(row);
    if (!filter && !unfolded.has(row.key)) return;
    var kids = row.kids.slice();
    if (sortBy >= 0) kids.sort(function (a, b) { return b.total[sortBy] - a.total[sortBy]; });
    kids.forEach(visit);
  };
  visit(tree);
  body.replaceChildren.apply(body, shown.map(function (row) {
    var isOpen = unfolded.has(row.key) || !!filter;
    return html('tr', { class: 'row', role: 'row', tabindex: row.key === rowKey(chosen) || (!chosen && row === tree) ? 0 : -1, 'data-row': row.key, 'aria-level': row.depth + 1,
      'aria-selected': String(row.key === rowKey(chosen)), 'aria-expanded': row.kids.length ? String(isOpen) : null, title: row.path + ' ' + row.note,
      on: { click: function () { reveal(row.key); }, keydown: function (e) { treeKey(e, row); } } }, [
      html('td', { style: 'padding-left:' + (10 + row.depth * 14) + 'px' }, [
        html('span', { class: 'twist', on: { click: function (e) { e.stopPropagation(); fold(row.key); } } }, [row.kids.length ? (isOpen ? '▾' : '▸') : '']),
        html('span', { class: row.weight ? 'weight' : '' }, [row.label]), html('span', { class: 'note' }, [row.weight ? '' : row.note])]),
    ].concat(columns.map(function (c) {
      var share = data.total[c[1]] ? row.total[c[1]] / data.total[c[1]] : 0;
      return html('td', { class: 'n' + (c[1] === 2 ? ' f' : ''), 'data-value': row.total[c[1]] }, [row.total[c[1]] ? c[2](row.total[c[1]]) : '–',
        html('i', { style: 'width:' + Math.max(share ? 1 : 0, share * 100).toFixed(1) + '%' })]);
    })));
  }));
  document.querySelectorAll('nav th').forEach(function (th, i) {
    if (i > 0 && sortBy === columns[i - 1][1]) th.setAttribute('aria-sort', 'descending');
    else th.removeAttribute('aria-sort');
  });
}
function fold(key) { if (unfolded.has(key)) unfolded.delete(key); else unfolded.add(key); drawTree(); focusRow(key); }
function focusRow(key) { var r = document.querySelector('[data-row="' + CSS.escape(key) + '"]'); if (r) r.focus(); }
function treeKey(e, row) {
  var at = e.currentTarget, isOpen = unfolded.has(row.key);
  if (e.key === 'ArrowDown' && at.nextSibling) at.nextSibling.focus();
  else if (e.key === 'ArrowUp' && at.previousSibling) at.previousSibling.focus();
  else if (e.key === 'ArrowRight' && row.kids.length && !isOpen) fold(row.key);
  else if (e.key === 'ArrowLeft' && isOpen) fold(row.key);
  else if (e.key === 'Enter' || e.key === ' ') { reveal(row.key); focusRow(row.key); }
  else return;
  e.preventDefault();
}
function toggle(key) {
  if (open.has(key)) open.delete(key); else { open.add(key); unfolded.add(key); }
}
function parentsOf(key) {
  var out = [], parts = key.split('#')[0].split('/');
  for (var i = 1; i < parts.length; i++) out.push(parts.slice(0, i).join('/'));
  return out;
}
/** Opens what is around a part, and the part, and shows it. */
function reveal(key) {
  var box = key.split('#')[0], all = parentsOf(box).concat([box]);
  all.forEach(function (k) { if (k) open.add(k); unfolded.add(k); });
  if (!(box + '/').startsWith(focused + '/')) focused = '';
  choose(key);
  var g = document.querySelector('#canvas [data-key="' + CSS.escape(box) + '"]');
  if (g) g.scrollIntoView({ block: 'nearest', inline: 'center' });
}
function choose(key) {
  var held = document.activeElement, within = held && held.getAttribute && held.getAttribute('data-key');
  chosen = key;
  parentsOf(rowKey(key)).forEach(function (k) { unfolded.add(k); });
  drawTree(); if (fitted) fit(); else drawCanvas(); drawDetails(); drawCrumbs();
  if (within) { var g = document.querySelector('#canvas [data-key="' + CSS.escape(within) + '"]'); if (g) g.focus({ preventScroll: true }); }
}
function drawCrumbs() {
  var crumbs = document.getElementById('crumbs'), kids = [];
  parentsOf(chosen).concat([chosen.split('#')[0]]).forEach(function (k) {
    var node = k === '' ? null : scopeAt(k.slice(0, k.lastIndexOf('/'))).nodes[k.slice(k.lastIndexOf('/') + 1)];
    if (kids.length) kids.push(html('span', {}, ['›']));
    kids.push(html('button', { on: { click: function () { choose(k); } } }, [node ? node.label : data.name]));
  });
  crumbs.replaceChildren.apply(crumbs, kids);
}
function list(title, pairs) {
  if (!pairs.length) return [];
  return [html('h3', {}, [title]), html('table', {}, pairs.map(function (p) {
    return html('tr', {}, [html('td', {}, [p.name]), html('td', { class: 'v' }, [p.value])]);
  }))];
}
var percent = function (a, b) { return b ? (100 * a / b).toPrecision(3) + ' %' : '–'; };
function costRows(c, total) {
  var of = function (i, show) { return show(c[i]) + (total ? '  (' + percent(c[i], data.total[i]) + ')' : ''); };
  return [{ name: 'parameters', value: c[0].toLocaleString('en') + (total ? '  (' + percent(c[0], data.total[0]) + ')' : '') },
    { name: 'stored', value: of(1, sizeText) }, { name: 'FLOPs', value: of(2, flopText) },
    { name: 'weights read', value: of(3, sizeText) }, { name: 'state moved', value: of(4, sizeText) }, { name: 'activations', value: of(5, sizeText) }];
}
function aheadRows(all) {
  return all.reduce(function (rows, a) {
    var far = (a.layers === 1 ? '1 layer' : a.layers + ' layers') + ', ' + flopText(a.flops) + ', ' + sizeText(a.bytes) + ' read';
    return rows.concat([{ name: a.users + ': chosen from', value: a.from },
      { name: 'until use', value: a.layers + a.flops + a.bytes ? far : '0: used at once' }]);
  }, []);
}
function drawDetails() {
  var box = document.getElementById('details'), parts = chosen.split('#'), key = parts[0], out = [];
  var row = rowsByKey.get(rowKey(chosen)), up = key.lastIndexOf('/');
  var node = key === '' ? null : scopeAt(key.slice(0, up)).nodes[key.slice(up + 1)];
  if (row && row.weight) {
    var w = row.weight;
    out = [html('h2', {}, [w.path]), html('code', {}, [w.type])].concat(
      list('Weight', [{ name: 'in the checkpoint', value: w.source }, { name: 'occurs', value: row.times + ' ×' }]),
      list('Precision and placement', w.properties), list('One', costRows(w.cost)), list('In all', costRows(row.total, true)));
  } else if (node && node.kind !== 'part') {
    out = [html('h2', {}, [node.label]), html('div', { class: 'soft' }, [node.kind === 'op' ? 'op' : node.kind])].concat(
      list('Gives', node.ports.map(function (p) { return { name: p.name || 'value', value: p.type }; })),
      list('Operands', node.operands.map(function (o) { var at = o.indexOf(': '); return at < 0 ? { name: 'number', value: o } : { name: o.slice(0, at), value: o.slice(at + 2) }; })),
      list('Attributes', node.attrs), node.kind === 'op' ? list('Cost of one token, once', costRows(node.cost).slice(2)) : []);
  } else {
    var scope = scopeAt(key), n = row.times;
    out = [html('h2', {}, [scope.path || scope.title]), html('div', { class: 'soft' }, [scope.kind === 'block' ? 'block ' + scope.note : scope.note])].concat(
      list(n > 1 ? 'In all, ' + n + ' times' : 'Cost of one token', costRows(row.total, true)),
      n > 1 ? list('One of them', costRows(scope.cost)) : [],
      list('Takes', scope.nodes.filter(function (x) { return x.kind === 'input'; }).map(function (x) { return { name: x.label, value: x.ports[0].type }; })),
      list('Lookahead of experts', aheadRows(scope.ahead)),
      list('Precision and placement', scope.properties), list('Parameters', scope.params),
      scope.weights.length ? [html('h3', {}, ['Weights'])].concat(scope.weights.map(function (w) {
        return html('div', { class: 'card' }, [html('code', {}, [w.name]), ' ' + w.type, html('div', { class: 'soft' }, [w.source + ' · ' + sizeText(w.cost[1]) + ' · ' + flopText(w.cost[2])])]);
      })) : []);
  }
  box.replaceChildren.apply(box, out);
}
function all(key, scope, depth) {
  scope.nodes.forEach(function (n, i) { if (n.kind === 'part') { open.add(key + '/' + i); if (depth > 1) all(key + '/' + i, data.scopes[n.scope], depth - 1); } });
}
/** As wide as the canvas, but never too small to read: then it scrolls. */
function fit() { fitted = true; zoom = 1; var s = drawCanvas(), c = document.getElementById('canvas'); zoom = Math.min(1, Math.max(0.62, (c.clientWidth - 36) / s.w)); drawCanvas(); }
var press = function (id, run) { document.getElementById(id).addEventListener('click', run); };
press('close', function () { open.clear(); focused = ''; choose(''); });
press('level', function () { all(focused, scopeAt(focused), focused === '' ? 1 : 2); choose(chosen); });
press('focus', function () { var k = chosen.split('#')[0], at = k && scopeOrUp(k); focused = focused === at ? '' : at; choose(chosen); fit(); });
press('in', function () { fitted = false; zoom = Math.min(3, zoom * 1.2); drawCanvas(); });
press('out', function () { fitted = false; zoom = Math.max(0.2, zoom / 1.2); drawCanvas(); });
press('fit', fit);
function scopeOrUp(k) { var up = k.lastIndexOf('/'); return scopeAt(k.slice(0, up)).nodes[k.slice(up + 1)].kind === 'part' ? k : k.slice(0, up); }
document.getElementById('search').addEventListener('input', function (e) { filter = e.target.value.trim(); drawTree(); });
document.querySelectorAll('nav th button').forEach(function (b, i) {
  b.addEventListener('click', function () { var c = i === 0 ? -1 : columns[i - 1][1]; sortBy = sortBy === c ? -1 : c; drawTree(); });
});
tree.kids.forEach(function (k) { if (k.scope.kind === 'layers' && !k.weight) unfolded.add(k.key); });
choose('');
fit();
`;
